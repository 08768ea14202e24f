"""Finds the EWS address of a mailbox by autodiscover. exchangelib speaks the protocol; only its answer is used here.

Facts this module rests on:
- the order of steps: https://domain, https://autodiscover.domain, an unauthenticated http redirect, the SRV record
  (learn.microsoft.com/exchange/client-developer/exchange-web-services/autodiscover-for-exchange)
- the http redirect and the SRV record are not authenticated: whoever answers DNS or http could collect passwords. A host outside the
  mailbox' own domain gets credentials only when the operator listed it
"""

from __future__ import annotations

import threading
from typing import Any
from urllib.parse import urlsplit

from migrator.adapters.ews import faults
from migrator.adapters.ews.faults import Seat
from migrator.adapters.ews.signin import Basic, Ntlm
from migrator.errors import JobError, SourceDown, UserError

_lock = threading.Lock()  # exchangelib's settings are global to the process
REMEDY = "Set url to https://host/EWS/Exchange.asmx; the operator of the server knows the host."


def trusted_host(host: str, domain: str, hosts: tuple[str, ...]) -> bool:
    """Whether `host` may be given credentials for a mailbox of `domain`."""
    host, domain = host.lower(), domain.lower()
    return host == domain or host.endswith("." + domain) or host in hosts


def discover(
    address: str,
    sign_in: Basic | Ntlm,
    seat: Seat,
    *,
    ca_file: str = "",
    trust: str = "os",
    hosts: tuple[str, ...] = (),
) -> str:
    """The https address of EWS. hosts: allowed beyond the mailbox' own domain.

    Raises UserError (no address found, host not allowed, sign-in refused: no second try), JobError for an unknown mailbox.
    """
    with _lock:
        from exchangelib import Credentials
        from exchangelib import errors as upstream
        from exchangelib.autodiscover.discovery import Autodiscovery

        from migrator.adapters.ews import patches

        patches.apply(trust, ca_file)
        domain = address.rpartition("@")[2]
        turned_away: list[str] = []

        class Careful(Autodiscovery):  # type: ignore[misc]
            def _redirect_url_is_valid(self, url: str) -> bool:
                host = urlsplit(url).hostname or ""
                if not trusted_host(host, urlsplit(f"//{domain}").hostname or "", hosts):
                    turned_away.append(host)
                    return False
                return bool(super()._redirect_url_is_valid(url))

            def _build_response(self, ad_response: Any) -> tuple[Any, None]:
                # Only the answer is wanted. exchangelib 5.6 fails here when it names no AutoDiscoverSMTPAddress.
                return ad_response, None

        search: Any = Careful(email=address, credentials=Credentials(sign_in.login, sign_in.reveal()))
        try:
            answer, _ = search.discover()
            url = str(answer.ews_url or "")
        except upstream.UnauthorizedError as e:
            error = faults.sign_in_refused(seat, "", sign_in.method)
            sign_in.refuse(error)
            raise error from e
        except upstream.ErrorNonExistentMailbox as e:
            raise faults.from_code("ErrorNonExistentMailbox", "autodiscover", {}, seat) from e
        except (upstream.AutoDiscoverFailed, upstream.AutoDiscoverCircularRedirect) as e:
            if turned_away:
                raise UserError(
                    f"{seat.endpoint}: autodiscover for {domain} points to {faults.clean(turned_away[0], 100)}, outside that domain",
                    code="autodiscover_host",
                    remedy="If that is your hoster, name the host in option autodiscover_hosts, or set url.",
                ) from e
            raise UserError(
                f"{seat.endpoint}: autodiscover finds no Exchange server for {domain}",
                code="no_url",
                remedy=REMEDY,
            ) from e
        except upstream.TransportError as e:
            raise SourceDown(
                f"{seat.endpoint}: autodiscover for {domain} failed", code="autodiscover", remedy=REMEDY
            ) from e
        except upstream.EWSError as e:
            raise JobError(
                f"{seat.endpoint}: autodiscover for {domain} failed ({type(e).__name__})",
                code="autodiscover",
                remedy=REMEDY,
            ) from e
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise UserError(
            f"{seat.endpoint}: autodiscover for {domain} names no https address", code="no_url", remedy=REMEDY
        )
    return url

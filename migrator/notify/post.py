"""Delivery of one message. What fails says whether another try may help; its words never hold an address that is a secret.

A webhook's address is a secret, so it is never told: not in words, not by following a redirect. TLS is verified always; a mail
goes without TLS only where the receiver says so, and then without a password.
"""

from __future__ import annotations

import contextlib
import smtplib
import ssl
import sys
from collections.abc import Callable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from migrator.auth.redact import redact
from migrator.errors import UserError
from migrator.interfaces import Secrets
from migrator.notify.shapes import Prepared
from migrator.plan.telling import Receiver
from migrator.report.safe import safe_text

if TYPE_CHECKING:
    from requests import Session

TRIES = 4
TIMEOUT_S = 15.0
PAUSE_S = 2.0
PAUSE_MOST_S = 30.0
WORDS_MOST = 200


class NotDelivered(Exception):
    """again: another try may help. after_s: the server's wish."""

    def __init__(self, words: str, *, again: bool = False, after_s: float | None = None) -> None:
        super().__init__(words)
        self.again = again
        self.after_s = after_s


class Post:
    """Sends to one receiver. Used by one thread at a time."""

    def __init__(
        self, receiver: Receiver, secrets: Secrets, *, sleep: Callable[[float], None], tries: int = TRIES
    ) -> None:
        self._receiver = receiver
        self._secrets = secrets
        self._sleep = sleep
        self._tries = tries
        self._session: Session | None = None

    def send(self, prepared: Prepared, *, tries: int | None = None) -> None:
        """Raises NotDelivered when all tries have failed."""
        from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

        def pause(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            wish = error.after_s if isinstance(error, NotDelivered) else None
            return min(PAUSE_MOST_S, wish if wish is not None else PAUSE_S * 2 ** (state.attempt_number - 1))

        deliver = {"email": self._mail, "apprise": self._apprise}.get(self._receiver.kind, self._hook)
        Retrying(
            stop=stop_after_attempt(tries or self._tries),
            wait=pause,
            retry=retry_if_exception(lambda error: isinstance(error, NotDelivered) and error.again),
            sleep=self._sleep,
            reraise=True,
        )(deliver, prepared)

    def close(self) -> None:
        if self._session is not None:
            self._session.close()

    # --- webhooks

    def _hook(self, prepared: Prepared) -> None:
        import requests

        address = self._secret(self._receiver.url, "url")
        _check_address(address)
        headers = {"Content-Type": prepared.content_type, "User-Agent": "migrator"}
        if self._receiver.token:
            headers["Authorization"] = "Bearer " + self._secret(self._receiver.token, "token")
        if self._session is None:
            self._session = _session(self._receiver.ca_file)
        try:
            # Closed unread but for what is there: nobody needs the answer, and it may be endless.
            with self._session.post(
                address,
                data=prepared.body,
                headers=headers,
                timeout=(TIMEOUT_S, TIMEOUT_S),
                allow_redirects=False,
                stream=True,
            ) as answer:
                status, wish = answer.status_code, answer.headers.get("Retry-After", "")
        except requests.exceptions.SSLError:
            raise NotDelivered("its certificate is not trusted; ca_file names a private authority") from None
        except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema, UnicodeError):
            raise NotDelivered("the address is no web address") from None
        except requests.exceptions.Timeout:
            raise NotDelivered("no answer in time", again=True) from None
        except requests.exceptions.RequestException as error:
            # The library's words name host and path: the path is the secret.
            raise NotDelivered(f"cannot be reached ({type(error).__name__})", again=True) from None
        if 200 <= status < 300:
            return
        if 300 <= status < 400:
            raise NotDelivered(f"it redirects (HTTP {status}); give the address that it redirects to")
        again = status in (408, 425, 429) or status >= 500
        raise NotDelivered(
            f"refused with HTTP {status}", again=again, after_s=float(wish) if wish.isdecimal() else None
        )

    # --- mail

    def _mail(self, prepared: Prepared) -> None:
        receiver = self._receiver
        try:
            with contextlib.closing(self._connected()) as server:
                if receiver.username:
                    server.login(receiver.username, self._secret(receiver.secret, "secret"))
                refused = server.sendmail(receiver.sender, list(receiver.to), prepared.body)
                with contextlib.suppress(smtplib.SMTPException, OSError):
                    server.quit()
        except smtplib.SMTPNotSupportedError as error:
            raise NotDelivered(f"{error}; no mail is sent without what was asked for") from None
        except smtplib.SMTPAuthenticationError as error:
            raise NotDelivered(
                f"sign-in was refused ({error.smtp_code} {_words(error.smtp_error)})"
            ) from None
        except smtplib.SMTPRecipientsRefused as error:
            code, words = next(iter(error.recipients.values()), (0, b""))
            raise NotDelivered(
                f"all receivers were refused ({code} {_words(words)})", again=400 <= code < 500
            ) from None
        except smtplib.SMTPResponseException as error:
            raise NotDelivered(
                f"refused ({error.smtp_code} {_words(error.smtp_error)})", again=400 <= error.smtp_code < 500
            ) from None
        except ssl.SSLCertVerificationError as error:
            raise NotDelivered(
                f"its certificate is not trusted ({error.verify_message}); ca_file names a private authority"
            ) from None
        except ssl.SSLError as error:
            raise NotDelivered(
                f"TLS failed ({error.reason or type(error).__name__}); is `security` right?"
            ) from None
        except (smtplib.SMTPException, OSError) as error:
            raise NotDelivered(f"cannot be reached ({type(error).__name__})", again=True) from None
        if refused:
            names = ", ".join(sorted(refused))
            raise NotDelivered(f"delivered, but not to {names}")

    def _connected(self) -> smtplib.SMTP:
        receiver = self._receiver
        if receiver.security == "tls":
            return smtplib.SMTP_SSL(
                receiver.server, receiver.port, timeout=TIMEOUT_S, context=trusted(receiver.ca_file)
            )
        server = smtplib.SMTP(receiver.server, receiver.port, timeout=TIMEOUT_S)
        if receiver.security == "starttls":
            try:
                server.starttls(context=trusted(receiver.ca_file))
            except BaseException:
                server.close()
                raise
        return server

    # --- anything else

    def _apprise(self, prepared: Prepared) -> None:
        try:
            import apprise
        except ImportError:
            raise NotDelivered("needs the package apprise: pip install 'migrator[notify]'") from None
        made = apprise.Apprise()
        if not made.add(self._secret(self._receiver.url, "url")):
            raise NotDelivered("the address is none that apprise knows")
        message = prepared.message
        types = {"good": "success", "info": "info", "warning": "warning", "bad": "failure"}
        delivered = made.notify(
            title=message.subject,
            body=prepared.body.decode() or message.title,
            body_format="text",
            notify_type=types[message.level],
        )
        if not delivered:
            raise NotDelivered("apprise could not deliver it", again=True)

    def _secret(self, reference: str, what: str) -> str:
        try:
            return self._secrets.reveal(reference, what=what).strip()
        except UserError as error:
            raise NotDelivered(f"{error.message}. {error.remedy}".strip()) from None


def trusted(ca_file: str) -> ssl.SSLContext:
    """The certificates of the operating system, and a private authority's where one is named."""
    if sys.platform in ("win32", "darwin"):
        import truststore

        context: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    else:
        context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError):
            raise NotDelivered(f"ca_file cannot be used: {ca_file}") from None
    return context


def _session(ca_file: str) -> Session:
    import requests
    from requests.adapters import HTTPAdapter

    context = trusted(ca_file)

    class Trusting(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **named: Any) -> None:
            super().init_poolmanager(*args, ssl_context=context, **named)

        def proxy_manager_for(self, proxy: str, **named: Any) -> Any:
            return super().proxy_manager_for(proxy, ssl_context=context, **named)

    made = requests.Session()
    made.mount("https://", Trusting())
    made.auth = lambda request: request  # or requests would look for a password in ~/.netrc
    return made


def _check_address(address: str) -> None:
    """https, or http on this machine: the address is a secret, and so is what goes there."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        raise NotDelivered("the address is no web address") from None
    if parts.scheme == "https" and host:
        return
    if parts.scheme == "http" and _loopback(host):
        return
    raise NotDelivered("the address must begin with https://")


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _words(answer: bytes | str) -> str:
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    return safe_text(redact(text[: WORDS_MOST * 4]), WORDS_MOST)

"""Access tokens of Microsoft Entra ID, by msal: client secret, certificate or device code.

Facts this module rests on:
- app-only tokens need a tenant of their own (never `common` or `organizations`) and the scope `<resource>/.default`
  (learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow)
- access tokens live 60 to 90 minutes, longer for clients that declare the capability CP1 and can so be revoked at any time by a
  401 with `WWW-Authenticate: Bearer … error="insufficient_claims", claims="<base64>"`
  (learn.microsoft.com/entra/identity-platform/app-resilience-continuous-access-evaluation)
- errors are told apart by the numbers in `error_codes`; texts change
  (learn.microsoft.com/entra/identity-platform/reference-error-codes)
- msal answers errors of the token endpoint as a dict, raises for 5xx and for a failed discovery, and replays 429 and 5xx
  answers from a cache of its own for some seconds (read in msal 1.39)
- a device code is polled no faster than `interval`, and 5 s slower after `slow_down` (RFC 8628 3.5)
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from migrator.auth import redact
from migrator.auth.secrets import PKCS12_HEAD, PKCS12_TAIL
from migrator.errors import MigratorError, RunError, Transient, UserError
from migrator.interfaces import Clock, Secrets
from migrator.record import record
from migrator.settings import Endpoint

AUTHORITY = "https://login.microsoftonline.com"
GRAPH = "https://graph.microsoft.com"
RENEW_S = 300.0  # a token is renewed this long before it ends, or after four fifths of a short life
TIMEOUT_S = 60.0
PENDING = {"authorization_pending", "slow_down"}


@record
class _Advice:
    code: str
    text: str
    remedy: str


def _table(*rows: tuple[tuple[int, ...], str, str, str]) -> dict[int, _Advice]:
    return {number: _Advice(code, text, remedy) for numbers, code, text, remedy in rows for number in numbers}


ADVICE = _table(
    (
        (7000222,),
        "secret_expired",
        "the client secret has expired",
        "Create a new client secret (or better a certificate) in the app registration and put it where the reference points.",
    ),
    (
        (7000215,),
        "secret_wrong",
        "the client secret is wrong",
        "Copy the secret's value, not its id; it is shown only once, when it is created.",
    ),
    (
        (700027, 700030, 7000216),
        "certificate_refused",
        "the certificate was not accepted",
        "Upload the public certificate to the app registration, check that the private key belongs to it, that it has not "
        "expired, and that this machine's clock is right.",
    ),
    (
        (700024,),
        "clock_skew",
        "the signed assertion is outside its time",
        "Set this machine's clock (time synchronisation), then try again.",
    ),
    (
        (700016, 700011),
        "app_unknown",
        "the application is not known in this tenant",
        "Check client_id and tenant; an app of another tenant needs admin consent there first.",
    ),
    (
        (7000112,),
        "app_disabled",
        "the application is disabled in this tenant",
        "Enable it under Enterprise applications (Enabled for users to sign-in: Yes).",
    ),
    (
        (90002, 900023, 90013),
        "tenant_unknown",
        "the tenant was not found",
        "Check the tenant (its domain name or id) for a slip, and that it belongs to the global cloud.",
    ),
    (
        (65001, 90094, 90095, 650056, 650057),
        "consent_missing",
        "consent is missing for this application",
        "Grant admin consent for the application permissions in the tenant (API permissions: Grant admin consent).",
    ),
    (
        (650052, 500011),
        "service_missing",
        "the service is not present in this tenant",
        "The tenant needs a subscription that includes Exchange Online.",
    ),
    (
        (70011, 1002012),
        "scope_refused",
        "the requested scope is not valid",
        "App-only sign-in needs the scope of the resource with /.default; leave `scope` out of the endpoint's options.",
    ),
    (
        (7000218,),
        "public_client_off",
        "device code sign-in is not allowed for this application",
        "Allow public client flows in the app registration (Authentication), or use a secret or certificate.",
    ),
    ((70016,), "device_pending", "the sign-in was not completed", "Open the address and enter the code."),
    (
        (70018,),
        "device_code_wrong",
        "the code was not recognised",
        "Start again and enter the code as shown.",
    ),
    (
        (70019, 70020),
        "device_code_expired",
        "the code has expired",
        "Start again and sign in within 15 minutes.",
    ),
    (
        (50034,),
        "user_unknown",
        "the user does not exist in this tenant",
        "Check the user name and the tenant.",
    ),
    (
        (50126,),
        "password_wrong",
        "user name or password is wrong",
        "Check the account; passwords of federated users are checked elsewhere.",
    ),
    (
        (50055,),
        "password_expired",
        "the password has expired",
        "Let the user set a new password, then try again.",
    ),
    ((50057,), "user_disabled", "the account is disabled", "Enable it, or use another account."),
    ((50053,), "user_locked", "the account is locked after too many attempts", "Wait, or unlock it."),
    (
        (50076, 50079, 50158, 53000, 53001, 53002, 53003, 53004, 530035, 530036),
        "policy_blocks",
        "a sign-in policy (multi-factor authentication, Conditional Access or security defaults) stands in the way",
        "Use app-only sign-in with a certificate, or exempt this application in the policy.",
    ),
    (
        (50173, 70008, 700082, 70043, 50132, 50133),
        "sign_in_lapsed",
        "the sign-in is no longer valid",
        "Sign in again.",
    ),
    (
        (50196,),
        "sign_in_loop",
        "the same token was asked for too often",
        "Wait some minutes; do not start many processes at once with the same application.",
    ),
    (
        (90038, 900382, 900432, 900384, 900439),
        "wrong_cloud",
        "the tenant lives in another national cloud",
        "Mailbox import exists in the global cloud only; for other services set the endpoint's authority and url.",
    ),
)
PASSING = {90033, 90006, 90012, 90024, 50180}


class _Wire:
    """What msal sends through: own certificate authority, a timeout, no redirects, and a look at the last answer."""

    def __init__(self, ca_file: str, loopback: bool) -> None:
        import requests
        from requests.adapters import HTTPAdapter

        context = _context(ca_file)

        class _Adapter(HTTPAdapter):
            def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
                super().init_poolmanager(*args, ssl_context=context, **kwargs)

        self._session = requests.Session()
        self._session.mount("https://", _Adapter())
        if loopback:
            self._session.trust_env = False  # loopback is never asked from a proxy
        self.status = 0
        self.retry_after = ""
        self.text = ""

    def post(self, url: str, **kwargs: Any) -> Any:
        return self._seen(self._session.post(url, timeout=TIMEOUT_S, allow_redirects=False, **_own(kwargs)))

    def get(self, url: str, **kwargs: Any) -> Any:
        return self._seen(self._session.get(url, timeout=TIMEOUT_S, allow_redirects=False, **_own(kwargs)))

    def _seen(self, response: Any) -> Any:
        self.status = response.status_code
        self.retry_after = response.headers.get("Retry-After", "")
        self.text = response.text if response.status_code >= 400 else ""
        return response

    def forget(self) -> None:
        self.status, self.retry_after, self.text = 0, "", ""

    def close(self) -> None:
        self._session.close()


def _own(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kwargs.items() if name not in ("timeout", "allow_redirects")}


def _context(ca_file: str) -> ssl.SSLContext:
    context: ssl.SSLContext
    try:
        import truststore

        context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    except ImportError:
        context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as e:
            raise UserError(
                f"the certificate authority file cannot be read: {ca_file}", code="ca_file"
            ) from e
    return context


@record
class _Token:
    value: str = field(repr=False)
    renew_at: float  # epoch seconds
    ends_at: float


class MicrosoftTokens:
    """Tokens for one endpoint, shared by all its threads: one of them renews, the others wait or go on with the old one.

    Raises UserError when sign-in cannot work as configured, RunError when it worked before and does no longer (a secret that
    expired, consent that was taken back), Transient when the service does not answer.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        secrets: Secrets,
        clock: Clock,
        *,
        say: Callable[[str], None] = lambda text: None,
        interactive: bool = False,
        scope: str = "",
    ) -> None:
        """say: shows a person what to do (device code). scope: default is Graph's `/.default`.

        Opens nothing and reveals nothing yet. Raises UserError for settings that cannot work.
        """
        self._endpoint = endpoint
        self._secrets = secrets
        self._clock = clock
        self._say = say
        self._interactive = interactive
        self._what = f"endpoint {endpoint.name}"
        self._method = endpoint.auth or ("certificate" if endpoint.certificate else "secret")
        self._scopes = [scope or endpoint.options.get("scope", "") or f"{GRAPH}/.default"]
        self._authority = (endpoint.authority or AUTHORITY).rstrip("/")
        self._token: _Token | None = None
        self._had_one = False
        self._refused: MigratorError | None = None  # told again to everybody: a wrong secret is tried once
        self._app: Any = None
        self._wire: _Wire | None = None
        self._http_cache: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._check()

    def _check(self) -> None:
        e = self._endpoint
        problems = []
        if self._method not in ("secret", "certificate", "device"):
            problems.append(f"{self._what}: auth {self._method!r} is none of secret, certificate, device")
        if not e.client_id:
            problems.append(f"{self._what}: client_id (the application's id) is missing")
        if not e.tenant:
            problems.append(f"{self._what}: tenant is missing")
        elif not re.fullmatch(r"[A-Za-z0-9.\-]+", e.tenant):
            problems.append(f"{self._what}: tenant is neither a domain name nor an id")
        elif self._method != "device" and e.tenant.lower() in ("common", "organizations", "consumers"):
            problems.append(
                f"{self._what}: app-only sign-in needs the tenant's own name or id, not {e.tenant!r}"
            )
        if self._method == "secret" and not e.secret:
            problems.append(f"{self._what}: secret (a reference) is missing")
        if self._method == "certificate" and not e.certificate:
            problems.append(f"{self._what}: certificate (a reference) is missing")
        if urlsplit(self._authority).scheme != "https":
            problems.append(f"{self._what}: authority must be an https address")
        if problems:
            raise UserError(
                problems[0] if len(problems) == 1 else f"{self._what}: sign-in is not set up",
                problems=problems,
                code="sign_in_settings",
            )

    # ---- what callers use

    def token(self) -> str:
        """A token that is good for a while. Cheap when there is one."""
        held = self._token
        if held is not None and self._clock.now() < held.renew_at:
            return held.value
        with self._lock:
            held = self._token
            now = self._clock.now()
            if held is not None and now < held.renew_at:
                return held.value
            try:
                return self._take("").value
            except Transient:
                if held is not None and now < held.ends_at - 5:
                    return held.value  # the old one still serves; the next call tries again
                raise

    def renew(self, stale: str, claims: str = "") -> str:
        """A token other than `stale`, which the resource refused. claims: JSON of its claims challenge, if it gave one."""
        with self._lock:
            if self._token is not None and self._token.value != stale:
                return self._token.value  # another thread was faster
            return self._take(claims).value

    def close(self) -> None:
        with self._lock:
            if self._wire is not None:
                self._wire.close()
            if self._token is not None:
                redact.forgotten(self._token.value)
            self._token, self._app, self._wire = None, None, None

    # ---- msal

    def _take(self, claims: str) -> _Token:
        if self._refused is not None:
            refused = self._refused
            raise type(refused)(refused.message, code=refused.code, remedy=refused.remedy)
        try:
            return self._ask(claims)
        except (UserError, RunError) as error:
            self._refused = error
            raise

    def _ask(self, claims: str) -> _Token:
        started = self._clock.now()
        answer = self._asking(claims)
        value = answer.get("access_token")
        if not isinstance(value, str) or not value:
            raise self._busy() or self._explained(answer)
        try:
            life = float(answer.get("expires_in", 3600))
        except (TypeError, ValueError):
            life = 3600.0
        redact.known(value)
        if self._token is not None and self._token.value != value:
            redact.forgotten(self._token.value)
        self._token = _Token(value, started + life - min(RENEW_S, life / 5), started + life)
        self._had_one = True
        return self._token

    def _asking(self, claims: str) -> Mapping[str, Any]:
        """msal's answer; what it raises is translated here."""
        import requests

        self._http_cache.clear()  # a repeat after a wait must reach the server
        if self._wire is not None:
            self._wire.forget()
        try:
            if self._app is None:
                self._app = self._application()
            if self._method == "device":
                return self._by_device(claims)
            self._app.remove_tokens_for_client()
            answer: Mapping[str, Any] = self._app.acquire_token_for_client(
                scopes=self._scopes, claims_challenge=claims or None
            )
            return answer
        except MigratorError:
            raise
        # Causes are dropped on purpose: texts and tracebacks of HTTP libraries hold URLs and bodies with secrets.
        except requests.exceptions.SSLError:
            raise UserError(
                f"{self._what}: the certificate of {self._host} is not trusted",
                code="tls",
                remedy="Set ca_file if a private certificate authority or an inspecting proxy signs it.",
            ) from None
        except requests.exceptions.RequestException as e:
            raise Transient(
                f"{self._what}: {self._host} does not answer the sign-in ({type(e).__name__})",
                code="sign_in_unreachable",
            ) from None
        except Exception as e:  # noqa: BLE001 - msal raises ValueError, RuntimeError, KeyError and own classes alike
            raise self._translated(e) from None

    def _busy(self) -> Transient | None:
        """What the last answer's status alone tells."""
        wire = self._wire
        if wire is None or (wire.status != 429 and wire.status < 500):
            return None
        return Transient(
            f"{self._what}: the sign-in service is busy (HTTP {wire.status})",
            retry_after_s=float(wire.retry_after) if wire.retry_after.isdigit() else None,
            code="sign_in_busy",
        )

    def _translated(self, e: Exception) -> MigratorError:
        busy = self._busy()
        if busy is not None:
            return busy
        status = self._wire.status if self._wire else 0
        text = self._wire.text if self._wire else ""
        if status == 200 and isinstance(e, ValueError):
            # Something between us and Microsoft answers in its stead: a captive portal, a proxy.
            return Transient(f"{self._what}: {self._host} answers no JSON", code="sign_in_garbled")
        if status >= 400:
            try:
                answer = json.loads(text)
            except ValueError:
                answer = {}
            if isinstance(answer, dict) and answer.get("error"):
                return self._explained(answer)
            return self._bad(
                "tenant_unknown",
                f"{self._host} does not know the tenant {self._endpoint.tenant} (HTTP {status})",
                "Check tenant and authority.",
            )
        return self._bad(
            "sign_in_failed",
            f"sign-in failed: {_clean(str(e))}",
            "Check tenant, authority, client_id and secret.",
        )

    def _application(self) -> Any:
        import msal

        e = self._endpoint
        if self._wire is None:
            host = urlsplit(self._authority).hostname or ""
            self._wire = _Wire(e.ca_file, host == "localhost" or host == "::1" or host.startswith("127."))
        shared = {
            "authority": f"{self._authority}/{e.tenant}",
            "http_client": self._wire,
            "http_cache": self._http_cache,
            "client_capabilities": ["CP1"],
            # The authority is the operator's own setting; asking Microsoft whether it knows the host adds a round trip
            # and fails for a private one.
            "instance_discovery": False,
        }
        if self._method == "device":
            return msal.PublicClientApplication(e.client_id, **shared)
        return msal.ConfidentialClientApplication(e.client_id, client_credential=self._credential(), **shared)

    def _credential(self) -> str | dict[str, str]:
        e = self._endpoint
        if self._method == "secret":
            return self._secrets.reveal(e.secret, what=f"{self._what}, secret")
        text = self._secrets.reveal(e.certificate, what=f"{self._what}, certificate")
        phrase = self._secrets.reveal(e.secret, what=f"{self._what}, passphrase") if e.secret else ""
        key, certificate, ends = read_certificate(text, phrase, what=f"{self._what}: {e.certificate}")
        if ends <= datetime.fromtimestamp(self._clock.now(), UTC):
            raise UserError(
                f"{self._what}: the certificate expired on {ends:%Y-%m-%d}",
                code="certificate_expired",
                remedy="Make a new one, upload its public part to the app registration, and point the reference to it.",
            )
        redact.known(key)
        return {"private_key": key, "public_certificate": certificate}

    def _by_device(self, claims: str) -> Mapping[str, Any]:
        accounts = self._app.get_accounts()
        if accounts:
            answer = self._app.acquire_token_silent_with_error(
                self._scopes, accounts[0], force_refresh=not claims, claims_challenge=claims or None
            )
            if answer and answer.get("access_token"):
                return dict(answer)
        if not self._interactive:
            raise self._bad(
                "sign_in_needs_person",
                "device code sign-in needs a person at the terminal",
                "Start the command in a terminal, or use a secret or certificate.",
            )
        flow = self._app.initiate_device_flow(
            scopes=self._scopes, **({"claims_challenge": claims} if claims else {})
        )
        if "user_code" not in flow:
            return dict(flow)
        redact.known(str(flow.get("device_code", "")))
        self._say(_clean(str(flow.get("message", "")), 400))
        interval = float(flow.get("interval", 5))
        ends = self._clock.now() + float(flow.get("expires_in", 900))
        while True:
            self._http_cache.clear()
            answer = self._app.acquire_token_by_device_flow(flow, exit_condition=lambda each: True)
            if answer.get("error") not in PENDING:
                return dict(answer)
            if self._clock.now() >= ends:
                return {"error": "expired_token", "error_codes": [70019]}
            if answer.get("error") == "slow_down":
                interval += 5
            self._clock.sleep(interval)

    # ---- errors

    @property
    def _host(self) -> str:
        return urlsplit(self._authority).netloc

    def _bad(self, code: str, text: str, remedy: str) -> MigratorError:
        if self._had_one:
            return RunError(f"{self._what}: {text}", code=code, remedy=remedy)
        return UserError(f"{self._what}: {text}", code=code, remedy=remedy)

    def _explained(self, answer: Mapping[str, Any]) -> MigratorError:
        """The error that the token endpoint answered, in words for an administrator."""
        numbers = _numbers(answer)
        said = _clean(str(answer.get("error_description") or answer.get("error") or "no token in the answer"))
        trace = str(answer.get("correlation_id") or "")
        tail = f" (correlation id {trace})" if re.fullmatch(r"[0-9a-fA-F-]{8,40}", trace) else ""
        if PASSING.intersection(numbers) or answer.get("error") == "temporarily_unavailable":
            return Transient(f"{self._what}: the sign-in service is busy: {said}{tail}", code="sign_in_busy")
        for number in numbers:
            advice = ADVICE.get(number)
            if advice is not None:
                return self._bad(
                    advice.code, f"sign-in refused, {advice.text} (AADSTS{number}){tail}", advice.remedy
                )
        return self._bad(
            "sign_in_refused",
            f"sign-in refused: {said}{tail}",
            "Look the AADSTS number up at https://login.microsoftonline.com/error",
        )


def _numbers(answer: Mapping[str, Any]) -> list[int]:
    found = [n for n in answer.get("error_codes") or [] if isinstance(n, int)]
    found += [int(n) for n in re.findall(r"AADSTS(\d{4,8})", str(answer.get("error_description", "")))]
    return found


def _clean(text: str, most: int = 300) -> str:
    """One line of a server's words, without secrets, control characters and length."""
    text = redact.redact(text).replace("\r", "\n").split("\n", 1)[0]
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= most else text[: most - 1] + "…"


def read_certificate(text: str, phrase: str, *, what: str) -> tuple[str, str, datetime]:
    """(private key as PEM without passphrase, certificates as PEM with the key's own first, its end) of a PEM or wrapped PFX.

    Raises UserError naming `what`.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
        load_pem_private_key,
        pkcs12,
    )

    secret = phrase.encode() or None
    key: Any
    try:
        if text.lstrip().startswith(PKCS12_HEAD):
            packed = base64.b64decode(text.replace(PKCS12_HEAD, "").replace(PKCS12_TAIL, ""))
            key, own, others = pkcs12.load_key_and_certificates(packed, secret)
            certificates = [each for each in (own, *others) if each is not None]
        else:
            certificates = (
                x509.load_pem_x509_certificates(text.encode()) if "BEGIN CERTIFICATE" in text else []
            )
            key = load_pem_private_key(_private_part(text), secret)
    except (ValueError, TypeError, binascii.Error) as e:
        needs = "passphrase" in str(e).lower() or "password" in str(e).lower()
        raise UserError(
            f"{what} cannot be read"
            + (", its passphrase is missing or wrong" if needs else " as PEM or PFX"),
            code="certificate_unreadable",
            remedy="Give the passphrase as the endpoint's secret reference."
            if needs
            else "A PEM needs the private key and the certificate; a PFX the extension .pfx.",
        ) from None
    if key is None:
        raise UserError(f"{what} has no private key", code="certificate_unreadable")
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    own_ones = [
        each
        for each in certificates
        if each.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == public
    ]
    if not own_ones:
        raise UserError(
            f"{what} has no certificate that belongs to its private key",
            code="certificate_unreadable",
            remedy="Append the certificate (BEGIN CERTIFICATE) to the PEM; it is needed to name the key.",
        )
    own_one = own_ones[0]
    chain = [own_one, *(each for each in certificates if each is not own_one)]
    return (
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        "".join(each.public_bytes(Encoding.PEM).decode() for each in chain),
        own_one.not_valid_after_utc,
    )


def _private_part(text: str) -> bytes:
    match = re.search(
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", text, re.DOTALL
    )
    if match is None:
        raise ValueError("no private key")
    return match.group().encode()


def challenge_claims(www_authenticate: str) -> str:
    """The claims (JSON) that a 401 asks for, or "" when it is no claims challenge."""
    if "insufficient_claims" not in www_authenticate:
        return ""
    match = re.search(r'claims="([^"]+)"', www_authenticate)
    if match is None:
        return ""
    packed = match.group(1)
    try:
        text = base64.b64decode(packed + "=" * (-len(packed) % 4), altchars=b"-_").decode()
        json.loads(text)
    except (ValueError, binascii.Error):
        return ""
    return text


def roles_of(token: str) -> frozenset[str] | None:
    """The application permissions that a token shows, None when it shows nothing readable.

    Only for advice: rights granted by Exchange's own role assignments do not appear there, and a token is the resource's to
    read, not ours.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error):
        return None
    if not isinstance(claims, dict):
        return None
    words = claims.get("roles")
    found = {each for each in words if isinstance(each, str)} if isinstance(words, list) else set()
    if isinstance(claims.get("scp"), str):
        found.update(claims["scp"].split())
    return frozenset(found)

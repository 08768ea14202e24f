"""The one translator from what EWS answers to `migrator.errors`: HTTP statuses, SOAP faults, response codes.

Facts this module rests on:
- codes and their meaning: learn.microsoft.com/exchange/client-developer/web-service-reference/responsecode
- ErrorServerBusy carries BackOffMilliseconds in a fault's or in a message's MessageXml; the budget belongs to the impersonated
  mailbox, or without impersonation to the account that signed in (…/exchange-web-services/ews-throttling-in-exchange)
- ErrorInternalServerError may wrap another code: MessageXml Value InnerErrorResponseCode (same page)
- a front end in trouble answers 302 to /ews/genericerrorpage.htm; IIS answers 404.13 (as 404) or 413 to a too large request
- "=== Truncated Data ===" ends an export that a failover or maintenance cut short
  (…/exchange-web-services/how-to-export-items-by-using-ews-in-exchange)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from migrator.adapters.transport import AnswerLost, NotSent, Reply
from migrator.errors import (
    CheckpointLost,
    ItemError,
    JobError,
    MigratorError,
    SourceDown,
    Throttled,
    Transient,
    UserError,
)
from migrator.record import record

BUSY_S = 30.0
CONNECTIONS_S = 5.0
BACKEND_S = 5.0
TRUNCATED_S = 60.0

VERSION_CODES = frozenset(
    ("ErrorInvalidServerVersion", "ErrorInvalidSchemaVersionForMailboxVersion", "ErrorIncorrectSchemaVersion")
)
"""The server, or this mailbox' backend, is older than the schema version asked for."""

UNKNOWN_OPERATION = frozenset(
    ("ErrorInvalidRequest", "ErrorInvalidOperation", "ErrorSchemaValidation", "ActionNotSupported")
)
"""How a server, or a gateway before it, answers an operation that it does not know."""

STOPPED = "ErrorBatchProcessingStopped"

_BUSY = frozenset(("ErrorServerBusy", "ErrorExceededConnectionCount", "ErrorExceededFindCountLimit"))
_PASSING = frozenset(
    (
        "ErrorInternalServerTransientError",
        "ErrorTooManyObjectsOpened",
        "ErrorMailboxStoreUnavailable",
        "ErrorMailboxMoveInProgress",
        "ErrorADUnavailable",
        "ErrorADOperation",
        "ErrorConnectionFailed",
        "ErrorTimeoutExpired",
        "ErrorInsufficientResources",
        "ErrorMailboxFailover",
        "ErrorNoRespondingCASInDestinationSite",
        "ErrorProxyCallFailed",
        "ErrorProxyRequestNotAllowed",
        "ErrorProxyServiceDiscoveryFailed",
        "ErrorInternalServerError",
        STOPPED,
    )
)

ITEM_GONE = frozenset(("ErrorItemNotFound", "ErrorMessageNotFound"))
ITEM_DAMAGED = frozenset(
    (
        "ErrorCorruptData",
        "ErrorItemCorrupt",
        "ErrorContentConversionFailed",
        "ErrorMimeContentConversionFailed",
        "ErrorItemPropertyRequestFailed",
        "ErrorPropertyValidationFailure",
    )
)
ITEM_TOO_LARGE = frozenset(("ErrorMessageSizeExceeded", "ErrorDataSizeLimitExceeded"))


@record
class Seat:
    """Where an answer came from, for messages and for who must wait."""

    endpoint: str
    mailbox: str
    login: str
    budget: str = "mailbox"  # whose throttling budget pays: "mailbox" or "endpoint"
    impersonating: bool = False

    def says(self, text: str) -> str:
        return f"{self.mailbox}: {text}" if self.mailbox else f"{self.endpoint}: {text}"


_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]+")


def clean(text: str, most: int = 300) -> str:
    """A server's words, fit for one line of a terminal."""
    text = _CONTROLS.sub(" ", text).strip()
    return text if len(text) <= most else text[: most - 1] + "…"


def _back_off(values: Mapping[str, str]) -> float | None:
    text = values.get("BackOffMilliseconds", "").strip()
    try:
        return max(0.0, float(text) / 1000.0)
    except ValueError:
        return None


def _grant(seat: Seat) -> str:
    return (
        f"Grant {seat.login} the management role ApplicationImpersonation for this mailbox "
        "(New-ManagementRoleAssignment), or set access to delegate or owner."
    )


def from_code(code: str, text: str, values: Mapping[str, str], seat: Seat) -> MigratorError:
    """What a fault's or a message's code means for the call that it answers. Items have `from_item_code`."""
    words = clean(text)
    if code == "ErrorInternalServerError":
        inner = values.get("InnerErrorResponseCode", "").strip()
        if inner and inner != code:
            return from_code(inner, values.get("InnerErrorMessageText", "") or text, values, seat)
    if code in _BUSY:
        wait = _back_off(values)
        if wait is None:
            wait = BUSY_S if code == "ErrorServerBusy" else CONNECTIONS_S
        return Throttled(
            seat.says(words or "the server is busy"), retry_after_s=wait, scope=seat.budget, code=code
        )
    if code in _PASSING:
        return Transient(seat.says(words or code), retry_after_s=_back_off(values) or BACKEND_S, code=code)
    if code == "ErrorInvalidSyncStateData":
        return CheckpointLost(seat.says("the server no longer knows this sync state"), code=code)
    if code in ("ErrorSyncFolderNotFound", "ErrorFolderNotFound", "ErrorParentFolderNotFound"):
        return JobError(
            seat.says("a folder was deleted or moved while it was being read"),
            code="folder_gone",
            remedy="Run again: the folders are listed anew.",
        )
    if code == "ErrorNonExistentMailbox":
        return JobError(
            seat.says(
                f"the server knows no such mailbox ({words})" if words else "the server knows no such mailbox"
            ),
            code="no_mailbox",
            remedy="Check the address in the manifest; it must be the mailbox' primary SMTP address.",
        )
    if code in ("ErrorNonPrimarySmtpAddress", "ErrorInvalidSmtpAddress", "ErrorMissingEmailAddress"):
        primary = clean(values.get("Primary", ""))
        return JobError(
            seat.says(
                f"this is not the mailbox' primary SMTP address{f', which is {primary}' if primary else ''}"
            ),
            code="not_primary_address",
            remedy=f"Write {primary or 'the primary address'} into the manifest.",
        )
    if code in ("ErrorImpersonateUserDenied", "ErrorImpersonationDenied", "ErrorImpersonationFailed"):
        return JobError(
            seat.says(f"{seat.login} has no right to impersonate this mailbox"),
            code="no_impersonation",
            remedy=_grant(seat),
        )
    if code in ("ErrorAccessDenied", "ErrorFolderAccessDenied", "ErrorCannotAccessMailbox"):
        return JobError(
            seat.says(f"{seat.login} has no right to open this mailbox ({words})"),
            code="access_denied",
            remedy=f"Grant {seat.login} full access to the mailbox, or the impersonation role and access = impersonation.",
        )
    if code in ("ErrorAccountDisabled", "ErrorMailboxDisabled", "ErrorDiscoveryMailboxDisabled"):
        return JobError(
            seat.says("the account or mailbox is disabled"),
            code="mailbox_disabled",
            remedy="Enable it at the source, or take the row out of the manifest.",
        )
    if code in ("ErrorPasswordExpired", "ErrorPasswordChangeRequired"):
        return UserError(
            f"{seat.endpoint}: the password of {seat.login} has expired",
            code="password_expired",
            remedy="Set a new password and put it where the reference points.",
        )
    if code in VERSION_CODES:
        return JobError(
            seat.says("the server takes none of the schema versions that this program speaks"),
            code=code,
            remedy="Exchange 2007 SP1 is the oldest server that can be read.",
        )
    return JobError(seat.says(f"{words or 'the server refused the call'} ({code})"), code=code or "ews_error")


def from_item_code(code: str, text: str, values: Mapping[str, str], seat: Seat) -> MigratorError:
    """What a message's code means for the one item that it answers; passing trouble stays passing."""
    words = clean(text)
    if code == "ErrorExportRemoteArchiveItemsFailed":
        return ItemError(
            f"the item lies in an archive at another place ({words})",
            code=code,
            remedy="Add the archive as a mailbox of its own endpoint.",
        )
    error = from_code(code, text, values, seat)
    if isinstance(error, (Transient, UserError)):
        return error
    return ItemError(words or code, code=code or "ews_error")


def sign_in_refused(seat: Seat, offered: str, used: str) -> UserError:
    """A first 401. offered: the WWW-Authenticate fields."""
    schemes = {part.split()[0].lower() for part in offered.split(",") if part.strip()}
    wanted = {"basic": {"basic"}, "ntlm": {"ntlm", "negotiate"}, "oauth": {"bearer"}}[used]
    if offered.strip() and not schemes & wanted:
        names = (
            ", ".join(sorted(schemes & {"basic", "ntlm", "negotiate", "bearer", "digest"})) or "another way"
        )
        return UserError(
            f"{seat.endpoint}: the server does not take {used} sign-in, it offers {names}",
            code="sign_in_method",
            remedy="Set auth of this endpoint to what the server offers (basic, ntlm, oauth).",
        )
    return UserError(
        f"{seat.endpoint}: sign-in as {seat.login or 'the application'} was refused (wrong name or password, or a locked account)",
        code="wrong_password",
        remedy="Check name and secret. No further attempt is made in this run, so that the account is not locked out.",
    )


def sign_in_lapsed(seat: Seat) -> UserError:
    return UserError(
        f"{seat.endpoint}: sign-in as {seat.login or 'the application'} worked before and is now refused",
        code="sign_in_lapsed",
        remedy="See whether the password was changed or the account was locked, then run again.",
    )


def from_status(reply: Reply, seat: Seat) -> MigratorError:
    """An HTTP answer that is neither 200 nor a SOAP fault. 401 has functions of its own."""
    status = reply.status
    after = retry_after(reply.headers)
    code = f"http_{status}"
    if status == 429 or (status == 503 and after is not None):
        return Throttled(
            f"{seat.endpoint}: the server asks for time (HTTP {status})",
            retry_after_s=after if after is not None else BUSY_S,
            scope="endpoint",
            code=code,
        )
    if status == 503:
        # Without a time it is as likely a stopped application pool: a failure that is counted, not a wish to wait for.
        return Transient(
            f"{seat.endpoint}: the server cannot take requests now (HTTP 503)",
            retry_after_s=BUSY_S,
            code=code,
        )
    if status == 302 or status in (301, 303, 307, 308):
        location = reply.headers.get("location", "")
        if "genericerrorpage" in location.lower():
            return Transient(
                f"{seat.endpoint}: the server sent its error page (HTTP 302)",
                retry_after_s=BUSY_S,
                code="error_page",
            )
        host = clean(urlsplit(location).hostname or "", 100)
        return UserError(
            f"{seat.endpoint}: the server points to another address{f' on {host}' if host else ''} (HTTP {status})",
            code="wrong_url",
            remedy="Set url to the EWS address itself, https://host/EWS/Exchange.asmx, or leave it out to have it discovered.",
        )
    if status == 403:
        return JobError(
            seat.says("the server has EWS shut for this mailbox or this program (HTTP 403)"),
            code="ews_shut",
            remedy="Enable EWS for the mailbox and the organisation (Set-CASMailbox -EwsEnabled, Set-OrganizationConfig "
            "-EwsEnabled and its application list), and look for a firewall that filters by user agent.",
        )
    if status == 404:
        return UserError(
            f"{seat.endpoint}: there is no EWS at this address (HTTP 404)",
            code="wrong_url",
            remedy="Set url to https://host/EWS/Exchange.asmx, or leave it out to have it discovered.",
        )
    if status == 413:
        return Transient(
            f"{seat.endpoint}: the request was too large for the server", code="request_too_large"
        )
    if status in (440, 456):
        return UserError(
            f"{seat.endpoint}: a gateway before the server refused the sign-in (HTTP {status})",
            code="wrong_password",
        )
    if status == 407:
        return SourceDown(f"{seat.endpoint}: the proxy wants a sign-in (HTTP 407)", code="source_proxy")
    if status >= 500 or status in (408, 425, 449):
        return Transient(
            f"{seat.endpoint}: the server is in trouble (HTTP {status})",
            retry_after_s=after if after is not None else BACKEND_S,
            code=code,
        )
    return JobError(seat.says(f"an answer that EWS does not give (HTTP {status})"), code=code)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from a Retry-After of either form (RFC 9110 10.2.3); a date is read against the answer's own Date.

    Fractions occur, though the RFC has none.
    """
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text):
        return float(text)
    try:
        at = parsedate_to_datetime(text)
        return max(0.0, (at - parsedate_to_datetime(headers.get("date", ""))).total_seconds())
    except (ValueError, TypeError):
        return None


def from_transport(e: NotSent | AnswerLost, seat: Seat) -> MigratorError:
    """Reads are repeatable: only a server that cannot be reached at all is more than passing."""
    if isinstance(e, AnswerLost):
        code = "timeout" if e.kind == "timeout" else "answer_lost"
        return Transient(f"{seat.endpoint}: {e}", code=code)
    if e.kind == "url":
        return UserError(
            f"{seat.endpoint}: {e}", code="wrong_url", remedy="Correct the url of this endpoint."
        )
    if e.kind in ("connection", "closed"):
        return Transient(f"{seat.endpoint}: {e}", code="connection_closed")
    remedies = {
        "dns": "Check the host name in url, and this machine's name resolution.",
        "refused": "See whether the server is up and port 443 reachable from here.",
        "timeout": "See whether a firewall stands between here and the server.",
        "tls": "Install the server's certificate authority on this machine or name it in ca_file. Verification cannot be switched off.",
        "proxy": "Check HTTPS_PROXY and NO_PROXY.",
    }
    return SourceDown(f"{seat.endpoint}: {e}", code=f"source_{e.kind}", remedy=remedies.get(e.kind, ""))


def not_soap(seat: Seat, body: bytes, why: str) -> MigratorError:
    """A 200 that is no EWS answer: a sign-in page or the wrong server, or an answer that was cut short."""
    head = body[:512].lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if head.startswith((b"<!doctype html", b"<html")):
        return UserError(
            f"{seat.endpoint}: the address answers with a web page, not with EWS",
            code="wrong_url",
            remedy="Set url to https://host/EWS/Exchange.asmx; a sign-in page or proxy may stand before it.",
        )
    return Transient(f"{seat.endpoint}: {why}", retry_after_s=BACKEND_S, code="broken_answer")


def truncated(seat: Seat) -> Transient:
    return Transient(
        seat.says("the server cut its answer short (Truncated Data)"),
        retry_after_s=TRUNCATED_S,
        code="truncated_data",
    )

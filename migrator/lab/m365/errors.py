"""The errors of Graph and of the sign-in service, as values that become answers.

Shapes: learn.microsoft.com/graph/errors (`error.code`, `error.message`, `error.innerError` with date and request ids);
the sign-in service answers as OAuth 2 does, with AADSTS numbers (learn.microsoft.com/entra/identity-platform/reference-error-codes).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime


class GraphError(Exception):
    """An answer that is an error. `headers` go with it (Retry-After, WWW-Authenticate, Location)."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})

    def body(self, request_id: str, client_request_id: str, now: float) -> dict[str, object]:
        inner = {
            "date": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S"),
            "request-id": request_id,
            "client-request-id": client_request_id or request_id,
        }
        return {"error": {"code": self.code, "message": self.message, "innerError": inner}}


class SignInError(Exception):
    """What the sign-in service says instead of a token.

    error: OAuth's word; number: the AADSTS code; text: what follows `AADSTSnnn: `.
    """

    def __init__(self, error: str, number: int, text: str, status: int = 400) -> None:
        super().__init__(f"{error} AADSTS{number}")
        self.error = error
        self.number = number
        self.text = text
        self.status = status

    def body(self, trace_id: str, correlation_id: str, now: float) -> dict[str, object]:
        stamp = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        return {
            "error": self.error,
            "error_description": f"AADSTS{self.number}: {self.text} Trace ID: {trace_id} "
            f"Correlation ID: {correlation_id} Timestamp: {stamp}",
            "error_codes": [self.number],
            "timestamp": stamp,
            "trace_id": trace_id,
            "correlation_id": correlation_id,
            "error_uri": f"https://login.microsoftonline.com/error?code={self.number}",
        }


def bad_request(message: str, code: str = "ErrorInvalidRequest") -> GraphError:
    return GraphError(400, code, message)


def malformed_id() -> GraphError:
    return GraphError(400, "ErrorInvalidIdMalformed", "Id is malformed.")


def no_item() -> GraphError:
    return GraphError(404, "ErrorItemNotFound", "The specified object was not found in the store.")


def no_folder() -> GraphError:
    return GraphError(404, "ErrorFolderNotFound", "The specified folder could not be found in the store.")


def folder_exists() -> GraphError:
    return GraphError(
        409, "ErrorFolderExists", "A folder with the specified name already exists., Could not create folder."
    )


def no_mailbox() -> GraphError:
    return GraphError(
        404,
        "MailboxNotEnabledForRESTAPI",
        "The mailbox is either inactive, soft-deleted, or is hosted on-premise.",
    )


def no_user(name: str) -> GraphError:
    return GraphError(
        404,
        "Request_ResourceNotFound",
        f"Resource '{name}' does not exist or one of its queried reference-property objects are not present.",
    )


def bad_token(message: str = "Access token is empty.") -> GraphError:
    challenge = 'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", client_id="00000003-0000-0000-c000-000000000000"'
    return GraphError(401, "InvalidAuthenticationToken", message, {"WWW-Authenticate": challenge})


def denied(message: str = "Access is denied. Check credentials and try again.") -> GraphError:
    return GraphError(403, "ErrorAccessDenied", message)


def missing_privilege() -> GraphError:
    return GraphError(
        403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation."
    )


def no_segment(segment: str) -> GraphError:
    return GraphError(400, "BadRequest", f"Resource not found for the segment '{segment}'.")


def quota(what: str = "mailbox") -> GraphError:
    return GraphError(
        507,
        "ErrorQuotaExceeded",
        "The mailbox exceeded its quota."
        if what == "mailbox"
        else "The folder exceeded its maximum item count.",
    )

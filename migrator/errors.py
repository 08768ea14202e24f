"""The taxonomy of what can go wrong. Every class answers: repeat? how far does it reach? whose move is it?

    MigratorError
    ├─ UserError        manifest, option, project file or credential is wrong   the operator's move; no traceback
    ├─ Transient        surely not applied; repeat, not before retry_after_s    the retry wrapper's move
    │  └─ Throttled     the server said slow down: its whole mailbox or endpoint waits
    ├─ InDoubt          a write left, no answer came: look before sending again  the engine's move
    ├─ CheckpointLost   the token is no longer honoured: list anew; the ledger prevents doubles
    ├─ ItemError        this item only: becomes an Outcome "failed"              others go on
    ├─ JobError         this mailbox stops (not found, quota full, no right)     other mailboxes go on
    │  └─ SourceDown    the endpoint cannot be reached at all                    the circuit breaker's move
    └─ RunError         everything stops (ledger not writable, disk full, consent revoked)

`code` is a short stable word (`quota_full`, `http_503`, `ErrorItemNotFound`) by which outcomes are grouped; `remedy`
says to a person what to do next. Neither ever holds a secret or the content of mail.
"""

from __future__ import annotations

from collections.abc import Sequence


class MigratorError(Exception):
    """Base of all errors that the product raises on purpose."""

    default_code = "error"
    endpoint = ""  # at which it came up, where the wrapper that let it out knows

    def __init__(self, message: str, *, code: str | None = None, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.remedy = remedy

    def __str__(self) -> str:
        return self.message


class UserError(MigratorError):
    """Something that a person wrote is wrong. `problems` lists every fault found, one line each, none left for later."""

    default_code = "user_error"

    def __init__(
        self, message: str, *, problems: Sequence[str] = (), code: str | None = None, remedy: str = ""
    ) -> None:
        super().__init__(message, code=code, remedy=remedy)
        self.problems = tuple(problems)


class Transient(MigratorError):
    """The call surely had no effect and may be repeated. retry_after_s: the server's wish in seconds, or None."""

    default_code = "transient"

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, code: str | None = None, remedy: str = ""
    ) -> None:
        super().__init__(message, code=code, remedy=remedy)
        self.retry_after_s = retry_after_s


class Throttled(Transient):
    """The server asked us to slow down. `scope` says who must wait: "mailbox" or "endpoint"."""

    default_code = "throttled"

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        scope: str = "mailbox",
        code: str | None = None,
        remedy: str = "",
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s, code=code, remedy=remedy)
        self.scope = scope


class InDoubt(MigratorError):
    """A write left and no answer came. Never repeat it blindly: look first."""

    default_code = "in_doubt"


class CheckpointLost(MigratorError):
    """The listing token is not honoured any more, or belongs to another scheme. List the folder anew."""

    default_code = "checkpoint_lost"


class ItemError(MigratorError):
    """One item cannot be moved; its neighbours can."""

    default_code = "item_error"


class JobError(MigratorError):
    """One mailbox cannot go on; the others can."""

    default_code = "job_error"


class SourceDown(JobError):
    """An endpoint does not answer at all (refused, no route, TLS or DNS failure, 503 for minutes)."""

    default_code = "source_down"


class RunError(MigratorError):
    """Nothing can go on."""

    default_code = "run_error"

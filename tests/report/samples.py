"""A ledger with a bit of everything, hostile names among them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from migrator.errors import ItemError
from migrator.ledger import Ledger
from migrator.model import Folder, ItemRef, Job, Kind, Mailbox, Outcome, Role, SkipReason, State

NOW = 1_790_000_000.0
HOSTILE = "=cmd|'/c calc'!A1\x1b[31m\u202e<script>alert(1)</script>"


class FixedClock:
    def now(self) -> float:
        return NOW

    def monotonic(self) -> float:
        return NOW

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing waits here")


def job(name: str, line: int) -> Job:
    return Job(
        id=name,
        line=line,
        source=Mailbox("old", f"{name}@old.example"),
        target=Mailbox("new", f"{name}@new.example"),
        batch="one",
        extra={"Department": HOSTILE},
    )


def ref(number: int, path: tuple[str, ...], size: int = 1000) -> ItemRef:
    return ItemRef(
        id=f"{path[-1]}-{number}",
        folder=path,
        kind=Kind.MAIL,
        version="1",
        size=size,
        item_class="IPM.Note",
        received=datetime(2024, 1, 31, 12, tzinfo=UTC),
        message_id=f"<{number}@old.example>",
        subject="a subject is nobody's business",
    )


def folder(name: str, total: int, role: Role | None = None) -> Folder:
    return Folder(id=f"f-{name}", path=(name,), total=total, role=role)


def fill(path: Path) -> Ledger:
    """ann: 10 in the Inbox (6 copied, 1 present, 2 skipped, 1 failed), 4 in a folder left out. bob: 3 of 5 copied, one in
    doubt, and an error. cy: not begun."""
    ledger = Ledger.open(path, clock=FixedClock())
    ledger.register([job("ann", 2), job("bob", 3), job("cy", 4)])
    run = ledger.start_run("delta", {}, "0.1.0")

    lease = ledger.claim("ann", run)
    assert lease is not None
    inbox = folder("Inbox", 10, Role.INBOX)
    ledger.put_folder(lease, inbox, Folder(id="t1", path=("Inbox",)))
    ledger.put_folder(lease, folder(HOSTILE, 4), None, skipped=SkipReason.FILTERED_FOLDER)
    refs = [ref(number, ("Inbox",)) for number in range(10)]
    ledger.begin(lease, inbox.id, refs[:8]).wait()
    outcomes = [
        *(Outcome(one, State.COPIED, target_id=f"t-{one.id}", octets=1400) for one in refs[:6]),
        Outcome(refs[6], State.PRESENT, target_id="t-6"),
        Outcome(refs[7], State.FAILED, error=ItemError(f"refused {HOSTILE}", code="ErrorCorruptData")),
        Outcome(refs[8], State.SKIPPED, reason=SkipReason.TOO_LARGE),
        Outcome(refs[9], State.SKIPPED, reason=SkipReason.VANISHED),
    ]
    ledger.settle(lease, inbox.id, outcomes).wait()
    ledger.release(lease, "partial")

    lease = ledger.claim("bob", run)
    assert lease is not None
    inbox = folder("Inbox", 5, Role.INBOX)
    ledger.put_folder(lease, inbox, Folder(id="t2", path=("Inbox",)))
    refs = [ref(number, ("Inbox",)) for number in range(20, 24)]
    ledger.begin(lease, inbox.id, refs).wait()
    ledger.settle(
        lease, inbox.id, [Outcome(one, State.COPIED, target_id="x" + one.id) for one in refs[:3]]
    ).wait()
    ledger.release(lease, "error", code="quota_full", error="the mailbox is full")
    ledger.finish_run(run, 4)
    return ledger

"""A small migration on memory mailboxes: jobs, ledger, clock, and what came out of it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from migrator.adapters.memory import MemoryMailbox, MemoryStore, open_box
from migrator.engine.run import run
from migrator.engine.stop import Stop
from migrator.engine.tools import Tools
from migrator.events import BatchSettled, Event, JobFinished
from migrator.interfaces import Source, Target
from migrator.ledger import Ledger
from migrator.model import Flag, Format, Job, Mailbox, State
from migrator.settings import RunSettings
from tests.contracts.samples import Sample


class FakeClock:
    """Time that passes only by sleeping; of several sleepers each moves it to its own end."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self.time = start
        self.slept: list[float] = []
        self._lock = threading.Lock()

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)
            self.time += max(0.0, seconds)


def fill(box: MemoryMailbox, samples: Sequence[Sample]) -> None:
    for sample in samples:
        flags = frozenset({Flag.SEEN} if sample.seen else set())
        box.put(sample.path, sample.ref(), sample.mime(), format=Format.FTS, flags=flags)


def contents(box: MemoryMailbox) -> Counter[tuple[tuple[str, ...], bytes, bool | None]]:
    """What a mailbox holds, as a multiset: content counts, ids do not."""
    return Counter((item.ref.folder, item.data, item.ref.seen) for item in box.items())


def job_of(name: str = "ada", line: int = 2) -> Job:
    return Job(
        f"job-{name}", line, Mailbox("old", f"{name}@old.example"), Mailbox("new", f"{name}@new.example")
    )


@dataclass
class World:
    """One project: a ledger file and two servers that outlive every run."""

    folder: Path
    jobs: list[Job] = field(default_factory=lambda: [job_of()])
    settings: RunSettings = field(default_factory=lambda: RunSettings(mailboxes=2, batch_items=5))
    clock: FakeClock = field(default_factory=FakeClock)
    old: MemoryStore = field(default_factory=MemoryStore)
    new: MemoryStore = field(default_factory=MemoryStore)
    events: list[Event] = field(default_factory=list)
    stop: Stop = field(default_factory=Stop)
    dress_target: Callable[[Target], Target] = lambda target: target
    dress_source: Callable[[Source], Source] = lambda source: source
    same_content: Callable[[bytes, bytes], bool | None] | None = None
    on_event: Callable[[Event], None] | None = None

    def source(self, job: Job | None = None) -> MemoryMailbox:
        return self.old.mailbox((job or self.jobs[0]).source.address)

    def target(self, job: Job | None = None) -> MemoryMailbox:
        return self.new.mailbox((job or self.jobs[0]).target.address)

    def open_ledger(self) -> Ledger:
        return Ledger.open(self.folder / "ledger.sqlite", clock=self.clock)

    def tools(self, ledger: Ledger, **settings: object) -> Tools:
        return Tools(
            ledger=ledger,
            settings=replace(self.settings, **settings) if settings else self.settings,  # type: ignore[arg-type]
            clock=self.clock,
            stop=self.stop,
            emit=self._emit,
            open_source=lambda job: self.dress_source(open_box(self.source(job), self.clock)),
            open_target=lambda job: self.dress_target(open_box(self.target(job), self.clock)),
            same_content=self.same_content,
        )

    def _emit(self, event: Event) -> None:
        self.events.append(event)
        if self.on_event is not None:
            self.on_event(event)

    def run(self, **settings: object) -> int:
        """One process's life: open the ledger, run, close."""
        self.stop = Stop()
        self.events.clear()
        with self.open_ledger() as ledger:
            return run(self.jobs, self.tools(ledger, **settings))

    def states(self) -> Counter[State]:
        with self.open_ledger() as ledger:
            return Counter(entry.state for job in self.jobs for entry in ledger.iter_entries(job.id))

    def codes(self) -> Counter[str]:
        with self.open_ledger() as ledger:
            return Counter(entry.code for job in self.jobs for entry in ledger.failures(job.id))

    def ended(self, job: Job | None = None) -> JobFinished:
        wanted = (job or self.jobs[0]).id
        return next(e for e in self.events if isinstance(e, JobFinished) and e.job == wanted)

    def settled(self) -> int:
        return sum(len(event.outcomes) for event in self.events if isinstance(event, BatchSettled))

    def same(self, job: Job | None = None) -> bool:
        """Source and target hold the same."""
        return contents(self.source(job)) == contents(self.target(job))

    def balance_closes(self) -> bool:
        with self.open_ledger() as ledger:
            return all(
                row.folder_skipped
                or row.seen == row.copied + row.present + row.skipped + row.failed == row.source_total
                for row in ledger.balance()
            )

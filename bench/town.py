"""A whole migration in this process: both halves of the lab, the real adapters and the engine, on one clock.

The clock runs `speed` times as fast as the machine's: half an hour of back-off, windows and token lifetimes pass in
seconds, for all threads of client and servers alike, and nothing in either knows. Threads and sockets are real, so a call
that takes a millisecond takes `speed` milliseconds of that time. (`bench.simulation` is the exact counterpart: no threads.)

`Town` also judges: what the source held against what the target holds, the lab's journal, and the ledger's balance.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from migrator import assembly
from migrator.engine.stop import Stop
from migrator.events import Event, JobFinished
from migrator.lab.clock import LabClock
from migrator.lab.faults import Faults
from migrator.lab.knobs import Knobs
from migrator.lab.options import Seeding
from migrator.lab.seed import populate
from migrator.lab.server import Lab
from migrator.lab.store import LabMailbox
from migrator.lab.world import World
from migrator.ledger import Ledger
from migrator.model import Job, Mailbox
from migrator.plan.folders import FolderRules
from migrator.settings import Endpoint, Limits, RunSettings


class FastClock:
    """The machine's time, so many times as fast. skew_s: how far a machine's clock is off."""

    def __init__(self, speed: float = 1.0, skew_s: float = 0.0) -> None:
        self.speed = speed
        self.skew_s = skew_s
        self._began = time.time()
        self._from = time.monotonic()
        self.slept_s = 0.0
        self._lock = threading.Lock()

    def now(self) -> float:
        return self._began + self.monotonic() + self.skew_s

    def monotonic(self) -> float:
        return (time.monotonic() - self._from) * self.speed

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept_s += max(0.0, seconds)
        time.sleep(max(0.0, seconds) / self.speed)


class _LabClock(LabClock):
    def __init__(self, clock: FastClock) -> None:
        super().__init__()
        self._fast = clock

    def now(self) -> float:
        return self._fast.now() - self._fast.skew_s + self._shift

    async def wait(self, seconds: float) -> None:
        if seconds > 0:
            await asyncio.sleep(seconds / self._fast.speed)


@dataclass
class Secrets:
    values: dict[str, str]

    def reveal(self, reference: str, *, what: str) -> str:
        return self.values[reference]


@dataclass
class Project:
    folder: Path
    ledger: Path
    endpoints: dict[str, Endpoint]
    folders: FolderRules = field(default_factory=FolderRules)
    row_secrets: dict[str, str] = field(default_factory=dict)


NO_LIMITS = Limits(requests=0, upload_octets=0, timeout_s=60.0, give_up_s=1e6)


class Town:
    """`with Town(Seeding(...)) as town: code = town.run()`."""

    def __init__(
        self,
        seeding: Seeding,
        *,
        speed: float = 100.0,
        knobs: dict[str, Any] | None = None,
        limits: Limits = NO_LIMITS,
        source_limits: Limits = NO_LIMITS,
        keep_streams: bool = True,
        folder: Path | None = None,
        sweep: Callable[[World], None] = lambda world: None,
    ) -> None:
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        if folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="migrator-town-")
            folder = Path(self._temporary.name)
        self.folder = folder
        self.clock = FastClock(speed)
        self.world = World(
            knobs=Knobs().swap(knobs or {}), faults=Faults(), clock=_LabClock(self.clock), seed=seeding.seed
        )
        self.world.m365.keep_streams = keep_streams
        self.info = populate(self.world, seeding, ("exchange", "m365"))
        sweep(self.world)
        self.lab = Lab(self.world, tls=True, folder=folder / "lab")
        self.limits = limits
        self.source_limits = source_limits
        self.events: list[Event] = []
        self.stop = Stop()
        self.jobs: list[Job] = []
        self.secrets = Secrets({})

    def __enter__(self) -> Self:
        (self.folder / "lab").mkdir(parents=True, exist_ok=True)
        self.lab.start()
        exchange, m365 = self.info["exchange"], self.info["m365"]
        self.secrets = Secrets(
            {"env:OLD": exchange["service_account"]["password"], "env:NEW": m365["client_secret"]}
        )
        urls = self.world.urls
        self.project = Project(
            self.folder,
            self.folder / "ledger.sqlite",
            {
                "old": Endpoint(
                    "old",
                    "ews",
                    url=urls.ews,
                    auth="basic",
                    username=exchange["service_account"]["login"],
                    secret="env:OLD",
                    ca_file=str(self.lab.ca_file),
                    limits=self.source_limits,
                ),
                "new": Endpoint(
                    "new",
                    "graph",
                    url=urls.graph,
                    authority=urls.login,
                    tenant=m365["tenant_id"],
                    client_id=m365["client_id"],
                    auth="secret",
                    secret="env:NEW",
                    ca_file=str(self.lab.ca_file),
                    limits=self.limits,
                ),
            },
        )
        self.jobs = [
            Job(f"job-{n}", n + 2, Mailbox("old", old["address"]), Mailbox("new", new["address"]))
            for n, (old, new) in enumerate(zip(exchange["mailboxes"], m365["mailboxes"], strict=True))
        ]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.lab.stop()
        if self._temporary is not None:
            self._temporary.cleanup()

    # -- the product

    def run(self, *, stop_after_s: float = 0.0, **settings: Any) -> int:
        """One run. stop_after_s: a stop is requested after so long, by the town's clock."""
        self.events.clear()
        self.stop = stop = Stop()
        timer = threading.Timer(stop_after_s / self.clock.speed, stop.request) if stop_after_s else None
        if timer is not None:
            timer.daemon = True
            timer.start()
        chosen = replace(RunSettings(force=frozenset({"no_canary"})), **settings)
        try:
            return assembly.run(
                self.project,
                self.jobs,
                chosen,
                self.events.append,
                stop,
                clock=self.clock,
                secrets=self.secrets,
            )
        finally:
            if timer is not None:
                timer.cancel()

    def ended(self) -> dict[str, tuple[str, str]]:
        """(state, code) of every job, as the last run told it."""
        return {e.job: (e.state, e.code) for e in self.events if isinstance(e, JobFinished)}

    def fault(self, name: str, **rule: Any) -> None:
        self.lab.do(lambda world: world.faults.add(name, **rule))

    def calm(self) -> None:
        """No more faults, and what they did to accounts and quotas is mended."""

        def work(world: World) -> None:
            world.faults.rules.clear()
            world.graph_throttle.reset()
            world.ews_throttle.reset()
            for store in (world.exchange, world.m365):
                for box in store.mailboxes.values():
                    box.quota_octets = 100 << 30

        self.lab.do(work)

    # -- the judge

    def differences(self) -> list[str]:
        """What the target has too little or too much of, by mailbox, folder and item. Empty is the aim."""

        def work(world: World) -> list[str]:
            found = []
            ids = world.knobs.preserve_message_id
            for job in self.jobs:
                old = held(world.exchange.mailbox(job.source.address), ids)
                new = held(world.m365.mailbox(job.target.address), ids)
                found += [f"{job.id} lost {key} x{n}" for key, n in (old - new).items()]
                found += [f"{job.id} doubled {key} x{n}" for key, n in (new - old).items()]
            return found

        found: list[str] = self.lab.do(work)
        return found

    def unaccounted(self) -> list[str]:
        """Where the ledger's balance does not close, or says copied of something that is not there."""
        found = []
        with Ledger.open(self.project.ledger, clock=self.clock, read_only=True) as ledger:
            for row in ledger.balance():
                settled = row.copied + row.present + row.skipped + row.failed
                if not row.folder_skipped and row.seen != settled:
                    found.append(f"{row.job_id} {row.path}: {row.seen} seen, {settled} settled")
        return found

    def counts(self) -> Counter[str]:
        with Ledger.open(self.project.ledger, clock=self.clock, read_only=True) as ledger:
            total: Counter[str] = Counter()
            for row in ledger.balance():
                total.update(
                    seen=row.seen,
                    copied=row.copied,
                    present=row.present,
                    skipped=row.skipped,
                    failed=row.failed,
                )
            return total

    def failed_codes(self) -> Counter[str]:
        with Ledger.open(self.project.ledger, clock=self.clock, read_only=True) as ledger:
            return Counter({code: n for _, code, n in ledger.failed_by_code()})

    def struck(self) -> Counter[str]:
        return Counter(name for name, _ in self.world.faults.struck)


def held(box: LabMailbox, ids: bool = True) -> Counter[tuple[str, str, str, int]]:
    """(folder by role or path, subject, Message-ID if `ids`, sent at) of every visible item, with how often."""
    found: Counter[tuple[str, str, str, int]] = Counter()
    for folder in box.visible():
        if folder.search or folder.hidden:
            continue
        where = folder.role or "/".join(folder.path)
        for item in folder.items.values():
            facts = item.facts
            if not item.associated:
                found[
                    where,
                    facts.subject,
                    facts.message_id if ids else "",
                    int(facts.sent.timestamp() if facts.sent else 0),
                ] += 1
    return found


def dump(town: Town, path: Path) -> None:
    """The lab's journal, for whoever wants to know what happened."""
    path.write_text(json.dumps(town.world.journal.to_json(), indent=0), "utf-8")

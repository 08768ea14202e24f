"""Any history of changes, runs, deaths and lost answers ends, after one undisturbed run, in the same state."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from migrator.adapters.memory import MemoryMailbox
from migrator.errors import InDoubt, ItemError, Transient
from migrator.model import Item, Role, State
from tests.contracts.samples import MOMENT, Sample
from tests.engine.crashing import run_until
from tests.engine.harness import World

PATHS = (("Inbox",), ("Own",))


class Passes(RuleBasedStateMachine):
    """The model: of every item of the source exactly one copy, in its latest state; of what went, at most one."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="passes-"))
        self.world = World(self.folder)
        self.world.settings = type(self.world.settings)(mailboxes=1, uploaders=2, batch_items=2)
        for store, address in ((self.world.old, "ada@old.example"), (self.world.new, "ada@new.example")):
            box = store.mailboxes[address] = MemoryMailbox(address, roles=False)
            box.add_folder(("Inbox",), role=Role.INBOX)
            box.page_items = 3
        self.source = self.world.source()
        self.target = self.world.target()
        self.made = 0
        self.written: list[bytes] = []  # what was in the source at any time and may have been copied

    def teardown(self) -> None:
        try:
            self.settle()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def settle(self) -> None:
        """One run that nothing disturbs, and one that finds nothing to do."""
        self.calm()
        assert self.world.run(force=frozenset({"empty_source"}), retry_failed=True) == 0
        live = Counter((item.ref.folder, item.data) for item in self.source.items())
        there = Counter((item.ref.folder, item.data) for item in self.target.items())
        assert not live - there, "something was lost"
        gone = there - live
        assert not gone - Counter(self.remnants), "something was doubled"
        states = self.world.states()
        assert State.SENDING not in states
        assert State.FAILED not in states
        before = self.target.calls["store"]
        assert self.world.run(force=frozenset({"empty_source"})) == 0
        assert self.target.calls["store"] == before

    def calm(self) -> None:
        for box in (self.source, self.target):
            box.before = box.after = None
        self.target.lose_answer = None
        self.target.refuse = None
        self.world.clock.sleep(60)

    @initialize(count=st.integers(0, 5))
    def begin(self, count: int) -> None:
        self.remnants: Counter[tuple[tuple[str, ...], bytes]] = Counter()
        for number in range(count):
            self.add(PATHS[number % 2], True)

    def put(self, path: tuple[str, ...], data: bytes, message_id: str, item_id: str = "") -> None:
        sample = Sample(f"item {self.made}", path, message_id=message_id, received=MOMENT)
        self.source.put(path, sample.ref(), data, item_id=item_id)

    @rule(path=st.sampled_from(PATHS), with_id=st.booleans())
    def add(self, path: tuple[str, ...], with_id: bool) -> None:
        self.made += 1
        self.put(path, b"content %d" % self.made * 20, f"<{self.made}@x>" if with_id else "")

    @precondition(lambda self: self.source.items())
    @rule(pick=st.integers(0, 99))
    def add_twin(self, pick: int) -> None:
        """A true duplicate: same content, same Message-ID."""
        item = self.source.items()[pick % len(self.source.items())]
        self.source.put(item.ref.folder, item.ref, item.data)

    @precondition(lambda self: self.source.items())
    @rule(pick=st.integers(0, 99))
    def change(self, pick: int) -> None:
        item = self.source.items()[pick % len(self.source.items())]
        self.made += 1
        self.source.put(item.ref.folder, item.ref, b"changed %d" % self.made * 20, item_id=item.ref.id)

    @precondition(lambda self: self.source.items())
    @rule(pick=st.integers(0, 99))
    def delete(self, pick: int) -> None:
        """Deletions do not travel: a copy that was made stays, in whatever state it was copied last."""
        item = self.source.items()[pick % len(self.source.items())]
        self.source.delete(item.ref.id)
        copies = [(i.ref.folder, i.data) for i in self.target.items()]
        same = [(folder, data) for folder, data in copies if folder == item.ref.folder and data == item.data]
        if same:
            self.remnants[same[0]] += 1
        for folder, data in copies:  # or an older state of it, if the change had not travelled yet
            if data.startswith((b"content", b"changed")) and data != item.data:
                self.remnants[(folder, data)] = max(
                    self.remnants[(folder, data)], copies.count((folder, data))
                )

    @rule()
    def forget_checkpoints(self) -> None:
        self.source.forget_checkpoints()
        self.target.forget_checkpoints()

    @rule(at=st.integers(1, 60), after=st.booleans())
    def die(self, at: int, after: bool) -> None:
        run_until(self.world, at, after=after)
        self.world.clock.sleep(60)

    @rule(every=st.integers(1, 4))
    def run_with_lost_answers(self, every: int) -> None:
        turns = {"n": 0}

        def lose(item: Item) -> bool:
            turns["n"] += 1
            return turns["n"] % (every + 1) == 0

        self.target.lose_answer = lose
        assert self.world.run(force=frozenset({"empty_source"})) in (0, 3)
        self.calm()

    @rule(every=st.integers(2, 5), error=st.sampled_from(["in doubt", "transient", "item"]))
    def run_with_failing_stores(self, every: int, error: str) -> None:
        errors = {
            "in doubt": InDoubt("reset"),
            "transient": Transient("503", code="http_503"),
            "item": ItemError("no", code="bad"),
        }
        turns = {"n": 0}

        def before(verb: str, detail: object) -> None:
            if verb == "store":
                turns["n"] += 1
                if turns["n"] % every == 0:
                    raise errors[error]

        self.target.before = before
        assert self.world.run(force=frozenset({"empty_source"})) in (0, 3, 4)
        self.calm()

    @rule()
    def undisturbed(self) -> None:
        self.settle()


Passes.TestCase.settings = settings(
    max_examples=12,
    stateful_step_count=10,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestPasses = Passes.TestCase

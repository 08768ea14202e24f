"""What every wrapper round a Source or Target promises: it changes its own matter and nothing else.

A wrapper's test subclasses `WrapperContract` and gives `wrap` (Target → wrapped Target). Give `writes = False` for one that
refuses to write.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from migrator.adapters.memory import MemoryMailbox, open_box
from migrator.errors import CheckpointLost, InDoubt, ItemError, JobError, MigratorError, RunError, UserError
from migrator.formats.content import MemoryContent
from migrator.interfaces import Target
from migrator.model import Checkpoint, Folder, Format, Item, Kind, Role, SkipReason, State
from tests.contracts.samples import mails
from tests.contracts.source import listed

Wrap = Callable[[Target], Target]


class WrapperContract:
    writes = True

    @pytest.fixture
    def wrap(self) -> Wrap:
        raise NotImplementedError("give a `wrap` fixture")

    @pytest.fixture
    def box(self) -> MemoryMailbox:
        box = MemoryMailbox("ada@new.example")
        box.traits = type(box.traits)(
            formats=(Format.FTS,), accepts=(Format.FTS,), store_items=5, export_items=5, has_delta=True
        )
        for sample in mails(4):
            box.put(sample.path, sample.ref(), sample.mime())
        return box

    @pytest.fixture
    def wrapped(self, wrap: Wrap, box: MemoryMailbox) -> Target:
        return wrap(open_box(box))

    @staticmethod
    def inbox(target: Target) -> Folder:
        return next(folder for folder in target.folders() if folder.role is Role.INBOX)

    @staticmethod
    def items(count: int = 3) -> list[Item]:
        return [Item(one.ref(), Format.FTS, MemoryContent([one.mime()])) for one in mails(count, start=50)]

    def test_reading_goes_through(self, wrapped: Target, box: MemoryMailbox) -> None:
        plain = open_box(box)
        assert wrapped.traits == plain.traits
        assert wrapped.probe() == plain.probe()
        assert wrapped.folders() == plain.folders()
        folder = self.inbox(plain)
        refs, after = listed(wrapped, folder)
        assert refs == listed(plain, folder)[0]
        assert wrapped.page(folder, after) == plain.page(folder, after)
        results = wrapped.export(refs, Format.FTS)
        assert [result.ref for result in results] == refs
        assert all(isinstance(result, Item) for result in results)

    def test_writing_goes_through(self, wrapped: Target, box: MemoryMailbox) -> None:
        if not self.writes:
            pytest.skip("this wrapper does not write")
        folder = wrapped.ensure_folder(("Below",), Kind.MAIL, role=Role.INBOX)
        assert folder.path == ("Inbox", "Below")
        mark = wrapped.mark(folder)
        outcomes = wrapped.store(folder, self.items())
        assert [outcome.state for outcome in outcomes] == [State.COPIED] * 3
        assert len(listed(wrapped, folder, mark)[0]) == 3
        ids = [outcome.target_id for outcome in outcomes]
        assert wrapped.remove(folder, ids[:1]) == ids[:1]
        assert len(box.items(("Inbox", "Below"))) == 2
        wrapped.remove_folder(folder)
        assert box.folder_at(("Inbox", "Below")) is None

    def test_an_update_goes_through(self, wrapped: Target, box: MemoryMailbox) -> None:
        if not self.writes:
            pytest.skip("this wrapper does not write")
        box.traits = type(box.traits)(formats=(Format.FTS,), accepts=(Format.FTS,), can_update=True)
        folder = self.inbox(wrapped)
        (first,) = wrapped.store(folder, self.items(1))
        (second,) = wrapped.store(folder, self.items(1), [(first.target_id, first.target_version)])
        assert second.target_id == first.target_id

    def test_refusals_of_single_items_go_through(self, wrapped: Target, box: MemoryMailbox) -> None:
        if not self.writes:
            pytest.skip("this wrapper does not write")
        items = self.items()
        refused = {
            items[0].ref.subject: ItemError("no", code="bad"),
            items[1].ref.subject: SkipReason.TOO_LARGE,
        }
        box.refuse = lambda item: refused.get(item.ref.subject)
        outcomes = wrapped.store(self.inbox(wrapped), items)
        assert [outcome.state for outcome in outcomes] == [State.FAILED, State.SKIPPED, State.COPIED]
        assert outcomes[0].error is refused[items[0].ref.subject]
        assert box.calls["store"] == 1

    @pytest.mark.parametrize(
        "error",
        [
            UserError("u"),
            ItemError("i"),
            JobError("j"),
            RunError("r"),
            InDoubt("d"),
            CheckpointLost("c"),
        ],
        ids=lambda error: type(error).__name__,
    )
    @pytest.mark.parametrize("verb", ["page", "export", "store", "ensure_folder", "mark"])
    def test_errors_that_are_not_its_matter_go_up_at_once(
        self, wrapped: Target, box: MemoryMailbox, error: MigratorError, verb: str
    ) -> None:
        if not self.writes and verb not in ("page", "export"):
            pytest.skip("this wrapper does not write")
        folder = self.inbox(wrapped)
        refs, _ = listed(wrapped, folder)

        def fail(called: str, detail: object) -> None:
            if called == verb:
                raise error

        box.before = fail
        box.calls.clear()
        calls: dict[str, Callable[[], object]] = {
            "page": lambda: wrapped.page(folder, None),
            "export": lambda: wrapped.export(refs, Format.FTS),
            "store": lambda: wrapped.store(folder, self.items()),
            "ensure_folder": lambda: wrapped.ensure_folder(("x",), Kind.MAIL),
            "mark": lambda: wrapped.mark(folder),
        }
        with pytest.raises(type(error)) as caught:
            calls[verb]()
        assert caught.value is error
        assert box.calls[verb] == 1

    def test_an_item_in_doubt_is_never_sent_again(self, wrapped: Target, box: MemoryMailbox) -> None:
        if not self.writes:
            pytest.skip("this wrapper does not write")
        lost = self.items()[1].ref.subject
        box.lose_answer = lambda item: item.ref.subject == lost
        outcomes = wrapped.store(self.inbox(wrapped), self.items())
        assert isinstance(outcomes[1].error, InDoubt)
        assert box.calls["store"] == 1
        assert len(box.items(("Inbox",))) == 4 + 3

    def test_a_foreign_checkpoint_is_still_refused(self, wrapped: Target) -> None:
        with pytest.raises(CheckpointLost):
            wrapped.page(self.inbox(wrapped), Checkpoint("someone-elses/9", "1"))

    def test_close_goes_through(self, wrap: Wrap, box: MemoryMailbox) -> None:
        inner = open_box(box)
        wrap(inner).close()
        assert inner.closed  # type: ignore[attr-defined]

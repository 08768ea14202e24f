"""The reference adapter keeps the contracts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from migrator.adapters.memory import MemoryMailbox, connect, open_box, store_named
from migrator.errors import ItemError, JobError
from migrator.formats.content import MemoryContent
from migrator.interfaces import Context, Target
from migrator.model import Flag, FolderPath, Format, Item, Mailbox, State
from migrator.settings import Endpoint
from tests.contracts.samples import Sample, mails
from tests.contracts.source import Seed, Seeded, SourceContract
from tests.contracts.target import Make, TargetContract


def fill(box: MemoryMailbox, samples: Sequence[Sample]) -> None:
    for sample in samples:
        flags = frozenset({Flag.SEEN} if sample.seen else set())
        box.put(sample.path, sample.ref(), sample.mime(), format=Format.FTS, flags=flags)


def item_of(sample: Sample, fmt: Format = Format.FTS) -> Item:
    return Item(sample.ref(), fmt, MemoryContent([sample.mime()]))


class TestMemorySource(SourceContract):
    @pytest.fixture
    def seed(self) -> Seed:
        def seeded(
            samples: Sequence[Sample],
            *,
            folders: Sequence[FolderPath] = (),
            page_items: int | None = None,
        ) -> Seeded:
            box = MemoryMailbox("ada@old.example")
            box.traits = type(box.traits)(formats=(Format.FTS,), has_delta=True)
            if page_items:
                box.page_items = page_items
            for path in folders:
                box.add_folder(path)
            fill(box, samples)

            def change(sample: Sample) -> None:
                box.change(find(sample), seen=sample.seen)

            def find(sample: Sample) -> str:
                return next(i.ref.id for i in box.items(sample.path) if i.ref.subject == sample.subject)

            return Seeded(
                open_box(box),
                lambda: open_box(box),
                add=lambda sample: fill(box, [sample]),
                change=change,
                delete=lambda sample: box.delete(find(sample)),
            )

        return seeded


class TestMemoryTarget(TargetContract):
    @pytest.fixture
    def box(self) -> MemoryMailbox:
        box = MemoryMailbox("ada@new.example")
        box.traits = type(box.traits)(
            formats=(Format.FTS,), accepts=(Format.FTS,), store_items=3, store_octets=1 << 20, can_update=True
        )
        box.refuse = lambda item: ItemError("broken", code="bad") if item.ref.subject == "broken" else None
        return box

    @pytest.fixture
    def target(self, box: MemoryMailbox) -> Target:
        return open_box(box)

    @pytest.fixture
    def reopen(self, box: MemoryMailbox) -> Callable[[], Target] | None:
        return lambda: open_box(box)

    @pytest.fixture
    def make(self) -> Make:
        return item_of

    @pytest.fixture
    def broken(self) -> Item | None:
        return item_of(Sample("broken"))


def test_a_lost_answer_leaves_the_item_stored() -> None:
    box = MemoryMailbox()
    box.lose_answer = lambda item: True
    target = open_box(box)
    folder = target.ensure_folder(("Inbox",), mails(1)[0].kind)
    (outcome,) = target.store(folder, [item_of(mails(1)[0])])
    assert outcome.state is State.FAILED
    assert len(box.items()) == 1


def test_a_client_opens_mailboxes_of_a_named_store() -> None:
    class Stopped:
        def now(self) -> float:
            return 0.0

        monotonic = now

        def sleep(self, seconds: float) -> None:
            raise AssertionError("nothing waits here")

    class NoSecrets:
        def reveal(self, reference: str, *, what: str) -> str:
            raise AssertionError("nothing is secret here")

    store_named("test-store").mailbox("Ada@old.example")
    client = connect(Endpoint("old", "memory", url="test-store"), Context(Stopped(), NoSecrets()))
    assert client.source(Mailbox("old", "ada@OLD.example")).probe().identity
    with pytest.raises(JobError) as caught:
        client.target(Mailbox("old", "nobody@old.example"))
    assert caught.value.code == "mailbox_not_found"

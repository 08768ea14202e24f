"""What every Source promises (`interfaces.Reader`), executed.

An adapter's test subclasses `SourceContract` and gives the fixture `seed`:

    class TestMemorySource(SourceContract):
        @pytest.fixture
        def seed(self) -> Seed: ...

`seed(samples, page_items=…)` puts the samples into an empty mailbox (folders are made as their paths need them; empty ones
come by `folders=`) and returns a `Seeded`: the open source and, where the test can change the mailbox behind its back, the
means to do so. Called once per test.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import pytest

from migrator.errors import CheckpointLost, ItemError
from migrator.interfaces import Source
from migrator.model import Checkpoint, Folder, FolderPath, Item, ItemRef, Kind, Outcome, SkipReason, State
from tests.contracts.samples import HOSTILE_NAMES, MOMENT, Sample, mails


@dataclass
class Seeded:
    """source: open. reopen: another handle on the same mailbox. The rest changes the mailbox behind the source's back."""

    source: Source
    reopen: Callable[[], Source]
    add: Callable[[Sample], None] | None = None
    change: Callable[[Sample], None] | None = None  # the item with this subject and path, to these properties
    delete: Callable[[Sample], None] | None = None


class Seed(Protocol):
    def __call__(
        self, samples: Sequence[Sample], *, folders: Sequence[FolderPath] = (), page_items: int | None = None
    ) -> Seeded: ...


def folder_of(source: Source, path: FolderPath) -> Folder:
    return next(folder for folder in source.folders() if folder.path == path)


def listed(
    source: Source, folder: Folder, after: Checkpoint | None = None
) -> tuple[list[ItemRef], Checkpoint]:
    """Every ref from `after` to the last page, and that page's checkpoint."""
    refs: list[ItemRef] = []
    for _ in range(10_000):
        page = source.page(folder, after)
        refs += page.refs
        after = page.checkpoint
        if page.last:
            return refs, after
    raise AssertionError("listing does not end")


def subjects(refs: Sequence[ItemRef]) -> list[str]:
    return sorted(ref.subject or ref.message_id for ref in refs)


class SourceContract:
    """Subclass, name the class Test…, give `seed`."""

    page_sizes: tuple[int | None, ...] = (1, 3, 7, None)
    tells_subject = True  # listing carries subjects; else the Message-ID tells items apart
    dates_kept_to = timedelta(seconds=1)

    @pytest.fixture
    def seed(self) -> Seed:
        raise NotImplementedError("give a `seed` fixture")

    def name_of(self, ref: ItemRef) -> str:
        return ref.subject if self.tells_subject else ref.message_id

    def names(self, refs: Sequence[ItemRef]) -> list[str]:
        return sorted(self.name_of(ref) for ref in refs)

    def expected(self, samples: Sequence[Sample]) -> list[str]:
        return sorted(one.subject if self.tells_subject else one.message_id for one in samples)

    # --- probe

    def test_identity_belongs_to_the_mailbox(self, seed: Seed) -> None:
        seeded = seed([])
        first, second = seeded.source.probe(), seeded.reopen().probe()
        assert first.identity
        assert first.identity == second.identity
        assert first.product
        assert all(finding.remedy for finding in first.findings if finding.level == "blocker")

    # --- folders

    def test_folders_come_parents_first_with_ids_of_their_own(self, seed: Seed) -> None:
        source = seed(mails(1, ("Inbox", "a", "b", "c")), folders=[("Other", "deep")]).source
        folders = source.folders()
        seen: set[FolderPath] = {()}
        for folder in folders:
            assert folder.path[:-1] in seen, f"{folder.path} comes before its parent"
            seen.add(folder.path)
        assert len({folder.id for folder in folders}) == len(folders)
        assert {("Inbox", "a", "b", "c"), ("Other", "deep")} <= seen

    def test_folder_names_hold_any_character(self, seed: Seed) -> None:
        paths = [("Inbox", name) for name in HOSTILE_NAMES]
        source = seed(
            [Sample(f"in {n}", path, message_id=f"<in-{n}@old.example>") for n, path in enumerate(paths)]
        ).source
        by_path = {folder.path: folder for folder in source.folders()}
        for number, path in enumerate(paths):
            assert path in by_path
            refs, _ = listed(source, by_path[path])
            assert self.names(refs) == self.expected(
                [Sample(f"in {number}", message_id=f"<in-{number}@old.example>")]
            )
            assert refs[0].folder == path

    # --- pages

    @pytest.mark.parametrize("size", [0, 1, 2, 3], ids=["size-0", "size-1", "size-2", "size-3"])
    def test_pages_cover_each_item_once(self, seed: Seed, size: int) -> None:
        samples = mails(10)
        source = seed(samples, page_items=self.page_sizes[size]).source
        refs, _ = listed(source, folder_of(source, ("Inbox",)))
        assert self.names(refs) == self.expected(samples)
        assert len({ref.id for ref in refs}) == len(refs)

    def test_listing_resumes_from_every_checkpoint(self, seed: Seed) -> None:
        samples = mails(10)
        seeded = seed(samples, page_items=3)
        folder = folder_of(seeded.source, ("Inbox",))
        before: list[ItemRef] = []
        after: Checkpoint | None = None
        while True:
            page = seeded.source.page(folder, after)
            before += page.refs
            after = page.checkpoint
            rest, _ = listed(seeded.reopen(), folder, after) if not page.last else ([], after)
            assert self.names([*before, *rest]) == self.expected(samples)
            if page.last:
                break

    def test_an_empty_folder_is_one_empty_last_page(self, seed: Seed) -> None:
        source = seed([], folders=[("Empty",)]).source
        page = source.page(folder_of(source, ("Empty",)), None)
        assert (page.refs, page.last) == ((), True)

    def test_after_the_last_page_comes_an_empty_one(self, seed: Seed) -> None:
        source = seed(mails(4)).source
        if not source.traits.has_delta:
            pytest.skip("this source lists anew every time")
        folder = folder_of(source, ("Inbox",))
        _, after = listed(source, folder)
        again, _ = listed(source, folder, after)
        assert again == []

    def test_refs_tell_what_they_promise(self, seed: Seed) -> None:
        samples = mails(4)
        source = seed(samples).source
        refs, _ = listed(source, folder_of(source, ("Inbox",)))
        by_id = {one.message_id: one for one in samples}
        for ref in refs:
            sample = by_id[ref.message_id]
            assert ref.id
            assert ref.version
            assert ref.kind is Kind.MAIL
            assert ref.folder == ("Inbox",)
            assert ref.size is None or ref.size > 0
            if ref.received is not None:
                assert ref.received.utcoffset() == timedelta(0)
                assert abs(ref.received - sample.received) <= self.dates_kept_to
            if ref.seen is not None:
                assert ref.seen is sample.seen
            assert not ref.gone

    def test_a_foreign_checkpoint_is_refused(self, seed: Seed) -> None:
        source = seed(mails(1)).source
        folder = folder_of(source, ("Inbox",))
        for token in (Checkpoint("someone-elses/9", "1"), Checkpoint("", "")):
            with pytest.raises(CheckpointLost):
                source.page(folder, token)

    def test_a_garbled_checkpoint_is_refused(self, seed: Seed) -> None:
        source = seed(mails(1)).source
        folder = folder_of(source, ("Inbox",))
        scheme = source.page(folder, None).checkpoint.scheme
        with pytest.raises(CheckpointLost):
            source.page(folder, Checkpoint(scheme, "garbled"))

    # --- delta

    def test_delta_tells_what_came_changed_and_went(self, seed: Seed) -> None:
        samples = mails(5)
        seeded = seed(samples, page_items=2)
        source = seeded.source
        if not source.traits.has_delta or not (seeded.add and seeded.change and seeded.delete):
            pytest.skip("no delta here, or the test cannot change this mailbox")
        folder = folder_of(source, ("Inbox",))
        first, after = listed(source, folder)
        known = {self.name_of(ref): ref for ref in first}
        fresh = mails(1, start=50)[0]
        seeded.add(fresh)
        changed = dataclasses.replace(samples[1], seen=not samples[1].seen)
        seeded.change(changed)
        seeded.delete(samples[2])
        refs, end = listed(source, folder, after)
        came = [ref for ref in refs if ref.id not in {r.id for r in first}]
        assert self.names(came) == self.expected([fresh])
        by_id = {ref.id: ref for ref in refs}
        old = known[self.expected([changed])[0]]
        assert by_id[old.id].version != old.version
        assert not by_id[old.id].gone
        gone = known[self.expected([samples[2]])[0]]
        assert by_id[gone.id].gone
        assert listed(source, folder, end)[0] == []

    def test_a_fresh_listing_names_nothing_that_is_gone(self, seed: Seed) -> None:
        samples = mails(3)
        seeded = seed(samples)
        if not seeded.delete:
            pytest.skip("the test cannot change this mailbox")
        seeded.delete(samples[0])
        refs, _ = listed(seeded.source, folder_of(seeded.source, ("Inbox",)))
        assert self.names(refs) == self.expected(samples[1:])
        assert not any(ref.gone for ref in refs)

    # --- export

    def test_content_opens_again_and_again(self, seed: Seed) -> None:
        source = seed(mails(3)).source
        refs, _ = listed(source, folder_of(source, ("Inbox",)))
        for fmt in source.traits.formats:
            for result in source.export(refs, fmt):
                assert isinstance(result, Item)
                assert result.format is fmt
                with result.content.open() as stream:
                    first = stream.read()
                with result.content.open() as stream:
                    assert stream.read() == first
                assert b"".join(result.content.pieces()) == first
                assert len(first) == result.content.size > 0
                result.content.release()
                result.content.release()

    def test_export_keeps_the_order_asked_for(self, seed: Seed) -> None:
        source = seed(mails(9)).source
        refs, _ = listed(source, folder_of(source, ("Inbox",)))
        asked = [*refs[::2], *refs[1::2]][: source.traits.export_items]
        results = source.export(asked, source.traits.formats[0])
        assert [result.ref.id for result in results] == [ref.id for ref in asked]

    def test_nothing_asked_is_nothing_told(self, seed: Seed) -> None:
        source = seed(mails(1)).source
        assert source.export([], source.traits.formats[0]) == []

    def test_a_vanished_item_harms_no_neighbour(self, seed: Seed) -> None:
        samples = mails(5)
        seeded = seed(samples)
        if not seeded.delete:
            pytest.skip("the test cannot change this mailbox")
        source = seeded.source
        refs, _ = listed(source, folder_of(source, ("Inbox",)))
        victim = next(n for n, ref in enumerate(refs) if ref.message_id == samples[2].message_id)
        seeded.delete(samples[2])
        results = source.export(refs, source.traits.formats[0])
        assert [result.ref.id for result in results] == [ref.id for ref in refs]
        for number, result in enumerate(results):
            if number != victim:
                assert isinstance(result, Item)
                continue
            assert isinstance(result, Outcome)
            assert (result.state, result.reason) == (State.SKIPPED, SkipReason.VANISHED)

    def test_a_nonsense_id_harms_no_neighbour(self, seed: Seed) -> None:
        source = seed(mails(3)).source
        refs, _ = listed(source, folder_of(source, ("Inbox",)))
        asked = [refs[0], dataclasses.replace(refs[1], id="no such id"), refs[2]]
        first, second, third = source.export(asked, source.traits.formats[0])
        assert isinstance(first, Item)
        assert isinstance(third, Item)
        assert isinstance(second, Outcome)
        assert second.state in (State.SKIPPED, State.FAILED)
        if second.state is State.FAILED:
            assert isinstance(second.error, ItemError)
        else:
            assert second.reason in (SkipReason.VANISHED, SkipReason.CORRUPT_AT_SOURCE)

    def test_true_duplicates_are_two_items(self, seed: Seed) -> None:
        twin = Sample("twin", message_id="<twin@old.example>", received=MOMENT)
        source = seed([twin, twin]).source
        refs, _ = listed(source, folder_of(source, ("Inbox",)))
        assert len(refs) == 2
        assert len({ref.id for ref in refs}) == 2

    def test_ids_stand_without_the_listing_that_gave_them(self, seed: Seed) -> None:
        """A later process exports by what the ledger kept: id, version, folder, size."""
        seeded = seed(mails(2))
        refs, _ = listed(seeded.source, folder_of(seeded.source, ("Inbox",)))
        bare = [
            ItemRef(ref.id, ref.folder, ref.kind, ref.version, ref.size, ref.item_class, ref.received)
            for ref in refs
        ]
        fmt = seeded.source.traits.formats[0]
        first = seeded.source.export(refs, fmt)
        second = seeded.reopen().export(bare, fmt)
        for one, other in zip(first, second, strict=True):
            assert isinstance(one, Item)
            assert isinstance(other, Item)
            assert b"".join(one.content.pieces()) == b"".join(other.content.pieces())

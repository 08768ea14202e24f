"""What every Target promises (`interfaces.Target`), executed.

An adapter's test subclasses `TargetContract` and gives two fixtures: `target` (an open Target on an empty mailbox that has
an inbox) and `make` (Sample → Item in a format that the target takes). `reopen` and `broken` are optional.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import IO

import pytest

from migrator.interfaces import Target
from migrator.model import Folder, Item, Kind, Role, SkipReason, State
from tests.contracts.samples import HOSTILE_NAMES, MOMENT, Sample, mails
from tests.contracts.source import listed

Make = Callable[[Sample], Item]


class _Huge:
    """Content that claims a size and gives no octet: refused by size alone, or the test fails."""

    def __init__(self, size: int) -> None:
        self.size = size

    def open(self) -> IO[bytes]:
        raise AssertionError("the content of a too large item was read")

    def pieces(self) -> list[bytes | memoryview]:
        raise AssertionError("the content of a too large item was read")

    def release(self) -> None:
        io.BytesIO().close()


class TargetContract:
    """Subclass, name the class Test…, give `target` and `make`."""

    dates_kept_to = timedelta(seconds=1)
    hostile_names: tuple[str, ...] = HOSTILE_NAMES

    @pytest.fixture
    def target(self) -> Target:
        raise NotImplementedError("give a `target` fixture")

    @pytest.fixture
    def make(self) -> Make:
        raise NotImplementedError("give a `make` fixture")

    @pytest.fixture
    def reopen(self) -> Callable[[], Target] | None:
        """Another handle on the same mailbox."""
        return None

    @pytest.fixture
    def broken(self) -> Item | None:
        """An item that the server refuses by its content."""
        return None

    @pytest.fixture
    def folder(self, target: Target) -> Folder:
        return target.ensure_folder(("Taken over",), Kind.MAIL, folder_class="IPF.Note")

    @staticmethod
    def store(target: Target, folder: Folder, items: list[Item]) -> list[str]:
        """Store in batches of the size the target takes; returns the target ids."""
        ids = []
        size = target.traits.store_items
        for start in range(0, len(items), size):
            outcomes = target.store(folder, items[start : start + size])
            assert [outcome.state for outcome in outcomes] == [State.COPIED] * len(outcomes)
            ids += [outcome.target_id for outcome in outcomes]
        return ids

    def test_identity_is_stable(self, target: Target) -> None:
        first = target.probe()
        assert first.identity
        assert target.probe().identity == first.identity
        assert all(finding.remedy for finding in first.findings if finding.level == "blocker")

    # --- folders

    def test_ensure_folder_twice_is_one_folder(self, target: Target) -> None:
        path = ("Projects", "2024", "Plan")
        first = target.ensure_folder(path, Kind.MAIL, folder_class="IPF.Note")
        again = target.ensure_folder(path, Kind.MAIL, folder_class="IPF.Note")
        assert first.id == again.id
        paths = [folder.path for folder in target.folders()]
        assert all(paths.count(path[:depth]) == 1 for depth in (1, 2, 3))

    def test_ensure_folder_by_several_threads_is_one_folder(
        self, target: Target, reopen: Callable[[], Target] | None
    ) -> None:
        handles = [reopen() if reopen else target for _ in range(4)]
        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(lambda handle: handle.ensure_folder(("Shared", "Twig"), Kind.MAIL), handles))
        assert len({folder.id for folder in made}) == 1
        assert [folder.path for folder in target.folders()].count(("Shared", "Twig")) == 1

    def test_a_role_names_the_targets_own_folder(self, target: Target) -> None:
        own = next(folder for folder in target.folders() if folder.role is Role.INBOX)
        assert target.ensure_folder((), Kind.MAIL, role=Role.INBOX).id == own.id
        below = target.ensure_folder(("Below",), Kind.MAIL, role=Role.INBOX)
        assert below.path == (*own.path, "Below")

    def test_folder_names_hold_any_character(self, target: Target) -> None:
        made = [target.ensure_folder(("Names", name), Kind.MAIL) for name in self.hostile_names]
        assert len({folder.id for folder in made}) == len(made)
        paths = {folder.path for folder in target.folders()}
        assert {("Names", name) for name in self.hostile_names} <= paths

    @pytest.mark.parametrize(
        ("kind", "folder_class"),
        [
            (Kind.EVENT, "IPF.Appointment"),
            (Kind.CONTACT, "IPF.Contact"),
            (Kind.TASK, "IPF.Task"),
            (Kind.NOTE, "IPF.StickyNote"),
        ],
    )
    def test_a_folder_keeps_its_class(self, target: Target, kind: Kind, folder_class: str) -> None:
        if kind not in target.traits.kinds:
            pytest.skip("this target takes no such items")
        made = target.ensure_folder((f"of {kind}",), kind, folder_class=folder_class)
        found = next(folder for folder in target.folders() if folder.id == made.id)
        assert found.folder_class == folder_class
        assert found.kind is kind

    # --- store

    def test_what_was_stored_is_found(self, target: Target, make: Make, folder: Folder) -> None:
        samples = mails(5)
        ids = self.store(target, folder, [make(sample) for sample in samples])
        refs, _ = listed(target, folder)
        by_id = {ref.id: ref for ref in refs}
        assert set(by_id) == set(ids)
        for sample, item_id in zip(samples, ids, strict=True):
            ref = by_id[item_id]
            assert ref.message_id == sample.message_id
            assert ref.version
            assert ref.received is not None
            assert abs(ref.received - sample.received) <= self.dates_kept_to
            assert ref.seen is sample.seen
            assert ref.draft in (None, False)

    def test_outcomes_come_in_the_order_given(self, target: Target, make: Make, folder: Folder) -> None:
        items = [make(sample) for sample in mails(min(5, target.traits.store_items))]
        outcomes = target.store(folder, items)
        assert [outcome.ref for outcome in outcomes] == [item.ref for item in items]
        assert all(outcome.octets > 0 for outcome in outcomes)

    def test_nothing_given_is_nothing_told(self, target: Target, folder: Folder) -> None:
        assert target.store(folder, []) == []

    def test_content_can_be_read_after_it_was_stored(
        self, target: Target, make: Make, folder: Folder
    ) -> None:
        """A retry reads from the start."""
        item = make(mails(1)[0])
        self.store(target, folder, [item])
        assert len(b"".join(item.content.pieces())) == item.content.size > 0

    def test_items_of_several_folders_go_each_into_its_own(
        self, target: Target, make: Make, folder: Folder
    ) -> None:
        other = target.ensure_folder(("Taken over", "Below"), Kind.MAIL, folder_class="IPF.Note")
        samples = mails(5)
        batches = [
            (folder, [make(sample) for sample in samples[:2]]),
            (other, [make(sample) for sample in samples[2:4]]),
            (folder, [make(samples[4])]),
        ]
        results = target.store_all(batches)
        assert [[outcome.ref.id for outcome in outcomes] for outcomes in results] == [
            [item.ref.id for item in items] for _, items in batches
        ]
        assert {outcome.state for outcomes in results for outcome in outcomes} == {State.COPIED}
        for place in (folder, other):
            ids = {
                outcome.target_id
                for (where, _), outcomes in zip(batches, results, strict=True)
                for outcome in outcomes
                if where is place
            }
            assert {ref.id for ref in target.page(place, None).refs} == ids

    def test_storing_twice_makes_two(self, target: Target, make: Make, folder: Folder) -> None:
        twin = Sample("twin", message_id="<twin@old.example>", received=MOMENT)
        ids = self.store(target, folder, [make(twin), make(twin)])
        assert len(set(ids)) == 2
        assert len(listed(target, folder)[0]) == 2

    def test_a_too_large_item_is_skipped_before_sending(
        self, target: Target, make: Make, folder: Folder
    ) -> None:
        limit = target.traits.store_octets
        if limit is None:
            pytest.skip("this target knows no limit")
        huge = dataclasses.replace(make(mails(1)[0]), content=_Huge(limit + 1))
        (outcome,) = target.store(folder, [huge])
        assert (outcome.state, outcome.reason) == (State.SKIPPED, SkipReason.TOO_LARGE)
        assert listed(target, folder)[0] == []

    def test_a_refused_item_harms_no_neighbour(
        self, target: Target, make: Make, folder: Folder, broken: Item | None
    ) -> None:
        if broken is None:
            pytest.skip("no item is known that this target refuses")
        first, last = (make(sample) for sample in mails(2))
        items = [first, broken, last]
        size = target.traits.store_items
        outcomes = [
            outcome
            for start in range(0, 3, size)
            for outcome in target.store(folder, items[start : start + size])
        ]
        assert [outcome.state for outcome in outcomes] == [State.COPIED, State.FAILED, State.COPIED]
        assert outcomes[1].error is not None
        assert len(listed(target, folder)[0]) == 2

    # --- marks

    def test_a_mark_lists_what_arrives_after_it(self, target: Target, make: Make, folder: Folder) -> None:
        before, after, later = (make(sample) for sample in mails(3))
        self.store(target, folder, [before])
        mark = target.mark(folder)
        assert listed(target, folder, mark)[0] == []
        ids = self.store(target, folder, [after, later])
        refs, end = listed(target, folder, mark)
        assert sorted(ref.id for ref in refs if not ref.gone) == sorted(ids)
        assert listed(target, folder, end)[0] == []

    def test_a_mark_may_be_taken_in_an_empty_folder(self, target: Target, make: Make, folder: Folder) -> None:
        mark = target.mark(folder)
        ids = self.store(target, folder, [make(mails(1)[0])])
        assert [ref.id for ref in listed(target, folder, mark)[0]] == ids

    # --- update

    def test_an_update_overwrites_what_was_not_changed_meanwhile(
        self, target: Target, make: Make, folder: Folder
    ) -> None:
        if not target.traits.can_update:
            pytest.skip("this target cannot overwrite")
        sample = mails(1)[0]
        (first,) = target.store(folder, [make(sample)])
        newer = make(dataclasses.replace(sample, seen=not sample.seen))
        (second,) = target.store(folder, [newer], [(first.target_id, first.target_version)])
        assert second.state is State.COPIED
        assert second.target_version != first.target_version
        (ref,) = listed(target, folder)[0]
        assert ref.id == second.target_id
        assert ref.seen is not sample.seen
        (third,) = target.store(folder, [newer], [(first.target_id, first.target_version)])
        assert third.state is State.FAILED
        assert getattr(third.error, "code", "") == "conflict"
        assert len(listed(target, folder)[0]) == 1

    # --- versions

    def test_versions_are_those_that_were_told(self, target: Target, make: Make, folder: Folder) -> None:
        samples = mails(3)
        told = {}
        for sample in samples:
            (outcome,) = target.store(folder, [make(sample)])
            told[outcome.target_id] = outcome.target_version
        ids = list(told)
        assert target.versions(folder, ids) == told
        assert target.versions(folder, []) == {}
        target.remove(folder, ids[:1])
        assert target.versions(folder, ids) == {one: told[one] for one in ids[1:]}

    # --- remove

    def test_removed_is_gone_and_gone_is_fine(self, target: Target, make: Make, folder: Folder) -> None:
        ids = self.store(target, folder, [make(sample) for sample in mails(3)])
        assert sorted(target.remove(folder, ids[:2])) == sorted(ids[:2])
        assert [ref.id for ref in listed(target, folder)[0]] == ids[2:]
        assert sorted(target.remove(folder, ids[:2])) == sorted(ids[:2])

    def test_a_removed_folder_is_gone_with_its_content(
        self, target: Target, make: Make, folder: Folder
    ) -> None:
        self.store(target, folder, [make(mails(1)[0])])
        target.remove_folder(folder)
        assert folder.id not in {found.id for found in target.folders()}
        target.remove_folder(folder)
        again = target.ensure_folder(folder.path, Kind.MAIL)
        assert listed(target, again)[0] == []

    # --- a target can be read as well

    def test_what_was_stored_can_be_exported(self, target: Target, make: Make, folder: Folder) -> None:
        if not target.traits.formats:
            pytest.skip("this target exports nothing")
        samples = mails(3)
        self.store(target, folder, [make(sample) for sample in samples])
        refs, _ = listed(target, folder)
        results = target.export(refs, target.traits.formats[0])
        assert [result.ref.id for result in results] == [ref.id for ref in refs]
        assert all(isinstance(result, Item) for result in results)

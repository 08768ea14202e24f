"""Source, ledger and target compared, after a run. Reads only.

Three levels, each resting on the one before:

1 counts and octets per folder: what the source lists now, what the ledger accounts for, what the target lists now;
2 every item by what both listings tell: is it there, Message-ID, class, dates, read and draft state, size class;
3 a sample (or all) by content: both sides export the item's own stream and the properties are compared one by one. What
  comes of it is counted by kind and by the path that the items took (`ledger.Fidelity`).

The balance closes when every item that the source lists is copied, present, skipped for a reason or failed with a code, and
every copied or present one is in the target. An item that came, changed or went at the source since the run is told as such:
it is no fault of the copy, and the next run takes it.
"""

from __future__ import annotations

import heapq
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, Protocol

from migrator.engine.job import refuse_blockers, words_of
from migrator.engine.portions import batches, listed, parts
from migrator.engine.sampling import SAMPLE, Confidence
from migrator.engine.tools import error_of
from migrator.errors import ItemError, JobError, MigratorError
from migrator.formats.fingerprint import bare_message_id
from migrator.interfaces import Reader, Source, Target
from migrator.ledger import Entry, Fidelity, FolderRow, Ledger
from migrator.model import (
    Folder,
    FolderPath,
    Format,
    Item,
    ItemRef,
    Job,
    Kind,
    Outcome,
    SkipReason,
    State,
)
from migrator.record import record

log = logging.getLogger(__name__)

EXPORT_ITEMS = 20
EXPORT_OCTETS = 8 << 20
LISTED_MOST = 400
"""Items that are looked up in the ledger at once."""
DIFFERENCES_MOST = 10_000
"""Per mailbox: a mailbox in which everything differs is told by its counts."""
_SECOND = timedelta(seconds=1)


@record
class PropertyDifference:
    """volatile: it does not count (computed by the store, say, or the same meaning); why: the reason then.

    class_: lost, added, changed, volatile or normalised. group: the name without the number of a recipient or
    attachment, under which items are counted.
    """

    name: str
    source: str
    target: str
    volatile: bool = False
    why: str = ""
    class_: str = ""
    group: str = ""

    @property
    def told(self) -> str:
        return self.class_ or ("volatile" if self.volatile else "changed")


class Compare(Protocol):
    """Two item streams (base64 of FastTransfer), source and target → what differs; path: how the copy was made.
    Raises ItemError for one that is unreadable."""

    def __call__(self, one: bytes, two: bytes, /, path: str = "") -> Sequence[PropertyDifference]: ...


AsStream = Callable[[Item], Item]
"""An item in any format as an item stream. Raises ItemError where that cannot be."""


@record
class Difference:
    """One property of one item. `what` is "missing" (property then is "item") or "changed"."""

    folder: FolderPath
    source_id: str
    target_id: str
    message_id: str
    item_class: str
    received: datetime | None
    what: str
    property: str
    source: str
    target: str


@record
class FolderVerdict:
    path: FolderPath
    target_path: FolderPath
    kind: Kind
    folder_skipped: SkipReason | None = None
    source_items: int = 0
    source_octets: int = 0
    copied: int = 0  # by the ledger, of items that the source lists now
    present: int = 0
    skipped: int = 0
    failed: int = 0
    in_doubt: int = 0
    new: int = 0  # at the source since the run: not in the ledger
    changed: int = 0  # at the source since the run: copied in an older version
    gone: int = 0  # from the source since the run: in the ledger still
    target_items: int = 0
    target_octets: int = 0
    extra: int = 0  # in the target, and not ours: there before us, or come since
    missing: int = 0  # ours by the ledger, and not in the target
    compared: int = 0  # items whose listed properties were compared
    reasons: Mapping[str, int] = field(default_factory=dict)  # skip reason → items
    codes: Mapping[str, int] = field(default_factory=dict)  # error code → items
    twice: int = 0  # source items that share their target item with another one: one of the two has no copy
    kept: int = 0  # copies in the target whose source items are gone
    target_listed: int = 0  # all that the target folder holds, told at the first of the folders that go there

    @property
    def closes(self) -> bool:
        """As multisets: source = copied + present + skipped + failed + new, and each copy is an item of its own."""
        accounted = self.copied + self.present + self.skipped + self.failed
        return self.folder_skipped is not None or (
            self.source_items == accounted + self.new
            and not self.missing
            and not self.in_doubt
            and not self.twice
        )


@record
class MailboxVerdict:
    """differences: at most DIFFERENCES_MOST; different counts the items that have any, compared by content included."""

    job: Job
    folders: tuple[FolderVerdict, ...] = ()
    differences: tuple[Difference, ...] = ()
    different: int = 0
    sampled: int = 0  # items compared by content
    volatile: Mapping[str, int] = field(
        default_factory=dict
    )  # property → items in which it differed as expected
    content: str = ""  # why content was not compared, or ""
    error: str = ""
    code: str = ""
    remedy: str = ""
    fidelity: tuple[Fidelity, ...] = ()  # by kind and path, of what was compared by content

    @property
    def closes(self) -> bool:
        return not self.error and all(folder.closes for folder in self.folders)

    @property
    def ok(self) -> bool:
        return self.closes and not self.different


def verify_mailbox(
    job: Job,
    source: Source,
    target: Target,
    ledger: Ledger,
    *,
    compare: Compare | None = None,
    sample: int | Confidence | None = SAMPLE,
    as_stream: AsStream | None = None,
) -> MailboxVerdict:
    """Compare one mailbox pair.

    sample: which items by content: None for all; a number, of the whole mailbox; a Confidence, of every folder and kind
    as many as it needs. Chosen by a digest of their ids, so that the same items are chosen every time. as_stream: for
    sources that do not speak item streams.
    """
    work = _Verifying(job, source, target, ledger, compare, sample, as_stream)
    try:
        work.run()
    except Exception as error:
        if not isinstance(error, MigratorError):
            log.exception("job %s could not be verified", job.id)
        known = error if isinstance(error, MigratorError) else error_of(error)
        return work.verdict(known)
    return work.verdict(None)


class _Verifying:
    def __init__(
        self,
        job: Job,
        source: Source,
        target: Target,
        ledger: Ledger,
        compare: Compare | None,
        sample: int | Confidence | None,
        as_stream: AsStream | None,
    ) -> None:
        self.job = job
        self.source = source
        self.target = target
        self.ledger = ledger
        self.compare = compare
        self.sample = sample
        self.as_stream = as_stream
        self.folders: list[FolderVerdict] = []
        self.differences: list[Difference] = []
        self.different: set[str] = set()
        self.sampled = 0
        self.volatile: dict[str, int] = {}
        self.content = ""
        self.in_ledger: dict[str, int] = {}
        self.paired: set[str] = set()  # target items of the folder at hand that have a source item
        self.groups: dict[tuple[str, Kind], _Group] = {}
        self.tables: dict[tuple[Kind, str], _Table] = {}

    def verdict(self, error: MigratorError | None) -> MailboxVerdict:
        return MailboxVerdict(
            self.job,
            tuple(self.folders),
            tuple(self.differences),
            len(self.different),
            self.sampled,
            dict(self.volatile),
            self.content,
            "" if error is None else words_of(error),
            "" if error is None else error.code,
            "" if error is None else error.remedy,
            tuple(table.told(kind, path, self.sample) for (kind, path), table in sorted(self.tables.items())),
        )

    def run(self) -> None:
        refuse_blockers("source", self.source.probe())
        refuse_blockers("target", self.target.probe())
        rows = self.ledger.folders(self.job.id)
        if not rows:
            raise JobError(
                "nothing of this mailbox is in the ledger yet",
                code="not_run",
                remedy="Run `migrator run` first.",
            )
        self.in_ledger = {b.folder_id: b.seen for b in self.ledger.balance() if b.job_id == self.job.id}
        listed = {folder.id: folder for folder in self.source.folders()}
        for target_id in dict.fromkeys(row.target_id for row in rows):
            there = self._target_items(next(row for row in rows if row.target_id == target_id))
            ours: set[str] = set()
            shared = [row for row in rows if row.target_id == target_id]
            for row in shared:
                ours |= self.ledger.claimed_targets(self.job.id, row.source_id)
            self.paired = set()
            at = len(self.folders)
            for row in shared:
                self._folder(row, listed.get(row.source_id), there)
            # What is in the target beside the copies is told once, at the first of the folders that go there.
            self.folders[at] = replace(
                self.folders[at],
                extra=sum(1 for item_id in there if item_id not in ours),
                kept=sum(1 for item_id in there if item_id in ours and item_id not in self.paired),
                target_listed=len(there),
            )
        for folder in listed.values():
            if folder.id not in {row.source_id for row in rows}:
                self.folders.append(
                    FolderVerdict(
                        folder.path,
                        (),
                        folder.kind,
                        source_items=folder.total or 0,
                        source_octets=folder.size or 0,
                        new=folder.total or 0,
                    )
                )
        self._contents()

    def _target_items(self, row: FolderRow) -> dict[str, ItemRef]:
        if not row.target_id:
            return {}
        folder = Folder(row.target_id, row.target_path, row.kind, row.folder_class)
        try:
            return {ref.id: ref for ref in listed(self.target, folder)}
        except JobError as error:
            if error.code != "folder_gone":
                raise
            return {}  # every item of it is then told as missing

    def _folder(self, row: FolderRow, folder: Folder | None, there: Mapping[str, ItemRef]) -> None:
        if row.skipped is not None:
            total = folder.total if folder is not None else row.total
            self.folders.append(FolderVerdict(row.path, (), row.kind, row.skipped, source_items=total or 0))
            return
        count: dict[str, Any] = dict.fromkeys(
            ("source_items", "source_octets", "copied", "present", "skipped", "failed", "in_doubt"), 0
        )
        count |= {"new": 0, "changed": 0, "missing": 0, "compared": 0, "target_octets": 0, "target_items": 0}
        count |= {"twice": 0, "reasons": Counter(), "codes": Counter()}
        seen = 0
        for refs in parts(listed(self.source, folder) if folder is not None else (), LISTED_MOST):
            entries = self.ledger.entries(self.job.id, refs)
            for ref in refs:
                count["source_items"] += 1
                count["source_octets"] += ref.size or 0
                entry = entries.get(ref.id)
                if entry is None:
                    count["new"] += 1
                    continue
                seen += 1
                self._item(row, ref, entry, there, count)
        in_ledger = self.in_ledger.get(row.source_id, 0)
        count |= {name: dict(count[name].most_common()) for name in ("reasons", "codes")}
        self.folders.append(
            FolderVerdict(row.path, row.target_path, row.kind, gone=max(0, in_ledger - seen), **count)
        )

    def _item(
        self,
        row: FolderRow,
        ref: ItemRef,
        entry: Entry,
        there: Mapping[str, ItemRef],
        count: dict[str, Any],
    ) -> None:
        if entry.state is State.SENDING:
            count["in_doubt"] += 1
            return
        count[entry.state.value] += 1
        if entry.state is State.SKIPPED and entry.reason is not None:
            count["reasons"][entry.reason.value] += 1
        elif entry.state is State.FAILED:
            count["codes"][entry.code] += 1
        if entry.state not in (State.COPIED, State.PRESENT):
            return
        other = there.get(entry.target_id)
        if other is None:
            count["missing"] += 1
            self._differ(row.path, ref, entry.target_id, "missing", "item", "there", "not there")
            return
        if other.id in self.paired:
            count["twice"] += 1
            self._differ(
                row.path, ref, other.id, "missing", "item", "there", "shares its copy with another item"
            )
            return
        self.paired.add(other.id)
        count["target_items"] += 1
        count["target_octets"] += other.size or 0
        if ref.version != entry.version:
            count["changed"] += 1
            return
        count["compared"] += 1
        for name, one, two in compare_listed(ref, other):
            self._differ(row.path, ref, other.id, "changed", name, one, two)
        self._maybe_choose(row, ref, other.id, entry)

    def _differ(
        self, path: FolderPath, ref: ItemRef, target_id: str, what: str, name: str, one: str, two: str
    ) -> None:
        self.different.add(ref.id)
        if len(self.differences) < DIFFERENCES_MOST:
            self.differences.append(
                Difference(
                    path,
                    ref.id,
                    target_id,
                    ref.message_id,
                    ref.item_class,
                    ref.received,
                    what,
                    name,
                    one,
                    two,
                )
            )

    # ----------------------------------------------------------- by content

    def _maybe_choose(self, row: FolderRow, ref: ItemRef, target_id: str, entry: Entry) -> None:
        if self.compare is None or self.sample == 0:
            return
        path = "present" if entry.state is State.PRESENT else entry.path_taken
        self.tables.setdefault((ref.kind, path), _Table()).population += 1
        sized = isinstance(self.sample, Confidence)
        key = (row.source_id, ref.kind) if sized else ("", Kind.OTHER)
        self.groups.setdefault(key, _Group()).offer(_Chosen(ref, target_id, row.path, path), self.sample)

    def _contents(self) -> None:
        if self.compare is None:
            self.content = "streams are not compared"
            return
        for side, box in (("source", self.source), ("target", self.target)):
            if Format.FTS not in box.traits.formats and self.as_stream is None:
                self.content = f"the {side} cannot give an item's own stream"
                return
        chosen = [one for group in self.groups.values() for one in group.drawn(self.sample)]
        most = max(1, min(EXPORT_ITEMS, self.source.traits.export_items, self.target.traits.export_items))
        for batch in batches(chosen, lambda one: one.ref.size or 65_536, items=most, octets=EXPORT_OCTETS):
            ones = streams_of(self.source, [each.ref for each in batch], self.as_stream)
            twos = streams_of(
                self.target,
                [ItemRef(each.target_id, each.path, each.ref.kind, "") for each in batch],
                self.as_stream,
            )
            for each, one, two in zip(batch, ones, twos, strict=True):
                self._compare(each, one, two)

    def _compare(self, each: _Chosen, one: bytes | str, two: bytes | str) -> None:
        """one, two: a stream, or why there is none."""
        assert self.compare is not None
        table = self.tables[each.ref.kind, each.taken]
        if isinstance(one, str) or isinstance(two, str):
            table.unreadable += 1
            self._differ(each.path, each.ref, each.target_id, "changed", "content", _said(one), _said(two))
            return
        self.sampled += 1
        try:
            found = self.compare(one, two, each.taken)
        except MigratorError as error:
            table.unreadable += 1
            self._differ(each.path, each.ref, each.target_id, "changed", "content", "readable", error.message)
            return
        table.count(found)
        for difference in found:
            if difference.volatile:
                self.volatile[difference.name] = self.volatile.get(difference.name, 0) + 1
            else:
                self._differ(
                    each.path,
                    each.ref,
                    each.target_id,
                    "changed",
                    difference.name,
                    difference.source,
                    difference.target,
                )


@record
class _Chosen:
    ref: ItemRef
    target_id: str
    path: FolderPath
    taken: str  # the path into the target


class _Group:
    """Items from which a sample is drawn: those with the smallest digests, kept in a heap with the largest on top."""

    __slots__ = ("_heap", "_population")

    def __init__(self) -> None:
        self._heap: list[tuple[int, str, _Chosen]] = []
        self._population = 0

    def offer(self, one: _Chosen, sample: int | Confidence | None) -> None:
        self._population += 1
        most = sample.most() if isinstance(sample, Confidence) else sample
        digest = blake2b(one.ref.id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        entry = (-int.from_bytes(digest), one.ref.id, one)
        if most is None or len(self._heap) < most:
            heapq.heappush(self._heap, entry)
        elif entry[:2] > self._heap[0][:2]:
            heapq.heapreplace(self._heap, entry)

    def drawn(self, sample: int | Confidence | None) -> list[_Chosen]:
        most = sample.needed(self._population) if isinstance(sample, Confidence) else None
        return [one for _, _, one in sorted(self._heap, key=lambda entry: entry[:2], reverse=True)[:most]]


@record(frozen=False)
class _Table:
    """Counts of items of one kind that took one path."""

    population: int = 0
    identical: int = 0
    volatile: int = 0
    normalised: int = 0
    differing: int = 0
    unreadable: int = 0
    properties: dict[str, Counter[str]] = field(default_factory=dict)

    def count(self, found: Sequence[PropertyDifference]) -> None:
        for told, group in {(one.told, one.group or one.name) for one in found}:
            self.properties.setdefault(told, Counter())[group] += 1
        if any(not one.volatile for one in found):
            self.differing += 1
        elif any(one.told == "normalised" for one in found):
            self.normalised += 1
        elif found:
            self.volatile += 1
        else:
            self.identical += 1

    def told(self, kind: Kind, path: str, sample: int | Confidence | None) -> Fidelity:
        sized = sample if isinstance(sample, Confidence) else None
        return Fidelity(
            kind,
            path,
            self.population,
            self.identical + self.volatile + self.normalised + self.differing + self.unreadable,
            self.identical,
            self.volatile,
            self.normalised,
            self.differing,
            self.unreadable,
            {class_: dict(names.most_common()) for class_, names in sorted(self.properties.items())},
            sized.confidence if sized else 0.0,
            sized.margin if sized else 0.0,
        )


def compare_listed(one: ItemRef, two: ItemRef) -> Iterator[tuple[str, str, str]]:
    """(property, source, target) for what both listings tell and tell differently."""
    if one.message_id and bare_message_id(one.message_id) != bare_message_id(two.message_id):
        yield "Message-ID", one.message_id, two.message_id
    if one.item_class and two.item_class and one.item_class.casefold() != two.item_class.casefold():
        yield "class", one.item_class, two.item_class
    if one.kind is Kind.MAIL:
        # Other kinds carry the time at which the store took them.
        for name, first, second in (
            ("received", one.received, two.received),
            ("sent", one.sent, two.sent),
        ):
            if first is not None and second is not None and abs(first - second) > _SECOND:
                yield name, first.isoformat(), second.isoformat()
    for name, flag, other in (("read", one.seen, two.seen), ("draft", one.draft, two.draft)):
        if flag is not None and other is not None and flag is not other:
            yield name, str(flag).lower(), str(other).lower()
    if one.size and two.size and not _alike_in_size(one.size, two.size):
        yield "size", str(one.size), str(two.size)


def _alike_in_size(one: int, two: int) -> bool:
    """Every system counts sizes its own way: half to double (Exchange keeps text as UTF-16), and 16 KiB either way."""
    return one / 2 - 16_384 <= two <= one * 2 + 16_384


def streams_of(box: Reader, refs: Sequence[ItemRef], as_stream: AsStream | None) -> list[bytes | str]:
    """Per ref its stream, or why there is none."""
    fmt = Format.FTS if Format.FTS in box.traits.formats else box.traits.formats[0]
    found: list[bytes | str] = []
    for result in box.export(refs, fmt):
        if isinstance(result, Outcome):
            found.append(_why(result))
            continue
        item = result
        try:
            if item.format is not Format.FTS:
                if as_stream is None:
                    found.append(f"given as {item.format.value}")
                    continue
                item = as_stream(item)
            found.append(b"".join(item.content.pieces()))
        except ItemError as error:
            found.append(error.message)
        finally:
            result.content.release()
    return found


def _why(outcome: Outcome) -> str:
    if outcome.reason is not None:
        return outcome.reason.value
    return outcome.error.code if isinstance(outcome.error, MigratorError) else "not readable"


def _said(stream: bytes | str) -> str:
    return f"not readable: {stream}" if isinstance(stream, str) else f"{len(stream)} octets"

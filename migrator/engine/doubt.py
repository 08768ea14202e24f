"""In doubt: a write left and no answer came. Look, never hope.

How it is looked: before the first write to a folder a mark is taken in the target (`Target.mark`) and made durable. What
arrived there since the mark, less what the ledger accounts for already, are the only target items that an item in doubt
can be. No property has to survive the import for that. Which arrival is which item in doubt is then settled from the
strongest evidence down, in multisets, so that for true duplicates the counts decide:

    1 fingerprint and date received   2 fingerprint   3 Message-ID   4 search key
    5 class, size and date            6 class and size, where the target gave no date or its own
    7 class and size on mail with another date, where the content is seen to be the same

From 5 down the evidence is weak: an arrival that has a Message-ID where the item has none is somebody else's, and where
content can be compared (`Alike`), that decides. An item that is not found is looked for once more after a grace time: a
request whose connection broke may still be at work in the server. Then it surely was not stored.

A wrong "found" loses an item, a wrong "not found" doubles one; so weak evidence needs agreement in everything known.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import datetime, timedelta

from migrator.errors import CheckpointLost, JobError
from migrator.formats.fingerprint import bare_message_id, fingerprint
from migrator.interfaces import Clock, Target
from migrator.ledger.records import Entry
from migrator.model import Checkpoint, Folder, ItemRef, Kind
from migrator.record import record

Alike = Callable[[str, str], bool | None]
"""(source id, target id) → whether both hold the same content; None where that cannot be told."""

GRACE_S = 3.0
_PAGES_MOST = 100_000
_SECOND = timedelta(seconds=1)


@record
class Evidence:
    """What is known of an item on either side."""

    id: str
    version: str
    kind: Kind
    item_class: str = ""
    message_id: str = ""
    fingerprint: bytes = b""
    search_key: bytes = b""
    size: int | None = None
    received: datetime | None = None
    seen: bool | None = None


def of_ref(ref: ItemRef) -> Evidence:
    return Evidence(
        ref.id,
        ref.version,
        ref.kind,
        ref.item_class.casefold(),
        bare_message_id(ref.message_id),
        ref.fingerprint or fingerprint(ref),
        ref.search_key,
        ref.size,
        ref.received,
        ref.seen,
    )


def of_entry(entry: Entry) -> Evidence:
    return of_ref(entry.ref(()))


@record
class Wanted:
    """An item in doubt. replaces: the target item (id, version) that the write was to overwrite, if it was an update."""

    evidence: Evidence
    replaces: tuple[str, str] | None = None


@record
class Found:
    """By source id: the target item's id and version. mark: lists what arrives after this look."""

    found: Mapping[str, tuple[str, str]]
    mark: Checkpoint | None
    waited: bool


def look(
    wanted: Sequence[Wanted],
    target: Target,
    folder: Folder,
    mark: Checkpoint | None,
    claimed: set[str],
    clock: Clock,
    *,
    grace_s: float = GRACE_S,
    alike: Alike | None = None,
) -> Found:
    """Look for items in doubt in a folder of the target. Nothing may be under way to this folder meanwhile.

    claimed: target ids in this folder that the ledger accounts for. Reads only.
    """
    arrivals: dict[str, ItemRef] = {}
    creates = [one.evidence for one in wanted if one.replaces is None]
    updates = {one.evidence.id: one.replaces for one in wanted if one.replaces is not None}
    waited = False
    while True:
        mark = _arrivals(target, folder, mark, arrivals)
        found: dict[str, tuple[str, str]] = {}
        for source_id, (target_id, version) in updates.items():
            now = arrivals.get(target_id)
            if now is not None and now.version != version:
                found[source_id] = (now.id, now.version)
        free = [of_ref(ref) for ref in arrivals.values() if ref.id not in claimed]
        pairs = match(creates, free, alike)
        found |= {source_id: (there.id, there.version) for source_id, there in pairs.items()}
        if len(found) == len(wanted) or waited:
            return Found(found, mark, waited)
        clock.sleep(grace_s)
        waited = True


def _arrivals(
    target: Target, folder: Folder, mark: Checkpoint | None, into: dict[str, ItemRef]
) -> Checkpoint | None:
    for _ in range(_PAGES_MOST):
        try:
            page = target.page(folder, mark)
        except CheckpointLost:
            if mark is None:
                raise
            mark = None  # all of the folder then: what the ledger does not account for and matches is ours
            continue
        for ref in page.refs:
            if ref.gone:
                into.pop(ref.id, None)
            else:
                into[ref.id] = ref
        mark = page.checkpoint
        if page.last:
            return mark
    raise JobError("the target's listing of a folder does not end", code="no_progress")


def match(
    wanted: Sequence[Evidence], there: Sequence[Evidence], alike: Alike | None = None
) -> dict[str, Evidence]:
    """Pair items with target items, each with at most one. Returns source id → target item."""
    pairs: dict[str, Evidence] = {}
    left = {one.id: one for one in wanted}
    free = {one.id: one for one in there}
    for key in (_print_and_date, _print, _message_id, _search_key):
        if left and free:
            _strong(left, free, key, pairs, alike)
    if left and free:
        _weak(left, free, pairs, alike)
    return pairs


def _print_and_date(one: Evidence) -> Hashable:
    if not one.fingerprint or one.received is None:
        return None
    return (one.fingerprint, int(one.received.timestamp()))


def _print(one: Evidence) -> Hashable:
    return one.fingerprint or None


def _message_id(one: Evidence) -> Hashable:
    return one.message_id or None


def _search_key(one: Evidence) -> Hashable:
    return one.search_key or None


def _strong(
    left: dict[str, Evidence],
    free: dict[str, Evidence],
    key: Callable[[Evidence], Hashable],
    pairs: dict[str, Evidence],
    alike: Alike | None,
) -> None:
    groups: dict[Hashable, tuple[list[Evidence], list[Evidence]]] = defaultdict(lambda: ([], []))
    for one in left.values():
        if (name := key(one)) is not None:
            groups[name][0].append(one)
    for one in free.values():
        if (name := key(one)) is not None and name in groups:
            groups[name][1].append(one)
    for ours, theirs in groups.values():
        if ours and theirs:
            # Same evidence, other content (a sent and a received copy, say): who is who matters as soon as one is missing.
            judge = alike if len(ours) > len(theirs) and len(set(map(_look_of, ours))) > 1 else None
            _pair(ours, theirs, left, free, pairs, judge)


def _weak(
    left: dict[str, Evidence], free: dict[str, Evidence], pairs: dict[str, Evidence], alike: Alike | None
) -> None:
    # In the last round nothing but size and class speaks for a pair: content must be seen to be the same.
    for dated, proof in ((True, False), (False, False), (False, True)):
        if proof and alike is None:
            return
        candidates = [
            (_distance(one, other), one, other)
            for one in left.values()
            for other in free.values()
            if _may_be(one, other, dated, proof)
        ]
        candidates.sort(key=lambda candidate: (candidate[0], candidate[1].id, candidate[2].id))
        for _, one, other in candidates:
            if one.id not in left or other.id not in free:
                continue
            if alike is not None:
                same = alike(one.id, other.id)
                if same is False or (proof and same is None):
                    continue
            pairs[one.id] = other
            del left[one.id], free[other.id]


def _pair(
    ours: list[Evidence],
    theirs: list[Evidence],
    left: dict[str, Evidence],
    free: dict[str, Evidence],
    pairs: dict[str, Evidence],
    judge: Alike | None,
) -> None:
    """Nearest first, until one side is used up."""
    candidates = sorted(
        ((_distance(one, other), n, m) for n, one in enumerate(ours) for m, other in enumerate(theirs)),
    )
    if judge is not None:
        agreed = [(d, n, m) for d, n, m in candidates if judge(ours[n].id, theirs[m].id)]
        candidates = agreed + candidates
    used_ours: set[int] = set()
    used_theirs: set[int] = set()
    for _, n, m in candidates:
        if n in used_ours or m in used_theirs:
            continue
        used_ours.add(n)
        used_theirs.add(m)
        pairs[ours[n].id] = theirs[m]
        del left[ours[n].id], free[theirs[m].id]


def _look_of(one: Evidence) -> Hashable:
    return (one.item_class, one.size, one.received, one.seen)


def _distance(one: Evidence, other: Evidence) -> tuple[int, int, int, int]:
    """How unlike two items are that have the same evidence: class, date, read state, size."""
    dates = (
        0
        if one.received is None or other.received is None
        else int(abs(one.received - other.received) > _SECOND)
    )
    seen = 0 if one.seen is None or other.seen is None else int(one.seen is not other.seen)
    size = 0 if one.size is None or other.size is None else abs(one.size - other.size)
    return (int(one.item_class != other.item_class), dates, seen, size)


def _may_be(one: Evidence, other: Evidence, dated: bool, proof: bool) -> bool:
    """Weak evidence: nothing speaks against it, and date (or its absence) and size speak for it."""
    if one.kind is not other.kind or (
        one.item_class and other.item_class and one.item_class != other.item_class
    ):
        return False
    if other.message_id:  # equal ones were paired before; the import makes none of its own
        return False
    if not _near(one.size, other.size):
        return False
    if one.received is None or other.received is None:
        return not dated
    same = abs(one.received - other.received) <= _SECOND
    if dated:
        return same
    # A target may stamp its own time of arrival on items of these kinds. On mail it keeps the date or shows none, as far as
    # is known; where it does not, content decides.
    return same or one.kind is not Kind.MAIL or proof


def _near(one: int | None, other: int | None) -> bool:
    """Sizes are counted differently by every system: a fifth and 8 KiB are allowed for."""
    if one is None or other is None:
        return True
    return abs(one - other) <= max(one, other) // 5 + 8192

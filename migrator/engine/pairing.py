"""Which target items are copies of which source items, with no ledger to ask: from the strongest evidence down, in multisets.

    1 fingerprint of items with a Message-ID, and date received
    2 fingerprint of items with a Message-ID
    3 Message-ID, also where the two systems call the item another kind
    4 search key
    5 kind, subject, both dates            where one side has no Message-ID, or has lost it
    6 kind, subject, date sent             where the target stamps a date of its own
    7 kind, subject, date received
    8 content: the texts of both are the same, then all that counts is compared (`engine.rebuild` reads them)

A fingerprint of subject and dates is not enough by itself: a copy that has lost its Message-ID has the same one as another
item of that subject and those dates. Two different Message-IDs are never one item. Of true duplicates each is paired with a copy of its own: two at the source and
one in the target leave one to be copied. Where a group holds more source items than copies and they are not alike, content
decides which of them is there.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import field
from datetime import datetime

from migrator.formats.fingerprint import bare_message_id, fingerprint
from migrator.model import Fingerprint, ItemRef, Kind
from migrator.record import record

CLOSEST_MOST = 64
"""Groups of one evidence up to this size are paired by who is nearest to whom, larger ones in their order."""
COMPARED_MOST = 20_000
"""Pairs of a folder whose content is compared one with one, where not even their texts tell them apart."""

SUBJECT_MOST = 200


@record
class Known:
    """What listing tells of an item of either side. place: the source folder's id, or the target folder's."""

    id: str
    version: str
    place: str
    kind: Kind
    item_class: str
    message_id: str
    print: Fingerprint
    search_key: bytes
    subject: str
    sent: int | None
    received: int | None
    size: int | None
    seen: bool | None
    associated: bool


def known(ref: ItemRef, place: str) -> Known:
    return Known(
        ref.id,
        ref.version,
        place,
        ref.kind,
        ref.item_class.casefold(),
        bare_message_id(ref.message_id),
        ref.fingerprint or fingerprint(ref),
        ref.search_key,
        _subject(ref.subject),
        _second(ref.sent),
        _second(ref.received),
        ref.size,
        ref.seen,
        ref.associated,
    )


def _subject(text: str) -> str:
    """As both systems tell it: blanks and the length that they keep differ, and undecoded octets mean that it is not known."""
    return "" if "\ufffd" in text else " ".join(text.split())[:SUBJECT_MOST]


def _second(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())


Alike = Callable[[Known, Known], bool | None]
"""(source item, target item) → whether both hold the same content; None where that cannot be told."""
Sketch = Callable[[Sequence[Known]], Sequence[bytes | None]]
"""Items of one side → for each a digest of its texts; None for what cannot be read."""


@record(frozen=False)
class Pairs:
    """found: source id → target item. by: evidence → pairs. unclear: source items that may be there or not."""

    found: dict[str, Known] = field(default_factory=dict)
    by: dict[str, int] = field(default_factory=dict)
    unclear: int = 0


def _print_and_date(one: Known) -> Hashable:
    return (one.print, one.received) if one.message_id and one.received is not None else None


def _print(one: Known) -> Hashable:
    return one.print if one.message_id else None


def _message_id(one: Known) -> Hashable:
    return (one.message_id, one.associated) if one.message_id else None


def _search_key(one: Known) -> Hashable:
    return one.search_key or None


def _dates(one: Known) -> Hashable:
    if not one.subject or one.sent is None or one.received is None:
        return None
    return (one.kind, one.associated, one.subject, one.sent, one.received)


def _sent(one: Known) -> Hashable:
    return (one.kind, one.associated, one.subject, one.sent) if one.subject and one.sent is not None else None


def _received(one: Known) -> Hashable:
    if not one.subject or one.received is None:
        return None
    return (one.kind, one.associated, one.subject, one.received)


_BY_MESSAGE_ID = (("message_id", _print_and_date), ("message_id", _print), ("message_id", _message_id))
_BY_LISTING = (
    *_BY_MESSAGE_ID,
    ("search_key", _search_key),
    ("dates", _dates),
    ("dates", _sent),
    ("dates", _received),
)


class Pairing:
    """One target folder and the source folders that go there. Items that were paired leave `ours` and `theirs`."""

    def __init__(
        self, ours: Iterable[Known], theirs: Iterable[Known], alike: Alike | None, pairs: Pairs
    ) -> None:
        self.ours = {one.id: one for one in ours}
        self.theirs = {one.id: one for one in theirs}
        self.pairs = pairs
        self._alike = alike
        # Where the target's listing tells subjects at all, one without a subject has none.
        self._tells_subject = {one.kind for one in self.theirs.values() if one.subject}

    def by_listing(self) -> None:
        for name, key in _BY_LISTING:
            self._round(name, key)

    def by_strong(self) -> None:
        """Strong evidence alone: for items that may lie in another folder."""
        for name, key in (*_BY_MESSAGE_ID, ("dates", _dates)):
            self._round(name, key)

    def _pair(self, one: Known, other: Known, name: str) -> None:
        self.pairs.found[one.id] = other
        self.pairs.by[name] = self.pairs.by.get(name, 0) + 1
        del self.ours[one.id], self.theirs[other.id]

    def _round(self, name: str, key: Callable[[Known], Hashable]) -> None:
        if not self.ours or not self.theirs:
            return
        groups: dict[Hashable, tuple[list[Known], list[Known]]] = {}
        for other in self.theirs.values():
            if (value := key(other)) is not None:
                groups.setdefault(value, ([], []))[1].append(other)
        for one in self.ours.values():
            if (value := key(one)) is not None and value in groups:
                groups[value][0].append(one)
        for mine, there in groups.values():
            if mine and there:
                self._group(name, mine, there)

    def _group(self, name: str, mine: list[Known], there: list[Known]) -> None:
        if len(mine) == len(there) == 1:
            if _may_be(mine[0], there[0]):
                self._pair(mine[0], there[0], name)
            return
        # With fewer copies than items it matters which of them is there. Those of one Message-ID that look alike are alike;
        # without one, the same subject and dates may be on different items.
        unlike = len({(one.item_class, one.size, one.received, one.seen) for one in mine}) > 1
        unclear = len(mine) > len(there) and (unlike or not all(one.message_id for one in mine))
        judge = self._alike if unclear else None
        if max(len(mine), len(there)) > CLOSEST_MOST:
            if judge is None or all(one.message_id for one in mine):
                self._in_order(name, mine, there)
            return  # else by content, where each is read once
        candidates = sorted(
            (_distance(one, other), n, m)
            for n, one in enumerate(mine)
            for m, other in enumerate(there)
            if _may_be(one, other)
        )
        if judge is not None:
            agreed = [one for one in candidates if judge(mine[one[1]], there[one[2]])]
            candidates = [*agreed, *(one for one in candidates if one not in agreed)]
        gone: set[int] = set()
        taken: set[int] = set()
        for _, n, m in candidates:
            if n not in gone and m not in taken:
                gone.add(n)
                taken.add(m)
                self._pair(mine[n], there[m], name)

    def _in_order(self, name: str, mine: list[Known], there: list[Known]) -> None:
        def order(one: Known) -> tuple[str, str, int, int, bool, str]:
            return (
                one.message_id,
                one.item_class,
                one.received or 0,
                one.size or 0,
                bool(one.seen),
                one.id,
            )

        for one, other in zip(sorted(mine, key=order), sorted(there, key=order), strict=False):
            if _may_be(one, other):
                self._pair(one, other, name)

    # ------------------------------------------------------------------ content

    def by_content(self, sketch_ours: Sketch, sketch_theirs: Sketch) -> None:
        """Read what listing does not tell apart. Raises what reading raises."""
        if self._alike is None:
            self.pairs.unclear += len(self._plausible()[0])
            return
        ours, theirs = self._plausible()
        if not ours:
            return
        groups: dict[bytes, list[Known]] = defaultdict(list)
        unread = 0
        for other, digest in zip(theirs, sketch_theirs(theirs), strict=True):
            if digest is None:
                unread += 1
            else:
                groups[digest].append(other)
        blind: list[Known] = []
        for one, digest in zip(ours, sketch_ours(ours), strict=True):
            if digest is None:
                blind.append(one)
                continue
            for other in groups.get(digest, ())[:CLOSEST_MOST]:
                if _may_be(one, other) and self._alike(one, other):
                    self._pair(one, other, "content")
                    groups[digest].remove(other)
                    break
        self._one_with_one([one for one in ours if one.id in self.ours], theirs)
        if unread:  # a target item that cannot be read may be the copy of any of these
            self.pairs.unclear += sum(one.id in self.ours for one in ours)
        else:
            self.pairs.unclear += sum(one.id in self.ours for one in blind)

    def _plausible(self) -> tuple[list[Known], list[Known]]:
        """Those that nothing in the listing speaks against."""
        sizes: dict[tuple[Kind, bool], list[int]] = defaultdict(list)
        for other in self.theirs.values():
            sizes[other.kind, other.associated].append(-1 if other.size is None else other.size)
        for found in sizes.values():
            found.sort()
        subjects = {(other.kind, other.subject) for other in self.theirs.values()}
        with_id = {(other.kind, not other.message_id) for other in self.theirs.values()}
        ours = [
            one
            for one in self.ours.values()
            if (not one.message_id or (one.kind, True) in with_id)
            and (
                one.kind not in self._tells_subject or not one.subject or (one.kind, one.subject) in subjects
            )
            and _size_there(one.size, sizes.get((one.kind, one.associated), []))
        ]
        kinds = {(one.kind, one.associated) for one in ours}
        own = {(one.kind, one.subject) for one in ours}
        blank = {one.kind for one in ours if not one.subject}
        unnamed = {one.kind for one in ours if not one.message_id}
        theirs = [
            other
            for other in self.theirs.values()
            if (other.kind, other.associated) in kinds
            and (not other.subject or (other.kind, other.subject) in own or other.kind in blank)
            and (not other.message_id or other.kind in unnamed)
        ]
        return ours, theirs

    def _one_with_one(self, ours: list[Known], theirs: list[Known]) -> None:
        assert self._alike is not None
        left = [other for other in theirs if other.id in self.theirs]
        candidates = [
            (_distance(one, other), one, other)
            for one in ours[:COMPARED_MOST]
            for other in left[:COMPARED_MOST]
            if _may_be(one, other) and _near(one.size, other.size) and _same_subject(one, other)
        ][: 4 * COMPARED_MOST]
        candidates.sort(key=lambda one: (one[0], one[1].id, one[2].id))
        tried: set[str] = set()
        for _, one, other in candidates[:COMPARED_MOST]:
            if one.id not in self.ours or other.id not in self.theirs:
                continue
            if self._alike(one, other):
                self._pair(one, other, "content")
            tried.add(one.id)
        self.pairs.unclear += len({one.id for _, one, _ in candidates[COMPARED_MOST:]} - tried)


def _may_be(one: Known, other: Known) -> bool:
    if one.associated is not other.associated:
        return False
    return not (one.message_id and other.message_id) or one.message_id == other.message_id


def _same_subject(one: Known, other: Known) -> bool:
    return not one.subject or not other.subject or one.subject == other.subject


def _distance(one: Known, other: Known) -> tuple[int, int, int, int]:
    """How unlike two items are that have the same evidence: class, date, read state, size."""
    dates = 0 if one.received is None or other.received is None else int(one.received != other.received)
    seen = 0 if one.seen is None or other.seen is None else int(one.seen is not other.seen)
    size = 0 if one.size is None or other.size is None else abs(one.size - other.size)
    return (int(one.item_class != other.item_class), dates, seen, size)


def _near(one: int | None, other: int | None) -> bool:
    """Sizes are counted differently by every system: half to double, and 16 KiB either way."""
    if one is None or other is None:
        return True
    return one / 2 - 16_384 <= other <= one * 2 + 16_384


def _size_there(size: int | None, sizes: Sequence[int]) -> bool:
    """sizes: in order; -1 is one that nobody knows."""
    if not sizes:
        return False
    if size is None or sizes[0] == -1:
        return True
    return bisect_left(sizes, size / 2 - 16_384) < bisect_right(sizes, size * 2 + 16_384)

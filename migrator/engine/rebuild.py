"""The ledger is lost: what of a mailbox is in the target already is found out by looking, and written into a new one.

For every source folder the target's folder is listed, and its items are paired with the source's (`engine.pairing`). What
is found counts as present: that it was this project which wrote it is no longer known, so `undo` never touches it. What is
not found is left to the next run. Nothing is written to the target but folders of a role that it does not have yet.

An item found in another folder of the target than the one it would go to (moved since, on either side) counts as present
where strong evidence speaks for it, and is told.

Works on a ledger that is only old (restored from a backup) as well: what it knows is kept, the rest is looked for.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import field, replace
from hashlib import blake2b

import pybase64

from migrator.engine.decide import BY_SETTINGS
from migrator.engine.job import refuse_blockers
from migrator.engine.pairing import Known, Pairing, Pairs, known
from migrator.engine.portions import batches, listed, parts
from migrator.engine.tools import MapFolders, SameContent
from migrator.engine.verify import AsStream, streams_of
from migrator.errors import ItemError, MigratorError
from migrator.formats.fingerprint import fingerprint
from migrator.interfaces import Reader, Source, Target
from migrator.ledger import Entry, Lease, Ledger
from migrator.mapi import fasttransfer
from migrator.mapi.item import Message
from migrator.model import (
    Folder,
    FolderPath,
    Format,
    ItemRef,
    Job,
    Outcome,
    State,
)
from migrator.plan.filters import decide_folder, roles_of
from migrator.plan.folders import Place
from migrator.record import record
from migrator.settings import RunSettings

log = logging.getLogger(__name__)

PART = 400
EXPORT_ITEMS = 20
EXPORT_OCTETS = 8 << 20
ELSEWHERE_MOST = 1000
"""Items in other folders that are named one by one, per mailbox."""


@record
class Elsewhere:
    """An item that is in another folder of the target than it would go to."""

    path: FolderPath
    target_path: FolderPath
    message_id: str


@record(frozen=False)
class Rebuilt:
    """Counts are items. by: evidence → found. missing: not in the target; the next run copies them. others: in the target's
    folders and not the source's. unclear: of the missing ones, those that may be there all the same."""

    job: Job
    source: int = 0
    known: int = 0  # in the ledger before
    found: int = 0
    missing: int = 0
    others: int = 0
    unclear: int = 0
    by: dict[str, int] = field(default_factory=dict)
    elsewhere: list[Elsewhere] = field(default_factory=list)
    elsewhere_items: int = 0
    error: str = ""
    code: str = ""
    remedy: str = ""


def rebuild_mailbox(
    job: Job,
    source: Source,
    target: Target,
    ledger: Ledger,
    lease: Lease,
    settings: RunSettings,
    map_folders: MapFolders,
    *,
    same: SameContent | None = None,
    as_stream: AsStream | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Rebuilt:
    """Look through one mailbox pair. same, as_stream: how content is compared; without them only listing counts.

    Raises what source, target and ledger raise; what was found till then is written down.
    """
    work = _Rebuilding(job, source, target, ledger, lease, settings, same, as_stream, stopped)
    work.run(map_folders)
    return work.told


class _Rebuilding:
    def __init__(
        self,
        job: Job,
        source: Source,
        target: Target,
        ledger: Ledger,
        lease: Lease,
        settings: RunSettings,
        same: SameContent | None,
        as_stream: AsStream | None,
        stopped: Callable[[], bool],
    ) -> None:
        self.job = job
        self.source = source
        self.target = target
        self.ledger = ledger
        self.lease = lease
        self.settings = settings
        self.same = same
        self.as_stream = as_stream
        self.stopped = stopped
        self.told = Rebuilt(job)
        self.paths: dict[str, FolderPath] = {}  # of source and target folders, by id
        self.left_ours: list[Known] = []
        self.left_theirs: list[Known] = []
        self.refs: dict[
            str, tuple[str, ItemRef]
        ] = {}  # source items that are not found yet, with their folder's id
        self.streams = _Streams()

    def run(self, map_folders: MapFolders) -> None:
        ours, theirs = self.source.probe(), self.target.probe()
        refuse_blockers("source", ours)
        refuse_blockers("target", theirs)
        self.ledger.bind(
            self.lease,
            source_identity=ours.identity,
            target_identity=theirs.identity,
            force="identity_changed" in self.settings.force,
        )
        folders = self.source.folders()
        listed = self.target.folders()
        places = map_folders(folders, listed)
        roles = roles_of(folders)
        there = _There(listed)
        groups: dict[str, list[tuple[Folder, Folder]]] = defaultdict(list)
        for folder in folders:
            skipped = decide_folder(folder, self.settings, roles)
            place = places[folder.id]
            found = None
            if skipped is None and there.may_hold(place):
                found = self._ensured(folder, place)
            self.ledger.put_folder(self.lease, folder, found, skipped=skipped)
            self.paths[folder.id] = folder.path
            if skipped is None:
                groups[found.id if found else ""].append((folder, found or folder))
                if found is not None:
                    self.paths[found.id] = found.path
        claimed = self._claimed()
        for target_id, pairs in groups.items():
            if self.stopped():
                return
            self._folder(target_id, pairs, claimed)
        self._elsewhere()
        self.told.missing = len(self.left_ours)
        self.told.others = len(self.left_theirs)
        self.ledger.flush()

    def _ensured(self, folder: Folder, place: Place) -> Folder | None:
        try:
            return self.target.ensure_folder(
                place.path, folder.kind, folder_class=folder.folder_class, role=place.role
            )
        except ItemError as error:
            log.info("job %s: a folder is refused by the target: %s", self.job.id, error.code)
            return None

    def _claimed(self) -> set[str]:
        claimed: set[str] = set()
        for row in self.ledger.folders(self.job.id):
            claimed |= self.ledger.claimed_targets(self.job.id, row.source_id)
        return claimed

    # ------------------------------------------------------------------ folders

    def _folder(self, target_id: str, pairs: Sequence[tuple[Folder, Folder]], claimed: set[str]) -> None:
        """Pair what lies in one target folder with the source folders that go there."""
        ours: list[Known] = []
        for folder, _ in pairs:
            for refs in parts(listed(self.source, folder), PART):
                entries = self.ledger.entries(self.job.id, refs)
                self.told.source += len(refs)
                for ref in refs:
                    entry = entries.get(ref.id)
                    if entry is not None and not _open(entry):
                        self.told.known += 1
                        continue
                    self.refs[ref.id] = (folder.id, ref)
                    ours.append(known(ref, folder.id))
        theirs: list[Known] = []
        if target_id:
            place = pairs[0][1]
            theirs = [known(ref, target_id) for ref in listed(self.target, place) if ref.id not in claimed]
        found = Pairs()
        pairing = Pairing(ours, theirs, self._alike if self.same is not None else None, found)
        pairing.by_listing()
        if pairing.ours and pairing.theirs:
            pairing.by_content(
                lambda items: self._sketches(self.source, items),
                lambda items: self._sketches(self.target, items),
            )
        self._settle(found)
        self.told.unclear += found.unclear
        self.left_ours += pairing.ours.values()
        self.left_theirs += pairing.theirs.values()

    def _elsewhere(self) -> None:
        """Moved since, by somebody on either side: strong evidence counts wherever the item lies."""
        found = Pairs()
        pairing = Pairing(self.left_ours, self.left_theirs, None, found)
        pairing.by_strong()
        for source_id, other in found.found.items():
            _, ref = self.refs[source_id]
            self.told.elsewhere_items += 1
            if len(self.told.elsewhere) < ELSEWHERE_MOST:
                self.told.elsewhere.append(
                    Elsewhere(ref.folder, self.paths.get(other.place, ()), ref.message_id)
                )
        self._settle(found)
        self.left_ours = list(pairing.ours.values())
        self.left_theirs = list(pairing.theirs.values())

    def _settle(self, pairs: Pairs) -> None:
        by_folder: dict[str, list[Outcome]] = defaultdict(list)
        for source_id, other in pairs.found.items():
            folder_id, ref = self.refs.pop(source_id)
            ref = ref if ref.fingerprint else replace(ref, fingerprint=fingerprint(ref))
            by_folder[folder_id].append(Outcome(ref, State.PRESENT, other.id, other.version))
        for folder_id, outcomes in by_folder.items():
            for start in range(0, len(outcomes), PART):
                self.ledger.settle(self.lease, folder_id, outcomes[start : start + PART])
        self.told.found += len(pairs.found)
        for name, items in pairs.by.items():
            self.told.by[name] = self.told.by.get(name, 0) + items

    # ------------------------------------------------------------------ content

    def _ref(self, one: Known) -> ItemRef:
        """An item of either side, so that it can be exported."""
        if one.id in self.refs and self.refs[one.id][0] == one.place:
            return self.refs[one.id][1]
        return ItemRef(one.id, self.paths.get(one.place, ()), one.kind, one.version, size=one.size)

    def _alike(self, one: Known, other: Known) -> bool | None:
        assert self.same is not None
        mine = self._stream(self.source, one)
        there = self._stream(self.target, other)
        if mine is None or there is None:
            return None
        return True if mine == there else self.same(mine, there)

    def _stream(self, box: Reader, one: Known) -> bytes | None:
        key = (one.place, one.id)
        if key in self.streams:
            return self.streams.get(key)
        (found,) = streams_of(box, [self._ref(one)], self.as_stream)
        stream = None if isinstance(found, str) else found
        self.streams.put(key, stream)
        return stream

    def _sketches(self, box: Reader, items: Sequence[Known]) -> list[bytes | None]:
        if Format.FTS not in box.traits.formats and self.as_stream is None:
            return [None] * len(items)
        most = max(1, min(EXPORT_ITEMS, box.traits.export_items))
        found: list[bytes | None] = []
        for batch in batches(items, lambda one: one.size or 65_536, items=most, octets=EXPORT_OCTETS):
            if self.stopped():
                return found + [None] * (len(items) - len(found))
            streams = streams_of(box, [self._ref(one) for one in batch], self.as_stream)
            for one, stream in zip(batch, streams, strict=True):
                self.streams.put((one.place, one.id), None if isinstance(stream, str) else stream)
                found.append(None if isinstance(stream, str) else sketch(stream))
        return found


_TEXTS = (0x001A, 0x0037, 0x1000, 0x3001, 0x3A06, 0x3A11, 0x3A16)
"""Class, subject, body, display name, given name, surname, company: texts that no import is known to touch."""


def sketch(stream: bytes) -> bytes | None:
    """A digest of an item's main texts, equal for copies; None for a stream that cannot be read.

    It only says who is worth comparing: different items may have the same one.
    """
    try:
        message = fasttransfer.read(pybase64.b64decode(stream, validate=True))
    except (MigratorError, ValueError):
        return None
    digest = blake2b(digest_size=16)
    for text in _texts(message):
        octets = text.encode("utf-8", "surrogatepass")
        digest.update(len(octets).to_bytes(8) + octets)
    return digest.digest()


def _texts(message: Message) -> Iterator[str]:
    for key in _TEXTS:
        text = message.properties.text(key)
        yield text.casefold() if key == _TEXTS[0] else "\n".join(text.split())
    for attachment in message.attachments:
        yield attachment.properties.text(0x3707) or attachment.properties.text(0x3704)


class _Streams:
    """The streams read last, so that comparing a few items with each other reads each once."""

    MOST = 64 << 20  # octets

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], bytes | None] = {}
        self._octets = 0

    def __contains__(self, key: tuple[str, str]) -> bool:
        return key in self._held

    def get(self, key: tuple[str, str]) -> bytes | None:
        return self._held[key]

    def put(self, key: tuple[str, str], stream: bytes | None) -> None:
        size = len(stream or b"")
        if key in self._held or size > self.MOST // 4:
            return
        self._held[key] = stream
        self._octets += size
        while self._octets > self.MOST:
            oldest = next(iter(self._held))
            self._octets -= len(self._held.pop(oldest) or b"")


def _open(entry: Entry) -> bool:
    """Whether what an old ledger says of an item may have been overtaken: it failed, or was left out by settings."""
    return entry.state is State.FAILED or (entry.state is State.SKIPPED and entry.reason in BY_SETTINGS)


class _There:
    """Whether a place can be in the target already: a folder that must be made first holds nothing."""

    def __init__(self, folders: Iterable[Folder]) -> None:
        self._roles = {folder.role: folder.path for folder in folders if folder.role is not None}
        self._paths = {_flat(folder.path) for folder in folders}

    def may_hold(self, place: Place) -> bool:
        if place.role is not None and place.role not in self._roles:
            return True  # a plain folder may stand in for it: the target knows
        base = self._roles[place.role] if place.role is not None else ()
        return _flat((*base, *place.path)) in self._paths or not place.path


def _flat(path: FolderPath) -> FolderPath:
    return tuple(name.casefold() for name in path)

"""Folders of a mailbox, pages of a folder, and what changed since.

A checkpoint's token is `<state>;<UIDVALIDITY>;<last UID>;<MODSEQ>;<digest>;<UIDs>`:

    state "p"   in the midst of a first listing: go on above last UID; MODSEQ is what held when it began
    state "c"   complete: everything up to last UID has been told; digest and UIDs only where the server itself cannot tell
                what changed (no CONDSTORE) and what went (no QRESYNC)

Facts this module rests on:
- a UID is never given twice while UIDVALIDITY stays; a new UIDVALIDITY makes all UIDs void (RFC 3501 2.3.1.1)
- FETCH … (CHANGEDSINCE n VANISHED) lists what changed and what went, on connections that enabled QRESYNC (RFC 7162 3.2.6)
- a folder's STATUS with equal UIDNEXT and HIGHESTMODSEQ means that nothing happened there (RFC 7162 3.1.2); one LIST can
  carry it for every folder (RFC 5819)
- LIST … RETURN (SUBSCRIBED) marks what is subscribed (RFC 5258 3); LSUB lists it everywhere (RFC 3501 6.3.9)
- Gmail shows a message in the folder of each of its labels, and every one in All Mail; X-GM-LABELS tells which
  (developers.google.com/gmail/imap/imap-extensions)
- `n:*` always names the last message, even when its UID is below n (RFC 3501 6.4.8)
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from email.errors import MessageError
from email.header import decode_header, make_header
from email.utils import parsedate_to_datetime

from migrator.adapters.imap import faults
from migrator.adapters.imap.client import Handle
from migrator.adapters.imap.grammar import (
    Garbled,
    Piece,
    Value,
    compact,
    decode_name,
    expand,
    number_of,
    pairs,
    parse_date,
    sets,
    shown,
    text_of,
    values,
)
from migrator.adapters.imap.names import VIEWS, Naming, role_of, usual_role
from migrator.adapters.imap.wire import Selected, Tagged, Wire, status_codes
from migrator.errors import CheckpointLost, Throttled
from migrator.formats.fingerprint import fingerprint_of
from migrator.model import Checkpoint, Flag, Folder, FolderPath, ItemRef, Kind, Page, Role
from migrator.record import record

SCHEME = "imap-uid/1"
STATUS_FRESH_S = 30.0
HEADERS = b"BODY.PEEK[HEADER.FIELDS (MESSAGE-ID SUBJECT DATE)]"
LISTED = b"(UID FLAGS INTERNALDATE RFC822.SIZE " + HEADERS + b")"

_FAST = re.compile(
    rb'\* \d+ FETCH \(UID (\d+)(?: MODSEQ \(\d+\))? FLAGS \(([^)]*)\) INTERNALDATE "([^"]*)" RFC822\.SIZE (\d+)'
    rb"(?: MODSEQ \(\d+\))? BODY\[HEADER\.FIELDS \([^)]*\)\] \{\d+\}\r\n"
)
_FIELD = re.compile(rb"^(subject|date|message-id):(.*(?:\r?\n[ \t].*)*)", re.IGNORECASE | re.MULTILINE)

FLAGS = {
    b"\\seen": Flag.SEEN,
    b"\\draft": Flag.DRAFT,
    b"\\flagged": Flag.FLAGGED,
    b"\\answered": Flag.ANSWERED,
    b"$forwarded": Flag.FORWARDED,
}


@record
class Marks:
    """A message's flags. version: equal as long as they are."""

    version: str
    flags: frozenset[Flag]
    keywords: tuple[str, ...]  # everything beyond the five: keywords, \\Deleted
    seen: bool
    draft: bool


_MARKS: dict[bytes, Marks] = {}


def marks_of(text: bytes) -> Marks:
    """Out of what stands between FLAGS' parentheses."""
    known = _MARKS.get(text)
    if known is None:
        words = sorted(
            {word for word in text.split() if word.lower() != b"\\recent"}, key=lambda word: word.lower()
        )
        flags = frozenset(FLAGS[word.lower()] for word in words if word.lower() in FLAGS)
        rest = tuple(word.decode("ascii", "replace") for word in words if word.lower() not in FLAGS)
        known = Marks(version_of(words), flags, rest, Flag.SEEN in flags, Flag.DRAFT in flags)
        if len(_MARKS) < 10_000:
            _MARKS[text] = known
    return known


def version_of(words: Iterable[bytes]) -> str:
    """Of flags in their order: readable while short."""
    text = " ".join(sorted(word.decode("ascii", "replace").lower() for word in words))
    if len(text) > 120:
        return "f#" + hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
    return f"f {text}"


def item_id(folder_id: str, uidvalidity: int, uid: int) -> str:
    return f"{uidvalidity}/{uid}/{folder_id}"


def split_id(text: str) -> tuple[str, int, int] | None:
    """(folder id, UIDVALIDITY, UID), or None for what is no id of this adapter."""
    validity, _, rest = text.partition("/")
    uid, slash, folder_id = rest.partition("/")
    if not (
        slash and folder_id and validity.isascii() and validity.isdigit() and uid.isascii() and uid.isdigit()
    ):
        return None
    return folder_id, int(validity), int(uid)


@record
class Status:
    messages: int
    uidnext: int
    uidvalidity: int
    modseq: int


@record(frozen=False)
class Token:
    state: str
    uidvalidity: int
    last: int
    modseq: int
    digest: str = ""
    uids: str = ""

    def checkpoint(self) -> Checkpoint:
        return Checkpoint(
            SCHEME, f"{self.state};{self.uidvalidity};{self.last};{self.modseq};{self.digest};{self.uids}"
        )


def parse_token(after: Checkpoint) -> Token:
    """Raises CheckpointLost for what this adapter has not written."""
    parts = after.token.split(";")
    if after.scheme != SCHEME or len(parts) != 6 or parts[0] not in ("p", "c"):
        raise CheckpointLost("this checkpoint was not made by an IMAP listing")
    if not all(part.isascii() and part.isdigit() for part in parts[1:4]):
        raise CheckpointLost("the checkpoint is damaged")
    return Token(parts[0], int(parts[1]), int(parts[2]), int(parts[3]), parts[4], parts[5])


class Listing:
    """The listing half of a mailbox handle."""

    _trusts_status = True  # a listing of folders speaks for the folder's first page

    def __init__(self, handle: Handle, page_items: int, *, archive_only: bool) -> None:
        """archive_only: of Gmail's All Mail list what is in no other folder."""
        self._handle = handle
        self._archive_only = archive_only
        self._page_items = page_items
        self._status: dict[str, tuple[float, Status]] = {}
        # A list of folders that came with the sign-in: when it was asked for, how its commands ended, and what was told.
        self._early: tuple[float, list[Tagged], list[list[Piece]]] | None = None
        self._names_only: set[str] = set()  # folders that hold folders and nothing else
        self._all_mail: set[str] = set()  # Gmail's folder of everything
        self._courses: dict[str, tuple[int, Sequence[int]]] = {}  # folder id → next UID expected, UIDs left

    # ---- folders

    def naming(self) -> Naming:
        shared = self._handle.shared
        with shared.lock:
            if shared.naming is None:
                shared.naming, shared.foreign = self._handle.reading(self._namespace)
            return shared.naming

    def _namespace(self, wire: Wire) -> tuple[Naming, tuple[str, ...]]:
        """With the list of folders, which is wanted next, in one flight."""
        foreign: list[str] = []
        prefix, separator = "", ""
        if wire.has(b"NAMESPACE"):
            clock = self._handle.client.context.clock
            tag = wire.begin(b"NAMESPACE")
            asked = self._ask_list(wire)
            at = clock.monotonic()
            wire.flush()
            (said,), first = wire.finish(tag)
            answers, untagged = wire.finish(*asked)
            untagged = first + untagged
            self._early = (at, answers, untagged)
            for pieces in untagged:
                line = pieces[0]
                if said.ok and isinstance(line, bytes) and line[:12].upper() == b"* NAMESPACE ":
                    personal, *others = (*values(pieces, 12), None, None)[:3]
                    if personal:
                        prefix = decode_name(text_of(personal[0][0]), utf8=wire.utf8)
                        separator = text_of(personal[0][1]).decode("ascii", "replace")
                    for group in others:
                        foreign += [decode_name(text_of(one[0]), utf8=wire.utf8) for one in group or []]
        if not separator:
            _, untagged = wire.ask(b'LIST "" ""')
            for pieces in untagged:
                line = pieces[0]
                if isinstance(line, bytes) and line[:7].upper() == b"* LIST ":
                    separator = text_of(values(pieces, 7)[1]).decode("ascii", "replace")
        return Naming(separator, prefix), tuple(name for name in foreign if name)

    def folders(self) -> list[Folder]:
        """Every folder of the personal namespace, parents first."""
        naming = self.naming()
        return self._handle.reading(lambda wire: self._folders(wire, naming))

    @staticmethod
    def _ask_list(wire: Wire) -> list[bytes]:
        """Send for the folders; the tags, of which the first counts."""
        returns = []
        extended = wire.has(b"LIST-EXTENDED")
        if extended:
            returns.append(b"SUBSCRIBED")
        if extended and (wire.has(b"SPECIAL-USE") or wire.has(b"CREATE-SPECIAL-USE")):
            returns.append(b"SPECIAL-USE")
        if wire.has(b"LIST-STATUS"):
            returns.append(b"STATUS " + status_items(wire))
        command = b'LIST "" "*"'
        if returns:
            command += b" RETURN (" + b" ".join(returns) + b")"
        tags = [wire.begin(command)]
        if wire.has(b"XLIST") and not wire.has(b"SPECIAL-USE"):
            tags.append(wire.begin(b'XLIST "" "*"'))  # for the roles; where it is refused, usual names tell
        if not extended:
            tags.append(wire.begin(b'LSUB "" "*"'))
        return tags

    def _folders(self, wire: Wire, naming: Naming) -> list[Folder]:
        handle = self._handle
        now = handle.client.context.clock.monotonic()
        early, self._early = self._early, None
        if early is not None and now - early[0] <= STATUS_FRESH_S:
            now, (said, *_), untagged = early
        else:
            tags = self._ask_list(wire)
            wire.flush()
            (said, *_), untagged = wire.finish(*tags)
        if not said.ok:
            raise faults.about_folder(said, handle.who, "*")
        listed: dict[str, set[bytes]] = {}
        subscribed: set[str] = set()
        statuses: dict[str, Status] = {}
        for pieces in untagged:
            line = pieces[0]
            assert isinstance(line, bytes)
            head = line[:9].upper()
            if head.startswith((b"* LIST ", b"* XLIST ")):  # in any case of letters
                attributes, _, name, *_ = values(pieces, head.index(b"LIST ") + 5)
                words = {text_of(word).upper() for word in attributes}
                # XLIST calls the Inbox by its name in the user's language; to SELECT it is INBOX as ever.
                decoded = "INBOX" if b"\\INBOX" in words else decode_name(text_of(name), utf8=wire.utf8)
                listed.setdefault(decoded, set()).update(words)
            elif head.startswith(b"* LSUB "):
                attributes, _, name, *_ = values(pieces, 7)
                if b"\\NOSELECT" not in {text_of(word).upper() for word in attributes}:
                    subscribed.add(decode_name(text_of(name), utf8=wire.utf8))
            elif head == b"* STATUS ":
                name_status = parse_status(pieces, wire.utf8)
                if name_status is not None:
                    statuses[name_status[0]] = name_status[1]
        for name in subscribed & listed.keys():
            listed[name].add(b"\\SUBSCRIBED")
        listed = {
            name: words
            for name, words in listed.items()
            if not any(name.startswith(prefix) for prefix in handle.shared.foreign)
        }
        if not wire.has(b"LIST-STATUS"):
            names = [name for name, words in listed.items() if not words & {b"\\NOSELECT", b"\\NONEXISTENT"}]
            statuses = self._ask_statuses(wire, names, status_items(wire))
            now = handle.client.context.clock.monotonic()
        self._status = {name: (now, status) for name, status in statuses.items()}
        found = _as_folders(listed, statuses, naming, wire)
        selectable = {name for name, words in listed.items() if not words & {b"\\NOSELECT", b"\\NONEXISTENT"}}
        if self._archive_only and wire.has(b"X-GM-EXT-1"):
            self._all_mail = {name for name, words in listed.items() if b"\\ALL" in words}
            # How much of it is nowhere else shows when it is listed.
            found = [replace(one, total=None) if one.id in self._all_mail else one for one in found]
        self._names_only = {folder.id for folder in found} - selectable
        return found

    def _ask_statuses(self, wire: Wire, names: Sequence[str], asked: bytes) -> dict[str, Status]:
        """One STATUS per folder, many under way at once."""
        found: dict[str, Status] = {}
        for start in range(0, len(names), 200):
            tags = [
                wire.begin(b"STATUS ", self._handle.quoted(name), b" " + asked)
                for name in names[start : start + 200]
            ]
            wire.flush()
            _, untagged = wire.finish(*tags)
            for pieces in untagged:
                status = parse_status(pieces, wire.utf8)
                if status is not None:
                    found[status[0]] = status[1]
        return found

    def status(self, wire: Wire, name: str) -> Status | None:
        return self._ask_statuses(wire, [name], status_items(wire)).get(name)

    def know_status(self, name: str, status: Status) -> None:
        """A status that is true now, for the next `mark` or `page`."""
        self._status[name] = (self._handle.client.context.clock.monotonic(), status)

    def _fresh(self, name: str) -> Status | None:
        """The status that listing told a moment ago; used once, so that the next question goes to the server."""
        at, status = self._status.pop(name, (0.0, None))
        if status is None or self._handle.client.context.clock.monotonic() - at > STATUS_FRESH_S:
            return None
        return status

    # ---- selecting

    def select(self, wire: Wire, name: str, *, write: bool = False) -> Selected:
        """Open a folder, unless it is open. Raises Transient, JobError (folder_gone, no_right)."""
        there = wire.selected
        if there is not None and there.name == name and (not write or not there.read_only):
            return there
        tag = wire.begin(b"SELECT " if write else b"EXAMINE ", self._handle.quoted(name))
        wire.flush()
        (said,), untagged = wire.finish(tag)
        return self.selected(wire, name, said, untagged)

    def selected(self, wire: Wire, name: str, said: Tagged, untagged: Sequence[Sequence[Piece]]) -> Selected:
        if not said.ok:
            wire.selected = None
            raise faults.about_folder(said, self._handle.who, name)
        codes = status_codes(untagged)
        there = Selected(name, read_only=said.code == b"READ-ONLY")
        there.uidvalidity = _digits(codes.get(b"UIDVALIDITY"))
        there.uidnext = _digits(codes.get(b"UIDNEXT"))
        there.modseq = 0 if b"NOMODSEQ" in codes else _digits(codes.get(b"HIGHESTMODSEQ"))
        if b"PERMANENTFLAGS" in codes:
            there.flags = frozenset(codes[b"PERMANENTFLAGS"].strip(b"()").lower().split())
        for pieces in untagged:
            line = pieces[0]
            assert isinstance(line, bytes)
            if line.rstrip().upper().endswith(b" EXISTS"):
                there.exists = _digits(line[2:].split()[0])
        wire.selected = there
        return there

    # ---- pages

    def page(self, folder: Folder, after: Checkpoint | None) -> Page:
        token = parse_token(after) if after is not None else None
        if folder.id in self._names_only:
            return Page((), Token("c", 0, 0, 0).checkpoint(), True)
        return self._handle.reading(lambda wire: self._page(wire, folder, token))

    def _page(self, wire: Wire, folder: Folder, token: Token | None) -> Page:
        status = self._fresh(folder.id) if self._trusts_status else None
        quick = quick_page(status, token)
        if quick is not None:
            return quick
        if token is None and status is not None and status.messages <= self._page_items:
            there = wire.selected
            if there is None or there.name != folder.id:
                return self._whole(wire, folder)
        self._between(wire)
        there = self._reselect(wire, folder.id, fresh=token is None or token.state == "c")
        if token is not None and token.uidvalidity != there.uidvalidity:
            raise CheckpointLost("the folder was made anew at the server (its UIDVALIDITY changed)")
        if token is not None and token.state == "c":
            return self._changes(wire, folder, there, token)
        base = token.modseq if token is not None else there.modseq
        return self._forward(wire, folder, there, token.last if token else 0, base, [])

    def _whole(self, wire: Wire, folder: Folder) -> Page:
        """The only page of a folder that is known to be small: opened and listed in one round trip."""
        self._leave(wire)
        examine = wire.begin(b"EXAMINE ", self._handle.quoted(folder.id))
        tags = self._ask_refs(wire, folder, [b"1:*"])
        wire.flush()
        (said,), untagged = wire.finish(examine)
        if not said.ok:
            wire.finish(*tags)
        there = self.selected(wire, folder.id, said, untagged)
        return self._whole_page(wire, folder, there, tags)

    def _whole_page(self, wire: Wire, folder: Folder, there: Selected, tags: Sequence[bytes]) -> Page:
        """What was asked for as "1:*"."""
        refs = self._refs(wire, folder, there, tags, [b"1:*"])
        every = refs if folder.id not in self._all_mail else None
        return self._last_page(wire, folder, there, refs, 0, there.modseq, every=every)

    def _leave(self, wire: Wire) -> None:
        """Before another folder is opened."""
        self._between(wire)

    def _between(self, wire: Wire) -> None:
        """Whatever is still under way on this connection is finished first: overridden by who sends ahead."""

    def _take(self, pieces: Sequence[Piece]) -> None:
        """An untagged response that is no answer to a listing."""

    def _ended(self, wire: Wire, tag: bytes) -> None:
        """A command has ended that was no part of a listing."""

    def _alone_with(self, wire: Wire) -> None:
        """Before a question in the midst of an answer: raises where other commands are under way behind it."""

    def _reselect(self, wire: Wire, name: str, *, fresh: bool) -> Selected:
        """The folder, as it is now where that matters: a state from an earlier SELECT tells no new MODSEQ."""
        there = wire.selected
        if not fresh or there is None or there.name != name:
            return self.select(wire, name)
        write = not there.read_only
        wire.selected = None
        return self.select(wire, name, write=write)

    def _forward(
        self, wire: Wire, folder: Folder, there: Selected, last: int, base: int, before: list[ItemRef]
    ) -> Page:
        """The next page above UID `last`. before: refs that come first on it."""
        left = self._left(wire, folder.id, there, last)
        if left is None:  # few enough to be asked for at once
            refs = self._fetch(wire, folder, there, [b"%d:*" % (last + 1)], last)
            return self._last_page(wire, folder, there, refs, last, base, before)
        part = left[: self._page_items]
        refs = self._fetch(wire, folder, there, list(sets(part)), last) if part else []
        return self._part_page(wire, folder, there, refs, part, left[len(part) :], last, base, before)

    def _part_page(
        self,
        wire: Wire,
        folder: Folder,
        there: Selected,
        refs: list[ItemRef],
        part: Sequence[int],
        left: Sequence[int],
        last: int,
        base: int,
        before: list[ItemRef],
    ) -> Page:
        """A page that was asked for by the UIDs of `part`; those of `left` come on later ones."""
        if part:
            last = part[-1]
        self._courses[folder.id] = (last, left)
        if not left:
            return self._last_page(wire, folder, there, refs, last, base, before)
        if refs:
            last = max(last, _uid(refs[-1]))
        return Page(tuple(before + refs), Token("p", there.uidvalidity, last, base).checkpoint(), False)

    def _last_page(
        self,
        wire: Wire,
        folder: Folder,
        there: Selected,
        refs: Sequence[ItemRef],
        last: int,
        base: int,
        before: Sequence[ItemRef] = (),
        *,
        every: Sequence[ItemRef] | None = None,
    ) -> Page:
        """every: all messages of the folder, where these are known: the server need not be asked again."""
        self._courses.pop(folder.id, None)
        last = max(last, there.uidnext - 1 if there.uidnext else 0, _uid(refs[-1]) if refs else 0)
        return Page((*before, *refs), self._complete(wire, there, last, base, every).checkpoint(), True)

    def _left(self, wire: Wire, folder_id: str, there: Selected, last: int) -> Sequence[int] | None:
        known = self._courses.get(folder_id)
        if known is not None and known[0] == last and known[1]:
            return known[1]
        if there.exists <= self._page_items or (
            there.uidnext and there.uidnext - 1 - last <= self._page_items
        ):
            return None if there.exists and (not there.uidnext or there.uidnext > last + 1) else []
        return [uid for uid in self._search(wire, b"%d:*" % (last + 1)) if uid > last]

    @staticmethod
    def _search(wire: Wire, uids: bytes) -> list[int]:
        found: list[int] = []
        if wire.has(b"ESEARCH"):
            said, untagged = wire.ask(b"UID SEARCH RETURN (ALL) UID " + uids)
        else:
            said, untagged = wire.ask(b"UID SEARCH UID " + uids)
        if not said.ok:
            raise Garbled("a search was refused")
        for pieces in untagged:
            line = pieces[0]
            assert isinstance(line, bytes)
            words = line.split()
            head = words[1].upper() if len(words) > 1 else b""
            if head == b"ESEARCH" and b"ALL" in words:
                found += expand(words[words.index(b"ALL") + 1].decode("ascii", "replace"))
            elif head == b"SEARCH":
                found += [int(word) for word in words[2:] if word.isdigit()]
        return sorted(set(found))

    def _fetch(
        self,
        wire: Wire,
        folder: Folder,
        there: Selected,
        wanted: Sequence[bytes],
        above: int,
        most: int = 1 << 62,
    ) -> list[ItemRef]:
        """Refs of these UIDs, ascending; those at or below `above` or over `most` are left out."""
        tags = self._ask_refs(wire, folder, wanted)
        wire.flush()
        return self._refs(wire, folder, there, tags, wanted, above, most)

    def _ask_refs(self, wire: Wire, folder: Folder, wanted: Sequence[bytes]) -> list[bytes]:
        asked = LISTED[:-1] + b" X-GM-LABELS)" if folder.id in self._all_mail else LISTED
        return [wire.begin(b"UID FETCH " + each + b" ", asked) for each in wanted]

    def _refs(
        self,
        wire: Wire,
        folder: Folder,
        there: Selected,
        tags: Sequence[bytes],
        wanted: Sequence[bytes],
        above: int = 0,
        most: int = 1 << 62,
    ) -> list[ItemRef]:
        everything = folder.id in self._all_mail
        refs: dict[int, ItemRef] = {}
        prefix, suffix = f"{there.uidvalidity}/", f"/{folder.id}"
        waiting = set(tags)
        while waiting:
            response = wire.next()
            if isinstance(response, bytes):
                if response in waiting:
                    waiting.discard(response)
                else:
                    self._ended(wire, response)
                continue
            if everything and _labelled(response):
                continue
            told = _told(response)
            if told is None:
                self._take(response)
            elif above < told[0] <= most:
                refs[told[0]] = _ref(told, prefix, suffix, folder.path)
        said = [wire.done.pop(tag) for tag in tags]
        bad = next((one for one in said if not one.ok), None)
        if bad is not None:
            self._alone_with(wire)
            error = faults.about_folder(bad, self._handle.who, folder.id)
            if isinstance(error, Throttled) or bad.code in (b"UNAVAILABLE", b"INUSE"):
                raise error
            if not everything:  # of Gmail's, what did not come could be in another folder, too
                self._one_by_one_listed(wire, folder, there, wanted, refs, above, most)
            if not refs:
                raise error
        uids = list(refs)
        ordered = sorted(uids)
        return list(refs.values()) if uids == ordered else [refs[uid] for uid in ordered]

    def _one_by_one_listed(
        self,
        wire: Wire,
        folder: Folder,
        there: Selected,
        wanted: Sequence[bytes],
        refs: dict[int, ItemRef],
        above: int,
        most: int,
    ) -> None:
        """A listing that ended with NO told of some only: the others are asked for by themselves, into `refs`.

        What cannot be listed even so is there all the same: a ref that says nothing but its UID, so that it is not forgotten.
        """
        found = sorted({uid for each in wanted for uid in self._search(wire, each)})
        left = [uid for uid in found if above < uid <= most and uid not in refs]
        for start in range(0, len(left), 200):
            asked = {wire.begin(b"UID FETCH %d " % uid, LISTED): uid for uid in left[start : start + 200]}
            wire.flush()
            said, untagged = wire.finish(*asked)
            for pieces in untagged:
                told = _told(pieces)
                if told is not None and told[0] in asked.values():
                    prefix, suffix = f"{there.uidvalidity}/", f"/{folder.id}"
                    refs[told[0]] = _ref(told, prefix, suffix, folder.path)
            for answer, uid in zip(said, asked.values(), strict=True):
                if not answer.ok and answer.code not in (b"EXPUNGEISSUED", b"NONEXISTENT"):
                    name = item_id(folder.id, there.uidvalidity, uid)
                    refs.setdefault(uid, ItemRef(name, folder.path, Kind.MAIL, "unlisted"))

    # ---- deltas

    def _changes(self, wire: Wire, folder: Folder, there: Selected, token: Token) -> Page:
        """What changed or went since a complete listing, and the first of what came."""
        refs: list[ItemRef] = []
        unchanged = bool(there.modseq) and token.modseq == there.modseq
        if not unchanged and token.last:
            if there.modseq and token.modseq:
                changed, gone = self._by_modseq(wire, folder, there, token)
            else:
                changed, gone = self._by_comparison(wire, folder, there, token)
            refs = changed + [
                ItemRef(item_id(folder.id, there.uidvalidity, uid), folder.path, Kind.MAIL, "gone", gone=True)
                for uid in gone
            ]
        if unchanged and there.uidnext == token.last + 1:
            return Page((), token.checkpoint(), True)
        self._courses.pop(folder.id, None)
        return self._forward(wire, folder, there, token.last, there.modseq, refs)

    def _by_modseq(
        self, wire: Wire, folder: Folder, there: Selected, token: Token
    ) -> tuple[list[ItemRef], list[int]]:
        qresync = wire.has(b"QRESYNC")
        uids: list[int] = []
        gone: list[int] = []
        said, untagged = wire.ask(
            b"UID FETCH 1:%d (UID FLAGS) (CHANGEDSINCE %d%s)"
            % (token.last, token.modseq, b" VANISHED" if qresync else b"")
        )
        if not said.ok:
            raise faults.about_folder(said, self._handle.who, folder.id)
        for pieces in untagged:
            line = pieces[0]
            assert isinstance(line, bytes)
            if line[:20].upper() == b"* VANISHED (EARLIER)":
                gone += expand(line[20:].strip().decode("ascii", "replace"))
                continue
            data = fetched(pieces)
            if data is not None and b"UID" in data:
                uids.append(number_of(data[b"UID"]))
        refs: list[ItemRef] = []
        uids = sorted({uid for uid in uids if uid <= token.last})
        for start in range(0, len(uids), 5000):
            part = uids[start : start + 5000]
            refs += self._fetch(wire, folder, there, list(sets(part)), 0, token.last)
        if not qresync:
            now = set(self._search(wire, b"1:%d" % token.last)) if there.exists else set()
            gone = [uid for uid in expand(token.uids) if uid not in now]
        return refs, sorted({uid for uid in gone if uid <= token.last})

    def _by_comparison(
        self, wire: Wire, folder: Folder, there: Selected, token: Token
    ) -> tuple[list[ItemRef], list[int]]:
        digest, uids = self._digest(wire, there, token.last)
        if digest == token.digest:
            return [], []
        now = set(uids)
        gone = [uid for uid in expand(token.uids) if uid not in now]
        refs: list[ItemRef] = []
        for start in range(0, len(uids), 5000):
            refs += self._fetch(wire, folder, there, list(sets(uids[start : start + 5000])), 0, token.last)
        return refs, gone

    def _complete(
        self, wire: Wire, there: Selected, last: int, base: int, every: Sequence[ItemRef] | None = None
    ) -> Token:
        """The checkpoint at the end, with what the server will not be able to tell next time."""
        if there.modseq and wire.has(b"QRESYNC"):
            return Token("c", there.uidvalidity, last, base)
        if every is None:
            self._alone_with(wire)
        if there.modseq:
            if every is not None:
                uids = [_uid(ref) for ref in every]
            else:
                uids = self._search(wire, b"1:%d" % last) if last and there.exists else []
            return Token("c", there.uidvalidity, last, base, "", compact(uids))
        if every is not None:
            digest, uids = _digest_of({_uid(ref): ref.version for ref in every}, last)
        else:
            digest, uids = self._digest(wire, there, last)
        return Token("c", there.uidvalidity, last, base, digest, compact(uids))

    @staticmethod
    def _digest(wire: Wire, there: Selected, last: int) -> tuple[str, list[int]]:
        """Of UIDs and flags up to `last`."""
        versions: dict[int, str] = {}
        if last and there.exists:
            said, untagged = wire.ask(b"UID FETCH 1:%d (UID FLAGS)" % last)
            if not said.ok:
                # Some did not come, which are not gone for that: a search tells.
                versions = dict.fromkeys(Listing._search(wire, b"1:%d" % last), "unlisted")
            for pieces in untagged:
                data = fetched(pieces)
                if data is not None and b"UID" in data and data.get(b"FLAGS") is not None:
                    flags = b" ".join(text_of(word) for word in data[b"FLAGS"])
                    versions[number_of(data[b"UID"])] = marks_of(flags).version
        return _digest_of(versions, last)

    # ---- marks

    def mark(self, folder: Folder) -> Checkpoint:
        status = self._fresh(folder.id)
        if status is not None and status.modseq and b"QRESYNC" in self._handle.shared.capabilities:
            return Token("c", status.uidvalidity, status.uidnext - 1, status.modseq).checkpoint()
        if status is not None and status.uidvalidity and status.uidnext and not status.messages:
            digest = "" if status.modseq else _digest_of({}, 0)[0]
            token = Token("c", status.uidvalidity, status.uidnext - 1, status.modseq, digest)
            return token.checkpoint()  # of nothing, nothing need be asked
        return self._handle.reading(lambda wire: self._mark(wire, folder))

    def _mark(self, wire: Wire, folder: Folder) -> Checkpoint:
        self._between(wire)
        there = self._reselect(wire, folder.id, fresh=True)
        last = (there.uidnext or 1) - 1
        if not there.uidnext and there.exists:
            last = max(self._search(wire, b"1:*"), default=0)
        return self._complete(wire, there, last, there.modseq).checkpoint()


def _digest_of(versions: Mapping[int, str], last: int) -> tuple[str, list[int]]:
    """(digest, UIDs) of UID → version of its flags, up to `last`."""
    uids = sorted(uid for uid in versions if uid <= last)
    hasher = hashlib.blake2b(digest_size=16)
    for uid in uids:
        hasher.update(f"{uid} {versions[uid]}\n".encode())
    return hasher.hexdigest(), uids


def quick_page(status: Status | None, token: Token | None) -> Page | None:
    """An empty last page, when the folder's status alone tells that there is nothing."""
    if status is None or not status.modseq or not status.uidvalidity:
        return None
    if token is None:
        if status.messages or not status.uidnext:
            return None
        return Page((), Token("c", status.uidvalidity, status.uidnext - 1, status.modseq).checkpoint(), True)
    if (
        token.state == "c"
        and token.uidvalidity == status.uidvalidity
        and token.modseq == status.modseq
        and token.last + 1 == status.uidnext
    ):
        return Page((), token.checkpoint(), True)
    return None


def status_items(wire: Wire) -> bytes:
    items = b"MESSAGES UIDNEXT UIDVALIDITY"
    return b"(" + items + (b" HIGHESTMODSEQ)" if wire.has(b"CONDSTORE") or wire.has(b"QRESYNC") else b")")


def parse_status(pieces: Sequence[Piece], utf8: bool) -> tuple[str, Status] | None:
    line = pieces[0]
    if not isinstance(line, bytes) or line[:9].upper() != b"* STATUS ":
        return None
    parts = values(pieces, 9)
    if len(parts) < 2 or not isinstance(parts[-1], list):
        raise Garbled("a STATUS that tells nothing")
    told = pairs(parts[-1])
    return decode_name(text_of(parts[0]), utf8=utf8), Status(
        _digits(told.get(b"MESSAGES")),
        _digits(told.get(b"UIDNEXT")),
        _digits(told.get(b"UIDVALIDITY")),
        _digits(told.get(b"HIGHESTMODSEQ")),
    )


def _digits(value: Value) -> int:
    return int(value) if isinstance(value, bytes) and value.isdigit() else 0


def _uid(ref: ItemRef) -> int:
    return int(ref.id.split("/", 2)[1])


_Told = tuple[int, bytes, bytes, int, bytes]


def _told(pieces: Sequence[Piece]) -> _Told | None:
    """(UID, flags, INTERNALDATE, size, header fields) of an answer to a listing; None for what is none."""
    if len(pieces) == 3:
        found = _FAST.match(pieces[0])  # type: ignore[arg-type]
        head = pieces[1]
        if found is not None and isinstance(head, bytes):
            uid, flags, date, size = found.groups()
            return int(uid), flags, date, int(size), head
    data = fetched(pieces)
    if data is None or b"UID" not in data or b"RFC822.SIZE" not in data:
        return None
    return (
        number_of(data[b"UID"]),
        b" ".join(text_of(word) for word in data.get(b"FLAGS") or []),
        text_of(data.get(b"INTERNALDATE")),
        number_of(data[b"RFC822.SIZE"]),
        text_of(next((data[key] for key in data if key.startswith(b"BODY[HEADER")), b"")),
    )


def _ref(told: _Told, prefix: str, suffix: str, path: FolderPath) -> ItemRef:
    """prefix, suffix: what stands before and behind the UID in the id."""
    uid, flags, date, size, head = told
    marks = _MARKS.get(flags) or marks_of(flags)
    message_id, subject, sent = head_of(head)
    received = parse_date(date)
    return ItemRef(
        f"{prefix}{uid}{suffix}",
        path,
        Kind.MAIL,
        marks.version,
        size or None,
        "IPM.Note",
        received,
        sent,
        None,
        message_id,
        subject,
        marks.seen,
        marks.draft,
        fingerprint=fingerprint_of("mail", message_id, subject, sent, received),
    )


def fetched(pieces: Sequence[Piece]) -> dict[bytes, Value] | None:
    """The data items of a FETCH response; None for any other."""
    line = pieces[0]
    if not isinstance(line, bytes):
        return None
    words = line.split(None, 3)
    if len(words) < 4 or words[2].upper() != b"FETCH":
        return None
    told = values(pieces, line.index(b"(", len(words[0]) + len(words[1]) + 2))
    if len(told) != 1 or not isinstance(told[0], list):
        raise Garbled("a FETCH that is no list")
    return pairs(told[0])


def _labelled(pieces: Sequence[Piece]) -> bool:
    """Whether this message of Gmail's is in another folder, too. Of its own labels two are marks, not places."""
    data = fetched(pieces)
    labels = data.get(b"X-GM-LABELS") if data is not None else None
    return any(
        text_of(label).upper() not in (b"\\IMPORTANT", b"\\STARRED", b"\\MUTED") for label in labels or []
    )


def head_of(head: bytes) -> tuple[str, str, datetime | None]:
    """(Message-ID, subject, date sent) out of header fields. The date is parsed only where nothing better tells items apart."""
    message_id = subject = ""
    sent: datetime | None = None
    date = b""
    folded = b"\n " in head or b"\n\t" in head
    for name, value in (
        _FIELD.findall(head)
        if folded
        else [line.split(b":", 1) for line in head.split(b"\n") if b":" in line]
    ):
        name = name.lower()
        if name == b"message-id":
            message_id = message_id or b" ".join(value.split()).decode("utf-8", "replace")
        elif name == b"subject":
            subject = subject or _words(value.replace(b"\r\n", b"").strip())
        elif name == b"date":
            date = date or b" ".join(value.split())
    if not message_id and date:
        try:
            sent = parsedate_to_datetime(date.decode("ascii", "replace"))
        except (ValueError, TypeError, OverflowError):
            sent = None
        if sent is not None:
            sent = sent.replace(tzinfo=UTC) if sent.tzinfo is None else sent.astimezone(UTC)
    return message_id, subject, sent


def _words(value: bytes) -> str:
    if b"=?" not in value:
        return value.decode("utf-8", "replace")
    try:
        return str(make_header(decode_header(value.decode("utf-8", "replace"))))
    except (ValueError, LookupError, MessageError):
        return value.decode("utf-8", "replace")


def _as_folders(
    listed: dict[str, set[bytes]], statuses: dict[str, Status], naming: Naming, wire: Wire
) -> list[Folder]:
    gmail = wire.has(b"X-GM-EXT-1")
    folders: dict[FolderPath, Folder] = {}
    for name in sorted(listed, key=lambda name: (len(naming.path(shown(name))), name)):
        words = listed[name]
        status = statuses.get(name)
        path = naming.path(shown(name))
        if path in folders:
            if status is None:
                continue
            path = (f"{path[0]} ({name})", *path[1:])
        folders[path] = Folder(
            name,
            path,
            role=role_of(path, words),
            total=status.messages if status is not None else 0,
            search=gmail and bool(words & VIEWS),
            subscribed=b"\\SUBSCRIBED" in words,
        )
    _add_parents(folders, naming)
    _usual_roles(folders)
    return [
        replace(folder, parent_id=folders[path[:-1]].id if len(path) > 1 else "")
        for path, folder in sorted(folders.items(), key=lambda one: (len(one[0]), one[0]))
    ]


def _add_parents(folders: dict[FolderPath, Folder], naming: Naming) -> None:
    """A parent that the server does not list is a name in the path only."""
    for path in list(folders):
        for depth in range(1, len(path)):
            if path[:depth] not in folders:
                folders[path[:depth]] = Folder(naming.name(path[:depth]), path[:depth], total=0)


def _usual_roles(folders: dict[FolderPath, Folder]) -> None:
    """Roles that no attribute claims go to the folder with a usual name that holds most."""
    taken = {folder.role for folder in folders.values() if folder.role is not None}
    seen: set[Role] = set()
    for path, folder in list(folders.items()):
        if folder.role is None:
            continue
        if folder.role in seen:  # two that claim one role: the first has it
            folders[path] = replace(folder, role=None)
        seen.add(folder.role)
    candidates: dict[Role, list[FolderPath]] = {}
    for path, folder in folders.items():
        role = usual_role(path) if folder.role is None and not folder.search else None
        if role is not None and role not in taken:
            candidates.setdefault(role, []).append(path)
    for role, paths in candidates.items():
        best = max(paths, key=lambda path: (folders[path].total or 0, -len(path)))
        folders[best] = replace(folders[best], role=role)

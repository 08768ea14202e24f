"""The reading half of a mailbox: probe, listing (`listing.py`), and content out.

Content is asked for ahead: when the engine takes the items of a page in their order, the commands for the next ones leave before
their turn comes, so that a long round trip is paid once and not per batch. Where it has said which folders it will read
(`expect`), these are opened, listed and read in the same flight (`ahead.py`). Nothing is read ahead into memory: what the server
has sent early waits in the connection.

Facts this module rests on:
- BODY.PEEK[] leaves \\Seen alone, and EXAMINE opens a folder so that nothing can be changed (RFC 3501 6.4.5, 6.3.2)
- RFC822.SIZE is exact on paper only; content counts by the literal that came
- Dovecot ends the connection over a message whose file is damaged, and what it had ready of others is lost with it (tests)
- a FETCH of several messages may end with NO after some of them came (RFC 3501 6.4.5): the others are asked for one by one, until
  the one that the server cannot deliver stands alone
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from migrator.adapters.imap import faults
from migrator.adapters.imap.ahead import (
    AHEAD_FOLDERS,
    AHEAD_NAMES,
    AHEAD_PAGES,
    APART,
    STRAYS,
    Astray,
    Course,
    Leg,
)
from migrator.adapters.imap.client import Handle, ImapClient, Shared
from migrator.adapters.imap.grammar import Piece, Value, number_of, parse_date, sets, text_of
from migrator.adapters.imap.listing import (
    Listing,
    Token,
    fetched,
    marks_of,
    parse_token,
    quick_page,
    split_id,
)
from migrator.adapters.imap.wire import Lost, Selected, Tagged, Wire
from migrator.adapters.spool import BufferContent
from migrator.errors import ItemError, JobError, MigratorError, Transient
from migrator.interfaces import Expected, Finding, Probe, ReaderTraits
from migrator.model import (
    Checkpoint,
    Content,
    Folder,
    Format,
    Item,
    ItemRef,
    Outcome,
    Page,
    SkipReason,
    State,
)

ORIGIN = "imap"
BODY = b"(UID FLAGS INTERNALDATE BODY.PEEK[])"
AHEAD_OCTETS = 2 << 20
AHEAD_ITEMS = 500
ONE_AHEAD = 1 << 20  # a message above this size is never asked for ahead
LITTLE = 1 << 20  # octets under way that are read in vain rather than giving up the connection
RESTED_S = 60.0

_FAST = re.compile(
    rb'\* \d+ FETCH \(UID (\d+)(?: MODSEQ \(\d+\))? FLAGS \(([^)]*)\) INTERNALDATE "([^"]*)"'
    rb"(?: MODSEQ \(\d+\))? BODY\[\] \{\d+\}\r\n"
)


class _Any(Collection[int]):
    """Every UID: of a command that names none."""

    def __contains__(self, uid: object) -> bool:
        return True

    def __iter__(self) -> Iterator[int]:
        return iter(())

    def __len__(self) -> int:
        return 0


_ANY = _Any()


_Got = tuple[bytes, bytes, Content | None]
"""What came for one UID: flags, INTERNALDATE, content (None for NIL)."""


def _item(ref: ItemRef, got: _Got) -> Item:
    flags, date, content = got
    assert content is not None
    marks = marks_of(flags)
    if ref.received is None:  # asked for by its id alone
        ref = replace(ref, received=parse_date(date))
    return Item(ref, Format.MIME, content, marks.flags, marks.keywords, origin=ORIGIN)


class ImapReader(Listing):
    """`interfaces.Reader` on one mailbox. Used by one thread at a time."""

    def __init__(self, client: ImapClient, shared: Shared) -> None:
        self._box = Handle(client, shared)
        everything = client.endpoint.options.get("all_mail") == "everything"
        super().__init__(self._box, client.number("page_items", 1000), archive_only=not everything)
        self._client = client
        self._shared = shared
        self._export_items = client.number("export_items", 500)
        # What follows what was asked for last: (folder id, UIDVALIDITY) and (UID, size) in the order listed.
        self._next: deque[tuple[int, int]] = deque()
        self._next_of: tuple[str, int] = ("", 0)
        self._asked: dict[int, int] = {}  # UIDs asked for → octets expected, of the folder that is open
        self._got: dict[int, _Got] = {}
        self._fetches: dict[bytes, Collection[int]] = {}  # tags under way → UIDs
        self._course = Course()
        self._at_end = True  # of the listing of the folder that is being read
        self._losses: dict[
            str, int
        ] = {}  # item id → connections lost over it alone; 0: with others behind it

    @property
    def traits(self) -> ReaderTraits:
        return ReaderTraits(
            formats=(Format.MIME,),
            has_delta=True,
            connections=self._client.number("connections", 4),
            export_items=self._export_items,
            export_octets=2 << 20,
            usual_items=500,
            origin=ORIGIN,
        )

    # ---- probe

    def probe(self) -> Probe:
        """Signs in, looks at the capabilities, opens nothing."""
        naming = self.naming()
        wire = self._box.wire()
        who = self._shared.account.user
        findings = [Finding("ok", f"{who}: signed in")]
        if not (wire.has(b"CONDSTORE") and wire.has(b"QRESYNC")):
            findings.append(
                Finding(
                    "note",
                    "the server keeps no change marks (CONDSTORE, QRESYNC): a delta pass compares all UIDs and flags",
                    code="no_qresync",
                )
            )
        if naming.separator == "":
            findings.append(Finding("note", "the server has no folders below folders", code="flat"))
        findings += self._more_findings(wire)
        # IMAP names no mailbox but by its account: RFC 8474's ids are of folders and messages.
        identity = hashlib.blake2b(f"{self._client.where.host}\0{who}".encode(), digest_size=12).hexdigest()
        return Probe(f"imap-{identity}", f"IMAP4rev1 at {self._client.where}", tuple(findings))

    def _more_findings(self, wire: Wire) -> list[Finding]:
        return []

    # ---- listing

    def folders(self) -> list[Folder]:
        self._forget()
        return super().folders()

    def expect(self, wanted: Sequence[Expected]) -> None:
        self._course.back()
        self._forget()
        self._course.begin(wanted)
        self._at_end = True
        with contextlib.suppress(MigratorError):  # whoever reads will be told
            self._extend()

    def page(self, folder: Folder, after: Checkpoint | None) -> Page:
        try:
            page = self._arrived(folder, after)
            if page is None:
                page = super().page(folder, after)
        except MigratorError:
            self._forget()
            raise
        if page.refs:
            split = next((found for ref in page.refs if (found := split_id(ref.id))), None)
            of = (folder.id, split[1] if split else 0)
            if of != self._next_of:
                self._next.clear()
                self._next_of = of
            self._next.extend(
                (int(ref.id.split("/", 2)[1]), ref.size or 1) for ref in page.refs if not ref.gone
            )
        self._at_end = page.last
        course = self._course
        if not page.last and course.now is not None and not course.legs:
            course.rest = self._courses.get(folder.id)
        with contextlib.suppress(MigratorError):  # the page is told; what follows is asked for anew
            self._extend()
        return page

    # ---- what is asked for before its turn

    def _arrived(self, folder: Folder, after: Checkpoint | None) -> Page | None:
        """The page, where it was asked for ahead."""
        course = self._course
        if course.legs:
            leg = course.legs[0]
            token = parse_token(after) if after is not None else None
            if leg.folder.id == folder.id and leg.after == (token.last if token is not None else 0):
                if leg.page is not None:
                    course.legs.popleft()
                    return leg.page
                try:
                    page = self._box.reading(lambda wire: self._take_leg(wire, leg, token))
                    course.legs.popleft()
                    course.now = leg.expected or course.now
                    return page
                except Astray:
                    pass
            self._stray()
        course.reached(folder)
        return None

    def _take_leg(self, wire: Wire, leg: Leg, token: Token | None) -> Page:
        """Read the answers to a leg as far as its listing goes; its bodies are under way then. Raises Lost, Astray."""
        if sum(size for uid, size in self._asked.items() if uid not in self._got) > LITTLE:
            raise Astray
        self._finish_fetches(wire)
        self._forget_bodies()
        self._next.clear()
        folder = leg.folder
        said, untagged = self._answer(wire, leg.examine)
        if not said.ok:
            raise Astray
        there = self.selected(wire, folder.id, said, untagged)
        self._fetches.update(dict.fromkeys(leg.bodies, _ANY))
        if token is None:
            page = self._whole_page(wire, folder, there, leg.listing)
        else:
            page = self._later_page(wire, there, leg, token)
        if leg.apart:
            self._answer(wire, leg.apart)
        sizes = {split[2]: ref.size or 1 for ref in page.refs if (split := split_id(ref.id)) is not None}
        for uid in self._got.keys() - sizes.keys():
            self._release(uid)
        if leg.bodies:
            self._fetches.update((tag, sizes) for tag in leg.bodies if tag in self._fetches)
            self._asked.update(sizes)
        return page

    def _later_page(self, wire: Wire, there: Selected, leg: Leg, token: Token) -> Page:
        folder = leg.folder
        last, left = self._courses.get(folder.id, (0, ()))
        if (there.uidvalidity, last, token.state) != (token.uidvalidity, token.last, "p"):
            raise Astray
        refs = self._refs(wire, folder, there, leg.listing, leg.wanted, last)
        rest = left[len(leg.part) :]
        return self._part_page(wire, folder, there, refs, leg.part, rest, last, token.modseq, [])

    def _answer(self, wire: Wire, tag: bytes) -> tuple[Tagged, list[list[Piece]]]:
        """How a command ended that is the next to be answered, and what was told by it. Raises Lost."""
        untagged: list[list[Piece]] = []
        while tag not in wire.done:
            response = wire.next()
            if not isinstance(response, bytes):
                untagged.append(response)
            elif response != tag:
                self._course.strays = (
                    STRAYS  # a server that answers across an EXAMINE: nothing ahead any more
                )
                wire.dead = True
                raise Lost("garbled")
        return wire.done.pop(tag), untagged

    def _extend(self) -> None:
        """Send for what comes next, where its turn has come. Raises MigratorError."""
        if not self._may_go_ahead():
            return
        try:
            self._box.reading(self._go_ahead)
        except MigratorError:
            self._forget()
            raise

    def _may_go_ahead(self) -> bool:
        """Whether all of the folder that is open was asked for, and more is to come."""
        course = self._course
        if not (course.rest or (course.plan and (self._at_end or course.legs))) or course.strays >= STRAYS:
            return False
        if course.legs:
            return course.legs[-1].closed
        return all(uid in self._asked or uid in self._got for uid, _ in self._next)

    def _go_ahead(self, wire: Wire) -> None:
        course = self._course
        sent = False
        while len(course.legs) < AHEAD_FOLDERS and (not course.legs or course.legs[-1].closed):
            leg = self._next_leg(wire)
            if leg is None:
                break
            course.legs.append(leg)
            sent = sent or bool(leg.examine)
        if sent:
            wire.flush()

    def _next_leg(self, wire: Wire) -> Leg | None:
        course = self._course
        if course.rest is not None:
            return self._page_leg(wire, *course.rest)
        leg = self._leg(wire, course.plan[0]) if course.plan else None
        if leg is not None:
            course.plan.popleft()
        return leg

    def _page_leg(self, wire: Wire, last: int, left: Sequence[int]) -> Leg | None:
        """Send for the next page of the folder that is being read."""
        course = self._course
        assert course.now is not None
        part, rest = left[: self._page_items], left[self._page_items :]
        wanted = list(sets(part))
        if (
            not part
            or len(course.legs) >= AHEAD_PAGES
            or sum(map(len, wanted)) > AHEAD_NAMES
            or not (rest or wire.has(b"QRESYNC"))  # the last page has questions of its own
        ):
            return None
        leg = Leg(course.now.folder, after=last, part=part, wanted=wanted)
        self._send_leg(wire, leg, whole=course.now.whole)
        course.rest = (part[-1], rest) if rest else None
        return leg

    def _leg(self, wire: Wire, expected: Expected) -> Leg | None:
        """Send for a folder; None where its turn must come first."""
        folder = expected.folder
        if folder.id in self._names_only or folder.id in self._all_mail:
            return None
        _, status = self._status.get(folder.id, (0.0, None))
        if status is None or status.messages > self._page_items or not self._trusts_status:
            return None
        if not status.messages:
            page = quick_page(self._fresh(folder.id), None) if status.modseq else None
            return Leg(folder, expected, page=page) if page is not None else None
        leg = Leg(folder, expected, wanted=[b"1:*"])
        self._send_leg(wire, leg, whole=expected.whole, apart=status.messages > APART)
        return leg

    def _send_leg(self, wire: Wire, leg: Leg, *, whole: bool, apart: bool = True) -> None:
        name = self._box.quoted(leg.folder.id)
        leg.examine = wire.begin(b"EXAMINE ", name)
        leg.listing = self._ask_refs(wire, leg.folder, leg.wanted)
        if whole:
            leg.apart = wire.begin(b"EXAMINE ", name) if apart else b""
            leg.bodies = [wire.begin(b"UID FETCH " + each + b" " + BODY) for each in leg.wanted]

    def _stray(self) -> None:
        """Something else is wanted than what was asked for: that is given up, and the connection with it."""
        if self._course.sent:
            self._forget()
        self._course.back()

    def _alone_with(self, wire: Wire) -> None:
        if self._course.sent or self._fetches:
            raise Astray

    def _between(self, wire: Wire) -> None:
        """Before another command's answers are read: take in what was asked for ahead."""
        if self._course.sent:  # `_stray` comes first: a command now would be about the last folder under way
            wire.dead = True
            raise Lost("closed")
        self._finish_fetches(wire)

    def _finish_fetches(self, wire: Wire) -> None:
        while self._fetches:
            response = wire.next()
            if isinstance(response, bytes):
                self._ended(wire, response)
            else:
                self._take(response)

    # ---- content

    def export(self, refs: Sequence[ItemRef], fmt: Format) -> list[Item | Outcome]:
        if fmt is not Format.MIME:
            error = ItemError(f"IMAP gives no {fmt.value}", code="format")
            return [Outcome(ref, State.FAILED, error=error) for ref in refs]
        results: dict[int, Item | Outcome] = {}
        groups: dict[tuple[str, str], list[tuple[int, int]]] = {}
        for number, ref in enumerate(refs):
            validity, _, tail = ref.id.partition("/")
            uid, _, folder_id = tail.partition("/")
            known = groups.get((folder_id, validity))
            if known is not None and uid.isdecimal():
                known.append((number, int(uid)))
            elif (split := split_id(ref.id)) is None:
                results[number] = Outcome(ref, State.SKIPPED, reason=SkipReason.VANISHED)
            else:
                groups[folder_id, validity] = [(number, split[2])]
        for (folder_id, validity), members in groups.items():
            uidvalidity = int(validity)
            try:
                self._export_group(folder_id, uidvalidity, refs, members, results)
            except (Transient, JobError) as e:
                if not results:
                    raise
                error_of: MigratorError = e
                for number, _ in members:
                    results.setdefault(number, Outcome(refs[number], State.FAILED, error=error_of))
        rest = Transient(
            f"{self._shared.account.user}: the connection was lost before this item", code="closed"
        )
        return [results.get(n) or Outcome(ref, State.FAILED, error=rest) for n, ref in enumerate(refs)]

    def _export_group(
        self,
        folder_id: str,
        uidvalidity: int,
        refs: Sequence[ItemRef],
        members: Sequence[tuple[int, int]],
        results: dict[int, Item | Outcome],
    ) -> None:
        """Items of one folder into `results`. Raises Transient or JobError; what came before stays in `results`."""
        if self._losses and any(refs[number].id in self._losses for number, _ in members):
            self._stray()
            self._one_by_one(folder_id, uidvalidity, refs, members, results)
            return
        wire = self._box.wire()
        if self._course.sent and not self._under_way(wire, folder_id, uidvalidity, members):
            self._stray()
            wire = self._box.wire()
        done = 0
        try:
            there = wire.selected
            if there is None or there.name != folder_id:
                self._settle(wire)
                there = self.select(wire, folder_id)
            if there.uidvalidity != uidvalidity:
                for number, _ in members:
                    results[number] = Outcome(refs[number], State.SKIPPED, reason=SkipReason.VANISHED)
                return
            if not self._course.sent:
                self._ask(wire, [(uid, refs[number].size or 1) for number, uid in members])
            for number, uid in members:
                got = self._got.pop(uid, None) or self._arriving(wire, uid)
                self._asked.pop(uid, None)
                if got is None or got[2] is None:
                    if self._course.sent:
                        raise Astray
                    results[number] = self._alone(wire, refs[number], uid)
                else:
                    results[number] = _item(refs[number], got)
                done += 1
        except Astray:  # one did not come, and cannot be asked for while others are under way
            self._stray()
            self._export_group(folder_id, uidvalidity, refs, members[done:], results)
        except Lost as e:
            self._forget()
            self._box.drop()
            # A server gives up a connection that nobody reads from (the target was slow, the line closed for the night).
            if done < len(members) and self._box.rested_s < RESTED_S:
                self._losses[refs[members[done][0]].id] = 0
            raise faults.lost(e, self._shared.account.user) from None
        except ValueError as e:
            self._forget()
            self._box.drop()
            raise faults.lost(Lost("garbled"), self._shared.account.user) from e

    def _under_way(
        self, wire: Wire, folder_id: str, uidvalidity: int, members: Sequence[tuple[int, int]]
    ) -> bool:
        """Whether all of these were asked for on the connection as it is."""
        there = wire.selected
        return (
            there is not None
            and there.name == folder_id
            and there.uidvalidity == uidvalidity
            and all(uid in self._asked or uid in self._got for _, uid in members)
        )

    def _one_by_one(
        self,
        folder_id: str,
        uidvalidity: int,
        refs: Sequence[ItemRef],
        members: Sequence[tuple[int, int]],
        results: dict[int, Item | Outcome],
    ) -> None:
        """As `_export_group`, with one item on its way at a time: the connection broke before, and a server that drops it over
        a damaged message may take with it what it had ready for others (Dovecot does). So the one to blame shows."""
        for number, uid in members:
            ref = refs[number]
            while number not in results:
                wire: Wire | None = None
                try:
                    wire = self._box.wire()
                    self._settle(wire)
                    if self.select(wire, folder_id).uidvalidity != uidvalidity:
                        results[number] = Outcome(ref, State.SKIPPED, reason=SkipReason.VANISHED)
                        break
                    results[number] = self._alone(wire, ref, uid)
                    self._losses.pop(ref.id, None)
                except Lost as e:
                    self._forget()
                    self._box.drop()
                    # Servers drop who made so many errors, too: then it was not this item's doing.
                    blame = wire is None or not wire.errors
                    self._losses[ref.id] = self._losses.get(ref.id, 0) + blame
                    if self._losses[ref.id] < 3:
                        raise faults.lost(e, self._shared.account.user) from None
                    error = ItemError(
                        "the server drops the connection over this item", code="drops_connection"
                    )
                    results[number] = Outcome(ref, State.FAILED, error=error)
                    del self._losses[ref.id]

    def _ask(self, wire: Wire, wanted: Sequence[tuple[int, int]]) -> None:
        """Send for these (UID, size), and for what is likely to be wanted next."""
        now = [uid for uid, _ in wanted if uid not in self._asked and uid not in self._got]
        if now:
            self._fetch_bodies(wire, now)
            for uid, size in wanted:
                self._asked.setdefault(uid, size)
        last = wanted[-1][0]
        if self._next and wire.selected is not None:
            if self._next_of != (wire.selected.name, wire.selected.uidvalidity):
                self._next.clear()
            while self._next and self._next[0][0] <= last:
                self._next.popleft()
        # One command for several: few long ones are cheaper than many short ones, and a third of the window is left over.
        ahead = sum(self._asked.get(uid, 0) for ask in self._fetches.values() for uid in ask if uid > last)
        if ahead < AHEAD_OCTETS // 2:
            more: list[int] = []
            for uid, size in self._next:
                if uid in self._asked or uid in self._got:
                    continue
                if size > ONE_AHEAD or ahead + size > AHEAD_OCTETS or len(more) >= AHEAD_ITEMS:
                    break
                more.append(uid)
                ahead += size
                self._asked[uid] = size
            if more:
                self._fetch_bodies(wire, more)
        wire.flush()
        if self._may_go_ahead():
            self._go_ahead(wire)

    def _fetch_bodies(self, wire: Wire, uids: Sequence[int]) -> None:
        ordered = sorted(uids)
        whole = frozenset(ordered)
        for each in sets(ordered):
            tag = wire.begin(b"UID FETCH " + each + b" " + BODY)
            self._fetches[tag] = whole
        # The tags of one call share their UIDs: only when all have ended is a missing one known to be missing.

    def _arriving(self, wire: Wire, uid: int) -> _Got | None:
        """What was asked for, or None when no command is under way any more that would bring it."""
        while any(uid in uids for uids in self._fetches.values()):
            while not isinstance(response := wire.next(), bytes):
                self._take(response)
                if uid in self._got:
                    return self._got.pop(uid)
            self._ended(wire, response)
        return None

    def _alone(self, wire: Wire, ref: ItemRef, uid: int) -> Item | Outcome:
        """It did not come with the others: gone, or the server cannot deliver it."""
        tag = wire.begin(b"UID FETCH %d " % uid + BODY)
        self._fetches[tag] = frozenset((uid,))
        wire.flush()
        while tag in self._fetches:
            response = wire.next()
            if isinstance(response, bytes):
                if response == tag:
                    said = wire.done.pop(tag)
                    del self._fetches[tag]
                    got = self._got.pop(uid, None)
                    if got is not None and got[2] is not None:
                        return _item(ref, got)
                    if said.code in (b"EXPUNGEISSUED", b"NONEXISTENT"):
                        return Outcome(ref, State.SKIPPED, reason=SkipReason.VANISHED)
                    if said.ok:
                        return self._without_content(wire, ref, uid)
                    slow = faults.throttled(said)
                    if slow is not None:
                        return Outcome(ref, State.FAILED, error=slow)
                    if said.code in (b"UNAVAILABLE", b"INUSE", b"SERVERBUG"):
                        error: MigratorError = Transient(faults.safe(said.text), code="unavailable")
                        return Outcome(ref, State.FAILED, error=error)
                    error = ItemError(
                        f"the server cannot deliver this message: {faults.safe(said.text)}",
                        code="undeliverable",
                        remedy="Open the message at the source; where that fails too, the store is damaged there.",
                    )
                    return Outcome(ref, State.FAILED, error=error)
                self._ended(wire, response)
            else:
                self._take(response)
        return Outcome(ref, State.SKIPPED, reason=SkipReason.VANISHED)

    def _without_content(self, wire: Wire, ref: ItemRef, uid: int) -> Outcome:
        """The server was asked for this message alone and gave nothing, or NIL. If it still lists it, it is not gone."""
        self._finish_fetches(wire)
        tag = wire.begin(b"NOOP")  # some tell of what is gone only then (RFC 3501 7.4.1)
        there = uid in self._search(wire, b"%d" % uid)
        wire.finish(tag)
        if not there:
            return Outcome(ref, State.SKIPPED, reason=SkipReason.VANISHED)
        error = ItemError(
            "the server lists this message and gives no content for it",
            code="undeliverable",
            remedy="Open the message at the source; where that fails too, the store is damaged there.",
        )
        return Outcome(ref, State.FAILED, error=error)

    def _take(self, pieces: Sequence[Piece]) -> None:
        """An untagged response: content, or something that nobody asked for."""
        if len(pieces) == 3 and (quick := _FAST.match(pieces[0])) is not None:  # type: ignore[arg-type]
            uid_text, flags, date = quick.groups()
            uid = int(uid_text)
            value: Value = pieces[1]
        else:
            line = pieces[0]
            assert isinstance(line, bytes)
            if len(pieces) == 1 and b"BODY[]" not in line.upper():
                return
            data = fetched(pieces)
            if data is None or b"UID" not in data or b"BODY[]" not in data:
                return
            uid, value = number_of(data[b"UID"]), data[b"BODY[]"]
            flags = b" ".join(text_of(word) for word in data.get(b"FLAGS") or [])
            date = text_of(data.get(b"INTERNALDATE"))
        content: Content | None = BufferContent((value,), len(value)) if isinstance(value, bytes) else value
        if uid not in self._asked and not any(uid in uids for uids in self._fetches.values()):
            if content is not None:
                content.release()
            return
        if uid in self._got:
            self._release(uid)
        self._got[uid] = (flags, date, content)

    def _ended(self, wire: Wire, tag: bytes) -> None:
        if tag in self._fetches:
            del self._fetches[tag]
            wire.done.pop(tag, None)

    def _leave(self, wire: Wire) -> None:
        self._settle(wire)

    def _settle(self, wire: Wire) -> None:
        """Before another folder is opened: nothing of this one may be under way."""
        self._between(wire)
        self._forget(wire)

    def _forget(self, wire: Wire | None = None) -> None:
        """Drop what was asked for ahead. With requests under way and no wire given, the connection goes with it."""
        if (self._fetches or self._course.sent) and wire is None:
            self._box.drop()
        self._course.strays += self._course.sent
        self._course.back()
        self._fetches.clear()
        self._forget_bodies()

    def _forget_bodies(self) -> None:
        self._asked.clear()
        for uid in list(self._got):
            self._release(uid)

    def _release(self, uid: int) -> None:
        content = self._got.pop(uid)[2]
        if content is not None:
            content.release()

    def select(self, wire: Wire, name: str, *, write: bool = False) -> Selected:
        there = wire.selected
        if there is None or there.name != name:
            self._settle(wire)
        return super().select(wire, name, write=write)

    def close(self) -> None:
        self._forget()
        self._next.clear()
        self._box.close()


class ImapSource(ImapReader):
    """`interfaces.Source`: opens folders with EXAMINE alone, so that the source stays byte for byte what it was."""

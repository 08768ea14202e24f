"""The writing half: folders made, messages appended, in doubt only what truly is.

Facts this module rests on:
- APPEND takes flags and INTERNALDATE; several messages in one command where MULTIAPPEND is offered: then all or none of them
  are stored (RFC 3501 6.3.11, RFC 3502)
- APPENDUID tells the UIDs, of several in their order (RFC 4315)
- Dovecot appends nine times faster to a folder that is selected on the connection than to one that is not, when it is large
- Exchange closes the connection after about ten errors (imapsync's FAQ.Exchange)
- APPENDLIMIT=n announces the largest message for all folders; without a number, STATUS tells each folder's, or NIL (RFC 7889 2, 3)
- a literal of UTF8 (~{n}…) can go without waiting only where BINARY is, too (RFC 4466 6, literal8)
- nothing of an APPEND is stored before the end of its line came
- GETQUOTAROOT tells usage and limit in units of 1024 octets, to whom QUOTA is announced (RFC 9208 4.2, 5.1)
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from migrator.adapters.imap import faults, fit
from migrator.adapters.imap.client import ImapClient, Shared
from migrator.adapters.imap.grammar import (
    Garbled,
    Piece,
    expand,
    number_of,
    pairs,
    sets,
    text_of,
    values,
)
from migrator.adapters.imap.listing import (
    fetched,
    head_of,
    item_id,
    marks_of,
    split_id,
)
from migrator.adapters.imap.making import FolderMaker
from migrator.adapters.imap.outgoing import Outgoing, Preparing, head_octets, mended
from migrator.adapters.imap.source import ORIGIN
from migrator.adapters.imap.wire import LITERAL_MINUS, Lost, Selected, Tagged, Wire
from migrator.errors import InDoubt, ItemError, JobError, MigratorError, Throttled, Transient
from migrator.interfaces import Finding, Standing, TargetTraits
from migrator.model import (
    Checkpoint,
    Folder,
    Format,
    Item,
    ItemRef,
    Kind,
    Outcome,
    SkipReason,
    State,
)
from migrator.record import record
from migrator.several import one_after_another, told

Buffer = bytes | memoryview

_STORAGE = re.compile(rb"\* QUOTA .*\(.*?STORAGE (\d{1,18}) (\d{1,18})", re.IGNORECASE | re.DOTALL)


def storage_of(pieces: Sequence[object]) -> tuple[int, int] | None:
    """(used, most) in KiB from an untagged QUOTA response, or None for another one."""
    found = _STORAGE.match(b"".join(piece for piece in pieces if isinstance(piece, bytes)))
    return (int(found[1]), int(found[2])) if found else None


@record(frozen=False)
class _Flight:
    """What is sent to one folder among several. start: its next UID before."""

    folder: Folder
    outcomes: dict[int, Outcome]
    ready: list[Outgoing]
    opening: bytes = b""
    append: bytes = b""
    start: int = 0
    said: Tagged | None = None


class _NotSent(Lost):
    """The connection broke before a command was complete: surely nothing of it was done."""


class ImapTarget(FolderMaker):
    """`interfaces.Target`. Used by one thread at a time."""

    _trusts_status = False  # other handles write meanwhile: every page asks the server

    def __init__(self, client: ImapClient, shared: Shared) -> None:
        super().__init__(client, shared)
        self._store_items = client.number("store_items", 500)
        self._most = client.number("max_octets", 0) or None
        self._receipts = client.endpoint.options.get("receipts", "")
        self._prepared: tuple[object, Preparing] | None = None

    @property
    def traits(self) -> TargetTraits:
        return TargetTraits(
            formats=(Format.MIME,),
            has_delta=True,
            connections=self._client.number("connections", 4),
            export_items=self._export_items,
            export_octets=2 << 20,
            usual_items=500,
            origin=ORIGIN,
            accepts=(Format.MIME,),
            kinds=frozenset({Kind.MAIL}),
            store_items=self._store_items,
            several_folders=True,
            request_octets=2 << 20,
            store_octets=self._most,
            can_update=True,
            subscriptions=True,
        )

    def _more_findings(self, wire: Wire) -> list[Finding]:
        findings = []
        if not wire.has(b"UIDPLUS"):
            findings.append(
                Finding(
                    "note",
                    "the server does not say which UID a message got (no UIDPLUS): each batch is looked up",
                    code="no_uidplus",
                )
            )
        self._limit(wire)
        if not wire.has(b"MULTIAPPEND"):
            # One by one in any case: fewer in a request, so that several connections share them.
            self._store_items = self._client.number("store_items", 50)
        return findings

    def _limit(self, wire: Wire) -> None:
        for word in wire.capabilities:
            if word.startswith(b"APPENDLIMIT=") and word[12:].isdigit():
                announced = int(word[12:])
                self._most = min(self._most or announced, announced)

    def standing(self) -> Standing:
        wire = self._box.wire()
        self._limit(wire)
        limit = self._client.number("max_octets", 0)
        by = "" if self._most is None else "endpoint" if self._most == limit else "service"
        told = Standing(
            receive_octets=self._most, receive_by=by, licence="not needed", licence_why="a mail server"
        )
        if not (wire.has(b"QUOTA") or any(word.startswith(b"QUOTA=") for word in wire.capabilities)):
            return replace(told, quota_why="the server does not tell (no QUOTA)")
        said, untagged = self._box.reading(lambda wire: wire.ask(b"GETQUOTAROOT INBOX"))
        if not said.ok:
            return replace(told, quota_why=f"the server refuses to tell: {faults.safe(said.text)}")
        rooms = [room for pieces in untagged if (room := storage_of(pieces)) is not None]
        if not rooms:
            return replace(told, quota_why="the server sets no limit")
        # Of several roots the one with the least room is the one that will be felt.
        used, most = min(rooms, key=lambda room: room[1] - room[0])
        return replace(told, used_octets=used << 10, quota_octets=most << 10, quota_why="")

    # ---- writing

    def store(
        self, folder: Folder, items: Sequence[Item], replaces: Sequence[tuple[str, str] | None] | None = None
    ) -> list[Outcome]:
        if not items:
            return []
        wire, there = self._writable(folder)
        self._limit(wire)
        outcomes, fresh = self._ready(wire, there, items)
        updates = [ready for ready in fresh if replaces is not None and replaces[ready.number] is not None]
        fresh = [ready for ready in fresh if ready not in updates] if updates else fresh
        try:
            if fresh:
                self._append(folder, fresh, outcomes)
            for ready in updates:
                assert replaces is not None
                replaced = replaces[ready.number]
                assert replaced is not None
                outcomes[ready.number] = self._update(folder, ready, replaced)
        except (Transient, JobError) as e:
            done = any(
                outcome.state is State.COPIED or isinstance(outcome.error, InDoubt)
                for outcome in outcomes.values()
            )
            if not done:
                raise
            error: MigratorError = e
            for number, item in enumerate(items):
                outcomes.setdefault(number, Outcome(item.ref, State.FAILED, error=error))
        return [outcomes[number] for number in range(len(items))]

    def store_all(self, batches: Sequence[tuple[Folder, Sequence[Item]]]) -> list[list[Outcome]]:
        """All of them in one flight: SELECT and APPEND of each folder behind those of the one before."""
        flights: list[_Flight] = []
        with contextlib.suppress(MigratorError):  # whoever asks again is told
            flights = self._box.reading(lambda wire: self._flights(wire, batches))
        if not flights:
            return one_after_another(self.store, batches)
        lost: Lost | None = None
        try:
            self._fly(flights)
        except Lost as e:  # what had been answered by then counts
            self._box.drop()
            lost = e
        except BaseException:
            self._box.drop()  # something may be under way on it
            raise
        return [
            self._landed(flight, items, lost) for flight, (_, items) in zip(flights, batches, strict=True)
        ]

    def _flights(self, wire: Wire, batches: Sequence[tuple[Folder, Sequence[Item]]]) -> list[_Flight]:
        """Nothing is sent yet. None where one flight is not for this server or these folders."""
        if not (wire.has(b"MULTIAPPEND") and wire.has(b"UIDPLUS") and wire.has(b"LITERAL+")) or wire.utf8:
            return []
        permanent = self._shared.permanent
        if wire.has(b"APPENDLIMIT") or not all(folder.id in permanent for folder, _ in batches):
            return []
        self._between(wire)
        self._limit(wire)
        flights: list[_Flight] = []
        for folder, items in batches:
            flight = _Flight(
                folder, *self._ready(wire, Selected(folder.id, flags=permanent[folder.id]), items)
            )
            self._status.pop(folder.id, None)
            flights.append(flight)
        return flights

    def _fly(self, flights: Sequence[_Flight]) -> None:
        """Raises Lost."""
        wire = self._box.wire()
        flying = [flight for flight in flights if flight.ready]
        for flight in flying:
            flight.opening = wire.begin(b"SELECT ", self._box.quoted(flight.folder.id))
            flight.append = wire.begin(*self._command(flight.folder, flight.ready))
        wire.flush()
        for flight in flying:
            name = flight.folder.id
            expected = self._shared.permanent.get(name)
            there = self._answered(wire, name, flight.opening)
            if there is not None:
                flight.start = there.uidnext
                if there.flags != expected:
                    self._see_what_was_dropped(wire, there, [flight.ready])
            (flight.said,), _ = wire.finish(flight.append)

    def _landed(self, flight: _Flight, items: Sequence[Item], lost: Lost | None) -> list[Outcome]:
        folder, outcomes, ready, said = flight.folder, flight.outcomes, flight.ready, flight.said
        error: MigratorError | None = None
        if not ready:
            pass
        elif said is None:
            assert lost is not None
            self._lost(lost, [ready], {}, outcomes, folder, 1)
        elif said.ok:
            try:
                self._settle_appends(folder, flight.start, [ready], {0: said}, outcomes)
            except (Transient, JobError) as e:
                error = e
        else:
            stop = faults.about_item(said, self._box.who)
            if not isinstance(stop, JobError | Throttled):
                return told(self.store, folder, items)  # all or none: by itself it shows who it was
            error = stop
        if error is not None:
            for one in ready:
                outcomes.setdefault(one.number, _failed(one.item.ref, error))
        return [outcomes[number] for number in range(len(items))]

    def _writable(self, folder: Folder) -> tuple[Wire, Selected]:
        self._status.pop(folder.id, None)

        def open_it(wire: Wire) -> tuple[Wire, Selected]:
            there = wire.selected
            if there is not None and there.opening and there.name == folder.id:
                return wire, there
            self._between(wire)
            if wire.has(b"APPENDLIMIT") and folder.id not in self._shared.append_most:
                self._shared.append_most[folder.id] = self._folder_limit(wire, folder.id)
            there = wire.selected
            flags = self._shared.permanent.get(folder.id)
            elsewhere = there is None or there.name != folder.id
            if elsewhere and flags is not None and wire.has(b"LITERAL+") and not wire.utf8:
                return wire, self._open_with(wire, folder.id, flags)
            return wire, self.select(wire, folder.id, write=True)

        wire, there = self._box.reading(open_it)
        if there.read_only:
            raise JobError(
                f"{self._box.who}: the folder {folder.id!r} cannot be written to",
                code="no_right",
                remedy="Give the account the rights lrswitea on it.",
            )
        return wire, there

    def _open_with(self, wire: Wire, name: str, flags: frozenset[bytes]) -> Selected:
        """Open a folder in the flight of the APPEND that follows: what it takes was told before."""
        there = Selected(name, flags=flags)
        there.opening = wire.begin(b"SELECT ", self._box.quoted(name))
        wire.selected = there
        return there

    def _opened(self, wire: Wire) -> Selected | None:
        """The folder that is open, once the answer to a SELECT has come that left with something else. Raises Lost."""
        there = wire.selected
        if there is None or not there.opening:
            return there
        wire.flush()
        return self._answered(wire, there.name, there.opening)

    def _answered(self, wire: Wire, name: str, opening: bytes) -> Selected | None:
        """What a SELECT told; None where it was refused: what left with it is answered for itself. Raises Lost."""
        (said,), untagged = wire.finish(opening)
        if not said.ok:
            self._shared.permanent.pop(name, None)
            wire.selected = None
            return None
        return self.selected(wire, name, said, untagged)

    def _between(self, wire: Wire) -> None:
        self._opened(wire)
        super()._between(wire)

    def selected(self, wire: Wire, name: str, said: Tagged, untagged: Sequence[Sequence[Piece]]) -> Selected:
        there = super().selected(wire, name, said, untagged)
        if not there.read_only:
            self._shared.permanent[name] = there.flags
        return there

    def _folder_limit(self, wire: Wire, name: str) -> int | None:
        said, untagged = wire.ask(b"STATUS ", self._box.quoted(name), b" (APPENDLIMIT)")
        for pieces in untagged:
            line = pieces[0]
            if said.ok and isinstance(line, bytes) and line[:9].upper() == b"* STATUS ":
                told = values(pieces, 9)[-1]
                limit = pairs(told).get(b"APPENDLIMIT") if isinstance(told, list) else None
                if isinstance(limit, bytes) and limit.isdigit():
                    return int(limit)
        return None

    def _preparing(self, wire: Wire, there: Selected) -> Preparing:
        """As long as a folder takes the same flags, what is known of them is kept."""
        exchange = wire.has(b"CLIENTACCESSRULES") or wire.has(b"BACKENDAUTHENTICATE")
        disarm = self._receipts == "disarm" or (exchange and self._receipts != "keep")
        key = (there.flags, exchange, disarm, wire.utf8)
        if self._prepared is None or self._prepared[0] != key:
            made = Preparing(there.flags, exchange=exchange, disarm=disarm, utf8=wire.utf8)
            self._prepared = (key, made)
        return self._prepared[1]

    def _ready(
        self, wire: Wire, there: Selected, items: Sequence[Item]
    ) -> tuple[dict[int, Outcome], list[Outgoing]]:
        """(outcomes of those that this folder surely does not take, the others as they will be sent)."""
        limits = [one for one in (self._most, self._shared.append_most.get(there.name)) if one is not None]
        most = min(limits, default=None)
        preparing = self._preparing(wire, there)
        outcomes: dict[int, Outcome] = {}
        fresh: list[Outgoing] = []
        for number, item in enumerate(items):
            refused = self._refused(item, most)
            if refused is not None:
                outcomes[number] = refused
                continue
            ready = preparing.prepare(number, item)
            if most is not None and ready.size > most:
                outcomes[number] = Outcome(item.ref, State.SKIPPED, reason=SkipReason.TOO_LARGE)
            else:
                fresh.append(ready)
        return outcomes, fresh

    @staticmethod
    def _refused(item: Item, most: int | None) -> Outcome | None:
        ref = item.ref
        if item.format is not Format.MIME:
            return _failed(ref, ItemError(f"IMAP takes no {item.format.value}", code="format"))
        if most is not None and item.content.size > most:
            return Outcome(ref, State.SKIPPED, reason=SkipReason.TOO_LARGE)
        if not item.content.size:
            return _failed(ref, ItemError("the item's content is empty", code="empty_content"))
        return None

    # ---- append

    def _append(self, folder: Folder, ready: Sequence[Outgoing], outcomes: dict[int, Outcome]) -> None:
        """New messages, in one command or pipelined. Raises Transient or JobError when nothing was stored."""
        wire, _ = self._writable(folder)
        if len(ready) > 1 and wire.has(b"MULTIAPPEND") and wire.has(b"UIDPLUS"):
            if self._send(wire, folder, [ready], outcomes) is None:
                return
            wire, _ = self._writable(folder)
            if mended(ready):
                if self._send(wire, folder, [ready], outcomes) is None:
                    return
                wire, _ = self._writable(folder)
            # All or none: who was it? Pipelined one by one tells.
        self._send(wire, folder, [[one] for one in ready], outcomes)
        refused = mended([one for one in ready if _is_refusal(outcomes[one.number])])
        if refused:
            wire, _ = self._writable(folder)
            self._send(wire, folder, [[one] for one in refused], outcomes)

    def _send(
        self,
        wire: Wire,
        folder: Folder,
        commands: Sequence[Sequence[Outgoing]],
        outcomes: dict[int, Outcome],
    ) -> Tagged | None:
        """Send APPEND commands and settle what they are about.

        Returns the refusal when the only command held several messages: none of them is stored then. After a refusal of one
        message that concerns all (quota, throttling), the rest is told so.
        """
        before = wire.selected
        assert before is not None
        start = before.uidnext
        name = self._box.quoted(folder.id)
        waits = not wire.has(b"LITERAL+") or (
            not wire.has(b"BINARY") and any(one.utf8 for batch in commands for one in batch)
        )
        tags: list[bytes] = []
        begun = 0
        ended: dict[int, Tagged] = {}
        try:
            for number, batch in enumerate(commands):
                if waits:
                    begun = number
                    ended[number] = self._slowly(wire, name, batch)
                    stop = faults.about_item(ended[number], self._box.who)
                    if not ended[number].ok and isinstance(stop, JobError | Throttled):
                        # It concerns all: they are not sent, and the server is not tired with errors.
                        ended.update((rest, ended[number]) for rest in range(number, len(commands)))
                        break
                    continue
                tags.append(wire.begin(*self._command(folder, batch)))
            if tags:
                wire.flush()
                if before.opening:
                    there = self._opened(wire)
                    start = there.uidnext if there is not None else 0
                    if there is not None and there.flags != before.flags:
                        self._see_what_was_dropped(wire, there, commands)
                for number, tag in enumerate(tags):
                    (ended[number],), _ = wire.finish(tag)
        except Lost as e:
            for number, tag in enumerate(tags):  # answers that came before the end count
                if tag in wire.done:
                    ended[number] = wire.done.pop(tag)
            self._box.drop()
            unsent = begun + (not isinstance(e, _NotSent)) if waits else len(commands)
            self._lost(e, commands, ended, outcomes, folder, unsent)
            return None
        if len(commands) == 1 and len(commands[0]) > 1 and not ended[0].ok:
            stop = faults.about_item(ended[0], self._box.who)
            if isinstance(stop, JobError | Throttled):
                raise stop
            return ended[0]
        self._settle_appends(folder, start, commands, ended, outcomes)
        return None

    def _see_what_was_dropped(
        self, wire: Wire, there: Selected, commands: Sequence[Sequence[Outgoing]]
    ) -> None:
        """The folder takes other flags than it did when it was opened last."""
        preparing = self._preparing(wire, there)
        for one in (one for batch in commands for one in batch):
            if preparing.words(one.item).dropped:
                one.notes = tuple(dict.fromkeys((*one.notes, "keywords_dropped")))

    def _command(self, folder: Folder, batch: Sequence[Outgoing]) -> list[Buffer]:
        """An APPEND whose literals do not wait."""
        parts: list[Buffer] = [b"APPEND " + self._box.quoted(folder.id)]
        for one in batch:
            parts += (one.announced(False), *one.pieces, one.after)
        return parts

    def _slowly(self, wire: Wire, name: bytes, batch: Sequence[Outgoing]) -> Tagged:
        """Without LITERAL+: each literal waits for the server's word (LITERAL-: short ones do not). Raises Lost, _NotSent."""
        tag = wire.start(b"APPEND " + name)
        try:
            for one in batch:
                short = wire.has(b"LITERAL-") and one.size <= LITERAL_MINUS
                at_once = (wire.has(b"LITERAL+") or short) and (not one.utf8 or wire.has(b"BINARY"))
                wire.more(one.announced(not at_once))
                if not at_once:
                    wire.flush()
                    if not wire.go_ahead(tag):
                        return wire.done.pop(tag)
                wire.more(*one.pieces, one.after)
        except Lost as e:
            raise _NotSent(e.kind, e.text) from e
        wire.more(b"\r\n")
        wire.flush()
        (said,), _ = wire.finish(tag)
        return said

    def _lost(
        self,
        e: Lost,
        commands: Sequence[Sequence[Outgoing]],
        ended: dict[int, Tagged],
        outcomes: dict[int, Outcome],
        folder: Folder,
        unsent: int,
    ) -> None:
        """The connection broke: answered ones have their outcome, those from `unsent` on never left, the others are in doubt."""
        for number, batch in enumerate(commands):
            said = ended.get(number)
            validity, uids = _appended(said) if said is not None and said.ok else (0, [])
            for place, one in enumerate(batch):
                if said is not None and not said.ok:
                    outcomes[one.number] = self._judged(one, faults.about_item(said, self._box.who))
                elif place < len(uids):
                    outcomes[one.number] = self._stored(folder, one, validity, uids[place])
                elif number >= unsent:
                    outcomes[one.number] = _failed(one.item.ref, faults.lost(e, self._box.who))
                else:
                    doubt = InDoubt(
                        f"{self._box.who}: the connection was lost under an APPEND", code="answer_lost"
                    )
                    outcomes[one.number] = _failed(one.item.ref, doubt)

    def _settle_appends(
        self,
        folder: Folder,
        start: int,
        commands: Sequence[Sequence[Outgoing]],
        ended: dict[int, Tagged],
        outcomes: dict[int, Outcome],
    ) -> None:
        unknown: list[Outgoing] = []
        late: list[tuple[int, Outgoing]] = []
        for number, batch in enumerate(commands):
            said = ended[number]
            validity, uids = _appended(said)
            for place, one in enumerate(batch):
                if not said.ok:
                    outcomes[one.number] = self._judged(one, faults.about_item(said, self._box.who))
                    continue
                if place >= len(uids):
                    unknown.append(one)
                    continue
                outcomes[one.number] = self._stored(folder, one, validity, uids[place])
                if one.words.late:
                    late.append((uids[place], one))
        if unknown:
            self._look_up(folder, start, unknown, outcomes, late)
        if late:
            self._set_late(folder, late, outcomes)
        self._all_alike(outcomes)

    @staticmethod
    def _all_alike(outcomes: dict[int, Outcome]) -> None:
        """When every message failed by a cause that is the mailbox', the call itself failed."""
        errors = [outcome.error for outcome in outcomes.values()]
        if (
            errors
            and all(isinstance(error, JobError | Throttled) for error in errors)
            and errors[0] is not None
        ):
            raise errors[0]

    def _judged(self, one: Outgoing, error: MigratorError) -> Outcome:
        if isinstance(error, ItemError) and error.code == "too_large":
            return Outcome(one.item.ref, State.SKIPPED, reason=SkipReason.TOO_LARGE, notes=(error.message,))
        return _failed(one.item.ref, error)

    def _stored(self, folder: Folder, one: Outgoing, uidvalidity: int, uid: int) -> Outcome:
        return Outcome(
            one.item.ref,
            State.COPIED,
            item_id(folder.id, uidvalidity, uid),
            one.words.version,
            octets=one.size,
            notes=one.notes,
        )

    def _set_late(
        self, folder: Folder, late: Sequence[tuple[int, Outgoing]], outcomes: dict[int, Outcome]
    ) -> None:
        def set_flags(wire: Wire) -> None:
            self._between(wire)
            self.select(wire, folder.id, write=True)
            tags = [
                wire.begin(b"UID STORE " + each + b" +FLAGS.SILENT (\\Flagged)")
                for each in sets(sorted(uid for uid, _ in late))
            ]
            wire.flush()
            wire.finish(*tags)

        try:
            self._box.reading(set_flags)
        except (Transient, JobError):
            for _, one in late:  # stored it is; the flag is not sure
                outcomes[one.number] = replace(
                    outcomes[one.number], notes=(*outcomes[one.number].notes, "flag_unsure")
                )

    def _look_up(
        self,
        folder: Folder,
        start: int,
        unknown: Sequence[Outgoing],
        outcomes: dict[int, Outcome],
        late: list[tuple[int, Outgoing]],
    ) -> None:
        """No APPENDUID: find what was just stored, by size, Message-ID and order of arrival."""

        def arrivals(wire: Wire) -> tuple[int, list[ItemRef]]:
            self._between(wire)
            there = self._reselect(wire, folder.id, fresh=True)
            above = max(0, start - 1)
            return there.uidvalidity, self._fetch(wire, folder, there, [b"%d:*" % (above + 1)], above)

        try:
            _, refs = self._box.reading(arrivals)
        except (Transient, JobError):
            refs = []
        free = {ref.id: ref for ref in refs}
        for one in unknown:
            ours, _, _ = head_of(head_octets(one.pieces))
            sizes = (one.size, fit.size_with_line_ends(b"".join(one.pieces)))
            match = next(
                (
                    ref
                    for ref in free.values()
                    if ref.message_id == ours
                    and (ref.size is None or any(abs(ref.size - size) < 512 for size in sizes))
                ),
                None,
            )
            if match is None:
                doubt = InDoubt(f"{self._box.who}: stored, but not found again", code="no_item_id")
                outcomes[one.number] = _failed(one.item.ref, doubt)
                continue
            del free[match.id]
            split = split_id(match.id)
            assert split is not None
            outcomes[one.number] = self._stored(folder, one, split[1], split[2])
            if one.words.late:
                late.append((split[2], one))

    # ---- update

    def _update(self, folder: Folder, ready: Outgoing, replaced: tuple[str, str]) -> Outcome:
        """Over an earlier copy: flags are set; other content is appended and the old message removed afterwards."""
        ref = ready.item.ref
        split = split_id(replaced[0])
        if split is None:
            return _failed(ref, ItemError("no id of this server", code="conflict"))

        def look(wire: Wire) -> tuple[str, bytes | None] | None:
            self._between(wire)
            there = self.select(wire, folder.id, write=True)
            if there.uidvalidity != split[1]:
                return None
            whole = ready.item.origin != ORIGIN  # a message of an IMAP source never changes under its UID
            _, untagged = wire.ask(
                b"UID FETCH %d (UID FLAGS%s)" % (split[2], b" BODY.PEEK[]" if whole else b"")
            )
            for pieces in untagged:
                data = fetched(pieces)
                if data is not None and b"UID" in data and number_of(data[b"UID"]) == split[2]:
                    flags = b" ".join(text_of(word) for word in data.get(b"FLAGS") or [])
                    return marks_of(flags).version, text_of(data.get(b"BODY[]")) if whole else None
            return None

        found = self._box.reading(look)
        if found is None or found[0] != replaced[1]:
            return _failed(ref, ItemError("the target item was changed meanwhile", code="conflict"))
        if found[1] is not None and not fit.alike(found[1], b"".join(ready.pieces)):
            return self._exchange_message(folder, ready, split[2])
        words = [*ready.words.now, *ready.words.late]

        def set_flags(wire: Wire) -> Tagged:
            said, _ = wire.ask(b"UID STORE %d FLAGS.SILENT (%s)" % (split[2], b" ".join(words)))
            return said

        try:
            said = set_flags(self._box.wire())
        except Lost:
            self._box.drop()
            return _failed(
                ref, InDoubt(f"{self._box.who}: no answer to a change of flags", code="answer_lost")
            )
        if not said.ok:
            return _failed(ref, faults.about_item(said, self._box.who))
        return Outcome(
            ref, State.COPIED, replaced[0], ready.words.version, octets=ready.size, notes=ready.notes
        )

    def _exchange_message(self, folder: Folder, ready: Outgoing, old: int) -> Outcome:
        """Append the new one, then remove the old one; a new one that an earlier try has left is taken instead."""
        body = b"".join(ready.pieces)
        message_id, _, _ = head_of(head_octets(ready.pieces))

        def look(wire: Wire) -> tuple[int, int] | None:
            self._between(wire)
            there = self.select(wire, folder.id, write=True)
            refs = self._fetch(wire, folder, there, [b"%d:*" % (old + 1)], old)
            for ref in refs:
                split = split_id(ref.id)
                # A server that is wrong about sizes would be given the message twice: its word counts only for want of a better.
                if (
                    split is None
                    or ref.message_id != message_id
                    or (not message_id and ref.size not in (len(body), fit.size_with_line_ends(body)))
                ):
                    continue
                _, untagged = wire.ask(b"UID FETCH %d (UID BODY.PEEK[])" % split[2])
                for pieces in untagged:
                    data = fetched(pieces)
                    if data is not None and b"BODY[]" in data and fit.alike(text_of(data[b"BODY[]"]), body):
                        return split[1], split[2]
            return None

        left = self._box.reading(look)
        outcomes: dict[int, Outcome] = {}
        if left is not None:
            outcome = self._stored(folder, ready, *left)
        else:
            self._append(folder, [ready], outcomes)
            outcome = outcomes[ready.number]
        if outcome.state is State.COPIED:
            self._expunge(folder, [old])
        return outcome

    # ---- removing

    def versions(self, folder: Folder, ids: Sequence[str]) -> dict[str, str]:
        """By a listing of the folder: flags and identifiers in one command, no content."""
        wanted = set(ids)
        found: dict[str, str] = {}
        after: Checkpoint | None = None
        while True:
            page = self.page(folder, after)
            found |= {ref.id: ref.version for ref in page.refs if ref.id in wanted and not ref.gone}
            if page.last or page.checkpoint == after:
                return found
            after = page.checkpoint

    def remove(self, folder: Folder, ids: Sequence[str]) -> list[str]:
        wanted = {
            item: split for item in ids if (split := split_id(item)) is not None and split[0] == folder.id
        }

        def validity(wire: Wire) -> int:
            self._between(wire)
            return self.select(wire, folder.id, write=True).uidvalidity

        now = self._box.reading(validity)
        uids = sorted(split[2] for split in wanted.values() if split[1] == now)
        if uids:
            self._expunge(folder, uids)
        left = set(self._box.reading(lambda wire: self._there(wire, uids)))
        return [item for item, split in wanted.items() if split[1] != now or split[2] not in left]

    def _there(self, wire: Wire, uids: Sequence[int]) -> list[int]:
        if not uids:
            return []
        return [uid for each in sets(uids) for uid in self._search(wire, each)]

    def _expunge(self, folder: Folder, uids: Iterable[int]) -> None:
        """Remove these and no others."""

        def remove(wire: Wire) -> None:
            self._between(wire)
            self.select(wire, folder.id, write=True)
            for each in sets(sorted(uids)):
                wire.ask(b"UID STORE " + each + b" +FLAGS.SILENT (\\Deleted)")
                if wire.has(b"UIDPLUS"):
                    wire.ask(b"UID EXPUNGE " + each)
                else:
                    self._plain_expunge(wire, each)

        self._box.reading(remove)

    def _plain_expunge(self, wire: Wire, wanted: bytes) -> None:
        """EXPUNGE takes every message that is marked: the marks of others are lifted meanwhile."""
        _, untagged = wire.ask(b"UID SEARCH DELETED")
        marked = {
            int(word)
            for pieces in untagged
            if isinstance(pieces[0], bytes) and pieces[0][:9].upper() == b"* SEARCH "
            for word in pieces[0].split()[2:]
            if word.isdigit()
        }
        others = sorted(marked - set(expand(wanted.decode())))
        for each in sets(others):
            wire.ask(b"UID STORE " + each + b" -FLAGS.SILENT (\\Deleted)")
        wire.ask(b"EXPUNGE")
        for each in sets(others):
            wire.ask(b"UID STORE " + each + b" +FLAGS.SILENT (\\Deleted)")

    def remove_folder(self, folder: Folder) -> None:
        naming = self.naming()

        def delete(wire: Wire) -> None:
            self._between(wire)
            self._early = None
            if wire.selected is not None:
                wire.selected = None
                wire.ask(b"UNSELECT" if wire.has(b"UNSELECT") else b"EXAMINE INBOX")
            below = folder.id + naming.separator if naming.separator else None
            names = [
                name for name in self._known() if name == folder.id or (below and name.startswith(below))
            ]
            for name in sorted({*names, folder.id}, key=len, reverse=True):
                wire.ask(b"UNSUBSCRIBE ", self._box.quoted(name))
                wire.ask(b"DELETE ", self._box.quoted(name))

        with self._shared.making:
            try:
                self._box.reading(delete)
            finally:
                self._shared.folders = None


def _is_refusal(outcome: Outcome) -> bool:
    return isinstance(outcome.error, ItemError) and outcome.error.code == "refused"


def _failed(ref: ItemRef, error: MigratorError) -> Outcome:
    return Outcome(ref, State.FAILED, error=error)


def _appended(said: Tagged) -> tuple[int, list[int]]:
    """(UIDVALIDITY, UIDs) of what an APPEND has stored, in its order; no UIDs where the server does not tell."""
    words = said.rest.split()
    if said.code != b"APPENDUID" or len(words) != 2 or not words[0].isdigit():
        return 0, []
    try:
        return int(words[0]), list(expand(words[1].decode("ascii", "replace"), 100_000))
    except Garbled:
        return 0, []

"""Folders of a target: made where they are missing, many in one flight, and shown as the source's are.

Facts this module rests on:
- CREATE makes the folders above, and may be told what a folder is for where CREATE-SPECIAL-USE is offered (RFC 3501 6.3.3, RFC 6154 3)
- STATUS behind CREATE tells the new folder's UIDVALIDITY and UIDNEXT without opening it (RFC 3501 6.3.10)
- PERMANENTFLAGS are told by SELECT alone (RFC 3501 7.1): it leaves with the rest, so that no later APPEND has to wait for it
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from migrator.adapters.imap import faults
from migrator.adapters.imap.grammar import Piece
from migrator.adapters.imap.listing import Status, parse_status, status_items
from migrator.adapters.imap.names import tame
from migrator.adapters.imap.source import ImapReader
from migrator.adapters.imap.wire import Tagged, Wire
from migrator.errors import ItemError, Transient
from migrator.interfaces import Wanted
from migrator.model import Folder, FolderPath, Kind, Role
from migrator.record import record

ROLE_NAMES = {
    Role.SENT: "Sent",
    Role.DRAFTS: "Drafts",
    Role.DELETED: "Trash",
    Role.JUNK: "Junk",
    Role.ARCHIVE: "Archive",
    Role.OUTBOX: "Outbox",
    Role.CONVERSATION_HISTORY: "Conversation History",
}
ROLE_USES = {
    Role.SENT: b"\\Sent",
    Role.DRAFTS: b"\\Drafts",
    Role.DELETED: b"\\Trash",
    Role.JUNK: b"\\Junk",
    Role.ARCHIVE: b"\\Archive",
}
PREPARED = 100
"""Folders made in one flight."""


@record(frozen=False)
class _Part:
    """A folder that will be ensured. there: it is to be opened only."""

    role: Role | None = None
    there: bool = False
    filled: bool = False
    subscribed: bool | None = None  # None: as it is, or for a new one yes


class FolderMaker(ImapReader):
    """The part of `interfaces.Target` that is about folders."""

    def folders(self) -> list[Folder]:
        found = super().folders()
        with self._shared.lock:
            self._shared.folders = {folder.id: folder for folder in found}
            self._shared.shown = {one.id: one.subscribed for one in found if one.subscribed is not None}
        return found

    def prepare_folders(self, wanted: Sequence[Wanted]) -> None:
        """What is missing is made, and what will be written to is opened once, in one flight. A name that is refused is left to
        `ensure_folder`."""
        with self._shared.making:
            known = self._known()
            naming = self.naming()
            parts: dict[str, _Part] = {}
            for one in wanted:
                if one.kind is not Kind.MAIL:
                    continue
                path = one.path
                if one.role is not None:
                    own = next((folder for folder in known.values() if folder.role is one.role), None)
                    base = (
                        own.path if own is not None else (ROLE_NAMES.get(one.role, one.role.value.title()),)
                    )
                    if own is None:
                        parts.setdefault(naming.name(base), _Part(role=one.role))
                    path = (*base, *path)
                if tame(path) != path:
                    continue  # it may be refused, and some servers hang up after so many refusals
                for depth in range(1, len(path) + 1):
                    name = naming.name(path[:depth])
                    if name not in known:
                        parts.setdefault(name, _Part())
                name = naming.name(path)
                changed = one.subscribed is not None and self._shared.shown.get(name) is not one.subscribed
                if one.filled or changed:
                    part = parts.setdefault(name, _Part(there=True))
                    part.filled = part.filled or one.filled
                    part.subscribed = one.subscribed if changed or not part.there else None
            names = list(parts)
            for start in range(0, len(names), PREPARED):
                some = {name: parts[name] for name in names[start : start + PREPARED]}
                try:
                    made = self._box.reading(partial(self._create_all, wanted=some))
                except Transient:
                    self._shared.folders = None
                    raise
                for name, status in made.items():
                    self._came(name, some[name].role, status)
            self._box.park()

    def _create_all(self, wire: Wire, wanted: Mapping[str, _Part]) -> dict[str, Status]:
        """name → status of those that are there now and were not before."""
        self._between(wire)
        self._early = None
        made: dict[str, list[bytes]] = {}
        shown: dict[str, bytes] = {}
        opened: list[tuple[str, bytes]] = []
        for name, part in wanted.items():
            if not part.there:
                made[name] = self._ask_create(wire, name, part.role)
            if part.subscribed is not None:
                shown[name] = self._ask_subscribe(wire, name, part.subscribed)
            elif not part.there:
                shown[name] = self._ask_subscribe(wire, name, True)
            if part.filled:
                opened.append((name, wire.begin(b"SELECT ", self._box.quoted(name))))
        wire.flush()
        untagged: list[list[Piece]] = []
        # What SELECT tells stands before its own end and behind everything before it.
        for name, tag in opened:
            (answer,), told = wire.finish(tag)
            if answer.ok and answer.code != b"READ-ONLY":
                self._shared.permanent[name] = self.selected(wire, name, answer, told).flags
            untagged += told
        _, told = wire.finish(*(tag for tags in made.values() for tag in tags))
        untagged += told
        for name, tag in shown.items():
            (answer,), told = wire.finish(tag)
            untagged += told
            if answer.ok:
                self._shared.shown[name] = wanted[name].subscribed is not False
        status = dict(each for one in untagged if (each := parse_status(one, wire.utf8)) is not None)
        return {name: status[name] for name in made if name in status}

    def ensure_folder(
        self, path: FolderPath, kind: Kind, *, folder_class: str = "", role: Role | None = None
    ) -> Folder:
        if kind is not Kind.MAIL:
            raise ItemError(
                f"IMAP keeps mail only, no folder of kind {kind.value}",
                code="folder_refused",
                remedy="Move calendars, contacts and tasks to Microsoft 365, or export them to files.",
            )
        # Handles of several threads: one makes a folder, the others find it.
        with self._shared.making:
            known = self._known()
            if role is not None:
                own = next((folder for folder in known.values() if folder.role is role), None)
                base = (
                    own.path
                    if own is not None
                    else self._make((ROLE_NAMES.get(role, role.value.title()),), role).path
                )
                path = (*base, *path)
            folder = self._at(path)
            if folder is None:
                for depth in range(1, len(path)):
                    if self._at(path[:depth]) is None:
                        self._make(path[:depth], None)
                folder = self._make(path, None)
            self._box.park()
            return folder

    def _known(self) -> dict[str, Folder]:
        if self._shared.folders is None:
            self.folders()
        assert self._shared.folders is not None
        return self._shared.folders

    def _at(self, path: FolderPath) -> Folder | None:
        return self._known().get(self.naming().name(path))

    def _make(self, path: FolderPath, role: Role | None) -> Folder:
        name = self.naming().name(path)
        try:
            status = self._box.reading(lambda wire: self._create(wire, name, role))
        except Transient:
            self._shared.folders = None
            raise
        except ItemError:
            tamed = tame(path)
            if tamed == path:
                raise
            # Some servers have rules of their own for names: Cyrus knows no backslash, others no wildcard.
            folder = self._at(tamed) or self._make(tamed, role)
            self._known()[name] = folder
            return folder
        return self._came(name, role, status)

    def _came(self, name: str, role: Role | None, status: Status | None) -> Folder:
        """A folder that is there now, to be known from here on."""
        path = self.naming().path(name)
        if status is not None:
            self.know_status(name, status)
        known = self._known()
        parent = known.get(self.naming().name(path[:-1])) if len(path) > 1 else None
        folder = Folder(
            name,
            path,
            role=role,
            total=status.messages if status else 0,
            parent_id=parent.id if parent else "",
        )
        self._names_only.discard(name)
        known[name] = folder
        return folder

    def _ask_create(self, wire: Wire, name: str, role: Role | None) -> list[bytes]:
        use = ROLE_USES.get(role) if role is not None and wire.has(b"CREATE-SPECIAL-USE") else None
        word = self._box.quoted(name)
        return [
            wire.begin(b"CREATE ", word, b" (USE (" + use + b"))" if use else b""),
            wire.begin(b"STATUS ", word, b" ", status_items(wire)),
        ]

    def _ask_subscribe(self, wire: Wire, name: str, on: bool) -> bytes:
        return wire.begin(b"SUBSCRIBE " if on else b"UNSUBSCRIBE ", self._box.quoted(name))

    def _create(self, wire: Wire, name: str, role: Role | None) -> Status | None:
        self._between(wire)
        self._early = None
        tags = [*self._ask_create(wire, name, role), self._ask_subscribe(wire, name, True)]
        wire.flush()
        (made, told, shown), untagged = wire.finish(*tags)
        if shown.ok:
            self._shared.shown[name] = True
        found = next((each for each in (parse_status(one, wire.utf8) for one in untagged) if each), None)
        if not told.ok or found is None:
            if made.ok and told.ok:
                return None
            slow = faults.throttled(made)
            if slow is not None:
                raise slow
            if made.code in (b"UNAVAILABLE", b"INUSE"):
                raise Transient(faults.safe(made.text), code="unavailable")
            raise ItemError(
                f"the server refuses the folder {name!r}: {faults.safe(made.text)}",
                code="folder_refused",
                remedy="Rename it with [folders] rename in the project file.",
            )
        return found[1]

    def subscribe(self, wanted: Mapping[str, bool]) -> None:
        """What is so already is not asked for."""
        known = self._shared.shown
        changed = {name: on for name, on in wanted.items() if known.get(name) is not on}
        if not changed:
            return

        def ask(wire: Wire) -> list[Tagged]:
            self._between(wire)
            tags = [self._ask_subscribe(wire, name, on) for name, on in changed.items()]
            wire.flush()
            return wire.finish(*tags)[0]

        for (name, on), said in zip(changed.items(), self._box.reading(ask), strict=True):
            if said.ok:
                known[name] = on
            elif (slow := faults.throttled(said)) is not None:
                raise slow
        self._box.park()

"""What a source and a target promise. Plain calls that return lists: an error surfaces inside the call that caused it.

Both are one mailbox, used by one thread at a time; a `Client` (one per endpoint and process) opens as many as are wanted
and lets those of one mailbox share what belongs together (tokens, connections, the import session, the folder map).

The contracts in `tests/contracts/` are these docstrings, executed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Protocol, runtime_checkable

from migrator.events import Event
from migrator.model import (
    Checkpoint,
    Folder,
    FolderPath,
    Format,
    Item,
    ItemRef,
    Kind,
    Mailbox,
    Outcome,
    Page,
    Role,
)
from migrator.record import record
from migrator.settings import Endpoint

Emit = Callable[[Event], None]
"""Takes an event; never blocks for long and never raises."""


@record
class Finding:
    """One thing that a probe saw. level: "ok", "note", "warning" or "blocker"; a blocker has a remedy."""

    level: str
    text: str
    remedy: str = ""
    code: str = ""


@record
class Probe:
    """What opening a mailbox told. identity: stable for the mailbox's life (mailbox GUID, mailbox id), never its name."""

    identity: str
    product: str  # "Exchange 2016 (15.1.2507.6)", "Microsoft 365"
    findings: tuple[Finding, ...] = ()


@record
class Standing:
    """What a target tells of its room, its licence and the largest item it takes. None and "": it does not; why says so.

    licence: "licensed", "none", "not needed". receive_by: who set receive_octets, "endpoint" (an option of ours), "service"
    (told by it) or "default" (what the service gives where nobody set another; this mailbox's own is not told).
    """

    quota_octets: int | None = None
    used_octets: int | None = None
    as_of: str = ""  # the day of these two, ISO
    quota_why: str = "this kind of endpoint does not tell"
    quota_remedy: str = ""
    licence: str = ""
    licence_why: str = "this kind of endpoint does not tell"
    licence_remedy: str = ""
    receive_octets: int | None = None
    receive_by: str = ""


@record
class ReaderTraits:
    """What listing and exporting can do. Callers ask here, never for a class."""

    formats: tuple[Format, ...]  # that `export` can make, best first
    has_delta: bool = False  # an old checkpoint lists what changed since, `gone` records included
    connections: int = 1  # useful at once per mailbox
    export_items: int = 50  # most refs per `export`
    usual_items: int = 20  # refs per `export` that suit it, where the user asks for no number
    export_octets: int = 16 << 20  # most octets (by ItemRef.size) per `export`, unless it is one ref
    origin: str = ""  # stamped on items: whose stream it is, e.g. "ews 15.1"


@record
class TargetTraits(ReaderTraits):
    accepts: tuple[Format, ...] = ()  # that `store` takes, best first
    kinds: frozenset[Kind] = frozenset(Kind)
    store_items: int = 1  # most items per `store`
    request_octets: int = 16 << 20  # octets of content that suit one `store` of several items
    store_octets: int | None = (
        None  # most octets of content per item; larger is SKIPPED too_large before sending
    )
    several_folders: bool = False  # `store_all` is cheaper than a `store` for each
    can_update: bool = False  # `store(..., replaces=…)`
    canary: bool = False  # whether `store` works at all must be proven per tenant first (`engine.canary`)
    subscriptions: bool = False  # `subscribe`
    creates: frozenset[Kind] = (
        frozenset()
    )  # kinds that `store` can make anew from an item stream taken apart (`Item.path` JSON)


@record
class Expected:
    """A folder that will be read from its beginning. whole: with the content of each of its items, in the order listed."""

    folder: Folder
    whole: bool = False


@record
class Wanted:
    """What `ensure_folder` will be asked for. filled: and `store` afterwards; subscribed: and, where told, `subscribe`."""

    path: FolderPath
    kind: Kind
    folder_class: str = ""
    role: Role | None = None
    filled: bool = True
    subscribed: bool | None = None


@runtime_checkable
class Reader(Protocol):
    """A mailbox that can be listed and read. Every call may be repeated.

    Raises: Transient/Throttled (repeat), JobError/SourceDown (this mailbox cannot go on), UserError (credentials).
    """

    @property
    def traits(self) -> ReaderTraits: ...

    def probe(self) -> Probe:
        """Open the mailbox, change nothing, say what it is and what will be in the way. The first call on a mailbox."""
        ...

    def folders(self) -> list[Folder]:
        """Every folder below the visible root, parents before children; search and hidden folders included and marked."""
        ...

    def expect(self, wanted: Sequence[Expected]) -> None:
        """What will be read next, in this order: it may be asked for ahead, so that a long way is gone once and not per folder.

        A hint: it never raises, and nothing may rest on it; the calls that follow may be others. A new one replaces the last.
        """
        ...

    def page(self, folder: Folder, after: Checkpoint | None) -> Page:
        """The next refs of a folder. None starts at the beginning.

        Pages cover each item once. `last` says that nothing more is there now; the last page's checkpoint, given later,
        lists what came, changed or went since (where `traits.has_delta`), and an empty last page when nothing did.
        Raises CheckpointLost for a token of another scheme or one that the server no longer honours.
        """
        ...

    def export(self, refs: Sequence[ItemRef], fmt: Format) -> list[Item | Outcome]:
        """Read items out in a format: one result per ref, in the order given.

        A bad ref is an Outcome (SKIPPED vanished / corrupt_at_source / too_large, or FAILED with an ItemError or a
        Transient that befell only this item); its neighbours are Items. `Transient` is raised only when nothing was read.
        """
        ...

    def close(self) -> None: ...


class Source(Reader, Protocol):
    """One mailbox to read from."""


class Target(Reader, Protocol):
    """One mailbox to write to. It can be listed and exported as well: verification and doubt rest on that."""

    @property
    def traits(self) -> TargetTraits: ...

    def standing(self) -> Standing:
        """Room, licence and limits, as far as reading tells. Asked once for a plan; may need calls of its own.

        What this account may not read is "not known" in the answer, not an error.
        """
        ...

    def prepare_folders(self, wanted: Sequence[Wanted]) -> None:
        """These will be ensured one by one: a target that can makes them in one go. Safe to repeat, and to leave out.

        Raises no ItemError: what a folder is refused for, `ensure_folder` tells.
        """
        ...

    def ensure_folder(
        self, path: FolderPath, kind: Kind, *, folder_class: str = "", role: Role | None = None
    ) -> Folder:
        """The folder at this path, made with its parents where missing. Safe to repeat and to call from several threads.

        role: the target's own folder of this role, whatever it is called there; `path` then only names what is below.
        Raises ItemError(code="folder_refused") when the server will not have this folder.
        """
        ...

    def subscribe(self, wanted: Mapping[str, bool]) -> None:
        """Folder id → whether mail programs are to show it. Safe to repeat. Does nothing where traits have no subscriptions."""
        ...

    def mark(self, folder: Folder) -> Checkpoint:
        """A checkpoint from which `page` lists all that arrives after this call. Taken before the first write to a folder."""
        ...

    def store(
        self, folder: Folder, items: Sequence[Item], replaces: Sequence[tuple[str, str] | None] | None = None
    ) -> list[Outcome]:
        """Write items into a folder, each on its own. NOT safe to repeat.

        At most traits.store_items items. replaces: per item None (create) or (target id, target version) to overwrite; a
        target item that changed meanwhile is FAILED with code "conflict". Returns one outcome per item in order; a refused item
        never stops its neighbours; an item whose answer was lost is FAILED with InDoubt, one surely not stored FAILED with
        Transient or ItemError. Raises Throttled, Transient or JobError only when nothing was stored.
        """
        ...

    def store_all(self, batches: Sequence[tuple[Folder, Sequence[Item]]]) -> list[list[Outcome]]:
        """As `store`, new items into several folders, at most traits.store_items of them together. Outcomes by batch.

        Raises nothing that `store` would: by then others may have been stored, so that is told with each item that it befell.
        """
        ...

    def versions(self, folder: Folder, ids: Sequence[str]) -> dict[str, str]:
        """The present versions of items of a folder, by id; one that is not in this folder is left out.

        Equal to the version that `store` or `page` told as long as nobody changed the item.
        """
        ...

    def remove(self, folder: Folder, ids: Sequence[str]) -> list[str]:
        """Delete items for good; returns the ids that are gone afterwards (already gone counts)."""
        ...

    def remove_folder(self, folder: Folder) -> None:
        """Delete a folder with its content. Used for the canary's own folder; already gone is fine."""
        ...


class Client(Protocol):
    """One endpoint in this process: tokens, connections, limits. Thread-safe."""

    def source(self, mailbox: Mailbox) -> Source: ...

    def target(self, mailbox: Mailbox) -> Target: ...

    def close(self) -> None: ...


class Clock(Protocol):
    """Time is given, never taken: tests inject their own."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


class Secrets(Protocol):
    def reveal(self, reference: str, *, what: str) -> str:
        """The secret behind "env:…", "keyring:…", "file:…". Raises UserError naming `what` and the reference, never the value."""
        ...


class Pace(Protocol):
    """A cap on the line, asked by whoever has the wire, for what crosses it. Thread-safe; may wait, never raises."""

    piece: int
    """Most octets to write or read between two questions."""

    def up(self, octets: int) -> float:
        """Before so many octets are written. Returns the seconds that it waited."""
        ...

    def down(self, octets: int) -> float:
        """After so many octets were read: the next read waits for them. Returns the seconds that it waited."""
        ...


@record
class Context:
    """What an adapter gets from the assembly room beside its endpoint."""

    clock: Clock
    secrets: Secrets
    emit: Emit = field(default=lambda event: None)
    interactive: bool = False  # may ask a person (device code sign-in)
    pace: Pace | None = None  # the cap on the line, where there is one


Connect = Callable[[Endpoint, Context], Client]
"""What the registry holds per adapter name. Opens nothing yet; raises UserError when the endpoint's settings cannot work."""

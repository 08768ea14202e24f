"""What was asked for before its turn came: folders opened, listed and read in one flight over one connection.

    EXAMINE a, listing of a, bodies of a, EXAMINE b, listing of b, …

Facts this module rests on:
- EXAMINE is a barrier: what was sent before it is answered before it, what is sent after it is about the folder that it opened
  (RFC 3501 5.5, 6.3.1); commands within one folder may be answered in any order (Dovecot does)
- what is not read waits in the connection and, when that is full, at the server: nothing is held in memory for being asked early
- a server gives up a connection of which nobody reads for some minutes: nothing rests on the answers, they are asked for anew
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import field

from migrator.interfaces import Expected
from migrator.model import Folder, Page
from migrator.record import record

AHEAD_FOLDERS = 12
"""Most folders under way at once on a connection: their commands fill a few KB, which no server is blocked by."""
AHEAD_PAGES = 2
"""Most pages of a large folder, for the same reason: many UIDs with gaps are long to name."""
AHEAD_NAMES = 4000
"""Octets of such names, at most."""
APART = 20
"""From so many messages on, listing and bodies are kept apart by an EXAMINE: else Dovecot mixes them, and bodies that come before
the listing is read are held in memory."""
STRAYS = 3
"""So often the engine may do something else than it said, or the server, before nothing is asked for ahead any more."""


class Astray(Exception):
    """What is under way on the connection is not what is wanted now."""


@record(frozen=False)
class Leg:
    """One folder (or one page of a large one) that was asked for. Without tags: known without a question."""

    folder: Folder
    expected: Expected | None = None  # None: a later page
    after: int = 0  # the UID above which
    part: Sequence[int] = ()  # UIDs of a later page
    examine: bytes = b""  # tags
    listing: Sequence[bytes] = ()
    wanted: Sequence[bytes] = ()  # the UIDs of it
    apart: bytes = b""
    bodies: Sequence[bytes] = ()
    page: Page | None = None

    @property
    def closed(self) -> bool:
        """Whether nothing of it is left to be asked for."""
        return bool(self.bodies) or self.page is not None

    def tags(self) -> list[bytes]:
        return [tag for tag in (self.examine, *self.listing, self.apart, *self.bodies) if tag]


@record(frozen=False)
class Course:
    """What the engine said it would read, and how far that was asked for."""

    plan: deque[Expected] = field(default_factory=deque)
    legs: deque[Leg] = field(default_factory=deque)
    strays: int = 0
    now: Expected | None = None  # the folder that is being read
    rest: tuple[int, Sequence[int]] | None = None  # of it: the last UID that was asked for, and those above

    def begin(self, wanted: Iterable[Expected]) -> None:
        self.plan = deque(wanted)
        self.strays = 0
        self.now = self.rest = None

    @property
    def sent(self) -> bool:
        """Whether something is under way."""
        return any(leg.examine for leg in self.legs)

    def back(self) -> None:
        """What was asked for is lost: it is to be asked for anew."""
        self.plan.extendleft(leg.expected for leg in reversed(self.legs) if leg.expected is not None)
        self.legs.clear()
        self.rest = None

    def reached(self, folder: Folder) -> None:
        """The engine reads this folder now."""
        if self.now is not None and self.now.folder.id != folder.id:
            self.now = None
        if any(one.folder.id == folder.id for one in self.plan):
            while (one := self.plan.popleft()).folder.id != folder.id:
                pass
            self.now = one

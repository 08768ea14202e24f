"""The change log behind incremental listing: EWS sync states and Graph delta links are positions in it.

Each member (an item of a folder, a folder of a mailbox) is told at most once per round, with the kind that brings a
client that stood at `since` up to date. A round is a snapshot: what changes while a client pages through it comes in
the next one, so pages never repeat or miss a member however often it changes meanwhile.

Exchange 2010 SP2 and later tell the newest changes first, earlier ones the oldest first (MS-OXWSSYNC, R389).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class ChangeKind(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    READ = "read"  # only the read flag
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Position:
    """Where a listing goes on. since: all changes up to this sequence number are known to the client.
    snapshot and at: a round that is under way (0 when none is)."""

    since: int = 0
    snapshot: int = 0
    at: int = 0


START = Position()


class _Track:
    __slots__ = ("came", "gone", "last", "older", "read", "touched")

    def __init__(self, seq: int) -> None:
        self.came = seq
        self.touched = seq
        self.read = 0
        self.gone = 0
        self.last = seq
        self.older: list[int] | None = None  # earlier sequence numbers, where there is more than one

    def stamp(self, seq: int) -> None:
        if self.older is None:
            self.older = []
        self.older.append(self.last)
        self.last = seq

    def last_at(self, snapshot: int) -> int:
        if self.last <= snapshot or self.older is None:
            return self.last
        spot = bisect_right(self.older, snapshot)
        return self.older[spot - 1] if spot else 0


class ChangeLog:
    """Sequence numbers must rise from call to call; they are the store's, so they are unique over all folders."""

    def __init__(self) -> None:
        self._tracks: dict[int, _Track] = {}
        self._seqs: list[int] = []
        self._ids: list[int] = []

    @property
    def last(self) -> int:
        """Sequence number of the latest change, 0 when there never was one."""
        return self._seqs[-1] if self._seqs else 0

    def _log(self, seq: int, member: int) -> None:
        self._seqs.append(seq)
        self._ids.append(member)

    def came(self, member: int, seq: int) -> None:
        self._tracks[member] = _Track(seq)
        self._log(seq, member)

    def changed(self, member: int, seq: int) -> None:
        track = self._tracks[member]
        track.stamp(seq)
        track.touched = seq
        self._log(seq, member)

    def flagged(self, member: int, seq: int) -> None:
        """Only the read flag changed."""
        track = self._tracks[member]
        track.stamp(seq)
        track.read = seq
        self._log(seq, member)

    def went(self, member: int, seq: int) -> None:
        track = self._tracks[member]
        track.stamp(seq)
        track.gone = seq
        self._log(seq, member)

    def walk(
        self,
        position: Position,
        limit: int,
        *,
        newest_first: bool = True,
        keep: Callable[[int], bool] | None = None,
    ) -> tuple[list[tuple[ChangeKind, int]], Position, bool]:
        """The next changes after a position: (changes, next position, whether the round is over).

        keep: leaves members out (hidden ones, for a client that did not ask for them). When nothing changed the
        position comes back equal to the one given.
        """
        since = position.since
        snapshot = position.snapshot or self.last
        found: list[tuple[ChangeKind, int]] = []
        if snapshot <= since:
            return found, Position(since), True
        first = bisect_right(self._seqs, since)
        end = bisect_right(self._seqs, snapshot)
        if newest_first:
            spot = (bisect_left(self._seqs, position.at) if position.at else end) - 1
            step, stop = -1, first - 1
        else:
            spot = bisect_right(self._seqs, position.at) if position.at else first
            step, stop = 1, end
        at = position.at
        while spot != stop:
            member, seq = self._ids[spot], self._seqs[spot]
            track = self._tracks[member]
            if track.last_at(snapshot) == seq and (keep is None or keep(member)):
                kind = self._kind(track, since)
                if kind is not None:
                    if len(found) == limit:
                        return found, Position(since, snapshot, at), False
                    found.append((kind, member))
            at = seq
            spot += step
        return found, Position(snapshot), True

    def dump(self) -> bytes:
        """The log as octets, for `restore`: 64-bit numbers, per change (seq, member), then per member (id, came, touched,
        read, gone)."""
        pairs = [number for pair in zip(self._seqs, self._ids, strict=True) for number in pair]
        tracks = [
            number
            for member, track in self._tracks.items()
            for number in (member, track.came, track.touched, track.read, track.gone)
        ]
        return array("q", [len(self._seqs), *pairs, *tracks]).tobytes()

    def restore(self, octets: bytes) -> None:
        numbers = array("q")
        numbers.frombytes(octets)
        count = numbers[0]
        self._seqs = list(numbers[1 : 1 + 2 * count : 2])
        self._ids = list(numbers[2 : 2 + 2 * count : 2])
        self._tracks = {}
        for seq, member in zip(self._seqs, self._ids, strict=True):
            track = self._tracks.get(member)
            if track is None:
                self._tracks[member] = _Track(seq)
            else:
                track.stamp(seq)
        rest = numbers[1 + 2 * count :]
        for spot in range(0, len(rest), 5):
            track = self._tracks[rest[spot]]
            track.came, track.touched, track.read, track.gone = rest[spot + 1 : spot + 5]

    @staticmethod
    def _kind(track: _Track, since: int) -> ChangeKind | None:
        if track.gone:
            return ChangeKind.DELETE if track.came <= since else None
        if track.came > since:
            return ChangeKind.CREATE
        return ChangeKind.UPDATE if track.touched > since else ChangeKind.READ

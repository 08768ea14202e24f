"""The lab's journal: every request, what it did and what it stored. It is the referee: budgets, double writes and
invitations are counted here, never in the client under test.

`record` appends to a list; all judging is done when asked.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class Stored:
    """One item that a request stored. update: an existing item was overwritten."""

    item: int
    folder: int
    digest: str  # of the stream as it came
    octets: int
    update: bool = False


@dataclass(slots=True)
class Entry:
    """One request, or one member of a batch. Times are seconds of the lab's clock."""

    service: str  # ews, graph, import, token, autodiscover, batch (a member of a Graph batch)
    operation: str
    mailbox: str = ""  # primary address where known
    status: int = 200  # HTTP status; 0 when the connection was reset instead of an answer
    code: str = ""  # response or error code, "" on success
    app_id: str = ""  # app registration, or the account that signed in to EWS
    octets_in: int = 0
    octets_out: int = 0
    started: float = 0.0
    finished: float = 0.0
    stored: list[Stored] = field(default_factory=list)
    deleted: int = 0
    invitations: int = 0  # mails that the service would have sent to attendees
    write: bool = False  # tried to change something
    throttled: bool = False
    fault: str = ""  # name of the scripted fault that struck
    peer: str = ""  # the client's address:port
    request_id: str = ""
    detail: dict[str, Any] = field(default_factory=dict)


Match = Callable[[Entry], bool]


class Journal:
    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.record = self.entries.append
        """Takes an Entry, in the order of finishing."""

    def __len__(self) -> int:
        return len(self.entries)

    def clear(self) -> None:
        self.entries.clear()

    def select(
        self,
        *,
        service: str | None = None,
        operation: str | None = None,
        mailbox: str | None = None,
        status: int | None = None,
        app_id: str | None = None,
        write: bool | None = None,
        since: float | None = None,
        until: float | None = None,
        match: Match | None = None,
    ) -> Iterator[Entry]:
        """Entries that fit everything given; mailbox in any case; since/until on the start."""
        address = None if mailbox is None else mailbox.lower()
        for entry in self.entries:
            if (
                (service is None or entry.service == service)
                and (operation is None or entry.operation == operation)
                and (address is None or entry.mailbox.lower() == address)
                and (status is None or entry.status == status)
                and (app_id is None or entry.app_id == app_id)
                and (write is None or entry.write == write)
                and (since is None or entry.started >= since)
                and (until is None or entry.started < until)
                and (match is None or match(entry))
            ):
                yield entry

    def counts(self, *by: str, **filters: Any) -> dict[tuple[Any, ...], int]:
        """How many entries per value of the fields named, e.g. counts("operation", "status")."""
        return dict(Counter(tuple(getattr(entry, name) for name in by) for entry in self.select(**filters)))

    def writes(self, **filters: Any) -> int:
        """Requests that tried to change something."""
        return sum(1 for _ in self.select(write=True, **filters))

    def reads(self, **filters: Any) -> int:
        return sum(1 for _ in self.select(write=False, **filters))

    def invitations(self) -> int:
        return sum(entry.invitations for entry in self.entries)

    def octets(self, **filters: Any) -> tuple[int, int]:
        """(in, out)."""
        came = went = 0
        for entry in self.select(**filters):
            came += entry.octets_in
            went += entry.octets_out
        return came, went

    def high_water(self, **filters: Any) -> dict[tuple[str, str], int]:
        """Most requests at once per (app, mailbox)."""
        groups: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
        for entry in self.select(**filters):
            groups[entry.app_id, entry.mailbox].append((entry.started, entry.finished))
        return {key: _most_at_once(spans) for key, spans in groups.items()}

    def busy_share(self, at_least: int, **filters: Any) -> float:
        """Share of the time between the first start and the last end in which at least so many requests were open."""
        moments: list[tuple[float, int]] = []
        for entry in self.select(**filters):
            moments += [(entry.started, 1), (entry.finished, -1)]
        if not moments:
            return 0.0
        moments.sort()
        open_now, busy = 0, 0.0
        for (at, step), (after, _) in zip(moments, [*moments[1:], moments[-1]], strict=True):
            open_now += step
            if open_now >= at_least:
                busy += after - at
        whole = moments[-1][0] - moments[0][0]
        return busy / whole if whole else 0.0

    def most_in_window(self, window_s: float, weigh: str = "", **filters: Any) -> dict[tuple[str, str], int]:
        """Per (app, mailbox): most requests, or most of the field `weigh` (such as octets_in), in any window so long."""
        groups: dict[tuple[str, str], list[tuple[float, int]]] = defaultdict(list)
        for entry in self.select(**filters):
            weight = getattr(entry, weigh) if weigh else 1
            groups[entry.app_id, entry.mailbox].append((entry.started, weight))
        found: dict[tuple[str, str], int] = {}
        for key, points in groups.items():
            points.sort()
            most = running = start = 0
            for at, weight in points:
                running += weight
                while points[start][0] <= at - window_s:
                    running -= points[start][1]
                    start += 1
                most = max(most, running)
            found[key] = most
        return found

    def stored(self, **filters: Any) -> Iterator[tuple[Entry, Stored]]:
        for entry in self.select(**filters):
            for one in entry.stored:
                yield entry, one

    def doubles(self) -> list[tuple[str, int, str, int]]:
        """Content that was created more than once in one folder: (mailbox, folder id, digest, times)."""
        seen = Counter(
            (entry.mailbox, one.folder, one.digest) for entry, one in self.stored() if not one.update
        )
        return [(*key, times) for key, times in seen.items() if times > 1]

    def to_json(self, entries: Iterable[Entry] | None = None) -> list[dict[str, Any]]:
        return [asdict(entry) for entry in (self.entries if entries is None else entries)]

    def dump(self) -> str:
        """One JSON object a line."""
        return "".join(
            json.dumps(asdict(entry), ensure_ascii=False, separators=(",", ":")) + "\n"
            for entry in self.entries
        )


def _most_at_once(spans: list[tuple[float, float]]) -> int:
    # An end at the very moment of a start frees the place first.
    moments = sorted((at, step) for start, end in spans for at, step in ((start, 1), (end, -1)))
    most = now = 0
    for _, step in moments:
        now += step
        most = max(most, now)
    return most

"""The forecast: the queue simulated many times over with other dice, and once without for what binds.

p50 and p90 are quantiles over the rounds, for each mailbox and for the end of all. What is thrown in every round: how quick
source and target are (once for all, and once more for each mailbox), how large the content is against what was listed, what
stands still meanwhile (a server that asks to wait, an answer that does not come), and a rest that nobody can name.

The same loads, terms and seed give the same forecast.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from math import exp, inf

from migrator.forecast import solo
from migrator.forecast.loads import MailboxLoad, filled, newer_than
from migrator.forecast.opening import Opening
from migrator.forecast.queue import Entrant, Passage, pass_through
from migrator.forecast.solo import Solo, Work, alone, work_of
from migrator.forecast.speeds import Speeds
from migrator.record import record
from migrator.settings import Limits, RunSettings

NEWEST_DAYS = 90
"""The first slice of a run with --newest-first, as the engine cuts it."""
SPREAD_EACH = 0.08
"""Of one mailbox against the others."""
SPREAD_REST = 0.05
"""Of the whole, beyond all that has a name."""
SPREAD_REQUESTS = 0.04
"""Calls that are made a second time, and those that nobody counted: never fewer, sometimes more."""
STALLS_PER_HOUR = 0.15
STALL_S = 45.0
"""Standstills of a mailbox: so many an hour, this long in the mean (exponential)."""
LINE, MACHINE, SLOTS, AT_ONCE, SCHEDULE = "line", "machine", "endpoint_slots", "at_once", "schedule"
WORDS = {
    solo.SOURCE: "reading from the source",
    solo.TRIPS: "the target's answers, one connection's after the other",
    solo.BYTES: "the target's byte window",
    solo.REQUESTS: "the target's request window",
    LINE: "the network",
    MACHINE: "this machine",
    SLOTS: "connections to an endpoint",
    AT_ONCE: "mailboxes at once",
    SCHEDULE: "the schedule",
}


ASSUMED = Speeds()
PUBLISHED = Limits()


@record
class Terms:
    """now: epoch at which the run starts. limits: by endpoint. speeds: by (source, target) endpoint.

    pace: how quick it truly goes, measured during a run, as a factor of what the speeds say; above 1 it does not
    reach the published windows. spread: of that.
    """

    now: float
    settings: RunSettings
    limits: Mapping[str, Limits]
    speeds: Mapping[tuple[str, str], Speeds] = field(default_factory=dict)
    deadline: float | None = None
    processes: int = 1
    pace: float = 1.0
    spread: float = SPREAD_REST
    rounds: int = 0  # 0 is as many as the number of mailboxes allows
    seed: int = 1

    def speeds_of(self, load: MailboxLoad) -> Speeds:
        speeds = self.speeds.get((load.source, load.target), ASSUMED)
        if self.pace <= 1:
            return speeds
        return speeds.faster(source=self.pace, target=self.pace, machine=self.pace)

    def limits_of(self, load: MailboxLoad) -> Limits:
        return self.limits.get(load.target, PUBLISHED)


@record
class MailboxOutlook:
    """Times are epoch seconds, None for never within the hours given. late: share of the rounds past the deadline.

    binds: what its time goes into, a key of WORDS.
    """

    job: str
    name: str
    line: int
    items: int
    octets: int
    starts: float | None
    p50: float | None
    p90: float | None
    late: float
    binds: str
    unknown: str = ""


@record
class Outlook:
    """gains: by what binds, how much sooner (share of the working time) all would be done with twice as much of it."""

    made: float
    mailboxes: tuple[MailboxOutlook, ...]
    p50: float | None
    p90: float | None
    deadline: float | None
    late: float
    binds: str
    gains: Mapping[str, float]
    worked_s: float  # working time until the end, without dice
    rounds: int

    @property
    def misses(self) -> list[MailboxOutlook]:
        """Mailboxes that more likely than not are late."""
        return [one for one in self.mailboxes if one.late > 0.5]

    @property
    def at_risk(self) -> list[MailboxOutlook]:
        """Those that may be: late in one round of ten or more, and not in most."""
        return [one for one in self.mailboxes if 0.1 <= one.late <= 0.5]


def forecast(loads: Sequence[MailboxLoad], terms: Terms) -> Outlook:
    """When each mailbox and all of them will be finished. Raises ValueError for hours that cannot be."""
    loads = filled(loads)
    opening = Opening(terms.settings, terms.now)
    run = Simulated(loads, terms)
    plain = run.once(None)
    rounds = terms.rounds or rounds_for(len(loads))
    dice = random.Random(terms.seed)
    begins: list[list[float]] = [[] for _ in loads]
    ends: list[list[float]] = [[] for _ in loads]
    last: list[float] = []
    for _ in range(rounds):
        found = run.once(dice)
        last.append(found.end)
        for number in range(len(loads)):
            begins[number].append(found.starts[number])
            ends[number].append(found.ends[number])
    allowed = opening.worked(terms.deadline) if terms.deadline is not None else inf
    boxes = tuple(
        MailboxOutlook(
            load.job,
            load.name,
            load.line,
            load.items,
            load.octets,
            opening.wall(quantile(begins[number], 0.5)),
            opening.wall(quantile(ends[number], 0.5)),
            opening.wall(quantile(ends[number], 0.9)),
            share_above(ends[number], allowed),
            _binds(plain, number, run, opening, terms.now),
            load.unknown,
        )
        for number, load in enumerate(loads)
    )
    binds, gains = what_binds(loads, terms, plain.end, opening)
    return Outlook(
        terms.now,
        boxes,
        opening.wall(quantile(last, 0.5)),
        opening.wall(quantile(last, 0.9)),
        terms.deadline,
        share_above(last, allowed),
        binds,
        gains,
        plain.end,
        rounds,
    )


def end_of(loads: Sequence[MailboxLoad], terms: Terms) -> float:
    """Working seconds until all is done, without dice."""
    return Simulated(filled(loads), terms).once(None).end


def rounds_for(mailboxes: int) -> int:
    """As many as take about a second, and enough for a p90 that means something."""
    return max(40, min(200, 60_000 // max(1, mailboxes)))


def quantile(values: Sequence[float], share: float) -> float:
    """By linear interpolation."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def share_above(values: Sequence[float], most: float) -> float:
    return sum(value > most for value in values) / len(values) if values else 0.0


# ------------------------------------------------------------------ the rounds


class Simulated:
    """A plan's queue, ready to be run again and again. loads: filled."""

    def __init__(self, loads: Sequence[MailboxLoad], terms: Terms) -> None:
        self.loads = loads
        self._terms = terms
        self._order = order_of(loads, terms.settings.mailboxes)
        self._slices = _slices(loads, terms)
        self._things = _Shared(loads, terms)
        self._speeds = [terms.speeds_of(load) for load in loads]
        self._limits = [terms.limits_of(load) for load in loads]
        self._works = [
            [work_of(load, terms.settings, terms.limits_of(load), terms.speeds_of(load)) for load in part]
            for part in self._slices
        ]
        self.solos: list[Solo] = []  # of the last round without dice, in the loads' order
        self.slowed: list[float] = []

    def once(self, dice: random.Random | None) -> Passage:
        """One round; without dice everything is as expected. starts and ends in the loads' order, working seconds."""
        count = len(self.loads)
        starts = [inf] * count
        ends = [0.0] * count
        tight = [0.0] * len(self._things.capacities)
        base = 0.0
        throw = _Throw(dice, self._terms)
        solos: list[Solo] = []
        for works in self._works:
            solos = [self._alone(number, works[number], throw) for number in range(count)]
            entrants = [self._entrant(solos[number], works[number], number, throw) for number in self._order]
            found = pass_through(entrants, self._terms.settings.mailboxes, self._things.capacities)
            for place, number in enumerate(self._order):
                starts[number] = min(starts[number], base + found.starts[place])
                ends[number] = base + found.ends[place]
            tight = [a + b for a, b in zip(tight, found.tight_s, strict=False)] or tight
            base += found.end
        if dice is None:
            self.solos = solos
        return Passage(starts, ends, tight)

    def tightest(self, found: Passage) -> str:
        """Of what is shared, what was used up longest."""
        names, tight = self._things.names, found.tight_s
        return names[max(range(len(names)), key=lambda thing: tight[thing])] if any(tight) else AT_ONCE

    def _alone(self, number: int, work: Work, throw: _Throw) -> Solo:
        speeds = self._speeds[number]
        size, source, target, requests = throw.of(self.loads[number], speeds)
        return alone(
            work, speeds, self._limits[number], size=size, source=source, target=target, requests=requests
        )

    def _entrant(self, one: Solo, work: Work, number: int, throw: _Throw) -> Entrant:
        stretch = throw.rest
        moving = one.moving_s * stretch
        stalled = throw.stalled(one.fixed_s + moving)
        uses = self._things.uses(self.loads[number], work, one, moving, self._speeds[number])
        return Entrant(one.fixed_s * stretch + stalled, moving, uses)


class _Throw:
    """The dice of one round."""

    def __init__(self, dice: random.Random | None, terms: Terms) -> None:
        self._dice = dice
        self.rest = 1 / min(1.0, terms.pace)
        self._pairs: dict[tuple[str, str], tuple[float, float, float]] = {}
        if dice is not None:
            self.rest *= exp(dice.gauss(0.0, terms.spread))

    def of(self, load: MailboxLoad, speeds: Speeds) -> tuple[float, float, float, float]:
        """(size, source, target, requests) factors."""
        dice = self._dice
        if dice is None:
            return 1.0, 1.0, 1.0, 1.0
        pair = (load.source, load.target)
        common = self._pairs.get(pair)
        if common is None:
            common = self._pairs[pair] = (
                dice.gauss(0.0, speeds.spread_size),
                dice.gauss(0.0, speeds.spread_source),
                dice.gauss(0.0, speeds.spread_target),
            )
        size, source, target = common
        return (
            exp(size + dice.gauss(0.0, load.spread)),
            exp(source + dice.gauss(0.0, SPREAD_EACH)),
            exp(target + dice.gauss(0.0, SPREAD_EACH)),
            exp(abs(dice.gauss(0.0, SPREAD_REQUESTS))),
        )

    def stalled(self, seconds: float) -> float:
        if self._dice is None:
            return STALLS_PER_HOUR * STALL_S * seconds / 3600
        lost, at = 0.0, self._dice.expovariate(STALLS_PER_HOUR)
        while at * 3600 < seconds:
            lost += self._dice.expovariate(1 / STALL_S)
            at += self._dice.expovariate(STALLS_PER_HOUR)
        return lost


class _Shared:
    """What the mailboxes share, where it has an end: the line, this machine, the slots of endpoints."""

    def __init__(self, loads: Sequence[MailboxLoad], terms: Terms) -> None:
        self.names: list[str] = []
        self.capacities: list[float] = []
        self._line = -1
        self._machine = -1
        self._slots: dict[str, int] = {}
        rates = [terms.settings.max_rate_octets_s] + [
            terms.speeds_of(load).line_octets_s for load in loads[:1]
        ]
        line = min((rate for rate in rates if rate > 0), default=0.0)
        if line:
            self._line = self._add(LINE, line)
        if any(terms.speeds_of(load).machine_items_s for load in loads):
            self._machine = self._add(MACHINE, float(max(1, terms.processes)))
        for endpoint in {end for load in loads for end in (load.source, load.target)}:
            limits = terms.limits.get(endpoint)
            if limits is not None and limits.endpoint_concurrent:
                self._slots[endpoint] = self._add(SLOTS, float(limits.endpoint_concurrent))

    def _add(self, name: str, capacity: float) -> int:
        self.names.append(name)
        self.capacities.append(capacity)
        return len(self.names) - 1

    def uses(
        self, load: MailboxLoad, work: Work, one: Solo, moving_s: float, speeds: Speeds
    ) -> tuple[float, ...]:
        if not self.names:
            return ()
        used = [0.0] * len(self.names)
        if moving_s > 0:
            if self._line >= 0:
                used[self._line] = one.content / moving_s
            if self._machine >= 0:
                busy = work.items / speeds.machine_items_s + one.content / speeds.machine_octets_s
                used[self._machine] = busy / moving_s
            for endpoint, thing in self._slots.items():
                if endpoint == load.source:
                    used[thing] += one.reading_s / moving_s
                if endpoint == load.target:
                    used[thing] += one.storing_s / moving_s
        return tuple(used)


def order_of(loads: Sequence[MailboxLoad], at_once: int) -> list[int]:
    """As the engine takes them: those that were begun go on, then the largest first; as given where all go at once."""
    numbers = list(range(len(loads)))
    if len(loads) <= at_once:
        return numbers
    return sorted(numbers, key=lambda number: (not loads[number].begun, -loads[number].octets))


def _slices(loads: Sequence[MailboxLoad], terms: Terms) -> list[list[MailboxLoad]]:
    if not terms.settings.newest_first:
        return [list(loads)]
    young = [newer_than(load, NEWEST_DAYS) if load.ages else load for load in loads]
    rest = []
    for load, first in zip(loads, young, strict=True):
        left = tuple(
            replace(whole, items=whole.items - part.items, octets=max(0, whole.octets - part.octets))
            for whole, part in zip(load.folders, first.folders, strict=True)
        )
        rest.append(replace(load, folders=left, begun=True))
    return [young, rest]


# ------------------------------------------------------------------ what binds


def _binds(plain: Passage, number: int, run: Simulated, opening: Opening, now: float) -> str:
    """Into what most of the time until this mailbox's end goes."""
    one = run.solos[number]
    start, end = plain.starts[number], plain.ends[number]
    wall = opening.wall(end)
    shut = (wall - now - end) if wall is not None else inf
    moving = end - start
    own = one.fixed_s + one.moving_s
    if shut > max(start, moving):
        return SCHEDULE
    if start > moving:
        return AT_ONCE
    if moving > 2 * own and plain.tight_s:
        return run.tightest(plain)
    return one.binds


def what_binds(
    loads: Sequence[MailboxLoad], terms: Terms, worked_s: float, opening: Opening
) -> tuple[str, dict[str, float]]:
    """Twice as much of each, one at a time, and how much sooner all would be done. The largest gain is what binds."""
    gains: dict[str, float] = {}
    for name, other in _relaxed(loads, terms).items():
        gains[name] = max(0.0, 1 - end_of(loads, other) / worked_s) if worked_s > 0 else 0.0
    wall = opening.wall(worked_s)
    shut = inf if wall is None else wall - terms.now - worked_s
    if shut > worked_s:
        return SCHEDULE, gains
    return max(gains, key=lambda name: gains[name]), gains


def _relaxed(loads: Sequence[MailboxLoad], terms: Terms) -> dict[str, Terms]:
    settings = terms.settings
    now = {(load.source, load.target): terms.speeds_of(load) for load in loads}

    def quicker(**factors: float) -> Terms:
        faster = {pair: speeds.faster(**factors) for pair, speeds in now.items()}
        return replace(terms, speeds=faster, pace=min(1.0, terms.pace))

    def wider(change: Callable[[Limits], Limits]) -> Terms:
        return replace(terms, limits={end: change(limits) for end, limits in terms.limits.items()})

    found = {
        AT_ONCE: replace(terms, settings=replace(settings, mailboxes=2 * settings.mailboxes)),
        solo.SOURCE: quicker(source=2.0),
        solo.TRIPS: quicker(target=2.0),
        solo.BYTES: wider(lambda one: replace(one, upload_octets=2 * one.upload_octets)),
        solo.REQUESTS: wider(lambda one: replace(one, requests=2 * one.requests)),
        MACHINE: quicker(machine=2.0),
        SLOTS: wider(lambda one: replace(one, endpoint_concurrent=2 * one.endpoint_concurrent)),
    }
    line = quicker(line=2.0)
    found[LINE] = replace(line, settings=replace(settings, max_rate_octets_s=2 * settings.max_rate_octets_s))
    return found

"""During a run: what is left, at the pace that was measured, and a word when the deadline slips.

The model that made the forecast says of what is left how many seconds of work it is. How quickly that number shrinks, against
the working time that passes, is the pace: it holds everything that the model did not know. A pace above 1 makes source,
target and this machine quicker and leaves the published windows as they are; one below 1 stretches all of it.

The alarm goes by p50: from then on the deadline is more likely missed than met. p90 would cry out in every plan that is made
without waste, and who is called at night for what then goes well does not come the third time; p90 beyond the deadline is
shown instead, as "at risk".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from math import exp, log

from migrator.events import (
    BatchSettled,
    Event,
    FoldersListed,
    FolderStarted,
    ForecastSlipping,
    ForecastUpdated,
    JobFinished,
    JobStarted,
    Notice,
    RunStarted,
)
from migrator.forecast.loads import FolderLoad, MailboxLoad, filled
from migrator.forecast.opening import Opening, at_run
from migrator.forecast.outlook import WORDS, Outlook, Terms, end_of, forecast
from migrator.model import State
from migrator.record import record

ROUNDS = 40
LOOK_BACK_S = 1800.0
"""The pace is that of the last half hour of work: what was slow this morning says little about tonight."""
CERTAIN_S = 300.0
"""A pace is believed in full when so much of the model's time has been worked off, in part before."""
PACE_LEAST, PACE_MOST = 0.02, 50.0
RECOVER_SHARE, RECOVER_S = 0.02, 120.0
"""In reach again: p50 before the deadline by this share of what is left, and by at least so much."""
SURE_S = 600.0
LEFT_OVER = 0.01
"""What a mailbox still has to do that has settled all that was known of it and has not ended."""


@record(frozen=False)
class _Progress:
    load: MailboxLoad
    items: int = 0
    octets: int = 0
    folders: int = 0
    state: str = "waiting"
    resumed: bool = False


class Tracker:
    """Not thread-safe: whoever drives it holds a lock. loads: what is to be copied by this run, as known at its start."""

    def __init__(self, loads: Sequence[MailboxLoad], terms: Terms) -> None:
        self._terms = terms
        self._jobs = {load.job: _Progress(load) for load in loads}
        self._samples: deque[tuple[float, float]] = deque()  # (working time, model's seconds left)
        self._opening = Opening(terms.settings, terms.now)
        self._pace = 1.0
        self._certain = 0.0
        self._slipped = False
        self.outlook: Outlook | None = None

    # --- what happens

    def take(self, event: Event) -> None:
        match event:
            case RunStarted():
                pass
            case JobStarted():
                one = self._jobs.get(event.job)
                if one is not None:
                    one.state, one.resumed = "running", event.resumed
            case FoldersListed():
                self._listed(event)
            case FolderStarted():
                one = self._jobs.get(event.job)
                if one is not None:
                    one.folders += 1
            case BatchSettled():
                self._settled(event)
            case JobFinished():
                one = self._jobs.get(event.job)
                if one is not None:
                    one.state = "ended"

    def _listed(self, event: FoldersListed) -> None:
        """The source's own word on a mailbox of which nothing was known."""
        one = self._jobs.get(event.job)
        if one is None or not one.load.unknown or one.resumed or not event.items:
            return
        count = max(1, event.folders)
        octets = event.octets if event.octets is not None else event.items * (64 << 10)
        each = FolderLoad((), max(1, event.items // count), octets // count)
        one.load = replace(one.load, folders=(each,) * count, unknown="")
        self._samples.clear()  # what is left has grown or shrunk by knowledge, not by work

    def _settled(self, event: BatchSettled) -> None:
        one = self._jobs.get(event.job)
        if one is None:
            return
        one.items += len(event.outcomes)
        one.octets += sum(
            outcome.ref.size or outcome.octets
            for outcome in event.outcomes
            if outcome.state in (State.COPIED, State.PRESENT)
        )

    # --- what follows

    def look(self, now: float) -> Outlook:
        """The forecast as of now (epoch)."""
        left = filled([_left(one) for one in self._jobs.values()])
        settings = at_run(self._terms.settings, self._terms.now, now)
        terms = replace(self._terms, now=now, settings=settings, rounds=self._terms.rounds or ROUNDS)
        self._measure(self._opening.worked(now), end_of(left, replace(terms, pace=1.0)))
        believed = self._certain
        self.outlook = forecast(
            left,
            replace(
                terms,
                pace=self._pace,
                spread=terms.spread + 0.12 * (1 - believed),
                speeds={
                    (load.source, load.target): replace(
                        speeds,
                        spread_source=speeds.spread_source * (1 - 0.6 * believed),
                        spread_target=speeds.spread_target * (1 - 0.6 * believed),
                    )
                    for load in left
                    for speeds in (terms.speeds_of(load),)
                },
            ),
        )
        return self.outlook

    def _measure(self, worked_s: float, left_s: float) -> None:
        samples = self._samples
        samples.append((worked_s, left_s))
        while len(samples) > 2 and samples[1][0] < worked_s - LOOK_BACK_S:
            samples.popleft()
        passed, done = worked_s - samples[0][0], samples[0][1] - left_s
        if passed < 1.0:
            return
        pace = min(PACE_MOST, max(PACE_LEAST, done / passed))
        # Standing still is evidence too: it is the longer of the two times that tells how sure we are.
        self._certain = max(self._certain, min(1.0, max(done, passed) / CERTAIN_S))
        self._pace = exp(min(1.0, max(done, passed) / CERTAIN_S) * log(pace))

    def tell(self, now: float) -> list[Event]:
        """A fresh forecast as events, with the alarm where it is due. Nothing as long as nothing is known of any mailbox."""
        if not any(one.load.items for one in self._jobs.values()):
            return []
        found = self.look(now)
        deadline = self._terms.deadline
        late = len(found.misses)
        told: list[Event] = [ForecastUpdated(found.p50, found.p90, deadline, late, found.binds, now)]
        if deadline is None or not any(one.state != "ended" for one in self._jobs.values()):
            return told
        if not self._sure(now):
            return told
        p50 = found.p50 if found.p50 is not None else float("inf")
        if not self._slipped and p50 > deadline:
            self._slipped = True
            told.append(ForecastSlipping(found.p50, found.p90, deadline, late, _words(found), now))
        elif self._slipped and p50 <= deadline - max(RECOVER_S, RECOVER_SHARE * max(0.0, p50 - now)):
            self._slipped = False
            told.append(Notice("info", "the deadline is in reach again, by what is measured now"))
        return told

    def _sure(self, now: float) -> bool:
        """Whether enough is known to wake somebody: of half of the mailboxes, or after some time at work."""
        known = sum(not one.load.unknown for one in self._jobs.values())
        return 2 * known >= len(self._jobs) or self._opening.worked(now) >= SURE_S


def _left(one: _Progress) -> MailboxLoad:
    load = one.load
    if one.state == "ended":
        return replace(load, folders=(), begun=True, unknown="")
    if not load.items:
        return replace(load, begun=load.begun or one.state == "running")
    items = max(LEFT_OVER, 1 - one.items / load.items)
    octets = max(LEFT_OVER, 1 - one.octets / load.octets) if load.octets else items
    # Folders go one after the other; which are through is not kept, so what is left is spread over the last of them.
    kept = max(1, len(load.folders) - max(0, one.folders - 1))
    count = sum(folder.items for folder in load.folders) * items / kept
    size = sum(folder.octets for folder in load.folders) * octets / kept
    folders = tuple(
        replace(folder, items=max(1, round(count)), octets=round(size)) for folder in load.folders[-kept:]
    )
    return replace(load, folders=folders, begun=load.begun or one.state == "running")


def _words(found: Outlook) -> str:
    late = len(found.misses)
    who = "1 mailbox" if late == 1 else f"{late} mailboxes"
    return f"the deadline will more likely be missed than met: {who} late; what binds: {WORDS[found.binds]}"

"""Who may call an endpoint, and when: one Governor per endpoint and process, shared by all mailboxes.

Per mailbox a lane: so many calls at once, so many requests and upload octets in any window of time, and one "not before"
that the server's wish sets. A lane that waits holds no slot and nobody else up; the endpoint as a whole has a "not before"
and a number of slots too.

The windows are sliding and exact on the safe side: a call counts from its start until one window after its end, and the
server saw it somewhere between. So a server that counts in sliding or in fixed windows is never asked for more than it
grants, and of a window that is used without pause nothing but the length of the calls is given away.

What a call takes is estimated before it and corrected after it by what was truly sent (`migrator.meter`): the octets of
the request bodies as they crossed the wire, every page of a listing, every member of a batch.

`attempt` decides and never waits, so a simulation can drive it on a clock of its own; `enter` waits.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from migrator import lull
from migrator.errors import Throttled, Transient
from migrator.events import Waiting
from migrator.interfaces import Clock, Emit
from migrator.meter import Sent
from migrator.settings import Limits

NO_WISH_S = 10.0
NO_WISH_MOST_S = 300.0
"""Back-off where the server says "slow down" without a time: doubling from the first to the second."""
TOO_MANY_AT_ONCE = "ErrorExceededConnectionCount"
"""Exchange's word for more open requests than an owner may have: one less from then on."""
_GRAINS = 1000
_TELL_S = 1.0


class Window:
    """At most `most` units in any `window_s` seconds. Not thread-safe: the governor's lock guards it."""

    def __init__(self, most: int, window_s: float) -> None:
        self.most = most
        self.window_s = window_s
        self._grain_s = window_s / _GRAINS
        self._log: deque[list[float]] = deque()  # [time of the last addition, units]
        self._past = 0.0
        self._open = 0.0
        self._grain_began = 0.0

    def wait_s(self, now: float, units: int) -> float | None:
        """Seconds until so many units may start; 0 is now, None is "when a call that is under way has ended".

        More units than the window ever grants may start when nothing else counts.
        """
        if not self.most:
            return 0.0
        while self._log and self._log[0][0] + self.window_s <= now:
            self._past -= self._log.popleft()[1]
        excess = self._past + self._open + min(units, self.most) - self.most
        if excess <= 0:
            return 0.0
        for time, amount in self._log:
            excess -= amount
            if excess <= 0:
                return time + self.window_s - now
        return None

    def start(self, units: int) -> None:
        self._open += units

    def end(self, now: float, units: int, actual: int | None = None) -> None:
        """units: as given to `start`; actual: what it came to, where that is known."""
        self._open -= units
        units = units if actual is None else actual
        self._past += units
        # Additions of one grain share an entry; it expires with the last of them.
        if self._log and now - self._grain_began < self._grain_s:
            self._log[-1][0] = now
            self._log[-1][1] += units
        else:
            self._log.append([now, units])
            self._grain_began = now


@dataclass(eq=False, slots=True)
class Ask:
    """What one call takes. slots: how many requests the server works on at once for it. job: who is told that it waits."""

    octets: int = 0
    requests: int = 1
    slots: int = 1
    job: str = ""


class Lane:
    """One mailbox at one endpoint."""

    def __init__(self, lock: threading.Lock, limits: Limits) -> None:
        self.changed = threading.Condition(lock)
        self.busy = 0
        self.most = limits.concurrent
        self.wide: Ask | None = None  # wants several slots: until it has them nobody else takes one
        self.usual: dict[str, Sent] = {}  # by verb: what its last call came to
        self.not_before = 0.0
        self.throttled = 0  # times in a row
        self.told_until = 0.0
        self.requests = Window(limits.requests, limits.requests_window_s)
        self.upload = Window(limits.upload_octets, limits.upload_window_s)
        self.turns: deque[Ask] = deque()  # for upload octets: a large item is not overtaken forever


class Governor:
    """stopped: asked by those who wait; when it says yes they leave with Transient(code="stopped").

    closed: (seconds, words) for which nobody may call at all (quiet hours); 0 seconds is: open.
    """

    def __init__(
        self,
        endpoint: str,
        limits: Limits,
        clock: Clock,
        *,
        emit: Emit = lambda event: None,
        stopped: Callable[[], bool] = lambda: False,
        chance: Callable[[], float] = random.random,
        closed: Callable[[], tuple[float, str]] | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.limits = limits
        self._closed = closed
        self._clock = clock
        self._emit = emit
        self._stopped = stopped
        self._chance = chance
        self._lock = threading.Lock()
        self._lanes: dict[str, Lane] = {}
        self._busy = 0
        self._not_before = 0.0
        self._throttled = 0

    @contextmanager
    def call(self, mailbox: str, octets: int = 0, job: str = "") -> Iterator[None]:
        """Wait for leave to make one call, and hold a slot during it. octets: of content that goes up."""
        ask = Ask(octets, job=job)
        lane = self.enter(mailbox, ask)
        try:
            yield
        finally:
            self.leave(lane, ask)

    def leave(self, lane: Lane, ask: Ask, sent: Sent | None = None) -> None:
        """The call that `enter` gave leave for has ended, whatever came of it. sent: what it truly came to."""
        requests = octets = None
        if sent is not None and sent.requests:
            requests, octets = sent.requests, sent.octets
        with self._lock:
            now = self._clock.monotonic()
            lane.busy -= ask.slots
            self._busy -= ask.slots
            lane.requests.end(now, ask.requests, requests)
            if ask.octets or octets:
                lane.upload.end(now, ask.octets, octets)
            lane.changed.notify_all()
            if self.limits.endpoint_concurrent:
                for other in self._lanes.values():
                    other.changed.notify_all()

    def throttled(self, mailbox: str, error: Throttled, job: str = "") -> None:
        """The server asked to slow down: the lane, or all of them, call again not before it said."""
        whole = error.scope == "endpoint"
        with self._lock:
            lane = self._lane(mailbox)
            now = self._clock.monotonic()
            if whole:
                self._throttled += 1
                wait = self._wish(error, self._throttled)
                self._not_before = max(self._not_before, now + wait)
            else:
                lane.throttled += 1
                wait = self._wish(error, lane.throttled)
                lane.not_before = max(lane.not_before, now + wait)
            if error.code == TOO_MANY_AT_ONCE:
                lane.most = max(1, (lane.most or lane.busy) - 1)
        self._tell("" if whole else job, "throttled", safe_words(error.message), wait)

    def succeeded(self, mailbox: str) -> None:
        """A call was answered: the next back-off starts small again."""
        lane = self._lanes.get(mailbox)
        if not self._throttled and (lane is None or not lane.throttled):
            return  # nearly always, and without the lock
        with self._lock:
            self._throttled = 0
            if lane is not None:
                lane.throttled = 0

    def _wish(self, error: Throttled, times: int) -> float:
        if error.retry_after_s is not None:
            return max(0.0, error.retry_after_s)
        return float(min(NO_WISH_MOST_S, NO_WISH_S * 2 ** min(times - 1, 10)))

    def _lane(self, mailbox: str) -> Lane:
        lane = self._lanes.get(mailbox)
        if lane is None:
            lane = self._lanes[mailbox] = Lane(self._lock, self.limits)
        return lane

    def lane(self, mailbox: str) -> Lane:
        with self._lock:
            return self._lane(mailbox)

    def enter(self, mailbox: str, ask: Ask) -> Lane:
        """As `call`, for those who see to `leave` themselves."""
        with self._lock:  # nearly always there is room and nobody waits: one turn of the lock
            lane = self._lane(mailbox)
            if not lane.turns and lane.wide is None:
                ask.slots = max(1, min(ask.slots, lane.most or ask.slots))
                lane.turns.append(ask)
                try:
                    if self.attempt(lane, ask)[0] == 0.0:
                        return lane
                finally:
                    lane.turns.pop()
        lull.now()
        lane = self.queue(mailbox, ask)
        try:
            while True:
                with self._lock:
                    wait, words = self.attempt(lane, ask)
                    while wait is None:
                        if self._stopped():
                            raise _left()
                        lane.changed.wait(1.0)
                        wait, words = self.attempt(lane, ask)
                    tell = words and wait >= _TELL_S and self._clock.monotonic() >= lane.told_until
                    if tell:
                        lane.told_until = self._clock.monotonic() + wait
                if wait == 0.0:
                    return lane
                if self._stopped():
                    raise _left()
                if tell:
                    self._tell(ask.job, "hours" if self._is_closed() else "paced", words, wait)
                self._clock.sleep(wait)
        finally:
            self.dequeue(lane, ask)

    def queue(self, mailbox: str, ask: Ask) -> Lane:
        """Before the first `attempt` of an ask."""
        with self._lock:
            lane = self._lane(mailbox)
            ask.slots = max(1, min(ask.slots, lane.most or ask.slots))
            if ask.octets:
                lane.turns.append(ask)
        return lane

    def dequeue(self, lane: Lane, ask: Ask) -> None:
        """After its last one."""
        if not ask.octets and lane.wide is not ask:
            return
        with self._lock:
            if lane.wide is ask:
                lane.wide = None
                lane.changed.notify_all()
            if ask.octets:
                lane.turns.remove(ask)
                if lane.turns:
                    lane.changed.notify_all()

    def attempt(self, lane: Lane, ask: Ask) -> tuple[float | None, str]:
        """Take what a call needs and return 0, or say how long to wait: seconds, or None until something changes.

        With the reason in words where that is one to tell. Under the lock, when there are several threads.
        """
        if ask.octets and lane.turns[0] is not ask:
            return None, ""
        now = self._clock.monotonic()
        if self._closed is not None:
            wait, words = self._closed()
            if wait > 0:
                return wait, words
        held_back = max(lane.not_before, self._not_before) - now
        if held_back > 0:
            if self._not_before > lane.not_before:
                # All lanes are let go at one moment: not all of them in the same instant.
                held_back += min(5.0, 0.1 * held_back) * self._chance()
            return held_back, ""
        pause = self._pause(lane, ask, now)
        if pause is not None:
            return pause
        if lane.wide is not None and lane.wide is not ask:
            return None, ""
        if lane.most and lane.busy + ask.slots > lane.most and lane.busy:
            if ask.slots > 1:
                lane.wide = ask
            return None, ""
        if self.limits.endpoint_concurrent and self._busy >= self.limits.endpoint_concurrent:
            return None, ""
        lane.busy += ask.slots
        self._busy += ask.slots
        lane.requests.start(ask.requests)
        if ask.octets:
            lane.upload.start(ask.octets)
        return 0.0, ""

    def _is_closed(self) -> bool:
        return self._closed is not None and self._closed()[0] > 0

    def _pause(self, lane: Lane, ask: Ask, now: float) -> tuple[float | None, str] | None:
        """What the windows say; None when they have room."""
        limits = self.limits
        wait = lane.requests.wait_s(now, ask.requests)
        if wait != 0.0:
            return (
                (None, "")
                if wait is None
                else (wait, _used_up(f"{limits.requests} requests", limits.requests_window_s))
            )
        wait = lane.upload.wait_s(now, ask.octets) if ask.octets else 0.0
        if wait != 0.0:
            return (
                (None, "")
                if wait is None
                else (
                    wait,
                    _used_up(f"{limits.upload_octets >> 20} MiB of uploads", limits.upload_window_s),
                )
            )
        return None

    def _tell(self, job: str, reason: str, words: str, wait: float) -> None:
        now = self._clock.now()
        self._emit(Waiting(job, self.endpoint, reason, words, now + wait, now))


def _used_up(what: str, window_s: float) -> str:
    return f"the limit of {what} in {window_s:.0f} s is used up"


def _left() -> Transient:
    return Transient("the run was asked to stop while this call waited for its turn", code="stopped")


def safe_words(text: str, most: int = 200) -> str:
    """A server's words for a terminal and a report: one line, no control characters, not too long."""
    line = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(line.split())[:most]

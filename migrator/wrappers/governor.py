"""Who may call an endpoint, and when: one Governor per endpoint and process, shared by all mailboxes.

Per mailbox a lane: so many calls at once, so many requests and upload octets in any window of time, and one "not before"
that the server's wish sets. A lane that waits holds no slot and nobody else up; the endpoint as a whole has a "not before"
and a number of slots too.

The windows are sliding and exact on the safe side: a call counts from its start until one window after its end, and the
server saw it somewhere between. So a server that counts in sliding or in fixed windows is never asked for more than it
grants, and of a window that is used without pause nothing but the length of the calls is given away.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from migrator.errors import Throttled, Transient
from migrator.events import Waiting
from migrator.interfaces import Clock, Emit
from migrator.settings import Limits

NO_WISH_S = 10.0
NO_WISH_MOST_S = 300.0
"""Back-off where the server says "slow down" without a time: doubling from the first to the second."""
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

    def end(self, now: float, units: int) -> None:
        self._open -= units
        self._past += units
        # Additions of one grain share an entry; it expires with the last of them.
        if self._log and now - self._grain_began < self._grain_s:
            self._log[-1][0] = now
            self._log[-1][1] += units
        else:
            self._log.append([now, units])
            self._grain_began = now


class Lane:
    """One mailbox at one endpoint."""

    def __init__(self, lock: threading.Lock, limits: Limits) -> None:
        self.changed = threading.Condition(lock)
        self.busy = 0
        self.not_before = 0.0
        self.throttled = 0  # times in a row
        self.told_until = 0.0
        self.requests = Window(limits.requests, limits.requests_window_s)
        self.upload = Window(limits.upload_octets, limits.upload_window_s)
        self.turns: deque[object] = (
            deque()
        )  # who waits for upload octets: a large item is not overtaken forever


class Governor:
    """stopped: asked by those who wait; when it says yes they leave with Transient(code="stopped")."""

    def __init__(
        self,
        endpoint: str,
        limits: Limits,
        clock: Clock,
        *,
        emit: Emit = lambda event: None,
        stopped: Callable[[], bool] = lambda: False,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.endpoint = endpoint
        self.limits = limits
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
        lane = self.enter(mailbox, octets, job)
        try:
            yield
        finally:
            self.leave(lane, octets)

    def leave(self, lane: Lane, octets: int = 0) -> None:
        """The call that `enter` gave leave for has ended, whatever came of it."""
        with self._lock:
            now = self._clock.monotonic()
            lane.busy -= 1
            self._busy -= 1
            lane.requests.end(now, 1)
            if octets:
                lane.upload.end(now, octets)
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

    def enter(self, mailbox: str, octets: int = 0, job: str = "") -> Lane:
        """As `call`, for those who see to `leave` themselves."""
        turn = object()
        with self._lock:
            lane = self._lane(mailbox)
            if octets:
                lane.turns.append(turn)
        try:
            while True:
                with self._lock:
                    wait, words = self._try(lane, octets, turn)
                    while wait is None:
                        if self._stopped():
                            raise _left()
                        lane.changed.wait(1.0)
                        wait, words = self._try(lane, octets, turn)
                    tell = words and wait >= _TELL_S and self._clock.monotonic() >= lane.told_until
                    if tell:
                        lane.told_until = self._clock.monotonic() + wait
                if wait == 0.0:
                    return lane
                if self._stopped():
                    raise _left()
                if tell:
                    self._tell(job, "paced", words, wait)
                self._clock.sleep(wait)
        finally:
            if octets:
                with self._lock:
                    lane.turns.remove(turn)
                    if lane.turns:
                        lane.changed.notify_all()

    def _try(self, lane: Lane, octets: int, turn: object) -> tuple[float | None, str]:
        """Take what a call needs, or say how long to wait: seconds, or None until something changes. Under the lock."""
        if octets and lane.turns[0] is not turn:
            return None, ""
        now = self._clock.monotonic()
        held_back = max(lane.not_before, self._not_before) - now
        if held_back > 0:
            if self._not_before > lane.not_before:
                # All lanes are let go at one moment: not all of them in the same instant.
                held_back += min(5.0, 0.1 * held_back) * self._chance()
            return held_back, ""
        limits = self.limits
        waits = [
            (lane.requests.wait_s(now, 1), f"{limits.requests} requests in {limits.requests_window_s:.0f} s"),
            (
                lane.upload.wait_s(now, octets) if octets else 0.0,
                f"{limits.upload_octets >> 20} MiB of uploads in {limits.upload_window_s:.0f} s",
            ),
        ]
        for wait, what in waits:
            if wait is None:
                return None, ""
            if wait > 0:
                return wait, f"the limit of {what} is used up"
        if limits.concurrent and lane.busy >= limits.concurrent:
            return None, ""
        if limits.endpoint_concurrent and self._busy >= limits.endpoint_concurrent:
            return None, ""
        lane.busy += 1
        self._busy += 1
        lane.requests.start(1)
        if octets:
            lane.upload.start(octets)
        return 0.0, ""

    def _tell(self, job: str, reason: str, words: str, wait: float) -> None:
        now = self._clock.now()
        self._emit(Waiting(job, self.endpoint, reason, words, now + wait, now))


def _left() -> Transient:
    return Transient("the run was asked to stop while this call waited for its turn", code="stopped")


def safe_words(text: str, most: int = 200) -> str:
    """A server's words for a terminal and a report: one line, no control characters, not too long."""
    line = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(line.split())[:most]

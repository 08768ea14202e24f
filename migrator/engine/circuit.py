"""Endpoints that do not answer: when one is taken for down, who knocks and when, and how long it is waited for.

A circuit breaker per endpoint. Jobs tell how they ended there; the chooser asks before it gives a job out.

- Without waiting, `IN_A_ROW` jobs in a row that could not reach an endpoint open its circuit: the jobs that are left
  are not tried against a dead server, but for one now and then that finds out whether it is back.
- With `wait_s`, one is enough: its jobs are parked, other endpoints' go on, somebody knocks with growing pauses, and
  the jobs go on where they were as soon as it answers. After `wait_s` they end as not finished.

One mailbox that cannot be reached while others of its endpoint can (a domain of its own, a record of its own) is no
outage: it is parked `PARKS_MOST` times and then ends for itself.
See: martinfowler.com/bliki/CircuitBreaker.html
"""

from __future__ import annotations

import threading

from migrator.errors import MigratorError, RunError, SourceDown, UserError
from migrator.interfaces import Clock
from migrator.model import Job
from migrator.record import record

IN_A_ROW = 3
FIRST_PAUSE_S = 5.0
MOST_PAUSE_S = 300.0
TRY_AGAIN_S = 60.0
PARKS_MOST = 5


OUTAGES = frozenset(
    {
        "answer_lost",
        "broken_answer",
        "connection_closed",
        "error_page",
        "garbled_answer",
        "http_500",
        "http_502",
        "http_503",
        "http_504",
        "in_doubt",
        "sign_in_busy",
        "sign_in_unreachable",
        "timeout",
    }
)
"""Codes that mean, when every repetition has failed, that the server is out of order, and not this mailbox."""


def endpoint_down(error: MigratorError, job: Job) -> str:
    """The endpoint that an error tells to be down, or ""."""
    if isinstance(error, SourceDown) or (
        error.code in OUTAGES and not isinstance(error, UserError | RunError)
    ):
        return error.endpoint or job.source.endpoint
    return ""


@record(frozen=False)
class Circuit:
    """One endpoint. Epoch seconds; since 0 is: it answers, as far as anybody knows."""

    in_a_row: int = 0
    since: float = 0.0
    words: str = ""
    next_knock: float = 0.0
    pause_s: float = FIRST_PAUSE_S


class Circuits:
    """Thread-safe. wait_s: how long an endpoint is waited for; 0 is not at all."""

    def __init__(self, clock: Clock, wait_s: float) -> None:
        self.wait_s = wait_s
        self._clock = clock
        self._lock = threading.Lock()
        self._circuits: dict[str, Circuit] = {}

    def failed(self, endpoint: str, words: str) -> bool:
        """A job, or a knock, could not reach it. Returns whether it is taken for down from now on."""
        with self._lock:
            circuit = self._circuits.setdefault(endpoint, Circuit())
            now = self._clock.now()
            circuit.in_a_row += 1
            circuit.words = words
            if circuit.since:
                if now >= circuit.next_knock:
                    circuit.pause_s = min(MOST_PAUSE_S, circuit.pause_s * 2)
                    circuit.next_knock = now + circuit.pause_s
            elif self.wait_s or circuit.in_a_row >= IN_A_ROW:
                circuit.since = now
                circuit.pause_s = FIRST_PAUSE_S if self.wait_s else TRY_AGAIN_S
                circuit.next_knock = now + circuit.pause_s
                return True
            return False

    def worked(self, endpoint: str) -> bool:
        """It has answered. Returns whether it was down."""
        circuit = self._circuits.get(endpoint)
        if circuit is None or not (circuit.in_a_row or circuit.since):
            return False  # nearly always, and without the lock
        with self._lock:
            was_down = bool(circuit.since)
            self._circuits.pop(endpoint, None)
            return was_down

    def down(self, endpoint: str) -> Circuit | None:
        """Its state when it is down."""
        circuit = self._circuits.get(endpoint)
        return circuit if circuit is not None and circuit.since else None

    def knock(self, endpoint: str) -> bool:
        """Whether it is time that somebody finds out; whoever is told so is the only one for this time."""
        with self._lock:
            circuit = self._circuits.get(endpoint)
            now = self._clock.now()
            if circuit is None or not circuit.since or now < circuit.next_knock:
                return False
            if not self.wait_s:
                circuit.next_knock = now + circuit.pause_s
            return True

    def all_down(self) -> dict[str, Circuit]:
        with self._lock:
            return {name: circuit for name, circuit in self._circuits.items() if circuit.since}

    def overdue(self, circuit: Circuit) -> bool:
        return self._clock.now() - circuit.since > self.wait_s

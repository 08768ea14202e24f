"""The thread beside a run that tells people. It has a bounded queue, and the run never waits for it.

What cannot be delivered is a warning, told once until a delivery works again. A receiver that failed is tried once a message
from then on, so that a dead server does not hold up the others.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping

from migrator.events import Event, Notice
from migrator.interfaces import Emit, Secrets
from migrator.notify.composer import Composer, Look, wanted
from migrator.notify.message import Message
from migrator.notify.post import NotDelivered, Post
from migrator.notify.shapes import prepare
from migrator.plan.telling import NotifySettings

log = logging.getLogger(__name__)

QUEUE_MOST = 4_000
"""Events that wait; a run of thousands of mailboxes ends no more in the time of one delivery."""
LAST_S = 30.0
"""How long the end of a run waits for the last messages."""


class Notifier:
    """Takes events while the `with` lasts. emit: from any thread, never blocks, never raises."""

    def __init__(
        self,
        settings: NotifySettings,
        project: str,
        *,
        look: Look,
        secrets: Secrets,
        tell: Emit,
        meanings: Mapping[int, str] | None = None,
        now: Callable[[], float] = time.time,
        last_s: float = LAST_S,
        hurry: Callable[[], bool] = lambda: False,
    ) -> None:
        """look: called from the notifier's thread alone. tell: gets warnings. hurry: at the end, wait for nothing."""
        self._composer = Composer(settings, project, look, meanings)
        self._over = threading.Event()
        self._posts = [(one, Post(one, secrets, sleep=self._pause)) for one in settings.receivers]
        self._failing: set[str] = set()
        self._tell = tell
        self._now = now
        self._last_s = last_s
        self._hurry = hurry
        self._queue: queue.Queue[Event | None] = queue.Queue(QUEUE_MOST)
        self._dropped = 0
        self._thread = threading.Thread(target=self._work, name="notifier", daemon=True)

    def __enter__(self) -> Notifier:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def emit(self, event: Event) -> None:
        if not wanted(event):
            return
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            self._dropped += 1

    def close(self) -> None:
        """Deliver what is left, for so long and no longer."""
        deadline = time.monotonic() + (0.0 if self._hurry() else self._last_s)
        try:
            self._queue.put(None, timeout=max(0.0, deadline - time.monotonic()))
        except queue.Full:
            self._over.set()
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            self._over.set()  # a delivery that pauses between tries gives up; one that hangs dies with the process
            self._warn("the last notifications could not be delivered in time")
        if self._dropped:
            self._warn(f"{self._dropped} events were too many to be told")

    # --- the thread

    def _work(self) -> None:
        while not self._over.is_set():
            try:
                event = self._queue.get(timeout=self._wait_s())
            except queue.Empty:
                self._deliver(self._guarded(lambda: self._composer.due(self._now())))
                continue
            if event is None:
                break
            self._deliver(self._guarded(lambda event=event: self._composer.take(event, self._now())))  # type: ignore[misc]
        for _, post in self._posts:
            post.close()

    def _wait_s(self) -> float | None:
        due = self._composer.next_due()
        return None if due is None else max(0.05, due - self._now())

    def _guarded(self, make: Callable[[], list[Message]]) -> list[Message]:
        try:
            return make()
        except Exception:
            log.exception("a notification could not be made")
            self._warn("a notification could not be made: see migrator.log")
            return []

    def _deliver(self, messages: list[Message]) -> None:
        for message in messages:
            for receiver, post in self._posts:
                if message.topic not in receiver.on or self._over.is_set():
                    continue
                try:
                    post.send(prepare(message, receiver), tries=1 if receiver.name in self._failing else None)
                    self._failing.discard(receiver.name)
                except NotDelivered as error:
                    self._failed(receiver.name, str(error))
                except Exception as error:
                    log.exception("a notification to %s failed", receiver.name)
                    self._failed(receiver.name, type(error).__name__)

    def _failed(self, name: str, words: str) -> None:
        log.warning("notification to %s: %s", name, words)
        if name not in self._failing and not self._over.is_set():  # the end has its own words
            self._failing.add(name)
            self._warn(f"no notification to {name}: {words}")

    def _warn(self, words: str) -> None:
        self._tell(Notice("warning", words))

    def _pause(self, seconds: float) -> None:
        """Between tries; the end of a run cuts it short."""
        if self._over.wait(seconds):
            raise NotDelivered("the run is over")

"""Events as JSON lines, one event a line, as docs/json-events.md describes them. ASCII only, without secrets or subjects."""

from __future__ import annotations

import dataclasses
import json
import re
import threading
from typing import IO, Any

from migrator.auth.redact import redact
from migrator.events import BatchSettled, Event
from migrator.model import Outcome, State

VERSION = 1


class JsonLines:
    """A view that prints every event. emit: from any thread."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._broken = False

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def emit(self, event: Event) -> None:
        line = json.dumps(as_dict(event))
        with self._lock:
            if self._broken:
                return
            try:
                self._out.write(line + "\n")
                self._out.flush()
            except (BrokenPipeError, ValueError):
                self._broken = True  # the reader has left; the run goes on, the ledger knows everything


def as_dict(event: Event) -> dict[str, Any]:
    """An event as it is printed."""
    found: dict[str, Any] = {"event": _name(event), "version": VERSION}
    if isinstance(event, BatchSettled):
        found |= {"job": event.job, "path": list(event.path), "at": event.at}
        for state in (State.COPIED, State.PRESENT, State.SKIPPED, State.FAILED):
            found[state.value] = sum(outcome.state is state for outcome in event.outcomes)
        found["octets"] = sum(outcome.octets for outcome in event.outcomes)
        found["items"] = [
            _item(outcome) for outcome in event.outcomes if outcome.state in (State.SKIPPED, State.FAILED)
        ]
        return found
    for field in dataclasses.fields(event):
        value = getattr(event, field.name)
        found[field.name] = (
            redact(value) if isinstance(value, str) else list(value) if isinstance(value, tuple) else value
        )
    return found


def _item(outcome: Outcome) -> dict[str, Any]:
    """A skipped or failed item: enough to find it, nothing of what it says."""
    ref = outcome.ref
    found: dict[str, Any] = {
        "id": ref.id,
        "kind": ref.kind.value,
        "state": outcome.state.value,
        "size": ref.size,
        "received": ref.received.isoformat() if ref.received else None,
        "message_id": ref.message_id,
    }
    if outcome.reason is not None:
        found["reason"] = outcome.reason.value
    if outcome.error is not None:
        found["code"] = getattr(outcome.error, "code", type(outcome.error).__name__)
        found["error"] = redact(str(outcome.error))
    return found


def _name(event: Event) -> str:
    """BatchSettled → "batch_settled"."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()

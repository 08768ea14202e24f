"""What truly crosses the wire: calls counted and timed, one debug line each.

No line holds a secret, an id, an address or anything of an item; counts, sizes and error codes only.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from migrator.errors import MigratorError
from migrator.interfaces import Probe, Reader, Standing, Target, Wanted
from migrator.model import (
    Checkpoint,
    Folder,
    FolderPath,
    Format,
    Item,
    ItemRef,
    Kind,
    Outcome,
    Page,
    Role,
    State,
)
from migrator.wrappers.handed import HandedSource, HandedTarget

log = logging.getLogger("migrator.trace")
T = TypeVar("T")


@dataclass
class Trace:
    """Calls of one endpoint, by verb. Thread-safe."""

    endpoint: str
    calls: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)  # by code
    seconds: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, verb: str, seconds: float, error: BaseException | None) -> None:
        with self._lock:
            self.calls[verb] = self.calls.get(verb, 0) + 1
            self.seconds[verb] = self.seconds.get(verb, 0.0) + seconds
            if error is not None:
                code = error.code if isinstance(error, MigratorError) else type(error).__name__
                self.errors[code] = self.errors.get(code, 0) + 1

    def run(self, verb: str, items: int, call: Callable[[], T]) -> T:
        start = time.perf_counter()
        error: BaseException | None = None
        try:
            return call()
        except BaseException as raised:
            error = raised
            raise
        finally:
            seconds = time.perf_counter() - start
            self.note(verb, seconds, error)
            if log.isEnabledFor(logging.DEBUG):
                code = "ok" if error is None else getattr(error, "code", type(error).__name__)
                log.debug("%s %s n=%d %.0f ms %s", self.endpoint, verb, items, seconds * 1000, code)


class TracedSource(HandedSource):
    def __init__(self, inner: Reader, trace: Trace) -> None:
        super().__init__(inner)
        self._trace = trace

    def probe(self) -> Probe:
        return self._trace.run("probe", 0, self._inner.probe)

    def folders(self) -> list[Folder]:
        return self._trace.run("folders", 0, self._inner.folders)

    def page(self, folder: Folder, after: Checkpoint | None) -> Page:
        return self._trace.run("page", 0, lambda: self._inner.page(folder, after))

    def export(self, refs: Sequence[ItemRef], fmt: Format) -> list[Item | Outcome]:
        return self._trace.run("export", len(refs), lambda: self._inner.export(refs, fmt))


class TracedTarget(TracedSource, HandedTarget):
    def __init__(self, inner: Target, trace: Trace) -> None:
        HandedTarget.__init__(self, inner)
        self._trace = trace

    def standing(self) -> Standing:
        return self._trace.run("standing", 0, self._target.standing)

    def prepare_folders(self, wanted: Sequence[Wanted]) -> None:
        self._trace.run("prepare_folders", len(wanted), lambda: self._target.prepare_folders(wanted))

    def ensure_folder(
        self, path: FolderPath, kind: Kind, *, folder_class: str = "", role: Role | None = None
    ) -> Folder:
        return self._trace.run(
            "ensure_folder",
            0,
            lambda: self._target.ensure_folder(path, kind, folder_class=folder_class, role=role),
        )

    def subscribe(self, wanted: Mapping[str, bool]) -> None:
        self._trace.run("subscribe", 0, lambda: self._target.subscribe(wanted))

    def mark(self, folder: Folder) -> Checkpoint:
        return self._trace.run("mark", 0, lambda: self._target.mark(folder))

    def store(
        self, folder: Folder, items: Sequence[Item], replaces: Sequence[tuple[str, str] | None] | None = None
    ) -> list[Outcome]:
        outcomes = self._trace.run("store", len(items), lambda: self._target.store(folder, items, replaces))
        self._failures(outcomes)
        return outcomes

    def store_all(self, batches: Sequence[tuple[Folder, Sequence[Item]]]) -> list[list[Outcome]]:
        items = sum(len(some) for _, some in batches)
        results = self._trace.run("store", items, lambda: self._target.store_all(batches))
        for outcomes in results:
            self._failures(outcomes)
        return results

    def _failures(self, outcomes: Sequence[Outcome]) -> None:
        if log.isEnabledFor(logging.DEBUG):
            for outcome in outcomes:
                if outcome.state is State.FAILED:
                    log.debug("%s store: an item failed with %s", self._trace.endpoint, _code(outcome))

    def versions(self, folder: Folder, ids: Sequence[str]) -> dict[str, str]:
        return self._trace.run("versions", len(ids), lambda: self._target.versions(folder, ids))

    def remove(self, folder: Folder, ids: Sequence[str]) -> list[str]:
        return self._trace.run("remove", len(ids), lambda: self._target.remove(folder, ids))

    def remove_folder(self, folder: Folder) -> None:
        self._trace.run("remove_folder", 0, lambda: self._target.remove_folder(folder))


def _code(outcome: Outcome) -> str:
    return getattr(outcome.error, "code", type(outcome.error).__name__)

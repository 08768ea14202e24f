"""Every call asks the governor first and tells it when the server wants us to slow down."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from migrator import meter
from migrator.errors import Throttled
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
)
from migrator.wrappers.governor import Ask, Governor
from migrator.wrappers.handed import HandedSource, HandedTarget

T = TypeVar("T")

ENVELOPE_OCTETS = 1024
"""What travels round an item's content, as long as the call is open; when it has ended the meter's word counts."""


class ThrottledSource(HandedSource):
    """mailbox: whose lane at the governor; all handles of one mailbox share it."""

    def __init__(self, inner: Reader, governor: Governor, mailbox: str, job: str = "") -> None:
        super().__init__(inner)
        self._governor = governor
        self._mailbox = mailbox
        self._job = job

    def _call(self, verb: str, call: Callable[[], T], octets: int = 0, requests: int = 0) -> T:
        """requests: 0 is as many as this verb's last call came to."""
        governor = self._governor
        usual = governor.lane(self._mailbox).usual.get(verb) if not requests else None
        if usual is not None:
            ask = Ask(octets, usual.requests, usual.at_once, self._job)
        else:
            ask = Ask(octets, requests or 1, 1, self._job)
        lane = governor.enter(self._mailbox, ask)
        meter.take()  # what was sent outside of any call counts nowhere
        try:
            return call()
        except Throttled as error:
            governor.throttled(self._mailbox, error, self._job)
            raise
        finally:
            sent = meter.take()
            governor.leave(lane, ask, sent)
            if not requests and sent.requests:
                lane.usual[verb] = sent

    def _results(self, results: Sequence[Item | Outcome]) -> None:
        """Of a batch single members may have been throttled."""
        told = [r.error for r in results if isinstance(r, Outcome) and isinstance(r.error, Throttled)]
        worst = max(told, key=lambda error: error.retry_after_s or 0.0, default=None)
        if worst is not None:
            self._governor.throttled(self._mailbox, worst, self._job)
        else:
            self._governor.succeeded(self._mailbox)

    def probe(self) -> Probe:
        return self._call("probe", self._inner.probe)

    def folders(self) -> list[Folder]:
        return self._call("folders", self._inner.folders)

    def page(self, folder: Folder, after: Checkpoint | None) -> Page:
        page = self._call("page", lambda: self._inner.page(folder, after))
        self._governor.succeeded(self._mailbox)
        return page

    def export(self, refs: Sequence[ItemRef], fmt: Format) -> list[Item | Outcome]:
        def export() -> list[Item | Outcome]:
            with meter.flight(self._job, reading=len(refs)):
                return self._inner.export(refs, fmt)

        results = self._call("export", export)
        self._results(results)
        return results


class ThrottledTarget(ThrottledSource, HandedTarget):
    """assure: called with the job right before something is changed, after all waiting; raises when the job is not ours now."""

    def __init__(
        self,
        inner: Target,
        governor: Governor,
        mailbox: str,
        job: str = "",
        assure: Callable[[str], None] = lambda job: None,
    ) -> None:
        HandedTarget.__init__(self, inner)
        self._assure = assure
        self._governor = governor
        self._mailbox = mailbox
        self._job = job

    def standing(self) -> Standing:
        return self._call("standing", self._target.standing)

    def prepare_folders(self, wanted: Sequence[Wanted]) -> None:
        self._call("prepare_folders", lambda: self._target.prepare_folders(wanted))

    def ensure_folder(
        self, path: FolderPath, kind: Kind, *, folder_class: str = "", role: Role | None = None
    ) -> Folder:
        return self._call(
            "ensure_folder",
            lambda: self._target.ensure_folder(path, kind, folder_class=folder_class, role=role),
        )

    def subscribe(self, wanted: Mapping[str, bool]) -> None:
        self._call("subscribe", lambda: self._target.subscribe(wanted))

    def mark(self, folder: Folder) -> Checkpoint:
        return self._call("mark", lambda: self._target.mark(folder))

    def store(
        self, folder: Folder, items: Sequence[Item], replaces: Sequence[tuple[str, str] | None] | None = None
    ) -> list[Outcome]:
        octets = sum(item.content.size + ENVELOPE_OCTETS for item in items)

        def send() -> list[Outcome]:
            self._assure(self._job)
            with meter.flight(self._job, items=len(items), octets=octets):
                return self._target.store(folder, items, replaces)

        outcomes = self._call("store", send, octets, len(items))
        self._results(outcomes)
        return outcomes

    def store_all(self, batches: Sequence[tuple[Folder, Sequence[Item]]]) -> list[list[Outcome]]:
        items = [item for _, some in batches for item in some]
        octets = sum(item.content.size + ENVELOPE_OCTETS for item in items)

        def send() -> list[list[Outcome]]:
            self._assure(self._job)
            with meter.flight(self._job, items=len(items), octets=octets):
                return self._target.store_all(batches)

        results = self._call("store", send, octets, len(items))
        self._results([outcome for outcomes in results for outcome in outcomes])
        return results

    def versions(self, folder: Folder, ids: Sequence[str]) -> dict[str, str]:
        return self._call("versions", lambda: self._target.versions(folder, ids))

    def remove(self, folder: Folder, ids: Sequence[str]) -> list[str]:
        def send() -> list[str]:
            self._assure(self._job)
            return self._target.remove(folder, ids)

        return self._call("remove", send)

    def remove_folder(self, folder: Folder) -> None:
        self._call("remove_folder", lambda: self._target.remove_folder(folder))

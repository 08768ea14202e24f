"""A short probe of how quick two mailboxes truly are: a few calls, each timed. It reads; nothing is written anywhere.

Of the source: its folder list, a page of its fullest folder, and three exports: one small item, a batch of small ones, a few
large ones. Of the target: its folder list. What an import takes cannot be read off; it is assumed from what a call takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from migrator import meter
from migrator.forecast.speeds import BASE64, Sounding
from migrator.interfaces import Clock, Source, Target
from migrator.model import Format, Item, ItemRef

T = TypeVar("T")

SMALL = 20
LARGE = 4
LARGE_OCTETS = 8 << 20
"""Most octets of one item, and of all large ones together: the probe is to take seconds, not minutes."""


def sound(source: Source, target: Target, clock: Clock) -> list[Sounding]:
    """Raises what the calls raise. Both are undressed: waiting for a turn is not to be measured."""
    source.probe()
    found: list[Sounding] = []

    def timed(what: str, call: Callable[[], T], items: int = 0, listed: int = 0) -> T:
        meter.take()
        begun = clock.monotonic()
        result = call()
        took = max(1e-4, clock.monotonic() - begun)
        requests = max(1, meter.take().requests)
        content = _released(result, source.traits.formats[0]) if what == "export" else 0
        found.append(Sounding(what, took, requests, items, content, listed))
        return result

    folders = timed("source_call", source.folders)
    timed("source_call", source.folders)
    readable = [one for one in folders if not one.search and not one.hidden]
    fullest = max(readable, key=lambda one: one.total or 0, default=None)
    if fullest is not None:
        page = timed("page", lambda: source.page(fullest, None))
        refs = [ref for ref in page.refs if not ref.gone and ref.size is not None]
        for part in _parts(refs):
            listed = sum(ref.size or 0 for ref in part)
            timed(
                "export",
                lambda part=part: source.export(part, source.traits.formats[0]),  # type: ignore[misc]
                len(part),
                listed,
            )
    target.probe()
    timed("target_call", target.folders)
    timed("target_call", target.folders)
    return found


def _parts(refs: Sequence[ItemRef]) -> list[list[ItemRef]]:
    ordered = sorted((ref for ref in refs if (ref.size or 0) <= LARGE_OCTETS), key=lambda ref: ref.size or 0)
    large: list[ItemRef] = []
    octets = 0
    for ref in reversed(ordered[SMALL:]):
        if len(large) < LARGE and octets + (ref.size or 0) <= LARGE_OCTETS:
            large.append(ref)
            octets += ref.size or 0
    return [part for part in (ordered[:1], ordered[:SMALL], large) if part]


def _released(results: object, fmt: Format) -> int:
    """Octets as they would travel. Content is given back."""
    octets = 0
    for one in results if isinstance(results, list) else ():
        if isinstance(one, Item):
            octets += one.content.size
            one.content.release()
    return octets if fmt is Format.FTS else int(octets * BASE64)

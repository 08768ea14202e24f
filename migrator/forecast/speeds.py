"""How quick source, target, line and this machine are: measured where a probe could, assumed where none could.

Times are seconds, rates octets of content (base64, as it travels) a second. `spread_*` is the standard deviation of the
logarithm: 0.1 is "within 10 % two times of three".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from migrator.record import record

BASE64 = 4 / 3


@record
class Speeds:
    """Between one source endpoint and one target endpoint. 0 for a rate is: no bound that we know of."""

    source_call_s: float = 0.25  # one request that carries little
    source_item_s: float = 0.008  # the server's work per exported item
    source_octets_s: float = 8e6  # one mailbox's reader
    target_call_s: float = 0.25
    store_call_s: float = 0.40  # an import without its octets
    target_octets_s: float = 8e6  # one connection, upwards
    line_octets_s: float = 0.0  # all mailboxes together
    machine_items_s: float = (
        600.0  # what one process gets through, however quick the others are (bench/README.md)
    )
    machine_octets_s: float = 120e6
    expansion: float = BASE64  # octets of content per octet that the listing tells
    item_octets: float = 700.0  # and per item: names, tags, envelope
    ensure_calls: float = 1.0  # requests of the target per folder: to make it, where it has no role there …
    mark_calls: float = 1.0  # … and to mark it, where it holds anything
    page_items: float = 500.0  # of a listing of the source
    page_calls: float = 1.0  # requests of the source per page
    spread_source: float = 0.30
    spread_target: float = 0.30
    spread_size: float = 0.05  # of `expansion`
    measured: tuple[str, ...] = ()  # what a probe or an earlier run told, in words

    def faster(
        self, *, source: float = 1.0, target: float = 1.0, machine: float = 1.0, line: float = 1.0
    ) -> Speeds:
        return replace(
            self,
            source_call_s=self.source_call_s / source,
            source_item_s=self.source_item_s / source,
            source_octets_s=self.source_octets_s * source,
            target_call_s=self.target_call_s / target,
            store_call_s=self.store_call_s / target,
            target_octets_s=self.target_octets_s * target,
            line_octets_s=self.line_octets_s * line,
            machine_items_s=self.machine_items_s * machine,
            machine_octets_s=self.machine_octets_s * machine,
        )


STORE_OVER_READ = 1.3
"""An import takes that much longer than the smallest read of the target. Assumed: no write is made to find out."""
MEASURED_SPREAD = 0.12


@record
class Sounding:
    """One timed call of a probe. requests: that it came to. content: octets of what was exported, listed: as listed."""

    what: str  # source_call, target_call, page, export
    seconds: float
    requests: int = 1
    items: int = 0
    content: int = 0
    listed: int = 0


def measured(base: Speeds, soundings: Sequence[Sounding]) -> Speeds:
    """The assumed speeds, with whatever was measured in their place."""
    found = base
    words: list[str] = []
    calls = [one.seconds / max(1, one.requests) for one in soundings if one.what == "source_call"]
    if calls:
        found = replace(found, source_call_s=median(calls))
        words.append(f"source answers in {median(calls) * 1000:.0f} ms")
    pages = [one for one in soundings if one.what == "page"]
    if pages:
        found = replace(found, page_calls=median([max(1, one.requests) for one in pages]))
    reads = [one for one in soundings if one.what == "export" and one.items]
    if reads:
        found, told = _reading(found, reads)
        words.append(told)
    theirs = [one.seconds / max(1, one.requests) for one in soundings if one.what == "target_call"]
    if theirs:
        call = median(theirs)
        # The line upwards was not tried: what came down is the best guess.
        found = replace(found, target_call_s=call, store_call_s=call * STORE_OVER_READ,
                        target_octets_s=found.source_octets_s if reads else found.target_octets_s)  # fmt: skip
        words.append(f"target answers in {call * 1000:.0f} ms")
    return replace(
        found,
        spread_source=MEASURED_SPREAD * 1.5 if reads else base.spread_source,
        spread_target=MEASURED_SPREAD * 2 if theirs else base.spread_target,
        measured=tuple(words),
    )


def _reading(base: Speeds, reads: Sequence[Sounding]) -> tuple[Speeds, str]:
    """What an export costs per call, per item and per octet, fitted over all of them.

    Few exports cannot tell three figures apart where they are alike, so what is known beforehand counts as a faint
    measurement.
    """
    content = sum(one.content for one in reads)
    listed = sum(one.listed for one in reads)
    items = sum(one.items for one in reads)
    call, item, octet = _fitted(
        [(float(max(1, one.requests)), float(one.items), float(one.content), one.seconds) for one in reads],
        (base.source_call_s, base.source_item_s, 1 / base.source_octets_s),
    )
    expansion = base.expansion
    if listed > (64 << 10):
        expansion = min(2.0, max(1.0, (content - base.item_octets * items) / listed))
    found = replace(
        base, source_call_s=call, source_item_s=item, source_octets_s=1 / octet, expansion=expansion
    )
    return found, f"{items} items read at {content / max(1e-3, sum(o.seconds for o in reads)) / 1e6:.1f} MB/s"


WEIGHTS = (0.3, 0.0005, 0.0005)
"""Of what is known beforehand of call, item and octet: a call was timed by itself, the others are assumed."""
LEAST = 0.05
"""Of what was assumed: no cost is fitted to nothing."""


def _fitted(
    rows: Sequence[tuple[float, float, float, float]], assumed: tuple[float, float, float]
) -> tuple[float, float, float]:
    """Costs x with a·x near t, by relative least squares, none below LEAST of what was assumed (coordinate descent)."""
    points = [(tuple(a / t for a in row[:3]), 1.0, 1.0) for row in rows if (t := max(1e-4, row[3]))]
    for place, value in enumerate(assumed):
        unit = tuple(1 / value if place == other else 0.0 for other in range(3))
        points.append((unit, 1.0, WEIGHTS[place]))
    found = list(assumed)
    for _ in range(200):
        for place in range(3):
            top = bottom = 0.0
            for unit, goal, weight in points:
                rest = goal - sum(unit[other] * found[other] for other in range(3) if other != place)
                top += weight * unit[place] * rest
                bottom += weight * unit[place] ** 2
            if bottom:
                found[place] = max(LEAST * assumed[place], top / bottom)
    return found[0], found[1], found[2]

"""Where lines and bars of the report's pictures lie: numbers only, templates/charts.html draws them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from migrator.record import record
from migrator.report.summary import Counts
from migrator.report.timeline import TITLES, Timeline
from migrator.report.words import octets

WIDTH, HEIGHT, LEFT, TOP, LANE = 960, 200, 84, 14, 18
LETTER = 7.0
"""Width of a letter of the labels, of a generous font."""
FATES = ("copied", "present", "skipped", "failed", "open")


@record
class Bar:
    x: float
    y: float
    width: float
    height: float
    style: str
    words: str = ""
    strength: float = 1.0


@record
class Label:
    x: float
    y: float
    words: str


@record
class Lane:
    y: float
    kind: str
    title: str
    bars: tuple[Bar, ...]


@record
class Throughput:
    width: int
    height: int
    left: int
    bottom: float
    bars: tuple[Bar, ...]
    lines: tuple[Label, ...]  # horizontal, with the rate that they stand for
    times: tuple[Label, ...]
    gaps: tuple[float, ...]  # between two runs
    lanes: tuple[Lane, ...]
    words: str  # what it shows, for those who do not see it


def throughput(line: Timeline) -> Throughput | None:
    """Bars of octets per second, and below a lane for each kind of wait. None where nothing ever ran."""
    if not line.spans:
        return None
    room = WIDTH - LEFT - 8
    step = min(room / len(line.spans), 40.0)
    top = _round_up(line.peak) or 1.0
    plot = HEIGHT - TOP - 26
    bottom = float(HEIGHT - 26)
    bars, gaps, times = [], [], []
    # Too few for a bar of a sensible width stand at the left, not blown up.
    for n, span in enumerate(line.spans):
        x = LEFT + n * step
        rate = span.octets / line.span_s
        height = plot * rate / top
        if height:
            bars.append(
                Bar(
                    round(x + step * 0.08, 1),
                    round(bottom - height, 1),
                    round(step * 0.84, 1),
                    round(height, 1),
                    "copied",
                )
            )
        if n and span.at - line.spans[n - 1].at > line.span_s * 1.5:
            gaps.append(round(x, 1))
    every = max(1, round(len(line.spans) * 96 / (step * len(line.spans))))
    form = "%H:%M:%S" if line.span_s < 60 else "%H:%M" if line.span_s < 86_400 else "%Y-%m-%d"
    day, free = "", 0.0
    for n in range(0, len(line.spans), every):
        when = datetime.fromtimestamp(line.spans[n].at, UTC)
        words = when.strftime(form)
        if line.span_s < 86_400 and when.strftime("%m-%d") != day:
            words = f"{when:%m-%d} {words}"
        x = LEFT + n * step
        end = x + len(words) * LETTER
        if x >= free and end <= WIDTH:
            day, free = when.strftime("%m-%d"), end + LETTER
            times.append(Label(round(x, 1), bottom + 17, words))
    lanes: list[Lane] = []
    for kind, title in TITLES.items():
        if not line.waits.get(kind):
            continue
        y = HEIGHT + 4 + len(lanes) * LANE
        cells = tuple(
            Bar(round(LEFT + n * step, 1), y, round(step, 1), LANE - 6, kind, strength=_strength(share))
            for n, span in enumerate(line.spans)
            if (share := span.waits.get(kind, 0.0) / line.span_s) > 0
        )
        lanes.append(Lane(y, kind, title, cells))
    lines = tuple(
        Label(LEFT - 8, round(bottom - plot * part, 1), f"{octets(round(top * part))}/s")
        for part in (0.0, 0.5, 1.0)
    )
    height = HEIGHT + (len(lanes) * LANE + 6 if lanes else 0)
    total = sum(span.octets for span in line.spans)
    words = (
        f"Octets per second over time: {octets(total)} in all, at most {octets(round(line.peak))} per second"
    )
    return Throughput(
        WIDTH, height, LEFT, bottom, tuple(bars), lines, tuple(times), tuple(gaps), tuple(lanes), words
    )


def fates(counts: Counts, width: float) -> list[Bar]:
    """One bar for all items of a mailbox, a part for each fate. What there is at all can be seen."""
    numbers = [(name, max(0, getattr(counts, name))) for name in FATES]
    total = sum(count for _, count in numbers)
    if not total:
        return []
    least = width * 0.012
    shares = [(name, count, max(least, width * count / total)) for name, count in numbers if count]
    scale = width / sum(share for _, _, share in shares)
    found, x = [], 0.0
    for name, count, share in shares:
        wide = share * scale
        found.append(Bar(round(x, 1), 0.0, round(wide, 1), 0.0, name, f"{count:,}"))
        x += wide
    return found


def ticks(bars: Sequence[Bar]) -> str:
    """ "copied 990, skipped 8": what a bar says, in words."""
    names = {"present": "already there"}
    return ", ".join(f"{names.get(bar.style, bar.style)} {bar.words}" for bar in bars)


def _strength(share: float) -> float:
    return round(0.35 + 0.65 * min(1.0, share), 2)


def _round_up(rate: float) -> float:
    """The next round figure in binary units: 3 MiB → 4 MiB."""
    unit = 1.0
    while rate >= unit * 1024:
        unit *= 1024
    for factor in (1, 2, 4, 5, 8, 10, 16, 20, 32, 50, 64, 100, 128, 200, 256, 400, 512, 800, 1024):
        if rate <= unit * factor:
            return unit * factor
    return rate

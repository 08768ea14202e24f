"""How true the copies are: results of deep verifications added up by kind and path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from migrator.ledger import Fidelity
from migrator.record import record

NAMES_SHOWN = 4


@record
class FidelityLine:
    """Counts of items of one kind that took one path; see `ledger.Fidelity`. kind "" is the sum of all."""

    kind: str
    path: str
    mailboxes: int
    population: int
    compared: int
    identical: int
    volatile: int
    normalised: int
    differing: int
    unreadable: int
    properties: Mapping[
        str, Mapping[str, int]
    ]  # lost, added, changed, volatile, normalised → property → items


def fidelity_lines(found: Iterable[Fidelity]) -> tuple[FidelityLine, ...]:
    """A line for each kind and path, in their order."""
    grouped: dict[tuple[str, str], list[Fidelity]] = {}
    for one in found:
        grouped.setdefault((one.kind.value, one.path), []).append(one)
    return tuple(_line(kind, path, rows) for (kind, path), rows in sorted(grouped.items()))


def _line(kind: str, path: str, rows: Sequence[Fidelity]) -> FidelityLine:
    properties: dict[str, Counter[str]] = {}
    for row in rows:
        for class_, names in row.properties.items():
            properties.setdefault(class_, Counter()).update(names)

    def total(name: str) -> int:
        return sum(getattr(row, name) for row in rows)

    return FidelityLine(
        kind,
        path,
        len({row.job_id for row in rows}),
        total("population"),
        total("compared"),
        total("identical"),
        total("volatile"),
        total("normalised"),
        total("differing"),
        total("unreadable"),
        {class_: dict(names.most_common()) for class_, names in sorted(properties.items())},
    )


def losses_words(line: FidelityLine, most: int = NAMES_SHOWN) -> str:
    """ "lost PidTagBody (3), changed PidTagSubject (1)": what counts, the most frequent first."""
    found = [
        (count, class_, name)
        for class_ in ("lost", "changed", "added")
        for name, count in line.properties.get(class_, {}).items()
    ]
    found.sort(key=lambda one: -one[0])
    words = [f"{class_} {name} ({count})" for count, class_, name in found[:most]]
    if len(found) > most:
        words.append(f"{len(found) - most} more")
    return ", ".join(words)


def sample_words(found: Sequence[Fidelity]) -> str:
    """What the sample says about all items, or "" where all were compared (or too few to say anything)."""
    sized = {(one.confidence, one.margin) for one in found if one.margin}
    if len(sized) != 1 or any(not one.margin for one in found):
        return ""
    ((confidence, margin),) = sized
    sure, share = f"{confidence * 100:.4g} %", f"{margin * 100:.4g} %"
    if any(one.differing or one.unreadable for one in found):
        return (
            f"a sample sized to find, with {sure} confidence, a share of {share} that differs: it found some"
        )
    return f"with {sure} confidence, fewer than {share} of the items of each folder and kind differ in anything that counts"

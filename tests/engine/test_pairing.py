"""Which target items are copies of which source items, on made items of every sort: never one too many, never one too few."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.engine.pairing import CLOSEST_MOST, Known, Pairing, Pairs, known
from migrator.model import ItemRef, Kind

WHEN = datetime(2024, 5, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Made:
    """An item and what it really is."""

    ref: ItemRef
    content: int


def made(number: int, content: int, message_id: str, subject: str, minute: int | None) -> Made:
    """Content decides everything but the id: two of one content are true duplicates."""
    date = None if minute is None else WHEN + timedelta(minutes=minute)
    return Made(
        ItemRef(
            f"s{number}",
            ("Inbox",),
            Kind.MAIL,
            "1",
            size=1000 + content,
            item_class="IPM.Note",
            received=date,
            sent=date,
            message_id=message_id,
            subject=subject,
            search_key=bytes([content]) * 16,
        ),
        content,
    )


def copied(one: Made, number: int, dropped: frozenset[str]) -> Made:
    changes: dict[str, object] = {"id": f"t{number}", "size": (one.ref.size or 0) * 5 // 4}
    if "message_id" in dropped:
        changes["message_id"] = ""
    if "search_key" in dropped:
        changes["search_key"] = b""
    if "received" in dropped:
        changes["received"] = WHEN + timedelta(days=30)
    if "dates" in dropped:
        changes |= {"received": None, "sent": None}
    return Made(replace(one.ref, **changes), one.content)  # type: ignore[arg-type]


def paired(ours: Sequence[Made], theirs: Sequence[Made], *, blind: bool = False) -> tuple[Pairs, Pairing]:
    truth = {one.ref.id: one.content for one in (*ours, *theirs)}

    def alike(one: Known, other: Known) -> bool | None:
        return None if blind else truth[one.id] == truth[other.id]

    def sketch(items: Sequence[Known]) -> list[bytes | None]:
        return [None if blind else blake2b(bytes([truth[one.id]])).digest() for one in items]

    pairs = Pairs()
    work = Pairing(
        [known(one.ref, "f") for one in ours], [known(one.ref, "t") for one in theirs], alike, pairs
    )
    work.by_listing()
    work.by_content(sketch, sketch)
    return pairs, work


@st.composite
def contents(draw: st.DrawFn) -> list[Made]:
    """Distinct contents, some with a Message-ID, some with subject and dates, some with neither; each once or more."""
    kinds = draw(st.lists(st.sampled_from(["id", "dates", "subject", "nothing"]), min_size=1, max_size=12))
    found: list[Made] = []
    for content, kind in enumerate(kinds):
        times = draw(st.sampled_from([1, 1, 1, 2, 3]))
        for _ in range(times):
            found.append(
                made(
                    len(found),
                    content,
                    f"<{content}@x>" if kind == "id" else "",
                    "" if kind == "nothing" else f"subject {content % 2}",
                    content % 3 if kind in ("id", "dates") else None,
                )
            )
    return found


DROPPED = st.frozensets(st.sampled_from(["message_id", "search_key", "received", "dates"]))


@settings(max_examples=400, deadline=None)
@given(ours=contents(), dropped=DROPPED, data=st.data())
def test_every_copy_is_found_and_nothing_else(
    ours: list[Made], dropped: frozenset[str], data: st.DataObject
) -> None:
    keep = data.draw(st.lists(st.booleans(), min_size=len(ours), max_size=len(ours)))
    theirs = [copied(one, n, dropped) for n, (one, kept) in enumerate(zip(ours, keep, strict=True)) if kept]
    pairs, work = paired(ours, theirs)
    assert not work.theirs, "a copy that is not found would be doubled"
    assert not pairs.unclear
    truth = {one.ref.id: one.content for one in (*ours, *theirs)}
    assert len(set(pairs.found.values())) == len(pairs.found)
    left = Counter(truth[one] for one in work.ours)
    missing = Counter(one.content for one, kept in zip(ours, keep, strict=True) if not kept)
    assert left == missing, "what is missing must be copied, and it alone"


def test_somebody_elses_mail_is_nobodys_copy() -> None:
    ours = [made(0, 1, "<1@x>", "hello", 1), made(1, 2, "", "", None)]
    other = made(9, 3, "<9@x>", "hello", 1)
    pairs, work = paired(ours, [copied(other, 0, frozenset({"search_key"}))])
    assert not pairs.found and len(work.ours) == 2 and len(work.theirs) == 1


def test_two_message_ids_are_never_one_item() -> None:
    ours = [made(0, 1, "<1@x>", "hello", 1)]
    theirs = [copied(made(9, 1, "<2@x>", "hello", 1), 0, frozenset())]
    assert not paired(ours, theirs)[0].found


@pytest.mark.parametrize("with_id", [True, False])
def test_crowds_of_one_look(with_id: bool) -> None:
    """More items than are paired by who is nearest: thousands alike, and some of them missing."""
    many = 40 * CLOSEST_MOST
    ours = [made(n, n % 7, "<1@x>" if with_id else "", "the same", 1) for n in range(many)]
    theirs = [copied(one, n, frozenset({"search_key"})) for n, one in enumerate(ours) if n % 5]
    pairs, work = paired(ours, theirs)
    assert len(pairs.found) == len(theirs) and not work.theirs


def test_what_cannot_be_read_is_said_to_be_unclear() -> None:
    ours = [made(n, n, "", "", None) for n in range(4)]
    theirs = [copied(ours[0], 0, frozenset({"search_key"}))]
    pairs, _ = paired(ours, theirs, blind=True)
    assert not pairs.found and pairs.unclear == 4

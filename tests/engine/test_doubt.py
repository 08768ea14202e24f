"""Which arrival is which item in doubt: read as data, and for any multiset the counts decide."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.engine.doubt import Evidence, match
from migrator.model import Kind

NOON = datetime(2024, 5, 6, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=300)


def mail(name: str, **known: object) -> Evidence:
    fields: dict[str, object] = {"item_class": "ipm.note", "size": 20_000, "received": NOON}
    return Evidence(name, "1", Kind.MAIL, **(fields | known))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "there", "pairs"),
    [
        ([mail("a", message_id="m")], [mail("t", message_id="m", received=LATER, size=9)], {"a": "t"}),
        ([mail("a", message_id="m")], [mail("t", message_id="n")], {}),
        ([mail("a", message_id="m")], [mail("t")], {"a": "t"}),  # the import dropped the Message-ID
        ([mail("a")], [mail("t", message_id="n")], {}),  # somebody else's mail
        ([mail("a")], [mail("t", received=LATER)], {}),
        ([mail("a")], [mail("t", received=None)], {"a": "t"}),
        ([mail("a")], [mail("t", size=500_000)], {}),
        ([mail("a")], [mail("t", item_class="ipm.note.smime")], {}),
        ([mail("a", search_key=b"k")], [mail("t", search_key=b"k", size=1, received=None)], {"a": "t"}),
        ([mail("a", fingerprint=b"f")], [mail("t", fingerprint=b"f", size=1)], {"a": "t"}),
        # one Message-ID, two items: the dates tell which of them is there
        (
            [mail("a", message_id="m", received=NOON), mail("b", message_id="m", received=LATER)],
            [mail("t", message_id="m", received=LATER)],
            {"b": "t"},
        ),
        # twins: as many as are there, no more
        (
            [mail("a", message_id="m"), mail("b", message_id="m"), mail("c", message_id="m")],
            [mail("t", message_id="m"), mail("u", message_id="m")],
            {"a": "t", "b": "u"},
        ),
    ],
)
def test_pairs(wanted: list[Evidence], there: list[Evidence], pairs: dict[str, str]) -> None:
    assert {one: other.id for one, other in match(wanted, there).items()} == pairs


def test_kinds_that_a_target_stamps_anew_are_found_without_their_date() -> None:
    note = Evidence("a", "1", Kind.NOTE, "ipm.stickynote", size=900, received=NOON)
    there = Evidence("t", "1", Kind.NOTE, "ipm.stickynote", size=1200, received=LATER)
    assert match([note], [there])["a"].id == "t"


def test_content_decides_where_evidence_is_weak() -> None:
    wanted = [mail("a", size=1000), mail("b", size=1001)]
    there = [mail("t", size=1000, received=None)]
    assert list(match(wanted, there, lambda one, other: one == "b")) == ["b"]
    assert match(wanted, there, lambda one, other: False) == {}
    assert list(match(wanted, there, lambda one, other: None)) == ["a"]


def test_content_decides_among_unlike_items_of_one_message_id() -> None:
    wanted = [mail("sent", message_id="m", size=10), mail("copy", message_id="m", size=11)]
    there = [mail("t", message_id="m", size=10)]
    assert list(match(wanted, there, lambda one, other: one == "copy")) == ["copy"]


names = st.sampled_from("abcd")


@given(st.lists(names, max_size=12), st.lists(names, max_size=12))
def test_counts_decide_for_true_duplicates(ours: list[str], theirs: list[str]) -> None:
    wanted = [mail(f"s{n}", message_id=name) for n, name in enumerate(ours)]
    there = [mail(f"t{n}", message_id=name) for n, name in enumerate(theirs)]
    pairs = match(wanted, there)
    assert len({other.id for other in pairs.values()}) == len(pairs)
    by_id = {one.id: one.message_id for one in wanted}
    found = Counter(by_id[one] for one in pairs)
    assert found == Counter(ours) & Counter(theirs)
    assert all(by_id[one] == other.message_id for one, other in pairs.items())


@given(st.lists(st.tuples(names, st.booleans()), max_size=8), st.integers(0, 8))
def test_what_the_tenant_drops_does_not_change_the_count(items: list[tuple[str, bool]], stored: int) -> None:
    """Items that listing cannot tell apart: as many are found as arrived, whatever survived of their properties."""
    wanted = [mail(f"s{n}", message_id=name if has else "") for n, (name, has) in enumerate(items)]
    there = [mail(f"t{n}") for n in range(min(stored, len(items)))]
    assert len(match(wanted, there)) == min(stored, len(items))


def test_mail_that_lost_its_date_and_id_is_found_by_its_content_alone() -> None:
    ours, there = mail("a", message_id="m"), mail("t", received=LATER)
    assert not match([ours], [there])
    assert not match([ours], [there], lambda one, other: None)  # cannot be told
    assert not match([ours], [there], lambda one, other: False)
    assert match([ours], [there], lambda one, other: True)["a"].id == "t"
    # Whoever has a Message-ID came by another way, whatever it holds.
    assert not match([ours], [mail("t", received=LATER, message_id="n")], lambda one, other: True)

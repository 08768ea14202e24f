"""What a forecast stands on: sizes from plans and columns, speeds from a probe."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from migrator.forecast.loads import (
    GUESSED_SPREAD,
    SURVEYED_SPREAD,
    AgeBin,
    filled,
    from_columns,
    load_of,
    newer_than,
    older_than,
    parse_size,
    plain,
    unknown,
)
from migrator.forecast.sounding import sound
from migrator.forecast.speeds import Sounding, Speeds, measured
from migrator.model import Kind, Mailbox, Role, SkipReason
from migrator.plan.planfile import AGE_BOUNDS, Bins, PlannedFolder, PlannedMailbox
from tests.forecast.making import GB, job, load

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("4GB", 4 * 10**9),
        ("4 GiB", 4 << 30),
        ("850mb", 850 * 10**6),
        ("1,5 TB", 1_500_000_000_000),
        ("123456", 123456),
        ("4.2 GB (4,509,715,660 bytes)", 4_509_715_660),
        ("4.2 GB (4.509.715.660 bytes)", 4_509_715_660),
    ],
)
def test_sizes_as_people_and_exchange_write_them(text: str, octets: int) -> None:
    assert parse_size(text) == octets


@pytest.mark.parametrize("text", ["", "much", "4 XB", "-1GB", "4GB 5GB"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)


def planned() -> PlannedMailbox:
    def folder(name: str, items: int, **more: object) -> PlannedFolder:
        base = PlannedFolder(
            (name,), (name,), Kind.MAIL, items=items, to_copy=items, octets_to_copy=items * 1000
        )
        return replace(base, **more)  # type: ignore[arg-type]

    ages = Bins(AGE_BOUNDS, (10, 0, 30, 0, 0, 60, 0, 0), (1000, 0, 3000, 0, 0, 6000, 0, 0))
    return PlannedMailbox(
        "job-1", 2, Mailbox("old", "a@x"), Mailbox("new", "a@y"), ages_to_copy=ages,
        oldest=NOW - timedelta(days=700),
        folders=(
            folder("Inbox", 60, role=Role.INBOX, to_update=5, target_items=7),
            folder("Old", 40, unsized=4),
            folder("Junk", 1000, left_out=SkipReason.FILTERED_FOLDER),
        ),
    )  # fmt: skip


def test_a_plan_as_a_load() -> None:
    found = load_of(planned(), NOW)
    assert [(one.path, one.items, one.role) for one in found.folders] == [
        (("Inbox",), 65, Role.INBOX),
        (("Old",), 40, None),
    ]
    assert found.octets == 60_000 + 40_000 + 4 * (64 << 10)
    assert found.present == 7
    assert found.spread == SURVEYED_SPREAD and not found.unknown
    assert [(one.from_days, one.to_days) for one in found.ages] == [(0, 7), (30, 90), (365, 730)]
    assert load_of(replace(planned(), folders=(), error="no answer"), NOW).unknown == "no answer"


def test_younger_and_older_are_the_whole() -> None:
    ages = (AgeBin(0, 30, 100, 10**6), AgeBin(30, 90, 100, 3 * 10**6), AgeBin(90, 1000, 800, 6 * 10**6))
    whole = load(items=1000, octets=10**7, ages=ages)
    young, old = newer_than(whole, 60), older_than(whole, 60)
    assert (young.items, young.octets) == (150, 25 * 10**5), "half of the middle one"
    assert young.items + old.items == 1000
    assert young.octets + old.octets == 10**7


def test_columns_of_the_manifest() -> None:
    found = from_columns(job(), {"Size": "2 GB", "Count": "12,345"}, size="size", items="count")
    assert (found.octets, found.items, found.spread) == (2 * GB, 12_345, GUESSED_SPREAD)
    assert from_columns(job(), {"Size": " "}, size="size").unknown
    with pytest.raises(ValueError, match="line 2: 'huge' is no size"):
        from_columns(job(), {"size": "huge"}, size="size")


def test_what_nobody_knows_is_the_mean() -> None:
    known = [plain(job(1), octets=2 * GB), plain(job(2), octets=4 * GB)]
    mean = filled([*known, unknown(job(3), "no")])[2]
    assert mean.octets == pytest.approx(3 * GB, rel=0.01)
    assert mean.spread > known[0].spread
    assert filled([unknown(job(3), "no")])[0].items == 0


# ------------------------------------------------------------------------ speeds


@pytest.mark.parametrize(
    ("call", "item", "rate"), [(0.3, 0.05, 4e6), (0.05, 0.002, 20e6), (1.0, 0.01, 1e6), (0.2, 0.03, 5e5)]
)
def test_a_probe_tells_call_item_and_octet_apart(call: float, item: float, rate: float) -> None:
    dice = random.Random(1)

    def took(items: int, octets: int) -> float:
        return (call + item * items + octets / rate) * dice.uniform(0.97, 1.03)

    found = measured(
        Speeds(),
        [
            *(Sounding("source_call", took(0, 0)) for _ in range(3)),
            *(
                Sounding("export", took(items, octets), 1, items, octets, int((octets - 700 * items) / 1.34))
                for _ in range(3)
                for items, octets in ((1, 5_000), (20, 100_000), (4, 8_000_000))
            ),
            *(Sounding("target_call", 0.2, 1) for _ in range(2)),
        ],
    )
    assert found.source_call_s == pytest.approx(call, rel=0.15)
    assert found.source_item_s == pytest.approx(item, rel=0.25, abs=0.002)
    assert found.source_octets_s == pytest.approx(rate, rel=0.15)
    assert found.expansion == pytest.approx(1.34, rel=0.02)
    assert found.target_call_s == pytest.approx(0.2)
    assert found.spread_source < Speeds().spread_source
    assert len(found.measured) == 3


def test_nothing_measured_is_what_was_assumed() -> None:
    assert measured(Speeds(), []) == Speeds()


def test_several_requests_of_one_call_are_shared_out() -> None:
    assert measured(Speeds(), [Sounding("target_call", 3.0, requests=10)]).target_call_s == pytest.approx(0.3)


def test_a_probe_of_memory_reads_and_gives_everything_back() -> None:
    from migrator.engine.stop import SystemClock
    from tests.forecast.probing import Counting

    source, target = Counting(60), Counting(0)
    found = sound(source, target, SystemClock())
    exports = [one for one in found if one.what == "export"]
    assert [one.items for one in exports] == [1, 20, 4]
    assert all(one.seconds > 0 and one.content > 0 and one.listed > 0 for one in exports)
    assert source.open == 0, "content is given back"
    assert {one.what for one in found} == {"source_call", "page", "export", "target_call"}
    assert source.writes == target.writes == 0

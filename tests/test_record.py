"""Records behave as frozen, slotted dataclasses do."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from dataclasses import dataclass, field, fields, replace

import pytest

from migrator.record import record


@record
class Point:
    x: int
    y: int = 0
    secret: str = field(default="", repr=False)
    seen: int = field(default=0, compare=False)


@record
class Deep(Point):
    """With a depth."""

    z: int = 0


@record
class Nothing:
    pass


@record(frozen=False)
class Count:
    n: int = 0
    names: list[str] = field(default_factory=list)


@record
class Own:
    x: int

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 7

    def __repr__(self) -> str:
        return "own"


@dataclass(frozen=True, slots=True)
class Standard:
    x: int
    y: int = 0
    secret: str = field(default="", repr=False)
    seen: int = field(default=0, compare=False)


def test_equal_by_value_and_kind() -> None:
    assert Point(1, 2) == Point(1, 2)
    assert Point(1, 2) != Point(1, 3)
    assert Point(1, 2, seen=1) == Point(1, 2, seen=2)
    assert Point(1, 2) != Deep(1, 2)
    assert Point(1, 2) != (1, 2, "", 0)
    assert Point(1) != Standard(1)
    assert Nothing() == Nothing()
    assert Count(1) == Count(1)
    assert Count(1) != Count(2)
    assert Deep(1, 2, z=3) != Deep(1, 2, z=4)


def test_hash_goes_with_equality() -> None:
    assert len({Point(1, 2), Point(1, 2, seen=5), Point(2, 1), Deep(1, 2), Nothing(), Nothing()}) == 4
    with pytest.raises(TypeError, match="unhashable"):
        hash(Count())


def test_a_secret_is_not_shown() -> None:
    assert repr(Point(1, 2, "hunter2")) == "Point(x=1, y=2, seen=0)"
    assert repr(Point(1, 2, "hunter2")) == repr(Standard(1, 2, "hunter2")).replace("Standard", "Point")
    assert repr(Nothing()) == "Nothing()"


def test_what_the_class_defines_stays() -> None:
    assert Own(1) == Own(2)
    assert (hash(Own(1)), repr(Own(1))) == (7, "own")
    assert Deep.__doc__ == "With a depth."


def test_the_tools_of_dataclasses_work() -> None:
    one = Deep(1, 2, "s", 4, 5)
    assert replace(one, x=9) == Deep(9, 2, "s", 4, 5)
    assert [part.name for part in fields(one)] == ["x", "y", "secret", "seen", "z"]
    assert dataclasses.asdict(one) == {"x": 1, "y": 2, "secret": "s", "seen": 4, "z": 5}
    assert copy.copy(one) == one
    assert pickle.loads(pickle.dumps(one)) == one
    assert Count().names is not Count().names
    match one:
        case Point(x, y):
            assert (x, y) == (1, 2)


def test_a_record_has_slots() -> None:
    with pytest.raises(AttributeError):
        Count().m = 1  # type: ignore[attr-defined]
    assert not hasattr(Point(1), "__dict__")

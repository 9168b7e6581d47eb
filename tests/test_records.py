"""`symc.records.dataclass` against the standard library's: the same classes, case by case."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, field, fields, replace
from pathlib import Path
from typing import Any

import pytest

import symc
from symc.records import dataclass

SOURCE = Path(symc.__file__).parent
MAKERS = {"quick": dataclass, "standard": dataclasses.dataclass}
Make = Callable[..., Any]


@pytest.fixture(params=sorted(MAKERS))
def make(request: pytest.FixtureRequest) -> Make:
    return MAKERS[request.param]


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: tuple[int, ...] = (1,)


@dataclass(slots=True)
class Bag:
    name: str
    things: list[object] = field(default_factory=list)


def points(make: Make) -> type:
    @make(frozen=True, slots=True)
    class Point3:
        x: int
        y: float = 2.0
        z: tuple[int, ...] = ()

    return Point3  # type: ignore[no-any-return]


def test_frozen_classes_hold_what_they_were_given(make: Make) -> None:
    cls = points(make)
    point = cls(1, z=(3,))
    assert (point.x, point.y, point.z) == (1, 2.0, (3,))
    assert point == cls(1, 2.0, (3,))
    assert point != cls(1, 2.5, (3,))
    assert point != (1, 2.0, (3,))
    assert hash(point) == hash(cls(1, 2.0, (3,))) == hash((1, 2.0, (3,)))
    assert repr(point).endswith("Point3(x=1, y=2.0, z=(3,))")
    assert replace(point, x=4) == cls(4, 2.0, (3,))
    assert [f.name for f in fields(cls)] == ["x", "y", "z"]
    assert cls.__match_args__ == ("x", "y", "z")
    assert not hasattr(point, "__dict__")


def test_frozen_classes_refuse_changes(make: Make) -> None:
    point = points(make)(1)
    with pytest.raises(FrozenInstanceError, match="'x'"):
        point.x = 2
    with pytest.raises(FrozenInstanceError, match="'y'"):
        del point.y


def test_wrong_arguments_are_type_errors(make: Make) -> None:
    cls = points(make)
    for arguments, named in (((), {}), ((1, 2, 3, 4), {}), ((1,), {"w": 1})):
        with pytest.raises(TypeError):
            cls(*arguments, **named)


def test_fields_of_every_kind(make: Make) -> None:
    @make(frozen=True, slots=True)
    class Everything:
        """With a rule of its own."""

        first: int
        named: int = field(kw_only=True)
        last: list[int] = field(default_factory=list)
        silent: int = field(default=0, repr=False, compare=False)
        derived: int = field(init=False)
        counted: list[int] = field(init=False, default_factory=list)

        def __post_init__(self) -> None:
            object.__setattr__(self, "derived", self.first + self.named)

    one, other = Everything(1, named=2), Everything(1, named=2, silent=9)
    assert one == other
    assert one.derived == 3
    assert one.last == []
    assert one.last is not other.last
    assert one.counted is not other.counted
    assert repr(one).endswith("Everything(first=1, named=2, last=[], derived=3, counted=[])")
    with pytest.raises(TypeError):
        Everything(1, 2)


def test_open_classes_change_and_do_not_hash(make: Make) -> None:
    @make(slots=True)
    class Open:
        x: int
        rest: list[Open] = field(default_factory=list)

    item = Open(1)
    item.x = 5
    assert item == Open(5)
    assert Open.__hash__ is None
    item.rest.append(item)
    assert repr(item).endswith("Open(x=5, rest=[...])")


def test_identity_and_own_methods_are_kept(make: Make) -> None:
    @make(frozen=True, slots=True, eq=False)
    class Identical:
        x: int

    @make(frozen=True, slots=True)
    class Own:
        x: int

        def __repr__(self) -> str:
            return "own"

        def __hash__(self) -> int:
            return 7

    assert Identical(1) != Identical(1)
    assert repr(Own(1)) == "own"
    assert hash(Own(1)) == 7
    assert Own(1) == Own(1)


def test_subclasses_add_fields(make: Make) -> None:
    @make(frozen=True, slots=True)
    class Base:
        x: int

    @make(frozen=True, slots=True)
    class More(Base):
        y: int = 3

    assert More(1) == More(1, 3)
    assert More(1) != Base(1)
    assert (More(1).x, More(1).y) == (1, 3)
    with pytest.raises(FrozenInstanceError):
        More(1).x = 2


def test_no_fields_and_one(make: Make) -> None:
    @make(frozen=True, slots=True)
    class Nothing:
        pass

    @make(frozen=True, slots=True)
    class One:
        x: object

    assert Nothing() == Nothing()
    assert hash(One(3)) == hash((3,))
    assert One([]) == One([])


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_and_copies(protocol: int) -> None:
    for record in (Point(1, (2, 3)), Bag("a", [Point(4)])):
        assert pickle.loads(pickle.dumps(record, protocol)) == record
        assert copy.copy(record) == record
        assert copy.deepcopy(record) == record


def test_every_data_class_is_made_the_quick_way() -> None:
    slow = [
        path
        for path in SOURCE.rglob("*.py")
        for line in path.read_text().splitlines()
        if line.startswith("from dataclasses import ") and "dataclass" in line.split("import")[1]
    ]
    assert not slow

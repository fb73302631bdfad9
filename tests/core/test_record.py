"""A record has the fields that its class names: all of them, no others, and for good."""

from typing import Any

import pytest

from gradcore.record import Record


class Point(Record):
    x: float
    y: float = 0.0


class Named(Point):
    name: str = "p"


class Ordered(Record):
    low: Any
    high: Any

    def _check(self):
        if self.low > self.high:
            raise ValueError("low is above high")


def test_fields_are_given_by_position_and_by_name_and_have_defaults():
    assert (Point(1.0).x, Point(1.0).y) == (1.0, 0.0)
    assert Point(1.0, 2.0) == Point(y=2.0, x=1.0)
    assert repr(Named(1.0, name="q")) == "Named(x=1.0, y=0.0, name='q')"


def test_records_of_equal_fields_and_one_class_are_equal():
    assert Point(1.0) == Point(1.0, 0.0)
    assert len({Point(1.0), Point(1.0, 0.0), Point(2.0)}) == 2
    assert Point(1.0) != Named(1.0)
    assert Point(1.0) != (1.0, 0.0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Point(), "Point needs x as well"),
        (lambda: Ordered(), "Ordered needs low, high as well"),
        (lambda: Point(1.0, 2.0, 3.0), "Point has the fields x, y, and got 3 values by position: give each of them once"),
        (lambda: Point(1.0, z=2.0), "got 1 values by position and z: give each of them once"),
        (lambda: Point(1.0, x=2.0), "got 1 values by position and x: give each of them once"),
    ],
)  # fmt: skip
def test_a_field_that_is_missing_unknown_or_given_twice_is_named(make, words):
    with pytest.raises(TypeError) as caught:
        make()
    assert words in str(caught.value)


def test_a_record_cannot_be_changed_and_a_replaced_one_is_checked_again():
    point = Point(1.0)
    with pytest.raises(AttributeError, match=r"`\.replaced\(x=\.\.\.\)` gives one"):
        point.x = 2.0
    with pytest.raises(AttributeError, match="x stays"):
        del point.x
    assert point.replaced(x=2.0) == Point(2.0)
    assert point == Point(1.0)
    with pytest.raises(ValueError, match="low is above high"):
        Ordered(1, 2).replaced(low=3)

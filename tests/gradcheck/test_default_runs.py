"""A default run reaches every special class, whatever its seed; and a failing example still ends at the simplest one."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from layouts import layout_of

from gradcheck.strategies import COTANGENTS, LAYOUTS, STYLES, cotangents, examples
from gradcheck.strategies.choice import LENGTH, Chooser
from gradcore.spec import Axis, case, interval, reals

SEEDS = range(3)
MATRIX = case(reals("n m"))


def seen(strategy, classify, start, count):
    """How many of a run's examples fall in each class."""
    counts = Counter()

    @seed(start)
    @settings(max_examples=count, deadline=None, database=None)
    @given(strategy)
    def collect(value):
        counts.update(set(classify(value)))

    collect()
    return counts


@pytest.fixture(params=SEEDS, ids=lambda n: f"seed{n}")
def rarest(request):
    """`rarest(strategy, classify, classes, count)`: how often the rarest of the classes came in a run of `count`."""

    def run(strategy, classify, classes, count):
        counts = seen(strategy, classify, request.param, count)
        return min(counts[one] for one in classes)

    return run


def test_every_layout_is_reached(rarest):
    found = rarest(examples(MATRIX), lambda e: [layout_of(e.arrays[0])], LAYOUTS, 100)
    assert found >= 1


def test_empty_and_single_entries_are_reached_within_a_short_run(rarest):
    def classify(e):
        return [("first", e.arrays[0].size), ("second", e.arrays[1].size)]

    both = examples(case(reals("n"), reals("m")))
    assert rarest(both, classify, [("first", 0), ("first", 1), ("second", 0), ("second", 1)], 100) >= 1
    assert rarest(examples(case(reals("n"))), lambda e: [e.arrays[0].size], range(7), 100) >= 3


def test_values_of_every_style_are_reached_within_a_short_run(rarest):
    def classify(e):
        x = e.arrays[0]
        zeros = x == 0
        found = ["two zeros in a row"] * bool((zeros.sum(-1) > 1).any())
        found += ["a negative zero"] * bool((zeros & np.signbit(x)).any())
        found += ["ties"] * bool(x.size > 3 and len(np.unique(x)) < x.size and not zeros.any())
        found += ["four decades"] * bool(np.abs(x).max(initial=0) > 300 * np.abs(x).min(initial=np.inf))
        return found

    classes = ("two zeros in a row", "a negative zero", "ties", "four decades")
    assert rarest(examples(MATRIX), classify, classes, 60) >= 1
    assert len(STYLES) == 6


def test_zero_has_one_sign_where_negative_numbers_are_outside(rarest):
    def classify(e):
        x = e.arrays[0]
        assert not (np.signbit(x) & (x == 0)).any()
        return ["zero"] * bool((x == 0).any())

    assert rarest(examples(case(interval(0.0, 2.0, "n"))), classify, ["zero"], 60) >= 1


@pytest.mark.parametrize("structure", ["invertible", "orthogonal"])
def test_determinants_of_both_signs_are_reached(rarest, structure):
    square = case(reals("n n", structure=structure), sizes={"n": (1, 4)})
    assert rarest(examples(square), lambda e: [np.linalg.det(e.arrays[0]) > 0], (True, False), 20) >= 3


def test_arrays_tie_with_each_other_at_kinks(rarest):
    def apart(x, low, high):
        return bool((x != low).all() and (x != high).all())

    clip = case(
        reals("..."),
        reals("~..."),
        reals("~..."),
        values_where=lambda x, low, high: bool((low < high).all()),
        smooth_where=apart,
    )

    def classify(e):
        x, low, high = e.arrays
        assert (low < high).all()
        return ["low"] * bool((x == low).any()) + ["high"] * bool((x == high).any())

    assert rarest(examples(clip, mode="kinks"), classify, ("low", "high"), 20) >= 1
    assert rarest(examples(clip), classify, ("low", "high"), 20) == 0


def kind_of(gy):
    nonzero = gy[gy != 0]
    if layout_of(gy) in ("zero-stride", "F", "negative"):
        return layout_of(gy)
    if not gy.flags.writeable:
        return "readonly"
    if not nonzero.size:
        return "zero"
    if nonzero.size == 1 and nonzero[0] == 1.0:
        return "one-hot"
    if nonzero.size < gy.size:
        return "with zeros"
    if np.abs(gy).max() < 1e-5:
        return "tiny"
    if np.abs(gy).min() > 1e5:
        return "large"
    return "dense" if (8 * gy == np.round(8 * gy)).all() else "full"


def test_every_kind_of_cotangent_is_reached_also_next_to_an_example(rarest):
    assert rarest(cotangents((3, 2), np.float32), lambda gy: [kind_of(gy)], COTANGENTS, 100) >= 2
    pair = st.tuples(examples(MATRIX), cotangents((3, 2)))
    assert rarest(pair, lambda p: [kind_of(p[1])], COTANGENTS, 200) >= 2


def test_a_full_cotangent_shows_a_cast_to_a_coarser_dtype():
    found = []
    seen(cotangents((64,), kind="full"), lambda gy: found.append(gy) or [], 0, 2)
    assert all((gy.astype(np.float32) != gy).mean() > 0.9 for gy in found)
    assert all((np.abs(gy) >= 0.4).all() and (np.abs(gy) <= 2.1).all() for gy in found)


def test_an_axis_is_reached_from_both_ends_and_in_tuples(rarest):
    axes = case(reals("n m k"), params={"p": Axis(many=True, none=True)})
    assert rarest(examples(axes), lambda e: [e.params["p"]], [*range(-3, 3), None], 200) >= 3


# --- the choices themselves -------------------------------------------------------------------------------------------


def test_zeros_stand_for_the_first_option_also_beyond_the_last_byte():
    choose = Chooser(lambda strategy: bytes(LENGTH))
    assert [choose.pick("abc") for _ in range(3 * LENGTH)] == ["a"] * 3 * LENGTH
    assert choose.between(5, 5) == 5


def test_choices_beyond_the_last_byte_follow_from_all_of_them():
    def options(text):
        choose = Chooser(lambda strategy: text)
        return [choose.between(0, 9) for _ in range(LENGTH)][LENGTH // 2 :]

    one, other = options(bytes(range(LENGTH))), options(bytes([*range(LENGTH - 1), 0]))
    assert one != other
    assert len(set(one)) == 10
    assert one == options(bytes(range(LENGTH)))


def test_wide_ranges_reach_their_ends():
    highest = Chooser(lambda strategy: b"\xff" * LENGTH)
    assert highest.between(-5, 10**9) == 10**9
    assert highest.between(0, 6) == 6


# --- shrinking --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fails", "shapes", "layouts", "axis"),
    [
        (lambda e: all(a.size for a in e.arrays), [(1, 1), (1, 1)], {"small"}, 0),
        (lambda e: layout_of(e.arrays[1]) == "negative", [(1, 1), (1, 2)], {"small", "negative"}, 0),
        (lambda e: e.arrays[0].shape[0] >= 4, [(4, 1), (1, 1)], {"C", "small"}, 0),
        (lambda e: e.params["p"] == -1 and e.arrays[0].size > 1, [(1, 2), (2, 1)], {"C"}, -1),
        (lambda e: e.arrays[1].shape[1] == 0, [(1, 1), (1, 0)], {"small"}, 0),
    ],
    ids=["any", "layout", "size", "axis", "empty"],
)
def test_a_failing_example_ends_at_the_simplest_that_fails(fails, shapes, layouts, axis):
    last = []

    @seed(0)
    @settings(max_examples=300, deadline=None, database=None)
    @given(examples(case(reals("n m"), reals("m k"), params={"p": Axis()})))
    def run(example):
        if fails(example):
            last.append(example)
            raise AssertionError

    with pytest.raises(AssertionError):
        run()
    end = last[-1]
    assert [a.shape for a in end.arrays] == shapes
    assert {layout_of(a) for a in end.arrays} == layouts
    assert end.params["p"] == axis
    assert all(2 * a == np.round(2 * a) for array in end.arrays for a in array.reshape(-1))

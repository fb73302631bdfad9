"""The strategies draw what they promise: values, layouts and cotangents, every special class within a default run."""

import math

import numpy as np
import pytest
from drawing import RUN, drawn, seen
from hypothesis import given, settings
from layouts import layout_of

from gradcheck.strategies import (
    COTANGENTS,
    LAYOUTS,
    cotangents,
    examples,
    with_layout,
)
from gradcheck.strategies.values import MARGIN
from gradcore.errors import SpecError
from gradcore.spec import (
    booleans,
    case,
    complexes,
    indices,
    integers,
    interval,
    positives,
    reals,
)

# --- values -----------------------------------------------------------------------------------------------------------


def test_reals_reach_zeros_ties_specials_both_signs_and_many_scales():
    def classify(e):
        x = e.arrays[0]
        if not x.size:
            return ["empty"]
        found = [f"special {s}" for s in (0.0, 1.0, -1.0, 0.25) if (x == s).any()]
        if x.size > 2 and len(np.unique(x)) < x.size:
            found.append("ties")
        found += ["negative"] * bool((x < 0).any()) + ["positive"] * bool((x > 0).any())
        size = np.abs(x[x != 0])
        if size.size:
            found += ["tiny"] * bool(size.min() < 1e-3) + ["huge"] * bool(size.max() > 100)
            found += ["mixed"] * bool(size.max() > 1e3 * size.min())
        return found

    counts = seen(examples(case(reals(specials=(0.0, 1.0, -1.0, 0.25)))), classify)
    special = {f"special {s}" for s in (0.0, 1.0, -1.0, 0.25)}
    assert set(counts) == special | {"empty", "ties", "negative", "positive", "tiny", "huge", "mixed"}
    assert min(counts.values()) >= 3
    assert 0.5 < counts["negative"] / counts["positive"] < 2


def test_bounds_are_kept_and_reached():
    counts = seen(
        examples(case(interval(-0.1, 0.3, "n"), positives("n", low=0.7)), dtype=np.float32),
        lambda e: ["low" if x < -0.1 + 1e-7 else "high" if x > 0.3 - 1e-7 else "inside" for x in e.arrays[0]],
    )
    assert {"low", "high", "inside"} == set(counts)
    for e in drawn(examples(case(interval(-0.1, 0.3, "n"), positives("n", low=0.7)), dtype=np.float32)):
        x, y = (a.astype(np.float64) for a in e.arrays)
        assert ((x >= -0.1) & (x <= 0.3)).all(), "rounding to float32 must not leave the interval"
        assert (y >= 0.7).all()


def test_bounds_may_be_arithmetic_on_letters():
    for e in drawn(examples(case(interval("-n", "2*n", "n 3")))):
        assert (e.arrays[0] >= -e.sizes["n"]).all()
        assert (e.arrays[0] <= 2 * e.sizes["n"]).all()


def test_indices_lie_within_their_axis_repeat_and_reach_both_ends():
    def classify(e):
        n, i = e.sizes["n"], e.arrays[1]
        assert i.dtype.kind == "i"
        assert i.size == 0 or (i.min() >= 0 and i.max() < n)
        yield i.dtype
        if n > 2 and i.size > 1:
            yield "repeat" if len(np.unique(i)) < i.size else "no repeat"
            yield from [f"end {k}" for k in (0, n - 1) if k in i]

    counts = seen(examples(case(reals("n"), indices("n", "k"))), classify)
    assert {"repeat", "no repeat", "end 0", "end 5", np.dtype(np.int32), np.dtype(np.int64)} <= set(counts)


def test_no_index_is_drawn_for_an_empty_axis():
    found = drawn(examples(case(reals("n"), indices("n", "k"), sizes={"n": (0, 1)})))
    assert any(e.sizes["n"] == 0 for e in found)
    assert all(e.sizes["n"] == 1 or e.sizes["k"] == 0 for e in found)


@pytest.mark.parametrize(("dtype", "made"), [(np.float64, np.complex128), (np.float32, np.complex64)])
def test_complex_numbers_have_two_parts_within_the_bounds_in_every_layout(dtype, made):
    entry = case(complexes("n m", low=-2.0, high=3.0))
    for example in drawn(examples(entry, dtype=dtype)):
        (z,) = example.arrays
        assert z.dtype == made
        for part in (z.real, z.imag):
            assert ((part >= -2) & (part <= 3)).all()
    some = [e.arrays[0] for e in drawn(examples(entry)) if e.arrays[0].size > 3]
    assert any((z.real != z.imag).any() for z in some)
    assert not any(np.isnan(z).any() for z in some)


def test_booleans_are_mixed_all_true_and_all_false():
    counts = seen(
        examples(case(booleans("4"))),
        lambda e: ["all" if e.arrays[0].all() else "some" if e.arrays[0].any() else "none"],
    )
    assert set(counts) == {"all", "some", "none"}
    assert all(e.arrays[0].dtype == bool for e in drawn(examples(case(booleans("4")))))


def test_distinct_entries_are_well_apart_in_every_scale():
    scales = set()
    for e in drawn(examples(case(reals(distinct=True)))):
        x = np.sort(e.arrays[0].ravel())
        if x.size > 1:
            gap = np.diff(x).min()
            assert gap > np.ptp(x) / (2.2 * x.size)
            scales.add(math.floor(math.log10(gap)))
    assert len(scales) >= 4


def test_distinct_whole_numbers_are_distinct():
    for e in drawn(examples(case(integers(0, "n-1", "n", distinct=True)))):
        assert sorted(e.arrays[0]) == list(range(e.sizes["n"]))


def test_smooth_examples_keep_away_from_kinks():
    entry = case(reals("n m", kinks=(0.0, 2.0), specials=(0.0, 2.0, 5.0)))
    total = 0
    for e in drawn(examples(entry)):
        x = e.arrays[0]
        assert (np.abs(x - 2.0) > 0.9 * MARGIN * 2.0).all()
        assert (x != 0).all()
        total += x.size
    assert total > 1000


def test_kink_examples_seek_kinks_and_ties():
    entry = case(reals("n m", kinks=(0.0, 2.0)), reals("n", distinct=True))
    counts = seen(
        examples(entry, mode="kinks"),
        lambda e: (
            [k for k in (0.0, 2.0) if (e.arrays[0] == k).any()]
            + ["tie"] * (len(np.unique(e.arrays[1])) < e.arrays[1].size)
        ),
    )
    assert min(counts[k] for k in (0.0, 2.0, "tie")) > 80


@pytest.mark.parametrize(
    ("structure", "holds"),
    [
        ("symmetric", lambda a, t: np.array_equal(a, t)),
        ("spd", lambda a, t: np.array_equal(a, t) and (np.linalg.eigvalsh(a) > 0.4).all()),
        ("invertible", lambda a, t: (np.linalg.svd(a).S > 0.4).all()),
        ("orthogonal", lambda a, t: np.allclose(a @ t, np.eye(a.shape[-1]))),
        ("lower", lambda a, t: np.array_equal(a, np.tril(a)) and np.linalg.cond(a).max() < 1e6),
        ("upper", lambda a, t: np.array_equal(a, np.triu(a)) and np.linalg.cond(a).max() < 1e6),
    ],
)
def test_structured_matrices_have_their_structure(structure, holds):
    found = drawn(examples(case(reals("b n n", structure=structure))))
    assert any(e.arrays[0].size == 0 for e in found)
    assert all(holds(a, np.swapaxes(a, -1, -2)) for (a,) in (e.arrays for e in found) if a.size)


def test_a_structure_without_square_axes_is_refused():
    with pytest.raises(SpecError, match=r"no spd matrix has the shape .*: write it as 'n n'"):
        drawn(examples(case(reals("2 3", structure="spd"))))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_have_the_requested_dtype(dtype):
    entry = case(
        reals("n"), positives("n"), interval(-1, 1, "n"), reals("n", distinct=True), reals("n", kinks=(0.0,))
    )
    for e in drawn(examples(entry, dtype=dtype)):
        assert {a.dtype for a in e.arrays} == {np.dtype(dtype)}


# --- layouts and cotangents -------------------------------------------------------------------------------------------


def test_distinct_and_structured_arrays_get_no_zero_strides():
    entry = case(reals("n m", distinct=True), reals("n n", structure="spd"))
    counts = seen(examples(entry), lambda e: [layout_of(a) for a in e.arrays])
    assert "zero-stride" not in counts
    assert counts["sliced"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3,), (2, 3), (2, 0, 3), (1, 3, 2)])
def test_a_layout_keeps_values_shape_and_dtype(layout, shape):
    for array in (np.arange(math.prod(shape), dtype=np.float32), np.arange(math.prod(shape)) % 2 == 0):
        x = array.reshape(shape)
        y = with_layout(x, layout)
        assert y.shape == x.shape
        assert y.dtype == x.dtype
        assert not np.shares_memory(x, y)
        if layout != "zero-stride":
            assert np.array_equal(x, y)
            assert y.size < 2 or layout in ("F", "readonly") or layout_of(y) == layout or y.ndim == 1
    assert with_layout(np.ones((2, 3)), layout).shape == (2, 3)


def test_an_unknown_layout_is_refused():
    with pytest.raises(ValueError, match="there is no layout 'K': use one of"):
        with_layout(np.ones(3), "K")


@pytest.mark.parametrize("kind", COTANGENTS)
@pytest.mark.parametrize("shape", [(), (0, 2), (1,), (4, 3)])
def test_a_cotangent_has_the_shape_and_dtype_of_its_output(kind, shape):
    for gy in drawn(cotangents(shape, np.float32, kind=kind), settings(RUN, max_examples=5)):
        assert gy.shape == shape
        assert gy.dtype == np.float32
        assert np.isfinite(gy).all()


def test_an_unknown_kind_of_cotangent_is_refused():
    with pytest.raises(ValueError, match="there is no kind of cotangent 'none'"):
        drawn(cotangents((2,), kind="none"))


# --- shrinking --------------------------------------------------------------------------------------------------------


def test_a_failing_example_shrinks_to_a_small_shape_of_half_numbers():
    last = []

    @settings(max_examples=200, deadline=None, derandomize=True, database=None)
    @given(examples(case(reals("n m"), reals("m k"))))
    def fails(example):
        if all(a.size for a in example.arrays):
            last.append(example)
            raise AssertionError

    with pytest.raises(AssertionError):
        fails()
    assert [a.shape for a in last[-1].arrays] == [(1, 1), (1, 1)]
    assert all(2 * a == np.round(2 * a) for a in last[-1].arrays)


def test_an_example_replays_from_its_choices():
    strategy = examples(case(reals("..."), reals("~..."), indices(3, "n")))
    first, second = drawn(strategy), drawn(strategy)
    assert all(
        np.array_equal(a, b) and a.strides == b.strides
        for e, f in zip(first, second, strict=True)
        for a, b in zip(e.arrays, f.arrays, strict=True)
    )

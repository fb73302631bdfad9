"""From one example to a domain: sizes that go together, signs, indices, static values."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

import gradcore
from gradcheck import Verdict, verify
from gradcheck.explore.drawn import sweep
from gradcheck.explore.explorer import Explorer
from gradcheck.explore.like import around
from gradcheck.explore.resized import FLOATS, drawn_floats, drawn_integers, resized
from gradcheck.strategies import COTANGENTS


def drawn(*shape):
    return np.random.default_rng([0, *shape]).standard_normal(shape)


def domain(f, *inputs, vjp=None, **params):
    explorer = Explorer(f, vjp or (lambda *args, **more: None), 10, 0)
    with np.errstate(all="ignore"):
        return around(
            lambda i, p: explorer._shapes(i, p, None),
            f,
            vjp,
            inputs,
            params,
            values=lambda i, p: explorer._values(i, p, None),
            seconds=1e4,
        )


def letters(found):
    return [tuple(leaf.axes) for leaf in found.arrays]


def test_axes_that_go_together_share_a_letter_and_the_others_have_their_own():
    (n, k), (k_again, m) = letters(domain(np.matmul, drawn(4, 3), drawn(3, 5)))
    assert k == k_again
    assert len({n, k, m}) == 3


def test_equal_sizes_that_are_free_of_each_other_get_letters_of_their_own():
    (n, k), (k_again, m) = letters(domain(np.matmul, drawn(4, 4), drawn(4, 4)))
    assert k == k_again
    assert len({n, k, m}) == 3


def test_an_axis_that_forward_fixes_stays_as_it_is():
    found = domain(lambda x: x * np.arange(6.0), drawn(6))
    assert letters(found) == [(None,)]
    assert found.sizes == []


def test_an_axis_of_size_1_that_broadcasts_stays_1():
    (_, m), (_, one) = letters(domain(np.multiply, drawn(4, 3), drawn(4, 1)))
    assert m is not None
    assert one is None


def test_signs_are_those_that_forward_takes():
    x = np.array([0.25, 0.5, 0.75])
    assert domain(np.sin, x - 0.5).arrays[0].signs == "real"
    assert domain(np.sin, -x).arrays[0].signs == "negative"
    assert domain(np.log, x).arrays[0].signs == "positive"
    assert domain(lambda x: np.log(x) + np.log(0.8 - x), x).arrays[0].signs == "within"


def test_indices_stay_below_the_axis_that_they_point_into():
    found = domain(lambda x, i: x[i], drawn(6, 3), np.array([0, 3, 1]))
    rows = found.arrays[0].axes[0]
    assert found.arrays[1].below == rows
    assert found.arrays[1].axes[0] not in (rows, None)
    assert "negative" in found.arrays[1].styles


def test_whole_numbers_that_are_no_indices_are_bounded_by_nothing():
    found = domain(lambda x, n: x * n, drawn(3), np.array([2, 1, 4]))
    assert found.arrays[1].below is None


def test_static_values_that_forward_takes_are_found_by_position_by_name_and_by_default():
    def f(x, axis, *, keepdims=False, mode: Literal["sum", "mean"] = "sum"):
        return getattr(np, mode)(x, axis, keepdims=keepdims)

    found = domain(f, drawn(4, 3), 1)
    assert found.statics[1] == (1, 0, -1, -2)
    assert found.statics["keepdims"] == (False, True)
    assert found.statics["mode"] == ("sum", "mean")
    named = domain(f, drawn(4, 3), axis=(0, 1))
    assert (-2, -1) in named.statics["axis"]


def test_defaults_that_the_rule_does_not_take_are_left_alone():
    def f(x, *, slope=0.1):
        return np.where(x > 0, x, slope * x)

    assert "slope" not in domain(f, drawn(3), vjp=lambda gy, y, x: gy).statics
    assert 0.0 in domain(f, drawn(3), vjp=lambda gy, y, x, *, slope=0.1: gy).statics["slope"]


def test_a_word_stands_for_the_others_of_its_kind():
    def f(a, *, reduction="mean"):
        return {"mean": a.mean, "sum": a.sum}[reduction]()

    assert domain(f, drawn(3), reduction="mean").statics["reduction"] == ("mean", "sum")


def test_the_domain_is_described_in_words():
    found = domain(lambda x, axis: x.sum(axis), drawn(4, 3), 1)
    assert found.words() == "inputs[0] (n, m) real; axis one of 1, 0, -1, -2" or found.words().startswith(
        "inputs[0] (n, m) real; inputs[1] one of 1, 0, -1, -2"
    )


def test_nested_inputs_and_tensors_keep_their_structure():
    weights = {"w": gradcore.Tensor(drawn(3, 2), requires_grad=True), "b": np.zeros(2)}
    assert verify(lambda p, x: (x @ p["w"] + p["b"]).sum(), like=(weights, drawn(4, 3)), max_examples=15)


def test_a_sweep_meets_every_style_cotangent_and_static_value():
    found = domain(lambda x, axis: x.sum(axis), drawn(4, 3), 1)
    plans = list(sweep(found, 70, 0))
    assert {style for plan in plans for style in plan.styles} == set(found.arrays[0].styles)
    assert {plan.cotangent for plan in plans} == set(COTANGENTS)
    assert {dict(plan.statics)[1] for plan in plans} == {1, 0, -1, -2}
    sizes = {plan.sizes for plan in plans}
    assert {(1, 1), (4, 3), (5, 4), (4, 0), (0, 3)} <= sizes


@pytest.mark.parametrize("style", FLOATS)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (4, 3), (2, 3, 3)])
def test_values_of_every_style_have_the_requested_shape_dtype_and_signs(style, shape):
    base = np.random.default_rng(0).uniform(0.25, 0.75, [max(n, 2) for n in shape]).astype(np.float32)
    rng = np.random.default_rng(1)
    for signs in ("real", "positive", "within"):
        made = drawn_floats(base, shape, style, signs, rng)
        assert made.shape == shape
        assert made.dtype == np.float32
        assert np.isfinite(made).all()
        if signs != "real" and style != "any sign":
            assert (made >= 0).all()
        if signs == "within" and style != "any sign":
            assert ((made >= base.min()) & (made <= base.max())).all()


def test_resizing_repeats_or_cuts():
    x = np.arange(6.0).reshape(2, 3)
    assert resized(x, (1, 2)).tolist() == [[0, 1]]
    assert resized(x, (3, 4)).tolist() == [[0, 1, 2, 0], [3, 4, 5, 3], [0, 1, 2, 0]]
    assert resized(x, (0, 3)).shape == (0, 3)


def test_indices_are_drawn_in_range_also_from_the_end():
    rng = np.random.default_rng(0)
    for style in ("given", "range", "repeated", "edges", "zeros", "negative"):
        made = drawn_integers(np.array([0, 7, 3]), (20,), style, 4, rng)
        assert ((made >= -4) & (made < 4)).all()
        assert (made < 0).any() == (style == "negative")


def test_one_array_is_made_large_by_one_letter_where_one_can_be():
    def sizes(*arrays):
        return domain(lambda *a: sum([np.sum(np.sin(x)) for x in a]), *arrays).large

    (n,) = sizes(drawn(8))
    assert 3000 <= n < 4000
    n, m = sizes(drawn(4, 3))
    assert 3000 <= n * m < 4000
    assert n == 4 or m == 3
    assert domain(np.linalg.det, np.eye(3) + drawn(3, 3)).large[0] ** 2 >= 3000
    assert sizes(drawn()) is None
    assert sizes(drawn(4000)) is None


def test_a_rule_that_is_wrong_beyond_its_first_block_is_found_from_a_few_entries():
    def in_blocks(gy, y, x):  # forgets what comes after 1,024 entries
        gx = gy * np.cos(x)
        return np.where(np.arange(x.size) < 1024, gx, 0.0)

    result = verify(np.sin, like=(drawn(8),), vjp=in_blocks, raise_exception=False)
    assert result.verdict is Verdict.FAIL
    assert result.smallest.inputs[0].shape[0] > 1024


def test_a_large_array_whose_output_is_far_larger_is_set_aside():
    def outer(x):
        return np.multiply.outer(x, x)

    def rule(gy, y, x):
        return gy @ x + x @ gy

    result = verify(outer, like=(drawn(4),), vjp=rule, max_examples=40)
    assert result
    assert result.aside["forward gave more than 100,000 entries"] == 1


@pytest.mark.parametrize(
    ("f", "x", "edge"),
    [
        (np.sin, drawn(4), False),
        (lambda x: x - x.mean(-1, keepdims=True), drawn(4, 3), False),
        (np.cumprod, drawn(4), True),
        (lambda x: x.sum(0), drawn(4, 3), True),
        (lambda x: x[:3], drawn(4), True),
        (lambda x: (x.sum(), x), drawn(4), True),
    ],
    ids=["entry by entry", "the last axis", "flattens", "the first axis", "a part of it", "two outputs"],
)
def test_an_axis_more_is_an_edge_where_the_function_does_not_take_it_as_a_batch(f, x, edge):
    forms = {form.words: form.edge for form in domain(f, x).forms}
    assert forms["inputs[0] with a leading axis more"] is edge

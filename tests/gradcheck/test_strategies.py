"""The strategies draw what they promise: shapes, parameters and predicates within the domain."""

import numpy as np
import pytest
from drawing import RUN, drawn, seen
from hypothesis import HealthCheck, settings

from gradcheck.strategies import (
    evaluate,
    examples,
    letters_of,
    parameters,
)
from gradcore.errors import SpecError
from gradcore.spec import (
    Axis,
    Derived,
    Floats,
    Integers,
    OneOf,
    Permutation,
    Size,
    case,
    flags,
    indices,
    reals,
)

# --- shapes -----------------------------------------------------------------------------------------------------------


def test_arithmetic_on_letters_is_evaluated():
    assert evaluate("(h+2*p-k)//s+1", {"h": 7, "p": 1, "k": 3, "s": 2}) == 4
    assert evaluate("-n", {"n": 2}) == -2
    assert evaluate(2.5, {}) == 2.5
    assert evaluate(None, {}) is None


@pytest.mark.parametrize("text", ["n+", "n**2", "len(n)", "m", "n/2", "'n'", "n.real"])
def test_anything_else_in_a_token_is_refused_with_what_may_stand_there(text):
    with pytest.raises(SpecError, match="whole numbers, \\+ - \\* // and parentheses"):
        evaluate(text, {"n": 3})


def test_letters_come_from_shapes_bounds_and_parameters():
    entry = case(
        reals("~n h-k+1 ..."), indices("c", "n"), params={"size": Size("o"), "z": Integers(0, "q-1")}
    )
    assert letters_of(entry) == ["n", "h", "k", "c", "o", "q"]


def test_equal_letters_are_equal_sizes_and_arithmetic_holds():
    for example in drawn(examples(case(reals("h k"), reals("h-k+1 2*k 3")))):
        h, k = example.arrays[0].shape
        assert example.arrays[1].shape == (h - k + 1, 2 * k, 3)
        assert example.sizes == {"h": h, "k": k}


def test_letters_stay_within_the_bounds_of_the_case():
    entry = case(reals("n m"), sizes={"n": (2, 4)})
    assert {e.sizes["n"] for e in drawn(examples(entry))} == {2, 3, 4}


def test_every_size_is_reached_and_few_arrays_are_empty():
    counts = seen(
        examples(case(reals("n m k"))), lambda e: [*e.arrays[0].shape, ("empty", e.arrays[0].size == 0)]
    )
    assert set(range(7)) <= set(counts)
    assert counts["empty", False] > 150


def test_a_block_is_the_same_in_all_arrays_and_has_up_to_three_axes():
    found = drawn(examples(case(reals("..."), reals("2 ..."))))
    assert all(e.arrays[1].shape == (2, *e.arrays[0].shape) for e in found)
    assert {e.arrays[0].ndim for e in found} == {0, 1, 2, 3}
    assert any(0 in e.arrays[0].shape for e in found)
    assert any(1 in e.arrays[0].shape for e in found)


def test_broadcasting_forms_stretch_drop_and_keep_axes():
    def classify(e):
        full, small = (a.shape for a in e.arrays)
        assert np.broadcast_shapes(full, small) == full
        yield "dropped" if len(small) < len(full) else "kept"
        tail = full[len(full) - len(small) :]
        if any(s == 1 != n for s, n in zip(small, tail)):
            yield "stretched"
        if small == full and full:
            yield "same"

    counts = seen(examples(case(reals("..."), reals("~..."))), classify)
    assert set(counts) == {"dropped", "kept", "stretched", "same"}
    assert min(counts.values()) > 8


def test_a_broadcasting_letter_is_1_or_the_letter():
    found = drawn(examples(case(reals("n"), reals("~n"))))
    assert {e.arrays[1].shape[0] == e.sizes["n"] for e in found} == {True, False}
    assert all(e.arrays[1].shape[0] in (1, e.sizes["n"]) for e in found)


def test_the_last_array_is_repeated_as_often_as_variadic_says():
    found = drawn(examples(case(reals("n"), reals("m"), variadic=(1, 3))))
    assert {len(e.arrays) for e in found} == {2, 3, 4}
    assert all({a.shape for a in e.arrays[1:]} == {(e.sizes["m"],)} for e in found)


def test_an_optional_array_is_there_or_none():
    found = drawn(examples(case(reals("n"), reals("n", optional=True))))
    assert {e.arrays[1] is None for e in found} == {True, False}
    assert all(e.takes_gradient == (True, e.arrays[1] is not None) for e in found)


# --- parameters -------------------------------------------------------------------------------------------------------


def params_seen(entry, classify=lambda p: [p]):
    return seen(examples(entry), lambda e: classify(e.params["p"]))


def test_one_of_reaches_each_value():
    assert set(params_seen(case(reals(), params={"p": OneOf("a", "b", 3)}))) == {"a", "b", 3}


def test_integers_reach_both_of_their_bounds():
    entry = case(reals("n"), params={"p": Integers(-1, "n-1")}, sizes={"n": (0, 3)})
    assert set(params_seen(entry)) == {-1, 0, 1, 2}
    assert all(e.params["p"] <= e.sizes["n"] - 1 for e in drawn(examples(entry)))


def test_floats_reach_specials_and_bounds_and_much_between():
    counts = params_seen(case(reals(), params={"p": Floats(0.0, 2.0, specials=(0.9,))}))
    assert {0.0, 0.9, 2.0} <= set(counts)
    assert len(counts) > 15
    assert all(0.0 <= p <= 2.0 for p in counts)
    log = params_seen(case(reals(), params={"p": Floats(1e-8, 1.0, log=True)}))
    assert {1e-8, 1.0} <= set(log)
    assert sum(n for p, n in log.items() if p < 1e-4) > 50


def test_an_axis_has_either_sign_or_is_a_tuple_or_none():
    def kind(axis):
        if axis is None:
            return ["none"]
        if isinstance(axis, tuple):
            signs = {a < 0 for a in axis}
            return ["no axes" if not axis else "mixed signs" if len(signs) == 2 else "tuple"]
        return ["negative" if axis < 0 else "positive"]

    counts = params_seen(case(reals(), params={"p": Axis(many=True, none=True)}), kind)
    assert set(counts) == {"none", "tuple", "no axes", "mixed signs", "negative", "positive"}


def test_axes_are_those_of_the_array_named_and_distinct():
    for e in drawn(examples(case(reals("n"), reals("..."), params={"p": Axis(of=1, many=True)}))):
        ndim = e.arrays[1].ndim
        axes = e.params["p"] if isinstance(e.params["p"], tuple) else (e.params["p"],)
        assert all(-ndim <= a < ndim for a in axes)
        assert len({a % ndim for a in axes}) == len(axes)


def test_a_permutation_lists_every_axis_once_with_either_sign_or_is_none():
    found = drawn(examples(case(reals("n m k"), params={"p": Permutation(none=True)})))
    axes = [e.params["p"] for e in found if e.params["p"] is not None]
    assert all(sorted(a % 3 for a in p) == [0, 1, 2] for p in axes)
    assert len({tuple(a % 3 for a in p) for p in axes}) == 6
    assert any(a < 0 for p in axes for a in p)
    assert len(axes) < len(found)


def test_a_derived_parameter_sees_sizes_shapes_and_what_was_drawn_before():
    entry = case(
        reals("n"),
        params={
            "k": Integers(1, 2),
            "p": Derived(lambda env: [(env["n"], env["k"], env.shapes[0])]),
        },
    )
    for e in drawn(examples(entry)):
        assert e.params["p"] == (e.sizes["n"], e.params["k"], e.arrays[0].shape)


def test_parameters_alone_can_be_drawn():
    found = drawn(parameters({"lr": Floats(1e-3, 1.0, log=True), "nesterov": flags()}))
    assert {p["nesterov"] for p in found} == {True, False}


def test_a_description_of_no_known_kind_is_refused():
    with pytest.raises(SpecError, match="parameter 'p' is described by 3: use OneOf"):
        drawn(examples(case(reals(), params={"p": 3})))


# --- predicates -------------------------------------------------------------------------------------------------------


def test_where_holds_and_does_not_starve_hypothesis():
    entry = case(reals("n m"), params={"p": Axis()}, where=lambda e: e.shapes[0][e["p"]] == 3)
    found = drawn(examples(entry))
    assert len(found) == 200
    assert all(e.arrays[0].shape[e.params["p"]] == 3 for e in found)


def test_values_where_holds_also_where_random_values_seldom_satisfy_it():
    def apart(x, y):
        return bool(np.all(np.abs(x - y) > 1e-3))

    found = drawn(examples(case(reals("..."), reals("~..."), values_where=apart)))
    assert len(found) == 200
    assert all(apart(*e.arrays) for e in found)


def test_smooth_where_holds_in_smooth_examples_and_its_opposite_is_sought_at_kinks():
    def apart(x, y):
        return bool(np.all(np.abs(x - y) > 1e-3))

    entry = case(reals("..."), reals("~..."), smooth_where=apart)
    assert all(apart(*e.arrays) for e in drawn(examples(entry)))
    assert sum(not apart(*e.arrays) for e in drawn(examples(entry, mode="kinks"))) > 30


def test_most_kink_examples_of_arrays_that_may_tie_have_a_tie_however_small_they_are():
    entry = case(reals("n"), reals("~n"), sizes={"n": (2, 4)}, smooth_where=lambda x, y: bool(np.all(x != y)))
    found = drawn(examples(entry, mode="kinks"))
    assert sum(bool(np.any(e.arrays[0] == e.arrays[1])) for e in found) > len(found) / 3


def test_an_impossible_predicate_sets_examples_aside():
    with pytest.raises(Exception, match=r"Unsatisfiable|Unable to satisfy"):
        drawn(
            examples(case(reals("n"), values_where=lambda x: False)),
            settings(RUN, suppress_health_check=list(HealthCheck)),
        )

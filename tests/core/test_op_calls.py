"""Calling an op: how its arrays and static parameters come, what becomes of numbers and lists, what its rules get."""

import inspect

import numpy as np
import pytest

import gradcore
from gradcore import Tensor
from gradcore.convert import operand
from gradcore.errors import GraphError
from gradcore.spec import OpSpec, case, reals
from gradcore.variables import leaves_of

SPEC = OpSpec(case(reals()), reference=lambda x: x)


def leaf(values, dtype=np.float64):
    return Tensor(np.array(values, dtype), requires_grad=True)


def op_of(forward, vjp, **more):
    return gradcore.Op(forward, vjp, SPEC, name="planted", **more)


@pytest.fixture
def planted(monkeypatch):
    """A decorator like `gradcore.op`: an op that is enrolled, and a method, for one test."""
    monkeypatch.setattr(gradcore.registry, "ops", dict(gradcore.registry.ops))
    monkeypatch.setattr(Tensor, "planted", None, raising=False)
    return lambda **more: gradcore.op(**{"spec": SPEC, "name": "planted", "methods": ("planted",), **more})


# --- arrays and static parameters -------------------------------------------------------------------------------------


def test_a_parameter_that_comes_by_keyword_only_reaches_the_op_of_a_tensor_and_its_method(planted):
    @planted(vjp=lambda gy, _y, x, *, factor=1.0: gy * factor)
    def scale(x, /, *, factor=1.0):
        return x * factor

    for call in (scale, Tensor.planted):
        x = leaf([1.0, 2.0])
        y = call(x, factor=3.0)
        y.backward(np.ones(2))
        assert (y.tolist(), x.grad.tolist()) == ([3, 6], [3, 3])
        assert call(x).tolist() == [1, 2]


@pytest.mark.parametrize("wrap", [leaf, np.array])
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: gradcore.exp(x, factor=2), "unexpected keyword argument 'factor'"),
        (lambda x: gradcore.exp(x, x), "too many positional arguments"),
        (lambda x: gradcore.exp(), "missing a required argument: 'x'"),
        (lambda x: gradcore.mul(x), "missing a required argument: 'y'"),
        (lambda x: gradcore.linear(x), "missing a required argument: 'weight'"),
        (lambda x: gradcore.softmax(x, -1, 2), "too many positional arguments"),
        (lambda x: gradcore.softmax(x, -1, axis=0), "multiple values for argument 'axis'"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_in_pythons_words(wrap, call, message):
    with pytest.raises(TypeError, match=message):
        call(wrap([1.0, 2.0]))


def test_an_op_of_two_arrays_may_do_without_the_second(planted):
    def rule(gy, _y, a, b):
        return gy * (1 if b is None else b), None if b is None else gy * a

    @planted(vjp=rule)
    def times(a, b=None, /):
        return a * 1 if b is None else a * b

    for call in (times, Tensor.planted):
        x = leaf([1.0, 2.0])
        call(x).backward(np.ones(2))
        call(x, leaf([3.0, 4.0])).backward(np.ones(2))
        assert x.grad.tolist() == [4, 5]


@pytest.mark.parametrize("more", [0, 1, 3])
def test_an_op_of_one_array_and_any_number_more_gets_them_all(planted, more):
    @planted(vjp=lambda gy, _y, *arrays: tuple(gy * (i + 1) for i in range(len(arrays))))
    def weighted(x, /, *others):
        return sum(((i + 2) * other for i, other in enumerate(others)), x * 1)

    for call in (weighted, Tensor.planted):
        inputs = [leaf([1.0, 10.0]) for _ in range(1 + more)]
        y = call(*inputs)
        y.backward(np.ones(2))
        assert y.tolist() == [sum(range(2 + more)), 10 * sum(range(2 + more))]
        assert [x.grad.tolist() for x in inputs] == [[i + 1, i + 1] for i in range(1 + more)]


def test_a_method_of_any_number_of_arrays_gets_them_all(planted):
    @planted(vjp=lambda gy, _y, *arrays: (gy,) * len(arrays))
    def total(*arrays):
        return sum(arrays, np.zeros(2))

    x = leaf([1.0, 2.0])
    assert x.planted().tolist() == [1, 2]
    assert x.planted(x, x).tolist() == [3, 6]


def test_an_op_is_plain_where_it_takes_arrays_alone_and_each_of_them_always():
    assert gradcore.exp.plain
    assert gradcore.mul.plain
    assert not gradcore.softmax.plain
    assert not gradcore.linear.plain
    assert not gradcore.registry.ops["concatenate"].plain


def test_a_method_of_three_arrays_gets_them_all(planted):
    @planted(vjp=(lambda gy, _y, a, b, c: gy * b, lambda gy, _y, a, b, c: gy * a, lambda gy, _y, a, b, c: gy))
    def multiply_add(a, b, c, /):
        return a * b + c

    x = leaf(3.0)
    y = x.planted(leaf(5.0), 1.0)
    y.backward()
    assert (y.item(), x.grad) == (16, 5)
    assert str(inspect.signature(x.planted)) == "(b, c, /)"
    assert Tensor.planted.__name__ == "planted"


def test_an_op_broadcasts_only_where_it_says_so(planted):
    def plus(a, b, /):
        return a + b

    rules = (lambda gy, _y, a, b: gy, lambda gy, _y, a, b: gy)
    row, table = leaf([1.0, 2.0]), leaf(np.ones((3, 2)))
    for made in (planted(vjp=rules)(plus), op_of(plus, rules)):
        with pytest.raises(GraphError, match=r"shape \(3, 2\) for input 0, whose shape is \(2,\)"):
            made(row, table).backward(np.ones((3, 2)))
        with pytest.raises(ValueError, match="could not be broadcast together"):
            made(row, leaf(np.ones(3)))
    op_of(plus, rules, broadcasts=True)(row, table).backward(np.ones((3, 2)))
    assert row.grad.tolist() == [3, 3]


def test_an_op_that_rounds_to_whole_numbers_unless_told_otherwise_ends_the_derivative_there():
    rounded = op_of(
        lambda x, /, to=np.int64: np.rint(x).astype(to), lambda gy, _y, x, to: gy * np.zeros_like(x)
    )
    x = leaf([1.0, 2.0])
    assert not rounded(x).requires_grad
    assert rounded(x, np.float64).requires_grad


# --- what rules get ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [True, False])
def test_the_vjp_of_an_op_hands_its_rules_what_it_gets(whole):
    seen = []

    def rule(*got, **params):
        seen.append((*got, params))
        return ("first", "second") if whole else "each"

    made = op_of(lambda a, b, /, factor=1.0: a * b * factor, rule if whole else (rule, rule))
    found = made.vjp("gy", "y", "a", "b", factor=3.0)
    assert found == (("first", "second") if whole else ("each", "each"))
    assert seen == [("gy", "y", "a", "b", {"factor": 3.0})] * (1 if whole else 2)


def test_a_rule_that_asks_what_is_needed_gets_it_next_to_the_parameters():
    seen = []

    def rule(gy, y, *arrays, factor, needs):
        seen.append((gy, y, arrays, factor, needs))
        return "first", None

    made = op_of(lambda a, b, /, factor=1.0: a * factor, rule)
    assert made.vjp("gy", "y", "a", None, factor=3.0) == ("first", None)
    assert seen == [("gy", "y", ("a", None), 3.0, (True, False))]


def test_one_rule_of_an_op_of_many_arrays_may_give_its_only_cotangent_bare():
    made = op_of(lambda *arrays: arrays[0] * 2, lambda gy, _y, *arrays: gy * 2)
    x = leaf([1.0, 2.0])
    made(x).backward(np.ones(2))
    assert x.grad.tolist() == [2, 2]


# --- numbers and lists ------------------------------------------------------------------------------------------------


def second_array(call, x, other):
    """What the rules of the node `call(x, other)` get as its second array."""
    return call(x, other)._arrays[1]


@pytest.mark.parametrize("call", [gradcore.mul, lambda x, y: x * y], ids=["op", "method"])
def test_rules_get_arrays_for_whatever_was_passed(call):
    class Labelled(np.ndarray):
        pass

    x = leaf([1.0, 2.0], np.float32)
    wide = np.array([1.0, 2.0])
    for other, dtype in (
        (2, np.float32),
        (10**30, np.float32),
        (0.1, np.float32),
        ([1, 2], np.float32),
        ((1.0, 2.0), np.float32),
        ([True, False], np.bool_),
        (True, np.bool_),
        (np.float64(2), np.float64),
        (wide, np.float64),
        (wide.view(Labelled), np.float64),
    ):
        array = second_array(call, x, other)
        assert type(array) is np.ndarray
        assert array.dtype == dtype
        np.testing.assert_array_equal(array, np.asarray(other, dtype))


@pytest.mark.parametrize("call", [gradcore.mul, lambda x, y: x * y], ids=["op", "method"])
def test_whole_number_tensors_meet_numbers_as_in_numpy(call):
    n = np.array([1, 2], np.int8)
    for other in (3, 0.5, True, np.int16(3), np.float32(0.5)):
        y = call(Tensor(n), other)
        assert y.dtype == (n * other).dtype
        np.testing.assert_array_equal(y.data, n * other)
    assert call(Tensor(n), [0.5, 0.25]).tolist() == [0.5, 0.5]


def test_an_array_left_out_stays_out_next_to_one_that_comes_as_a_list():
    x = leaf([[1.0, 2.0]])
    y = gradcore.linear(x, [[1.0], [3.0]], None)
    y.backward()
    assert (y.tolist(), x.grad.tolist()) == ([[7]], [[1, 3]])


def test_tuples_are_added_as_arrays_are():
    assert gradcore.add((1, 2), (3, 4)).tolist() == [4, 6]


def test_a_list_and_a_tuple_are_added_as_arrays_are():
    assert gradcore.add([1, 2], (3, 4)).tolist() == [4, 6]


def outcome(function, values):
    """What it gives, or the kind of its error."""
    with np.errstate(all="ignore"):
        try:
            return function(*values)
        except (AttributeError, TypeError, ValueError) as error:
            return type(error)


@pytest.mark.parametrize("name", sorted(gradcore.registry.ops))
def test_numbers_alone_are_arrays_without_axes(name):
    entry = gradcore.registry.ops[name]
    count = len(entry.spec.cases[0].arrays)
    # What is composed may begin with Python's own arithmetic, in which True is 1.
    for number in (0.5, 1, True) if isinstance(entry, gradcore.Op) else (0.5, 1):
        found, expected = (outcome(entry, [v] * count) for v in (number, np.asarray(number)))
        if isinstance(expected, type):
            assert isinstance(found, type), expected
            continue
        for mine, theirs in zip(leaves_of(found), leaves_of(expected), strict=True):
            assert np.asarray(mine).dtype == np.asarray(theirs).dtype
            np.testing.assert_array_equal(mine, theirs)


def test_a_number_that_meets_an_array_is_weak_as_in_numpy():
    assert gradcore.mul(np.ones(2, np.float32), 2.0).dtype == np.float32


@pytest.mark.parametrize(
    "name", ["add", "sub", "mul", "div", "pow", "maximum", "hypot", "arctan2", "logaddexp", "remainder"]
)
def test_an_op_gives_arrays_the_bits_and_the_dtype_that_it_gives_tensors_beside_a_number(name):
    entry = gradcore.registry.ops[name]
    x = np.linspace(0.1, 5, 37, dtype=np.float32)
    for number in (2, 3, 0.5, 1 / 3):
        for arguments in ((x, number), (number, x)):
            on_arrays = entry(*arguments)
            on_tensors = entry(*[Tensor(a) if a is x else a for a in arguments])
            assert on_arrays.dtype == np.float32
            np.testing.assert_array_equal(on_arrays, on_tensors.data)


@pytest.mark.parametrize(
    ("number", "meets", "dtype"),
    [(3, "int8", "int8"), (3, "float16", "float16"), (0.5, "int8", "float64"), (0.1, "float32", "float32")],
)
def test_a_number_becomes_an_array_as_wide_as_what_it_meets_or_wide_enough_for_it(number, meets, dtype):
    array = operand(number, np.dtype(meets))
    assert type(array) is np.ndarray
    assert array.dtype == dtype
    assert array == np.dtype(dtype).type(number)


def test_equal_numbers_keep_their_own_sign_and_dtype():
    x = leaf([1.0, -2.0], np.float32)
    assert np.signbit([(x * 0.0).data, (x * -0.0).data, (x * 0).data]).tolist() == [
        [False, True],
        [True, False],
        [False, True],
    ]
    whole = Tensor(np.array([1, 2], np.int8))
    assert [(whole * n).dtype for n in (2, 2.0, 2)] == [np.int8, np.float64, np.int8]
    assert [(leaf([1.0], d) * 0.1).dtype for d in (np.float16, np.float64)] == [np.float16, np.float64]


def test_nobody_can_change_a_number_that_several_nodes_hold():
    x = leaf([1.0, 2.0])
    first, second = second_array(lambda x, n: x * n, x, 0.3), second_array(lambda x, n: x / n, x, 0.3)
    assert first is second
    with pytest.raises(ValueError, match="read-only"):
        first[...] = 1

"""What a Tensor is: data, dtypes, operators, comparison, iteration, text, copies."""

import copy
import pickle

import numpy as np
import pytest

import gradcore
from gradcore import Tensor, tensor
from gradcore.convert import operand
from gradcore.errors import DtypeError, GraphError, ShapeError


def leaf(values, dtype=np.float64):
    return Tensor(np.array(values, dtype), requires_grad=True)


# --- data and dtype ---------------------------------------------------------------------------------------------------


def test_a_tensor_shares_the_array_that_it_is_given():
    array = np.zeros(3)
    x = Tensor(array)
    array[0] = 5
    assert x.data is array
    assert x.tolist() == [5, 0, 0]


def test_shape_dtype_ndim_and_size_are_those_of_the_data():
    x = Tensor(np.zeros((2, 0, 3), np.float16))
    assert (x.shape, x.dtype, x.ndim, x.size) == ((2, 0, 3), np.float16, 3, 0)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint8", "int64", "bool"])
def test_an_array_keeps_its_dtype(dtype):
    assert Tensor(np.zeros(2, dtype)).dtype == dtype
    assert Tensor(np.dtype(dtype).type(0)).dtype == dtype


@pytest.mark.parametrize("value", [1.5, [1, 2.5], [[1.0], [2.0]], (1.0, 2), [], [True, 1.0]])
def test_python_numbers_become_float32(value):
    assert Tensor(value).dtype == gradcore.tensor(value).dtype == np.float32


@pytest.mark.parametrize("value", [1, [1, 2], [[0], [2]], (1, 2), [True, 2]])
def test_whole_numbers_of_python_become_whole_numbers(value):
    assert Tensor(value).dtype == gradcore.tensor(value).dtype == np.int64
    with pytest.raises(DtypeError, match=r"can require a gradient, and this one is int64.*write 1\.0 for 1"):
        Tensor(value, requires_grad=True)


def test_python_booleans_stay_booleans():
    assert Tensor([True, False]).dtype == np.bool_


def test_arrays_and_tensors_in_a_list_keep_their_dtype():
    assert tensor([np.float64(1), 2]).dtype == np.float64
    assert tensor([[np.arange(2)], [np.arange(2)]]).dtype == np.int64
    assert tensor([Tensor(np.zeros(2)), Tensor(np.ones(2))]).tolist() == [[0, 0], [1, 1]]
    assert tensor([Tensor(np.zeros(2))]).dtype == np.float64


@pytest.mark.parametrize("sequence", [list, tuple])
@pytest.mark.parametrize("entry", [np.array([1.0, 2.0]), np.float64(1.0), Tensor(np.array([1.0]))])
def test_what_has_a_dtype_keeps_it_in_a_sequence_and_by_itself(sequence, entry):
    assert gradcore.tensor(sequence([entry])).dtype == np.float64
    assert gradcore.tensor(entry).dtype == np.float64


@pytest.mark.parametrize("sequence", [list, tuple])
def test_a_sequence_of_tensors_that_require_gradients_is_refused(sequence):
    with pytest.raises(GraphError, match="would be lost: join them"):
        gradcore.tensor(sequence([Tensor([1.0], requires_grad=True)]))


def test_what_numpy_says_of_lists_that_are_too_deep_is_kept():
    deep = 1.0
    for _ in range(70):
        deep = [deep]
    with pytest.raises(ValueError, match="maximum number of dimension"):
        gradcore.tensor(deep)


def test_a_number_is_made_an_array_once_for_each_dtype():
    float32, float64 = np.dtype(np.float32), np.dtype(np.float64)
    for value in (0.5, 3):
        assert operand(value, float32) is operand(value, float32)
        assert operand(value, float32).dtype == float32
        assert operand(value, float64).dtype == float64
        assert not operand(value, float32).flags.writeable


@pytest.mark.parametrize(
    "value", ["abc", None, [None], np.array(["a"]), np.array([{}]), 1j, np.zeros(2, complex)]
)
def test_what_is_no_real_number_is_refused_and_its_dtype_named(value):
    with pytest.raises(DtypeError, match=r"holds real numbers, and .* gives the dtype (<U|object|complex)"):
        Tensor(value)


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool"])
def test_whole_numbers_can_not_require_a_gradient(dtype):
    with pytest.raises(DtypeError, match=f"only floating-point .* this one is {dtype}: pass a float array"):
        Tensor(np.zeros(2, dtype), requires_grad=True)


def test_item_gives_the_one_entry_of_any_shape():
    assert Tensor(2.5).item() == 2.5
    assert Tensor([[3]]).item() == 3.0
    assert type(Tensor(np.array(3)).item()) is int


@pytest.mark.parametrize("shape", [(2,), (0,), (1, 2)])
def test_item_of_more_or_less_than_one_entry_is_refused(shape):
    with pytest.raises(ShapeError, match=r"one entry, and this one has shape \(" + str(shape[0])):
        gradcore.zeros(shape).item()


def test_detach_shares_the_data_and_forgets_the_history():
    x = leaf([1, 2])
    y = (x * 2).detach()
    assert not y.requires_grad
    assert y.is_leaf
    assert np.shares_memory(x.detach().data, x.data)


# --- operators --------------------------------------------------------------------------------------------------------

BINARY = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "**": lambda a, b: a**b,
    "@": lambda a, b: a @ b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}
A = np.array([[1.0, 2.0], [3.0, 4.0]])
B = np.array([[2.0, 2.0], [0.5, 4.0]])


@pytest.mark.parametrize("sign", BINARY)
@pytest.mark.parametrize("wrap", [(Tensor, Tensor), (Tensor, np.array), (np.array, Tensor)])
def test_an_operator_gives_what_numpy_gives_whichever_side_is_a_tensor(sign, wrap):
    left, right = wrap
    y = BINARY[sign](left(A), right(B))
    expected = BINARY[sign](A, B)
    assert type(y) is Tensor
    assert y.dtype == expected.dtype
    np.testing.assert_array_equal(y.data, expected)


@pytest.mark.parametrize("sign", [s for s in BINARY if s != "@"])
@pytest.mark.parametrize("number", [2, 2.5, np.float64(2.5), True])
def test_an_operator_takes_numbers_on_either_side(sign, number):
    f = BINARY[sign]
    np.testing.assert_array_equal(f(Tensor(A), number).data, f(A, number))
    y = f(number, Tensor(A))
    assert type(y) is Tensor
    np.testing.assert_array_equal(y.data, f(number, A))


@pytest.mark.parametrize("sign", ["+", "-", "*", "/", "**"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("number", [3, 0.1])
def test_python_numbers_are_weak(sign, dtype, number):
    x = Tensor(np.ones(2, dtype))
    assert BINARY[sign](x, number).dtype == dtype
    assert BINARY[sign](number, x).dtype == dtype


def test_numpys_own_scalars_are_as_strong_as_in_numpy():
    x = Tensor(np.ones(2, np.float32))
    assert (x * np.float64(2)).dtype == np.float64
    assert (np.float64(2) * x).dtype == np.float64


def test_lists_are_arrays_of_the_tensors_dtype():
    x = Tensor(np.ones(2, np.float32))
    numbers = [1, 2]
    assert (x + numbers).tolist() == [2, 3]
    assert (numbers + x).tolist() == [2, 3]
    assert ([1.5, 2.0] * x).dtype == np.float32


def test_whole_number_tensors_compute_as_numpys():
    n = Tensor(np.array([1, 2, 3]))
    assert (n * 2).dtype == np.int64
    assert (n + 0.5).tolist() == [1.5, 2.5, 3.5]
    assert (n / 2).dtype == np.float64


def test_unary_operators():
    x = Tensor([-1.0, 2.0])
    assert (-x).tolist() == [1, -2]
    assert abs(x).tolist() == [1, 2]
    assert (+x).tolist() == [-1, 2]


def test_in_place_addition_to_a_result_binds_the_name_anew_and_leaves_the_data_alone():
    x = leaf([1, 2])
    y = before = x * 1.0
    y += 1
    assert y is not before
    assert before.tolist() == [1, 2]
    y.backward(np.ones(2))
    assert x.grad.tolist() == [1, 1]


@pytest.mark.parametrize("index", [0, slice(None), (..., None)])
def test_assigning_to_an_entry_is_refused_and_told_what_to_write_instead(index):
    x = leaf([1, 2])
    with pytest.raises(
        GraphError,
        match=r"can't be assigned into.*Make a new one: gradcore\.where\(mask, value, x\).*fill a NumPy array first",
    ):
        x[index] = 1
    assert x.tolist() == [1, 2]


def test_an_array_can_not_be_added_to_in_place_by_a_tensor():
    array = np.zeros(2)
    with pytest.raises(GraphError, match=r"np\.add can't write into out="):
        array += leaf([1, 2])
    assert array.tolist() == [0, 0]


@pytest.mark.parametrize("sign", ["+", "-", "*", "/", "**"])
def test_shapes_that_do_not_broadcast_are_both_named_with_what_would_fit(sign):
    for left, right in ((Tensor(np.ones((2, 3))), np.ones((4,))), (np.ones((2, 3)), Tensor(np.ones(4)))):
        with pytest.raises(
            ShapeError, match=r"the shapes \(2, 3\) and \(4,\), which do not broadcast.*equal or 1"
        ):
            BINARY[sign](left, right)


def test_mul_scalar_is_the_product_with_a_number():
    x = leaf([1, 2], np.float32)
    y = x.mul_scalar(3)
    y.backward(np.ones(2))
    assert y.tolist() == [3, 6]
    assert x.grad.tolist() == [3, 3]


# --- comparison, truth, containers --------------------------------------------------------------------------------------


def test_comparisons_are_boolean_tensors_that_need_no_gradient():
    x = leaf([1, 2, 3])
    mask = x > 1.5
    assert mask.dtype == np.bool_
    assert not mask.requires_grad
    assert (x == x).tolist() == [True] * 3
    assert (x != [1, 0, 3]).tolist() == [False, True, False]
    assert ((x > 1) & (x < 3)).tolist() == [False, True, False]
    assert ((x < 2) | (x > 2)).tolist() == [True, False, True]
    assert (~mask).tolist() == [True, False, False]
    assert (np.array([True, False, True]) & mask).tolist() == [False, False, True]


def test_the_truth_of_one_entry_is_that_of_its_number_and_of_several_is_refused():
    assert Tensor(1.0)
    assert not Tensor([0.0])
    with pytest.raises(ValueError, match="ambiguous"):
        bool(Tensor([1.0, 2.0]))


def test_tensors_are_told_apart_by_identity_in_sets_and_dictionaries():
    x, y = Tensor([1.0]), Tensor([1.0])
    assert len({x, y, x}) == 2
    assert {x: "x", y: "y"}[y] == "y"


def test_in_asks_whether_a_value_is_among_the_entries():
    assert 2.0 in Tensor([1, 2])
    assert 3.0 not in Tensor([1, 2])


def test_len_is_the_first_axis_and_iteration_goes_over_it_with_gradients():
    x = leaf([[1, 2], [3, 4], [5, 6]])
    assert len(x) == 3
    first, second, third = x
    (first * 1 + third * 10).sum().backward()
    assert second.tolist() == [3, 4]
    assert x.grad.tolist() == [[1, 1], [0, 0], [10, 10]]


def test_iteration_over_no_rows_gives_nothing():
    assert list(gradcore.zeros((0, 3))) == []


def test_a_0d_tensor_has_no_length_and_nothing_to_iterate_over():
    with pytest.raises(TypeError, match="no length"):
        len(Tensor(1.0))
    with pytest.raises(TypeError, match=r"iterated over: use item\(\)"):
        iter(Tensor(1.0))


def test_a_tensor_of_one_entry_converts_to_numbers_and_serves_as_an_index():
    assert float(leaf(1.5)) == 1.5
    assert int(Tensor([2.7])) == 2
    assert ["a", "b", "c"][Tensor(np.array(1))] == "b"
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        ["a", "b"][Tensor(1.0)]


# --- text -------------------------------------------------------------------------------------------------------------


def test_the_repr_shows_values_and_what_is_not_usual():
    assert repr(Tensor([1.0, 2.5])) == "Tensor([1. , 2.5])"
    assert repr(Tensor(np.array([1, 2]))) == "Tensor([1, 2], dtype=int64)"
    assert repr(leaf([1], np.float32)) == "Tensor([1.], requires_grad=True)"
    assert repr(leaf([1]) * 2) == "Tensor([2.], dtype=float64, op=mul)"
    assert repr(Tensor(np.zeros((0, 2)))) == "Tensor([], dtype=float64)"
    assert repr(Tensor(True)) == "Tensor(True)"


def test_the_repr_of_a_large_tensor_is_short():
    assert len(repr(gradcore.zeros((1000, 1000)))) < 400
    assert "..." in repr(gradcore.zeros((1000, 1000)))


def test_rows_of_the_repr_line_up():
    first, second = repr(Tensor([[1.0, 2.0], [3.0, 4.0]])).splitlines()
    assert first.index("[1.") == second.index("[3.")


def test_a_tensor_of_one_entry_formats_like_its_number():
    assert f"{leaf(1.2345):.2f}" == "1.23"
    assert f"{Tensor([7.0]):>5.0f}" == "    7"
    assert f"{Tensor([1.0, 2.0])}" == "Tensor([1., 2.])"
    with pytest.raises(ShapeError, match="one entry"):
        f"{Tensor([1.0, 2.0]):.2f}"


# --- copies and pickles -----------------------------------------------------------------------------------------------

COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda x: pickle.loads(pickle.dumps(x)), "copy": copy.copy}


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_is_a_leaf_of_its_own(how):
    x = leaf([1, 2])
    twin = COPIES[how](x)
    (x * 2 + twin * 5).sum().backward()
    assert x.grad.tolist() == [2, 2]
    assert twin.grad.tolist() == [5, 5]


@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_a_deep_copy_has_data_and_gradient_of_its_own(how):
    x = leaf([1, 2])
    (x * 3).sum().backward()
    twin = COPIES[how](x)
    assert twin.grad.tolist() == [3, 3]
    assert twin.requires_grad
    assert not np.shares_memory(twin.data, x.data)
    assert not np.shares_memory(twin.grad, x.grad)


@pytest.mark.parametrize("how", COPIES)
def test_a_recorded_result_can_not_be_copied_and_says_what_can(how):
    with pytest.raises(GraphError, match=r"the result of mul: copy x\.detach\(\)"):
        COPIES[how](leaf([1]) * 2)


def test_a_subclass_of_tensor_is_refused_before_ops_mistake_it_for_an_array():
    with pytest.raises(TypeError, match=r"class Parameter\(Tensor\).*Module"):
        type("Parameter", (Tensor,), {})


# --- arrays from tensors ----------------------------------------------------------------------------------------------


def test_a_tensor_without_gradient_becomes_an_array():
    x = Tensor(np.array([1.0, 2.0]))
    assert np.asarray(x) is x.data
    assert np.array(x, np.int32).dtype == np.int32
    assert not np.shares_memory(np.array(x, copy=True), x.data)


@pytest.mark.parametrize(
    "convert", [np.asarray, np.array, lambda x: np.array([x, x]), lambda x: np.zeros(2).__setitem__(0, x)]
)
def test_a_tensor_with_gradient_never_loses_its_history_in_silence(convert):
    with pytest.raises((GraphError, ValueError), match=r"x\.data, or x\.detach|setting an array element"):
        convert(leaf([1, 2]))

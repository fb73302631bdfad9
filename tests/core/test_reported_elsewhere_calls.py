"""Calls that other small autograds were once reported to get wrong, made here: transforms, containers, dtypes, and misuse.

Each test names the project and the number of the report, or of the pull request that describes and mends it. What gradcore
leaves out by decision has to say so: there the test is of the error.
"""

import copy

import numpy as np
import pytest
from numpy.testing import assert_allclose

import gradcore
from gradcore import Tensor, checkpoint, grad, hvp, jacobian, jvp, nn, value_and_grad
from gradcore.errors import ArgumentError, DtypeError, GraphError, ShapeError

RNG = np.random.default_rng(1)
Y = RNG.normal(size=(3, 1))


def leaf(values, dtype=np.float64):
    return Tensor(np.array(values, dtype), requires_grad=True)


# --- functions of functions -------------------------------------------------------------------------------------------


def test_a_derivative_within_a_derivative_is_not_confused_with_it():  # HIPS/autograd#4: gave 0
    assert grad(lambda x: x * grad(lambda y: x * y)(2.0))(1.0) == 2.0


def test_a_function_that_returns_an_array_of_one_entry_has_a_gradient():  # HIPS/autograd#20: needed a number
    assert_allclose(grad(lambda x: (x**2).sum(keepdims=True))(np.array([1.0, 3.0])), [2.0, 6.0])


def test_a_hessian_by_a_matrix_times_a_matrix():  # HIPS/autograd#86: took vectors only
    x, v = RNG.normal(size=(2, 2, 3))
    assert_allclose(hvp(lambda x: (x**3).sum())(x, v), 6 * x * v, rtol=1e-14)


def test_both_arguments_of_a_maximum_get_half_where_they_tie():  # HIPS/autograd#212: gave 1 and 0
    assert grad(np.maximum, (0, 1))(1.0, 1.0) == (0.5, 0.5)


def test_a_jacobian_through_tensordot_has_the_sign_of_its_axes():  # HIPS/autograd#466: it was of the transposed matrix
    def turned(x):
        rotation = gradcore.stack([gradcore.stack([0.0, -x]), gradcore.stack([x, 0.0])])
        return np.tensordot(np.array([1.0, 0.0]), rotation, (0, 1))

    assert jacobian(turned)(1.0).tolist() == [0.0, 1.0]


def test_log_determinants_have_a_derivative_forward():  # HIPS/autograd#536: slogdet had none
    y, dy = jvp(lambda x: np.linalg.slogdet(x * np.eye(4))[1], (4.0,), (1.0,))
    assert_allclose([float(y), float(dy)], [4 * np.log(4.0), 1.0], rtol=1e-14)


def test_a_jacobian_by_the_second_argument_has_its_shape():  # HIPS/autograd#676: was taken by the first one
    v, m = np.array([1.0, 2.0, 3.0]), RNG.normal(size=(3, 3))
    assert_allclose(jacobian(lambda v, m: m @ v)(v, m), m)
    assert_allclose(jacobian(lambda v, m: m @ v, 1)(v, m), np.einsum("ij,k->ijk", np.eye(3), v))


# --- containers -------------------------------------------------------------------------------------------------------


def test_gradients_by_nested_containers_come_back_in_them():  # HIPS/autograd#50: inner lists were joined, not added
    found = grad(lambda both: both[0] + both[1][0] * both[1][1])((1.0, [2.0, 5.0]))
    assert found == (1.0, [5.0, 2.0])


def test_a_slice_of_a_list_is_a_list():  # HIPS/autograd#169: failed in the backward pass
    assert grad(lambda x: x[slice(None, -1, None)][0])([1.0, 2.0, 3.0]) == [1.0, 0.0, 0.0]


def test_steps_of_descent_by_a_list_are_differentiated():  # HIPS/autograd#198: failed for lists, not for arrays
    def objective(y, x):
        return np.sum(np.dot(x[0], y) + x[1])

    def descended(y):
        x = [start, np.array([2.0])]
        for _ in range(5):
            for j in range(2):
                x[j] = x[j] - 0.1 * grad(objective, 1)(y, x)[j]
        return objective(y, x)  # (start - y^T / 2) y + 2 - 1 / 2

    start = RNG.normal(size=(1, 3))
    assert_allclose(grad(descended)(Y), start.T - Y, rtol=1e-12)


def test_descent_within_descent_by_dictionaries_is_differentiated():  # HIPS/autograd#205: failed at the third derivative
    def base(params, local):
        return np.sum(np.matmul(params["W"], local["a"]) + np.matmul(params["W"], local["b"]))

    def searched(f, key):
        def objective(params, local):
            for _ in range(5):
                step = grad(f, 1)(params, local)[key]
                local = {**local, key: local[key] - 0.1 * step}
            return f(params, local)

        return objective

    w, a, b = RNG.normal(size=(2, 4)), RNG.normal(size=(4, 1)), RNG.normal(size=(4, 1))
    found = grad(searched(searched(base, "b"), "a"))({"W": w}, {"a": a, "b": b})
    # with s = W^T 1 the objective is s . (a - s / 2) + s . (b - s / 2)
    assert_allclose(found["W"], np.tile((a + b).ravel() - 2 * w.sum(0), (2, 1)), rtol=1e-12)


# --- dtypes and shapes ------------------------------------------------------------------------------------------------


def test_a_gradient_in_single_precision_stays_there():  # HIPS/autograd#163: came in double
    x = RNG.normal(size=(4, 5)).astype(np.float32)
    value, gx = value_and_grad(lambda x: np.sum(x**2))(x)
    assert (value.dtype, gx.dtype) == (np.float32, np.float32)
    assert_allclose(gx, 2 * x)


def test_a_gradient_in_half_precision_stays_there():  # tinygrad/tinygrad#3613: came in the default dtype
    x = leaf([1.0, 2.0], np.float16)
    (x * x).sum().backward()
    assert (x.grad.dtype, x.grad.tolist()) == (np.float16, [2.0, 4.0])


@pytest.mark.parametrize("reduce", [np.max, np.min, np.mean])
def test_what_70000_entries_share_in_half_precision_is_not_lost(reduce):  # tinygrad/tinygrad#12296: gave 0
    x = leaf(np.ones(70_000), np.float16)
    y = reduce(x)
    y.backward()
    assert (y.dtype, float(y), x.grad.dtype) == (np.float16, 1.0, np.float16)
    assert (x.grad == np.float16(1 / 70_000)).all()


def test_layers_take_data_of_another_precision():  # rsokl/MyGrad#263: a GRU failed on it
    layer, x = nn.GRU(3, 4, rng=0), leaf(RNG.normal(size=(5, 2, 3)))
    layer(x)[0].sum().backward()
    assert x.grad.dtype == np.float64
    assert {p.grad.dtype for p in layer.parameters()} == {np.dtype(np.float32)}


def test_the_gradient_of_a_number_that_was_broadcast_is_an_array():  # rsokl/MyGrad#373: was a Python float
    x = leaf(2.0)
    (x * np.ones((2, 3))).sum().backward()
    assert type(x.grad) is np.ndarray
    assert (x.grad.shape, x.grad.dtype, x.grad.tolist()) == ((), np.float64, 6.0)


@pytest.mark.parametrize("f", [np.sum, np.max, np.square, lambda x: np.broadcast_to(x, (3,)).sum()])
def test_the_gradient_by_a_number_is_a_number_and_by_an_array_an_array(f):  # rsokl/MyGrad#373, of transforms
    assert type(grad(f)(2.0)) is np.float64
    assert type(grad(f)(np.float32(2.0))) is np.float32
    assert type(grad(f)(np.array(2.0))) is np.ndarray
    assert [type(gx) for gx in grad(lambda xs: f(xs[1]))([2.0, 3.0])] == [np.float64] * 2


def test_a_dtype_holds_for_a_tensor_made_of_a_tensor():  # rsokl/MyGrad#294: was ignored
    assert gradcore.tensor(Tensor(np.ones(2)), dtype=np.float32).dtype == np.float32


def test_batch_norm_of_nearly_constant_large_numbers_is_finite():  # rsokl/MyGrad#285: was numerically unstable
    x = leaf([[1e4, 7.0], [1e4, 7.0], [1e4, 7.0], [1e4 + 1, 7.0]], np.float32)
    y = nn.BatchNorm1d(2)(x)
    (y * [[1.0], [2.0], [3.0], [4.0]]).sum().backward()
    assert_allclose(y.data[:, 0], np.array([-1, -1, -1, 3]) / np.sqrt(3 + 16e-5), rtol=1e-4)
    assert (y.data[:, 1] == 0).all()
    assert np.isfinite(x.grad).all()


def test_a_number_takes_a_new_axis_and_is_not_iterated_over():  # rsokl/MyGrad#272 and #210: refused, and was empty
    assert Tensor(3.0)[None].tolist() == [3.0]
    with pytest.raises(TypeError, match=r"0-d tensor can't be iterated over: use item\(\)"):
        sum(Tensor(3.0))


def test_reductions_and_scans_of_a_number_are_numpys():  # tinygrad/tinygrad#5089 and #4781
    assert Tensor(2.0).sum(axis=()).item() == 2.0 == np.sum(np.array(2.0), axis=())
    assert np.cumsum(Tensor(2.0)).tolist() == np.cumsum(2.0).tolist() == [2.0]
    with pytest.raises(IndexError, match="axis 1 is out of bounds"):
        Tensor(2.0).sum(axis=1)


# --- graphs -----------------------------------------------------------------------------------------------------------


def test_a_result_that_is_used_twice_passes_its_gradient_on_once():  # karpathy/micrograd#2: once for each path
    a = leaf(1.0)
    b = a + a
    (b * b).backward()
    assert a.grad == 8.0


def test_a_second_backward_adds_the_same_to_the_leaves():  # karpathy/micrograd#53: inner nodes added up, too
    a, b, d = leaf(3.0), leaf(2.0), leaf(1.0)
    e = (a + b) * d
    e.backward(retain_graph=True)
    e.backward()
    assert (a.grad, b.grad, d.grad) == (2.0, 2.0, 10.0)
    with pytest.raises(GraphError, match="freed by an earlier backward pass"):
        e.backward()


def test_a_copy_has_the_gradient_and_a_deep_one_an_array_of_its_own():  # rsokl/MyGrad#33: was left out
    x = leaf([1.0, 2.0])
    (x * x).sum().backward()
    deep = copy.deepcopy(x)
    assert copy.copy(x).grad.tolist() == deep.grad.tolist() == [2.0, 4.0]
    deep.grad *= 2
    assert x.grad.tolist() == [2.0, 4.0]


def test_comparisons_are_constants_in_the_backward_pass():  # tinygrad/tinygrad#3037: failed there
    assert grad(lambda x: (x * (x < 0)).sum() + (x * (x == 2.0)).sum())(
        np.array([-1.0, 1.0, 2.0])
    ).tolist() == [1, 0, 1]


@pytest.mark.parametrize("subscripts", ["iij->ij", "iij,j->ij", "iij->i"])
def test_a_letter_that_comes_twice_in_einsum_need_not_be_last(
    subscripts,
):  # tinygrad/tinygrad#18229: mixed up the axes
    x, w = RNG.normal(size=(2, 2, 4)), RNG.normal(size=4)
    others = [w] if "," in subscripts else []
    value, gx = value_and_grad(lambda x: (np.einsum(subscripts, x, *others) ** 2).sum())(x)
    diagonal = x[[0, 1], [0, 1]]
    if subscripts == "iij->i":
        expected, slope = (diagonal.sum(1) ** 2).sum(), 2 * diagonal.sum(1, keepdims=True)
    else:
        scale = w if others else np.ones(4)
        expected, slope = ((diagonal * scale) ** 2).sum(), 2 * diagonal * scale**2
    assert_allclose(value.data, expected)
    assert_allclose(gx, np.eye(2)[..., None] * (slope * np.ones(4))[:, None])


# --- what is left out says so -----------------------------------------------------------------------------------------

X = leaf([1.0, 2.0])
I = np.array([1.0, 1.0j])
JOINED = r"as their history would be lost: join them with gradcore\.stack"
PLAIN = r"can't be converted to a plain array implicitly.*write x\.data.*gradcore\.stack joins a list"
REFUSED = {
    "HIPS/autograd#3: a gradient by an int failed": (lambda: grad(lambda x: x * x)(2), DtypeError, r"got 2 \(int64\): write 3\.0 for 3"),
    "HIPS/autograd#229: a gradient by an arange failed": (lambda: grad(np.sum)(np.arange(4)), DtypeError, r"got array\(\[0, 1, 2, 3\]\) \(int64\)"),
    "rsokl/MyGrad#340: whole numbers got wrong gradients": (lambda: Tensor(1, requires_grad=True), DtypeError, r"write 1\.0 for 1"),
    "HIPS/autograd#259: the gradient of a vector was refused in other words": (lambda: grad(np.tanh)(np.ones(3)), ShapeError, r"tanh returned an array of shape \(3,\): reduce it.*or use jacobian or vjp"),
    "HIPS/autograd#271: a tanh of one's own, of an array": (lambda: grad(lambda x: (1 - np.exp(-x)) / (1 + np.exp(-x)))(np.linspace(-7, 7, 5)), ShapeError, r"shape \(5,\): reduce it"),
    "HIPS/autograd#8: w.T.dot(x) of an array w had the gradient 0": (lambda: grad(lambda x: np.ones(2).T.dot(x))(np.ones(2)), GraphError, PLAIN),
    "HIPS/autograd#757: a mean of a list failed without a word of how": (lambda: grad(lambda x: np.mean([x, x + 2]))(0.5), GraphError, PLAIN),
    "HIPS/autograd#71: np.int64 of what is differentiated": (lambda: np.int64(X), GraphError, PLAIN),
    "HIPS/autograd#495: checkpoint of a function that returns a list had the gradient 0": (lambda: checkpoint(lambda x: [x])(X), ArgumentError, "checkpoint is of a function that returns one Tensor"),
    "HIPS/autograd#31: einsum with lists of axes": (lambda: np.einsum(X, [0], X, [0]), ShapeError, "einsum takes the subscripts as text"),
    "HIPS/autograd#360: tensordot with complex numbers had wrong gradients": (lambda: grad(lambda x: np.abs(np.tensordot(x, I, axes=([0], [0]))) ** 2)(np.ones(2)), DtypeError, "matmul got complex numbers"),
    "HIPS/autograd#192: a real Fourier transform had no gradient": (lambda: np.fft.rfft(X), GraphError, r"np\.fft\.rfft gives complex numbers.*gradcore\.fft"),
    "rsokl/MyGrad#93: assignment into what a function took twice": (lambda: X.__setitem__(0, 5.0), GraphError, r"can't be assigned into.*gradcore\.where"),
    "rsokl/MyGrad#280: x *= 2 gave another tensor": (lambda: X.__imul__(2), GraphError, r"x \*= .*write it under `with gradcore\.no_grad\(\):`"),
    "rsokl/MyGrad#343: backward(1) of an array": (lambda: (X * 2).backward(1.0), ShapeError, r"gy has shape \(\), and this tensor \(2,\)"),
}  # fmt: skip


@pytest.mark.parametrize("report", REFUSED, ids=lambda r: r.partition(":")[0])
def test_what_is_left_out_is_refused_with_what_to_write(report):
    call, error, message = REFUSED[report]
    with pytest.raises(error, match=message):
        call()


def test_what_the_messages_say_to_write_is_right():
    assert grad(lambda x: np.mean(gradcore.stack([x, x + 2])))(0.5) == 1.0
    assert grad(lambda x: x.dot(np.array([3.0, 4.0])))(np.ones(2)).tolist() == [3.0, 4.0]
    assert grad(lambda x: (x * I.real).sum() ** 2 + (x * I.imag).sum() ** 2)(np.ones(2)).tolist() == [
        2.0,
        2.0,
    ]


def two(x):
    """A list of recorded Tensors, from which NumPy would take the numbers alone."""
    return [x[0], x[1]]


LOST = {
    "tensor": lambda x: gradcore.tensor(two(x)),
    "Tensor": lambda x: Tensor([two(x)]),
    "tensor with a dtype": lambda x: gradcore.tensor(two(x), dtype=np.float64),
    "operator": lambda x: x * two(x),
    "operator, from the left": lambda x: [two(x)] @ x,
    "op": lambda x: gradcore.where([True, False], two(x), x),
    "op, beside an array": lambda x: gradcore.hypot(two(x), x),
    "concatenate": lambda x: gradcore.concatenate([[x[0]], x]),
    "stack of lists": lambda x: gradcore.stack([two(x), x]),
    "append": lambda x: np.append(x, [x[0]]),
    "loss": lambda x: gradcore.mse_loss(two(x), np.zeros(2)),
}


@pytest.mark.parametrize("name", LOST)
def test_a_list_of_recorded_tensors_is_refused_where_its_gradient_would_be_lost(name):
    with pytest.raises(GraphError, match=JOINED):
        LOST[name](leaf([1.0, 2.0]))


def test_numbers_join_tensors_in_their_dtype():
    x = Tensor([1.0, 2.0], requires_grad=True)
    for y, expected in (
        (gradcore.stack([x[0], 5.0, x[1]]), [1, 5, 2]),
        (gradcore.hstack([x, 5]), [1, 2, 5]),
        (gradcore.vstack([x, [5, 6]]), [[1, 2], [5, 6]]),
        (gradcore.dstack([[5, 6], x]), [[[5, 1], [6, 2]]]),
        (gradcore.column_stack([x, [5.0, 6.0]]), [[1, 5], [2, 6]]),
        (gradcore.append(x, 5), [1, 2, 5]),
    ):
        assert (y.dtype, y.tolist()) == (np.float32, expected)
        assert y.requires_grad


COMPLEX = {
    "array on the right": lambda x: x * I,
    "array on the left": lambda x: I * x,
    "number": lambda x: x + 1j,
    "NumPy's number": lambda x: x - np.complex64(1),
    "power": lambda x: x**1j,
    "matmul": lambda x: x @ I,
    "einsum": lambda x: np.einsum("i,i", x, I),
    "where": lambda x: np.where(True, x, I),
    "concatenate": lambda x: np.concatenate([x, I]),
    "astype": lambda x: x.astype(complex),
}


@pytest.mark.parametrize("requires_grad", [True, False])
@pytest.mark.parametrize("name", COMPLEX)
def test_complex_numbers_beside_a_tensor_are_refused(name, requires_grad):
    with pytest.raises(
        DtypeError, match=r"\w+ got complex numbers, which no Tensor holds: compute with real and"
    ):
        COMPLEX[name](Tensor(np.ones(2), requires_grad=requires_grad))

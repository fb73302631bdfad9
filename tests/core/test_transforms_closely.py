"""Transforms in their corners: keywords, dtypes, kinds of results, cotangents and containers, and what a checkpoint keeps."""

from collections import namedtuple
from functools import partial

import numpy as np
import pytest

import gradcore
from gradcore import Tensor, checkpoint, grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp
from gradcore.errors import ArgumentError, DtypeError, ShapeError
from gradcore.tracing import Sources, source_of

V = np.array([1.0, 2.0], np.float32)
W = np.array([3.0, 5.0], np.float32)


def scaled(x, y, *, power=1):
    return (x * x * y**power).sum()


def leaf(*values):
    return Tensor(np.array(values), requires_grad=True)


# --- keywords, positions and dtypes -----------------------------------------------------------------------------------


def test_keywords_reach_the_function():
    assert grad(scaled)(V, W, power=2).tolist() == [18, 100]
    assert value_and_grad(scaled)(V, W, power=2)[0].item() == 109
    assert hvp(scaled)(V, W, V, power=2).tolist() == [18, 100]
    assert jacobian(lambda x, *, k: x * k)(V, k=3.0).tolist() == [[3, 0], [0, 3]]


def test_derivatives_are_by_the_argument_that_is_chosen():
    assert hvp(scaled, argnums=1)(V, W, V).tolist() == [0, 0]
    assert hvp(lambda x, y: (x * y**3).sum(), argnums=1)(V, W, V).tolist() == [18, 120]
    assert jacobian(lambda x, y: x * y * y, argnums=1)(V, W).tolist() == [[6, 0], [0, 20]]
    assert hessian(lambda x, y: (x * y**3).sum(), argnums=1)(V, W).tolist() == [[18, 0], [0, 60]]
    assert [g.tolist() for g in grad(scaled, argnums=(1, 0))(V, W)] == [[1, 4], [6, 20]]
    assert grad(scaled, argnums=-2)(V, W).tolist() == [6, 20]


@pytest.mark.parametrize("argnums", [2, -3])
@pytest.mark.parametrize(("transform", "name"), [(grad, "grad"), (jacobian, "jacobian")])
def test_a_position_that_is_not_there_is_refused_in_the_name_of_the_transform(transform, name, argnums):
    with pytest.raises(ArgumentError, match=f"^{name} by argument {argnums}, and scaled got 2 positional"):
        transform(scaled, argnums=argnums)(V, W)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: grad(lambda x: x)(1), "grad"),
        (lambda: vjp(lambda x: x, 1), "vjp"),
        (lambda: jacobian(lambda x: x)(1), "jacobian"),
    ],
)
def test_a_whole_number_is_refused_in_the_name_of_the_transform(call, name):
    with pytest.raises(DtypeError, match=f"^{name} differentiates by floating-point arrays, and got 1 "):
        call()


def test_derivatives_keep_the_dtype_of_what_they_are_by():
    found = [
        grad(scaled)(V, W),
        jacobian(lambda x: x * x)(V),
        jacobian(lambda x: x[:0])(V),
        hessian(lambda x: (x**3).sum())(V),
        hvp(lambda x: (x**3).sum())(V, W),
        vjp(lambda x: x * x, V)[1](np.ones(2, np.float64))[0],
        jvp(lambda x: x * x, (V,), (W,))[1].data,
    ]
    assert {array.dtype for array in found} == {np.dtype(np.float32)}


# --- results and cotangents -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("result", [2.0, np.float32(2.0), np.array(2.0), np.array([2.0])])
def test_a_result_that_depends_on_nothing_may_be_any_number(result):
    value, gx = value_and_grad(lambda x: result)(V)
    assert (type(value), value.item()) == (Tensor, 2.0)
    assert gx.tolist() == [0, 0]


@pytest.mark.parametrize("size", [0, 2])
def test_a_result_of_no_or_of_several_entries_is_refused(size):
    with pytest.raises(ShapeError, match=rf"grad differentiates a function.*shape \({size},\): reduce it"):
        grad(lambda x: x[:size])(V)


@pytest.mark.parametrize("result", [(1.0,), (1.0, 2, 3), [1.0, 2], 1.0])
def test_what_is_no_pair_is_refused_with_aux(result):
    with pytest.raises(
        ArgumentError, match=r"has_aux=True: <lambda> returns a pair \(loss, anything\), and gave"
    ):
        grad(lambda x: result, has_aux=True)(V)


def test_aux_comes_next_to_the_value_and_next_to_the_gradient():
    (value, aux), gx = value_and_grad(lambda x: ((x * x).sum(), "more"), has_aux=True)(V)
    assert (value.item(), aux, gx.tolist()) == (5, "more", [2, 4])
    with pytest.raises(ArgumentError, match="returns one number"):
        grad(lambda x: (x.sum(), "more"))(V)


def test_a_value_is_recorded_where_something_else_requires_a_gradient_and_only_there():
    assert not value_and_grad(lambda x: (x * x).sum())(V)[0].requires_grad
    w = leaf(1.0, 1.0)
    value, gx = value_and_grad(lambda x: (x * x * w).sum())(V)
    assert value.requires_grad
    assert (type(gx), gx.requires_grad) == (Tensor, True)
    value.backward()
    assert w.grad.tolist() == [1, 4]


def test_a_cotangent_may_be_a_tensor_and_keeps_its_values():
    _, pull = vjp(lambda x: x * x, V)
    gy = np.array([1.0, 10.0], np.float32)
    assert pull(gy)[0].tolist() == pull(Tensor(gy))[0].tolist() == [2, 40]
    assert type(pull(Tensor(gy))[0]) is np.ndarray
    seed = Tensor(gy, requires_grad=True)
    (gx,) = pull(seed)
    assert gx.requires_grad
    gx.sum().backward()
    assert seed.grad.tolist() == [2, 4]
    with gradcore.no_grad():
        assert pull(seed)[0].tolist() == [2, 40]
    (same,) = vjp(lambda x: x, V)[1](gy)
    same += 1
    assert gy.tolist() == [1, 10]


def test_a_vjp_of_what_depends_on_nothing_is_zeros():
    y, pull = vjp(lambda x: {"plain": np.ones(2), "number": 3.0, "own": x * x}, V)
    assert type(y["plain"]) is np.ndarray
    (gx,) = pull({"plain": np.ones(2), "number": 1.0, "own": W})
    assert (type(gx), gx.tolist()) == (np.ndarray, [6, 20])
    with pytest.raises(ShapeError, match=r"cotangents of shapes \[\(2,\)\], and the outputs have"):
        pull(W)


def test_jvp_takes_tensors_and_containers_and_gives_zeros_where_nothing_depends():
    y, dy = jvp(lambda p, x: (p["a"] * x, x + 0.0), ({"a": V}, Tensor(W)), ({"a": W}, Tensor(V)))
    assert [part.tolist() for part in y] == [[3, 10], [3, 5]]
    assert [part.tolist() for part in dy] == [[10, 29], [1, 2]]
    y, dy = jvp(lambda x: Tensor(W), (V,), (W,))
    assert (y.tolist(), dy.tolist()) == ([3, 5], [0, 0])
    y, dy = jvp(lambda x, z: x * 2.0, (V, W), (W, W))
    assert dy.tolist() == [6, 10]


def test_jvp_works_where_nothing_is_recorded_outside():
    with gradcore.no_grad():
        assert jvp(lambda x: x * x, (V,), (W,))[1].tolist() == [6, 20]


def test_a_gradient_by_a_tensor_is_a_tensor():
    for found in (
        grad(scaled)(Tensor(V), W),
        jacobian(lambda x: x * 1.0)(Tensor(V)),
        jacobian(lambda x: x[:0])(Tensor(V)),
    ):
        assert (type(found), found.requires_grad) == (Tensor, False)
    x = leaf(1.0, 2.0)
    found = jacobian(lambda z: z * z)(x)
    assert (found.shape, found.requires_grad) == ((2, 2), True)
    found.sum().backward()
    assert x.grad.tolist() == [2, 2]
    with gradcore.no_grad():
        found = grad(scaled)(leaf(1.0, 2.0), W)
    assert (found.tolist(), found.requires_grad) == ([6, 20], False)


def test_a_jacobian_is_rows_by_output_and_columns_by_input():
    x = np.arange(6.0).reshape(2, 3)
    found = jacobian(lambda x: (x * x).sum(axis=0))(x)
    expected = np.zeros((3, 2, 3))
    for j in range(3):
        expected[j, :, j] = 2 * x[:, j]
    assert np.array_equal(found, expected)
    empty = jacobian(lambda x: x[:0])(x)
    assert (empty.shape, type(empty)) == ((0, 3, 2, 3), np.ndarray)
    assert jacobian(lambda x: x * x)(3.0) == 6.0


@pytest.mark.parametrize("x", [(), [V], (V, W), {"a": V}])
def test_a_jacobian_by_containers_is_refused(x):
    with pytest.raises(ArgumentError, match="jacobian is of one array by one array, and <lambda> takes"):
        jacobian(lambda p: Tensor(V))(x)


def test_a_product_with_the_hessian_goes_over_containers():
    Pair = namedtuple("Pair", "a b")
    found = hvp(lambda p: (p.a * p.a * p.b).sum())(Pair(V, W), Pair(W, V))
    assert type(found) is Pair
    assert found.a.tolist() == [20, 58]  # 2 b va + 2 a vb
    assert found.b.tolist() == [6, 20]  # 2 a va


@pytest.mark.parametrize("kind", [tuple, list])
def test_gradients_come_in_the_kind_of_container_that_they_are_by(kind):
    for count in (1, 2):
        found = grad(lambda parts: sum((part * part).sum() for part in parts))(kind([V] * count))
        assert type(found) is kind
        assert [g.tolist() for g in found] == [[2, 4]] * count


def test_a_function_without_a_name_is_called_by_its_type():
    with pytest.raises(ShapeError, match="and partial returned an array of shape"):
        grad(partial(np.multiply, 2.0))(V)


def test_one_of_several_cotangents_may_be_differentiated():
    seed = Tensor(V, requires_grad=True)
    (gx,) = vjp(lambda x: (x * x, x * 3.0), V)[1]((seed, W))
    gx.sum().backward()
    assert seed.grad.tolist() == [2, 4]


def test_a_cotangent_of_a_recorded_pull_keeps_its_values():
    w, gy = Tensor(W, requires_grad=True), V.copy()
    (gx,) = vjp(lambda x: x + w, V)[1](gy)
    gx += 1
    assert gy.tolist() == V.tolist()
    assert type(jacobian(lambda x: x + w)(V)) is np.ndarray
    assert jacobian(lambda t: t * w)(2.0).tolist() == [3, 5]


def test_nothing_is_recorded_within_no_grad():
    w = Tensor(W, requires_grad=True)
    with gradcore.no_grad():
        assert not value_and_grad(lambda x: (x * x * w).sum())(V)[0].requires_grad


def test_tangents_may_be_numbers_and_may_be_differentiated():
    y, dy = jvp(lambda x: x * x, (3.0,), (2.0,))
    assert (type(dy), y.item(), dy.item()) == (Tensor, 9, 12)
    along = Tensor(V, requires_grad=True)
    dy = jvp(lambda x: x * x * x, (W,), (along,))[1]
    dy.sum().backward()
    assert along.grad.tolist() == [27, 75]
    assert type(jvp(lambda x: np.ones(2), (V,), (W,))[1]) is Tensor


def test_tangents_of_unlike_shapes_count_once_each():
    table = np.ones((3, 2), np.float32)
    assert jvp(lambda x, t: x.sum() + t.sum(), (V, table), (W, table))[1].item() == 14


# --- checkpoints ------------------------------------------------------------------------------------------------------


def test_a_checkpoint_of_what_needs_no_gradient_is_the_result_itself():
    constant = checkpoint(lambda x: x * 2.0)(V)
    assert (type(constant), constant.tolist(), constant.requires_grad) == (Tensor, [2, 4], False)
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    assert checkpoint(lambda x: x)(x) is x
    assert checkpoint(lambda x: w)(x) is w


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_checkpoint_has_one_parent_for_each_tensor_that_it_takes_or_uses(count):
    outside = [leaf(float(k + 2)) for k in range(count)]

    def f(x):
        y = x * x
        for w in outside[1:]:
            y = y * w * w
        return y

    y = checkpoint(f)(outside[0])
    assert [id(p) for p in y._parents] == [id(t) for t in outside]
    assert y._op.name == "checkpoint(f)"
    y.backward()
    for w in outside:
        assert w.grad[0] == pytest.approx(2 * y.item() / w.item())


@pytest.mark.parametrize("first", [True, False])
def test_a_checkpoint_gives_zeros_by_what_it_takes_and_does_not_use(first):
    x, z = leaf(1.0, 2.0), leaf(3.0, 5.0)
    f = checkpoint((lambda x, z: x * x) if first else (lambda z, x: x * x))
    y = f(x, z) if first else f(z, x)
    (y * z).sum().backward()
    assert x.grad.tolist() == [6, 20]
    assert z.grad.tolist() == [1, 4]
    again = grad(lambda v: (grad(lambda x, z: (f(x, z) if first else f(z, x)).sum())(v, z) * v).sum())(V)
    assert again.tolist() == [4, 8]
    assert grad(lambda z: (grad(lambda z: (f(V, z) if first else f(z, V)).sum())(z) * z).sum())(
        W
    ).tolist() == [0, 0]


def test_a_checkpoint_is_pulled_back_by_the_cotangent_that_comes():
    x = leaf(1.0, 2.0)
    (checkpoint(lambda x: x * x)(x) * np.array([3.0, 5.0])).sum().backward()
    assert x.grad.tolist() == [6, 20]


def test_a_checkpoint_may_give_nan():
    x = leaf(1.0, np.nan)
    checkpoint(lambda x: x * x)(x).backward(np.ones(2))
    assert x.grad[0] == 2
    assert np.isnan(x.grad[1])


def test_a_checkpoint_works_within_no_grad_around_its_backward_pass():
    x = leaf(1.0, 2.0)
    y = checkpoint(lambda x: x * x)(x)
    with gradcore.no_grad():
        y.backward(np.ones(2))
    assert x.grad.tolist() == [2, 4]


def test_a_trace_is_informed_of_a_checkpoint():
    x = leaf(1.0)
    with Sources():
        y = checkpoint(lambda x: x * x)(x)
    assert source_of(y).function == "test_a_trace_is_informed_of_a_checkpoint"


def test_what_a_checkpoint_uses_leads_on_to_all_that_made_it():
    a, b, c, x = leaf(2.0), leaf(3.0), leaf(5.0), leaf(7.0)
    product, row = a * b, gradcore.concatenate([a, b, c])
    checkpoint(lambda x: (x * product * row).sum())(x).backward()
    assert x.grad.tolist() == [60]  # a b (a + b + c)
    assert a.grad.tolist() == [7 * 3 * 10 + 42]
    assert b.grad.tolist() == [7 * 2 * 10 + 42]
    assert c.grad.tolist() == [42]


def test_a_number_counts_as_float64_in_a_checkpoint_as_in_numpy():
    assert checkpoint(lambda x: x * 2.0)(3.0).dtype == np.float64

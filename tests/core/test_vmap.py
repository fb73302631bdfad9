"""vmap is the loop over the examples: for drawn functions, containers and axes; one call where that is the same; messages."""

from collections import namedtuple

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import gradcore
from gradcheck import gradcheck
from gradcheck.strategies import examples
from gradcore import Op, Tensor, batched, grad, jacobian, jvp, registry, value_and_grad, vmap
from gradcore.errors import ArgumentError, ShapeError

FEW = settings(phases=[Phase.generate], derandomize=True, database=None, deadline=None, max_examples=12)
RNG = np.random.default_rng(0)
X, W = RNG.standard_normal((4, 3)), RNG.standard_normal((3, 2))

# Each from one vector (and one of the same size for all), by reductions, branches on values, indices, and other functions.
FUNCTIONS = {
    "entries": lambda x, y: np.tanh(x) * y,
    "a sum": lambda x, y: (x * y).sum(),
    "softmax": lambda x, y: gradcore.softmax(x - y, axis=0),
    "a branch": lambda x, y: x if x.sum() > y.sum() else y * 2,
    "sorted": lambda x, y: gradcore.sort(x) @ y,
    "an index": lambda x, y: x[0] * y[-1:],
    "a gradient": lambda x, y: grad(lambda z: (z**3 * y).sum())(x),
    "a jacobian": lambda x, y: jacobian(lambda z: z * (z @ y))(x),
    "containers": lambda x, y: {"sum": x.sum(), "both": (x + y, [x.size])},
}  # fmt: skip


def same(a, b):
    """Equal to the bit, in the same containers and of the same kinds."""
    if isinstance(a, dict | tuple | list):
        assert type(a) is type(b)
        assert len(a) == len(b)
        for key in a if isinstance(a, dict) else range(len(a)):
            same(a[key], b[key])
        return
    assert (type(a), np.asarray(a).dtype) == (type(b), np.asarray(b).dtype)
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b), strict=True)


def stacked(results, axis=0):
    """The reference, container by container."""
    first = results[0]
    if isinstance(first, dict):
        return {key: stacked([r[key] for r in results], axis) for key in first}
    if isinstance(first, tuple | list):
        return type(first)([stacked(list(part), axis) for part in zip(*results, strict=True)])
    found = np.stack([np.asarray(r) for r in results], axis)
    return Tensor(found) if isinstance(first, Tensor) else found


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("made", [np.asarray, Tensor], ids=["arrays", "tensors"])
def test_it_is_the_loop_for_any_function_along_any_axis(name, made):
    f = FUNCTIONS[name]

    @FEW
    @given(
        st.integers(1, 5),
        st.integers(1, 4),
        st.sampled_from([0, 1, -1, -2]),
        st.booleans(),
        st.integers(0, 99),
    )
    def holds(n, size, axis, shared, seed):
        rng = np.random.default_rng(seed)
        xs, y = rng.standard_normal((n, size)), rng.standard_normal(size)
        ys = y if shared else rng.standard_normal((n, size))
        given_xs = made(np.moveaxis(xs, 0, axis))
        found = vmap(f, in_axes=(axis, None if shared else 0))(given_xs, made(ys))
        same(found, stacked([f(made(x), made(y if shared else ys[i])) for i, x in enumerate(xs)]))

    holds()


def test_gradients_of_each_example_are_those_of_each_loss_by_itself():
    def model(w, x, label):
        return gradcore.cross_entropy((np.tanh(x) @ w["w"] + w["b"]).reshape(1, -1), label.reshape(1))

    weights, labels = {"w": W, "b": np.zeros(2)}, np.array([0, 1, 1, 0])
    each = vmap(grad(model), in_axes=(None, 0, 0))(weights, X, labels)
    assert {key: g.shape for key, g in each.items()} == {"w": (4, 3, 2), "b": (4, 2)}
    for i in range(4):
        alone = grad(model)(weights, X[i], np.array(labels[i]))
        same({key: g[i] for key, g in each.items()}, alone)
    whole = grad(lambda w: gradcore.cross_entropy(np.tanh(X) @ w["w"] + w["b"], labels, "sum"))(weights)
    for key, g in whole.items():
        np.testing.assert_allclose(each[key].sum(0), g, rtol=1e-12, atol=1e-14)
    values, _ = vmap(value_and_grad(model), in_axes=(None, 0, 0))(weights, X, labels)
    assert values.shape == (4,)


def test_derivatives_pass_through_it():
    f = vmap(lambda x, w: np.tanh(x @ w) * (x[0] if x[0] > 0 else 2.0), in_axes=(0, None))
    assert gradcheck(f, (Tensor(X, requires_grad=True), Tensor(W, requires_grad=True)))
    for n in (1, 2, 3, 5, 8):
        x = Tensor(RNG.standard_normal((3, n)), requires_grad=True)
        (vmap(lambda row: row * row, in_axes=1)(x) * np.arange(n)[:, None]).sum().backward()
        np.testing.assert_allclose(x.grad, 2 * x.data * np.arange(n), rtol=1e-14)
    y, dy = jvp(vmap(lambda x: x.sum() ** 2), (X,), (np.ones_like(X),))
    np.testing.assert_allclose(dy.data, 2 * X.sum(1) * 3, rtol=1e-14)
    assert y.shape == (4,)


def test_it_nests_and_takes_containers_with_axes_of_their_own():
    outer = vmap(vmap(lambda a, b: a * b, in_axes=(None, 0)), in_axes=(0, None))
    same(outer(X[0], X[1]), np.outer(X[0], X[1]))
    pair = namedtuple("pair", "left right")
    f = lambda p, d: pair(p.left + d["x"], p.right @ d["y"][0])  # noqa: E731
    found = vmap(f, in_axes=((0, None), {"x": 1, "y": None}), out_axes=(1, 0))(
        pair(X, W.T), {"x": X.T, "y": [W[:, 0]]}
    )
    same(found, pair((X + X).T, np.stack([W.T @ W[:, 0]] * 4)))
    same(vmap(lambda x, k=1: x * k)(X, k=3), X * 3)


# --- where one call does for all --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(batched.ELEMENTWISE | batched.OF_MATRICES))
def test_an_op_that_is_called_once_gives_what_the_loop_gives(name):
    made = registry.ops[name]
    assert isinstance(made, Op)
    looped = vmap(lambda *arrays: made(*arrays))

    @FEW
    @given(st.data())
    def holds(data):
        drawn = [data.draw(st.sampled_from(made.spec.cases).flatmap(examples)) for _ in range(2)]
        first = drawn[0].arrays
        alike = [a.shape for a in first] == [a.shape for a in drawn[1].arrays]
        batch = [np.stack(pair) for pair in zip(first, drawn[alike].arrays, strict=True)]
        with np.errstate(all="ignore"):
            expected = looped(*batch)
            np.testing.assert_allclose(
                vmap(made)(*batch), expected, rtol=1e-6 if name in batched.OF_MATRICES else 1e-15
            )
            if len(batch) == 2:
                alone = vmap(lambda x: made(x, batch[1][0]))(batch[0])
                np.testing.assert_array_equal(vmap(made, in_axes=(0, None))(batch[0], batch[1][0]), alone)

    holds()


def counted(monkeypatch, op):
    calls, forward = [], op.forward
    monkeypatch.setattr(op, "forward", lambda *a, **p: calls.append(1) or forward(*a, **p))
    return calls


def test_only_what_is_listed_is_called_once(monkeypatch):
    calls = counted(monkeypatch, gradcore.maximum)
    vmap(gradcore.maximum)(X, X)
    assert len(calls) == 1
    vmap(lambda x, y: gradcore.maximum(x, y))(X, X)
    assert len(calls) == 5
    assert vmap(np.hypot, in_axes=(0, None), out_axes=1)(X, 1.0).shape == (3, 4)
    # What depends on other entries: matmul's axes are not those of its examples.
    same(vmap(np.matmul)(X, X), np.stack([x @ x for x in X]))
    same(vmap(gradcore.matmul, in_axes=(0, None))(X, W), np.stack([x @ W for x in X]))


def test_an_op_that_is_not_elementwise_would_be_detected_in_the_list(monkeypatch):
    monkeypatch.setattr(batched, "ELEMENTWISE", batched.ELEMENTWISE | {"matmul"})
    with pytest.raises((ValueError, AssertionError)):
        test_an_op_that_is_called_once_gives_what_the_loop_gives("matmul")


def test_a_vector_is_no_matrix_of_a_batch():
    with pytest.raises(ValueError, match="inv"):
        vmap(gradcore.inv)(np.eye(3))


# --- messages ---------------------------------------------------------------------------------------------------------

MESSAGES = {
    "no axis": (lambda: vmap(np.add)(X, 1.0), ShapeError, r"got 1.0, which has no axis of examples: say None for it"),
    "another axis": (lambda: vmap(abs, in_axes=2)(X), ShapeError, r"vmap got axis 2 of shape \(4, 3\)"),
    "nothing mapped": (lambda: vmap(abs, in_axes=None)(X), ArgumentError, r"vmap of abs got no argument with an axis"),
    "counts": (lambda: vmap(np.add)(X, W), ShapeError, r"arguments of \[4, 3\] examples along their axes"),
    "nothing": (lambda: vmap(abs)(X[:0]), ShapeError, r"vmap of abs got no examples"),
    "another form": (lambda: vmap(abs, in_axes=(0, 0))(X), ArgumentError, r"in_axes=\(0, 0\) does not fit a tuple of 1"),
    "no dict": (lambda: vmap(abs, in_axes=({"x": 0},))((X,)), ArgumentError, r"in_axes=\{'x': 0\} does not fit a tuple of 1"),
    "out of none": (lambda: vmap(lambda x: x, out_axes=None)(X), ArgumentError, r"out_axes=None: what f returns has an axis"),
    "shapes": (lambda: vmap(lambda x: x[x > 0])(X), ShapeError, r"stack got the shapes"),
    "containers": (lambda: vmap(lambda x: (x,) if x[0] > 0 else [x])(X), ArgumentError, r"got a \w+ of 1 for the first example and a \w+ of 1 for another"),
}  # fmt: skip


@pytest.mark.parametrize("name", MESSAGES)
def test_what_does_not_fit_is_refused(name):
    call, error, message = MESSAGES[name]
    with pytest.raises(error, match=message):
        call()

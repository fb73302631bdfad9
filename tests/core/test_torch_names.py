"""PyTorch's names: methods where they fit, and elsewhere an error that says what to write."""

import numpy as np
import pytest
from hypothesis import given, settings

import gradcore
from gradcheck.numeric.line import as_tuple
from gradcheck.strategies import examples
from gradcheck.verification import cases
from gradcore import Tensor, names, nn, optim
from gradcore.errors import ArgumentError, GraphError, ShapeError

X = np.arange(24.0).reshape(2, 3, 4)


def leaf(array=X):
    return Tensor(np.array(array), requires_grad=True)


METHODS = {
    "view": (lambda x: x.view(4, 6), X.reshape(4, 6)),
    "view with -1": (lambda x: x.view((-1, 2)), X.reshape(-1, 2)),
    "permute": (lambda x: x.permute(2, 0, 1), X.transpose(2, 0, 1)),
    "permute by a tuple": (lambda x: x.permute((2, 0, -2)), X.transpose(2, 0, 1)),
    "flatten": (lambda x: x.flatten(), X.ravel()),
    "flatten from 1": (lambda x: x.flatten(1), X.reshape(2, 12)),
    "flatten from 0 to 1": (lambda x: x.flatten(0, 1), X.reshape(6, 4)),
    "flatten a number": (lambda x: x[0, 0, 1].flatten(), X[0, 0, 1].ravel()),
    "squeeze": (lambda x: x[:1, :, :1].squeeze(), X[0, :, 0]),
    "squeeze one axis": (lambda x: x[:1, :, :1].squeeze(-1), X[:1, :, 0]),
    "squeeze two axes": (lambda x: x[:1, :, :1].squeeze((0, 2)), X[0, :, 0]),
    "squeeze dim=": (lambda x: x[:1, :, :1].squeeze(dim=0), X[0, :, :1]),
    "unsqueeze": (lambda x: x.unsqueeze(1), X[:, None]),
    "unsqueeze at the end": (lambda x: x.unsqueeze(-1), X[..., None]),
    "unsqueeze dim=": (lambda x: x.unsqueeze(dim=0), X[None]),
    "swapaxes": (lambda x: x.swapaxes(0, -1), X.swapaxes(0, -1)),
    "t": (lambda x: x[0].t(), X[0].T),
    "t of a vector": (lambda x: x[0, 0].t(), X[0, 0]),
    "clone": (lambda x: x.clone(), X),
    "sum dim=": (lambda x: x.sum(dim=1), X.sum(1)),
    "sum keepdim=": (lambda x: x.sum(dim=(0, 2), keepdim=True), X.sum((0, 2), keepdims=True)),
    "mean dim=": (lambda x: x.mean(dim=-1, keepdim=True), X.mean(-1, keepdims=True)),
    "mean as a function": (lambda x: gradcore.mean(x, dim=0), X.mean(0)),
    "sum as a function": (lambda x: gradcore.sum(x, dim=0), X.sum(0)),
    "logsumexp dim=": (lambda x: x.logsumexp(dim=0), np.logaddexp(X[0], X[1])),
    "softmax dim=": (lambda x: x.softmax(dim=0), np.exp(X) / np.exp(X).sum(0)),
    "concatenate dim=": (lambda x: gradcore.concatenate([x, x], dim=1), np.concatenate([X, X], 1)),
}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_a_name_of_pytorchs_does_what_its_users_expect(name):
    call, expected = METHODS[name]
    x = leaf()
    y = call(x)
    assert y.shape == expected.shape
    np.testing.assert_allclose(y.data, expected, rtol=1e-14)
    assert y.requires_grad
    y.sum().backward()
    assert x.grad.shape == X.shape


WITH_AXIS = [
    u for u in cases.ops() if "axis" in u.case.params and u.name not in ("max", "min", "concatenate")
]


@pytest.mark.parametrize("unit", WITH_AXIS, ids=lambda u: u.id)
def test_an_axis_of_every_op_comes_as_dim_too(unit):
    @settings(max_examples=5)
    @given(examples(unit.case))
    def same(example):
        theirs = {{"axis": "dim", "keepdims": "keepdim"}.get(n, n): v for n, v in example.params.items()}
        assert "dim" in theirs
        with np.errstate(all="ignore"):
            expected, found = (
                unit.entry(*example.arrays, **example.params),
                unit.entry(*example.arrays, **theirs),
            )
        for mine, other in zip(as_tuple(found), as_tuple(expected), strict=True):
            np.testing.assert_array_equal(mine, other)

    same()


def test_what_is_recorded_under_dim_is_differentiated_along_that_axis():
    x = leaf()
    (x.sum(dim=1) * X.sum(1)).sum().backward()
    np.testing.assert_array_equal(x.grad, np.broadcast_to(X.sum(1)[:, None], X.shape))


def test_a_clone_is_a_copy_and_numpy_is_the_array_itself():
    x = Tensor(np.zeros(2))
    assert not np.shares_memory(x.clone().data, x.data)
    assert x.numpy() is x.data
    with pytest.raises(
        GraphError, match=r"numpy\(\) of a tensor that requires a gradient: write x\.detach\(\)\.numpy\(\)"
    ):
        leaf().numpy()


def test_places_and_sizes_are_whole_numbers():
    x = leaf([[3.0, 1.0], [2.0, 5.0]])
    assert x.argmax() == 3
    assert x.argmax(1).tolist() == x.argmax(dim=1).tolist() == [0, 1]
    assert x.argmin(axis=0, keepdims=True).tolist() == x.argmin(dim=0, keepdim=True).tolist() == [[1, 0]]
    assert type(x.argmax(1)) is np.ndarray
    assert np.argmax(x, 1, keepdims=True).tolist() == x.argmax(1, keepdims=True).tolist() == [[0], [1]]
    assert (x.dim(), x.numel()) == (2, 4)


REFUSED = {
    "squeeze": (lambda x: x.squeeze(1), ShapeError, r"squeeze got axis 1 of shape \(2, 3, 4\), whose size is 3, not 1"),
    "squeeze out of range": (lambda x: x.squeeze(3), ShapeError, r"squeeze got axis 3 of .*axes go from -3 to 2"),
    "unsqueeze": (lambda x: x.unsqueeze(5), ShapeError, r"unsqueeze got axis 5 of .*axes go from -4 to 3"),
    "t": (lambda x: x.t(), ShapeError, r"t\(\) transposes a matrix.*\(2, 3, 4\): write x\.swapaxes\(-1, -2\)"),
    "transpose of two": (lambda x: x.transpose(1, 2), ShapeError, r"not a permutation.*x\.swapaxes\(a, b\)"),
    "max": (lambda x: x.max(dim=1), ArgumentError, r"max with dim= gives values and places.*x\.max\(axis=1\).*x\.argmax\(axis=1\)"),
    "min": (lambda x: x.min(dim=0), ArgumentError, r"x\.min\(axis=0\).*x\.argmin\(axis=0\)"),
    "both": (lambda x: x.sum(dim=1, axis=1), ArgumentError, "sum got both axis and dim, which are one parameter: leave dim out"),
    "no such": (lambda x: gradcore.relu(x, dim=1), ArgumentError, "relu takes no dim: its parameters are arrays alone"),
    "no such of mean": (lambda x: x.mean(dims=1), ArgumentError, "mean takes no dims: its parameters are x, axis, keepdims"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_call_that_means_something_else_there_is_refused(name):
    call, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        call(leaf())


OWNERS = {
    "Tensor": (leaf, names.TENSOR, "Tensor has no "),
    "nn.Module": (lambda: nn.Linear(2, 3), names.MODULE, "nn.Module has no "),
    "Optimizer": (lambda: optim.SGD([leaf()]), names.OPTIMIZER, "Optimizer has no "),
    "gradcore": (lambda: gradcore, names.PACKAGE, "module 'gradcore' has no attribute "),
    "nn": (lambda: nn, names.NN, "module 'gradcore.nn' has no attribute "),
    "optim": (lambda: optim, names.OPTIM, "module 'gradcore.optim' has no attribute "),
    "schedules": (
        lambda: optim.schedules,
        names.SCHEDULES,
        "module 'gradcore.optim.schedules' has no attribute ",
    ),
    "lr_scheduler": (
        lambda: optim.lr_scheduler,
        names.LR_SCHEDULER,
        "module 'gradcore.optim.lr_scheduler' has no attribute ",
    ),
}


@pytest.mark.parametrize(("owner", "name"), [(o, n) for o, (_, hints, _) in OWNERS.items() for n in hints])
def test_another_name_of_pytorchs_is_answered_with_ours(owner, name):
    make, hints, start = OWNERS[owner]
    value = make()
    assert not hasattr(value, name)
    with pytest.raises(AttributeError) as caught:
        getattr(value, name)
    assert str(caught.value).startswith(start)
    assert str(caught.value).endswith(f": {hints[name]}")
    assert name not in dir(value)


def test_there_are_names_to_answer():
    assert sum(len(hints) for _, hints, _ in OWNERS.values()) > 100


def test_a_name_that_nobody_knows_is_answered_as_python_does():
    for value in (leaf(), nn, gradcore, optim.schedules):
        with pytest.raises(AttributeError, match=r"has no attribute 'xyz'$"):
            value.xyz
    assert "has no cuda: everything is on the CPU" in repr(Tensor.cuda)


def test_a_subclass_may_use_such_a_name_itself():
    class Mine(nn.Module):
        def __init__(self):
            super().__init__()
            self.to = 3

        def modules(self):
            return 4

    assert (Mine().to, Mine().modules()) == (3, 4)


def test_functional_holds_the_functions_of_gradcore_itself():
    for name in nn.functional.__all__:
        assert getattr(nn.functional, name) is getattr(gradcore, name)

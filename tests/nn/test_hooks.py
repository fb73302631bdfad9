"""Hooks, `apply`, freezing, `summary` and `ParameterList`."""

import copy

import numpy as np
import pytest

import gradcore
from gradcore import Tensor, nn, optim
from gradcore.errors import ArgumentError, DtypeError, GraphError

X = np.ones((3, 2))


def test_hooks_see_inputs_and_outputs_in_order_until_they_are_removed():
    model, seen = nn.Linear(2, 1, rng=0), []
    first = model.register_forward_hook(lambda module, inputs, output: seen.append((module, inputs, output)))
    with model.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs)):
        y = model(X)
    assert seen[0][0] is X
    assert seen[1] == (model, seen[0], y)
    model(X)
    assert len(seen) == 3
    first.remove()
    first.remove()
    model(X)
    assert len(seen) == 3


def test_a_hook_that_is_registered_twice_is_removed_once():
    model, seen = nn.Linear(2, 1, rng=0), []

    def hook(*_):
        seen.append(1)

    handles = [model.register_forward_hook(one) for one in (hook, lambda *_: None, hook)]
    handles[0].remove()
    model(X)
    assert len(seen) == 1


def test_what_hooks_return_takes_the_place_of_inputs_and_output():
    model = nn.Sequential(nn.Identity(), nn.Softplus(beta=2.0))
    model[0].register_forward_pre_hook(lambda _module, inputs: 2 * inputs[0])
    model[0].register_forward_pre_hook(lambda _module, inputs: (inputs[0] + 1,))
    model[1].register_forward_hook(lambda _module, inputs, output: (inputs[0], output))
    before, after = model(X)
    np.testing.assert_array_equal(before, 2 * X + 1)
    np.testing.assert_allclose(after, np.log1p(np.exp(2 * before)) / 2)


def test_gradients_go_through_what_a_hook_returns():
    model = nn.Linear(2, 1, rng=0)
    model.register_forward_hook(lambda _module, _inputs, output: 3 * output)
    model(X).sum().backward()
    np.testing.assert_allclose(model.weight.grad, [[9], [9]])


def test_a_hook_does_not_get_into_the_state_and_is_copied_with_the_model():
    model = nn.Linear(2, 1, rng=0)
    model.register_forward_hook(lambda _module, _inputs, output: 0 * output)
    assert list(model.state_dict()) == ["weight", "bias"]
    other = copy.deepcopy(model)
    assert not other(X).data.any()
    assert "_hooks" not in repr(model)


def test_a_hook_that_can_not_be_called_is_refused():
    with pytest.raises(TypeError, match="a hook is a function, and 3 can't be called"):
        nn.ReLU().register_forward_hook(3)


def test_a_forward_that_returns_none_is_refused_before_a_hook_sees_it():
    class Nothing(nn.Module):
        def forward(self, x):
            pass

    model = Nothing()
    model.register_forward_hook(lambda _module, _inputs, output: X)
    with pytest.raises(ArgumentError, match="returned None"):
        model(X)


def test_apply_reaches_every_module_children_first():
    model, seen = nn.Sequential(nn.Sequential(nn.ReLU()), nn.Tanh()), []
    assert model.apply(lambda module: seen.append(type(module).__name__)) is model
    assert seen == ["ReLU", "Sequential", "Tanh", "Sequential"]


def test_a_frozen_part_gets_no_gradient_and_is_not_trained():
    model = nn.Sequential(nn.Linear(2, 3, rng=0), nn.Linear(3, 1, rng=1))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    model(X).sum().backward()
    assert model[0].requires_grad_(False) is model[0]
    before = model.state_dict()
    model(X).sum().backward()
    assert model[0].weight.grad is None
    optimizer.step()
    changed = [name for name, array in model.state_dict().items() if (array != before[name]).any()]
    assert changed == ["1.weight", "1.bias"]
    model.requires_grad_()
    model(X).sum().backward()
    assert model[0].weight.grad is not None


def test_only_floating_leaves_are_made_to_require_a_gradient():
    x = Tensor(np.ones(2))
    assert x.requires_grad_() is x
    assert x.requires_grad
    assert not x.requires_grad_(False).requires_grad
    with pytest.raises(GraphError, match=r"result of an op: write y = x\.detach\(\)"):
        (x.requires_grad_() * 2).requires_grad_(False)
    with pytest.raises(DtypeError, match="only floating tensors take a gradient, and this one is int64"):
        Tensor(np.ones(2, int)).requires_grad_()


def test_a_summary_has_shapes_and_counts_and_leaves_the_model_as_it_was():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout(0.5, rng=0))
    model[2].eval()
    before = model.state_dict()
    lines = nn.summary(model, X).splitlines()
    assert [line.split() for line in lines] == [
        ["name", "module", "output", "parameters"],
        ["0", "Linear(2", "->", "3)", "(3,", "3)", "9"],
        ["1", "BatchNorm1d(3)", "(3,", "3)", "6"],
        ["2", "Dropout(p=0.5)", "(3,", "3)", "0"],
        ["Sequential()", "(3,", "3)", "15"],
    ]
    assert [m.training for _, m in model.named_modules()] == [True, True, True, False]
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert not any(hooks.after for m in model for hooks in [vars(m)["_hooks"]])


def test_the_columns_of_a_summary_are_as_wide_as_their_widest_entry():
    assert nn.summary(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), X).splitlines() == [
        "name  module          output  parameters",
        "0     Linear(2 -> 3)  (3, 3)           9",
        "1     ReLU()          (3, 3)           0",
        "      Sequential()    (3, 3)           9",
    ]


def test_a_summary_has_the_shapes_of_a_list_of_outputs():
    class Pair(nn.Module):
        def forward(self, x):
            return [x, [x[0], 1]]

    assert "[" not in nn.summary(Pair(), X)
    assert "((3, 2), ((2,), -))" in nn.summary(Pair(), X)


def test_a_summary_of_several_outputs_and_of_a_module_that_is_not_called():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.steps = nn.GRU(2, 3, rng=0)
            self.unused = nn.ReLU()

        def forward(self, x):
            return self.steps(x)[0]

    text = nn.summary(Both(), np.ones((4, 1, 2)))
    assert "((4, 1, 3), (1, 1, 3))" in text
    assert any(line.split() == ["unused", "ReLU()", "0"] for line in text.splitlines())


def test_a_summary_takes_its_hooks_off_where_the_model_fails():
    model = nn.Linear(2, 1)
    with pytest.raises(gradcore.errors.ShapeError):
        nn.summary(model, np.ones((1, 3)))
    assert not vars(model)["_hooks"].after
    assert model.training


def test_a_parameter_list_is_a_list_whose_entries_are_trained_and_saved():
    class Polynomial(nn.Module):
        def __init__(self):
            super().__init__()
            self.factors = nn.ParameterList([Tensor(np.ones(1)), Tensor(np.zeros(1))])
            self.factors.extend([Tensor(np.full(1, 2.0))])

        def forward(self, x):
            return sum(factor * x**k for k, factor in enumerate(self.factors))

    model = Polynomial()
    assert list(model.state_dict()) == ["factors.0", "factors.1", "factors.2"]
    assert len(model.factors) == 3
    assert model.factors[-1].data.tolist() == [2]
    model(np.array([3.0])).sum().backward()
    assert [p.grad.tolist() for p in model.parameters()] == [[1], [3], [9]]
    with pytest.raises(
        TypeError, match=r"ParameterList takes Tensors, and entry 3 is 1: write gradcore\.Tensor"
    ):
        model.factors.append(1)

"""Optimizers: what they keep from step to step, and what they refuse when they are made."""

import numpy as np
import pytest
from optimizers import ALL, parameter

from gradcore import Tensor, nn, optim, registry
from gradcore.errors import ArgumentError, DomainError, GraphError, StateError
from gradcore.optim import SGD, Adam, AdamW, RMSprop

# --- state ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_a_state_saved_and_loaded_goes_on_to_the_bit(name):
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(6, 3))

    def trained(reload_at=None):
        p = parameter([1.0, 2.0, 3.0])
        optimizer = ALL[name]([p])
        for step, g in enumerate(gradients):
            if step == reload_at:
                state = optimizer.state_dict()
                optimizer = type(optimizer)([p])
                optimizer.load_state_dict(state)
            p.grad = g.copy()
            optimizer.step()
        return p.data

    np.testing.assert_array_equal(trained(), trained(reload_at=3))


def test_a_state_is_a_copy():
    p = parameter([1.0])
    optimizer = Adam([p])
    p.grad = np.ones(1)
    optimizer.step()
    state = optimizer.state_dict()
    before = state["0.sum"].copy()
    optimizer.step()
    np.testing.assert_array_equal(state["0.sum"], before)
    assert state["steps"] == [1]
    other = Adam([p])
    other.load_state_dict(state)
    other.step()
    np.testing.assert_array_equal(state["0.sum"], before)
    assert state["steps"] == [1]


def test_a_state_holds_hyperparameters_steps_and_running_values():
    p = parameter([1.0])
    p.grad = np.ones(1)
    optimizer = Adam([p], lr=0.25)
    assert set(optimizer.state_dict()) == {"lr", "betas", "eps", "weight_decay", "amsgrad", "steps"}
    optimizer.step()
    assert set(optimizer.state_dict()) == {
        "lr",
        "betas",
        "eps",
        "weight_decay",
        "amsgrad",
        "steps",
        "0.sum",
        "0.square_sum",
    }
    fresh = Adam([p])
    fresh.load_state_dict(optimizer.state_dict())
    assert fresh.lr == 0.25


def adam_state(**changes):
    p = parameter([1.0, 2.0])
    p.grad = np.ones(2)
    optimizer = Adam([p])
    optimizer.step()
    state = {**optimizer.state_dict(), **changes}
    return {name: value for name, value in state.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": None}, "it lacks lr"),
        ({"steps": None, "eps": None}, "it lacks eps, steps"),
        ({"0.sum": None}, r"missing: 0\.sum, float64 \(2,\)"),
        ({"1.sum": np.zeros(2)}, r"unexpected: 1\.sum, float64 \(2,\)"),
        ({"0.velocity": np.zeros(2)}, r"unexpected: 0\.velocity"),
        ({"0.sum": np.zeros(3)}, r"different: 0\.sum, expected float64 \(2,\), got float64 \(3,\)"),
        (
            {"0.sum": np.zeros(2, np.float32)},
            r"different: 0\.sum, expected float64 \(2,\), got float32 \(2,\)",
        ),
        ({"steps": [1, 1]}, "it is the state of 2 parameters, and the optimizer has 1"),
        ({"steps": 1}, "steps=1 is not a list of whole numbers of at least 0"),
        ({"steps": [[1], [1, 2]]}, "is not a list of whole numbers"),
        ({"steps": [0.5]}, "is not a list of whole numbers"),
        ({"steps": [-1]}, "is not a list of whole numbers"),
        ({"steps": [1, -1]}, "is not a list of whole numbers"),
        ({"steps": [0]}, r"unexpected: 0\.square_sum"),
        ({"0.sum": None, "0.square_sum": None}, r"missing: 0\.sum.*missing: 0\.square_sum"),
        ({"0.sum": "a word"}, r"different: 0\.sum, expected float64 \(2,\)"),
        ({"lr": -1.0, "0.sum": np.ones(2)}, r"lr=-1\.0 is out of range"),
        ({"betas": [0.9]}, r"betas=\[0\.9\] is not a pair of numbers"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(changes, message):
    p = parameter([1.0, 2.0])
    optimizer = Adam([p], lr=0.5)
    p.grad = np.ones(2)
    optimizer.step()
    before = optimizer.state_dict()
    with pytest.raises(StateError, match=r"(?s)this state does not fit Adam.*" + message):
        optimizer.load_state_dict(adam_state(**changes))
    after = optimizer.state_dict()
    assert before.keys() == after.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value)


# --- construction -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: SGD(p, lr=-0.1), r"lr=-0\.1 is out of range: it must be a number with 0\.0 <= lr < inf"),
        (lambda p: SGD(p, lr=float("nan")), "lr=nan is out of range"),
        (lambda p: SGD(p, lr=float("inf")), "lr=inf is out of range"),
        (lambda p: SGD(p, lr="0.1"), "lr='0.1' is out of range"),
        (lambda p: SGD(p, momentum=1.0), r"momentum=1\.0 is out of range.*momentum < 1\.0"),
        (lambda p: SGD(p, weight_decay=-1), "weight_decay=-1"),
        (lambda p: RMSprop(p, alpha=1.0), r"alpha=1\.0"),
        (lambda p: RMSprop(p, momentum=1.0), r"momentum=1\.0"),
        (lambda p: RMSprop(p, eps=-1), "eps=-1"),
        (lambda p: Adam(p, betas=(1.0, 0.9)), r"betas\[0\]=1\.0"),
        (lambda p: Adam(p, betas=(0.9, -0.1)), r"betas\[1\]=-0\.1"),
        (lambda p: Adam(p, betas=(0.9, 1.0)), r"betas\[1\]=1\.0"),
        (
            lambda p: Adam(p, betas=0.9),
            r"betas=0\.9 is not a pair of numbers: pass two, such as \(0\.9, 0\.999\)",
        ),
        (lambda p: SGD(p, nesterov="yes"), "nesterov='yes' is neither True nor False"),
        (lambda p: AdamW(p, weight_decay=-0.1), r"weight_decay=-0\.1"),
    ],
)
def test_a_hyperparameter_out_of_range_is_refused_by_name(make, message):
    with pytest.raises(DomainError, match=message):
        make([parameter([1.0])])


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (optim.SGD, "momentum"),
        (optim.RMSprop, "alpha"),
        (optim.RMSprop, "momentum"),
        (optim.Adadelta, "rho"),
        (optim.Muon, "momentum"),
    ],
)
def test_a_part_of_what_was_before_is_below_one(cls, name):
    for part in (1.0, 1.5):
        with pytest.raises(DomainError, match=rf"^{name}={part} is out of range"):
            cls([parameter([[1.0]])], **{name: part})
    assert getattr(cls([parameter([[1.0]])], **{name: 0.999}), name) == 0.999


def test_lbfgs_alone_takes_a_closure():
    assert [name for name, cls in vars(optim).items() if getattr(cls, "takes_closure", False)] == ["LBFGS"]


def test_hyperparameters_may_be_numbers_of_python_or_numpy_from_zero_on():
    for lr in (0, 0.0, 1, 0.5, np.float32(0.5), np.int64(1)):
        optimizer = SGD([parameter([1.0])], lr=lr)
        assert (type(optimizer.lr), optimizer.lr) == (float, lr)
    for nesterov in (True, False, np.True_, np.False_):
        optimizer = SGD([parameter([1.0])], momentum=0.5, nesterov=nesterov)
        assert optimizer.nesterov is bool(nesterov)


@pytest.mark.parametrize("cls", registry.optimizers.values(), ids=registry.optimizers)
def test_hyperparameters_nobody_passes_are_the_references(cls):
    optimizer = cls([parameter([[1.0]])])
    found = {name: getattr(optimizer, name) for name in cls.hyper}
    assert found == cls.spec.reference.__kwdefaults__


def test_unusable_parameters_are_refused_and_told_what_a_parameter_is():
    p = parameter([1.0])
    with pytest.raises(GraphError, match=r"SGD got no parameters: pass model\.parameters\(\)"):
        SGD([])
    with pytest.raises(
        GraphError, match="as parameter 1: a parameter is a Tensor made with requires_grad=True"
    ):
        SGD([p, Tensor([1.0])])
    with pytest.raises(GraphError, match="not the result of an operation"):
        SGD([p * 2])
    with pytest.raises(GraphError, match="as parameter 0"):
        SGD([np.zeros(2)])
    with pytest.raises(ArgumentError, match=r"SGD got one Tensor: pass a list of them, SGD\(\[x\]\)"):
        SGD(p)
    with pytest.raises(GraphError, match="the same parameter twice"):
        SGD([p, p])


def test_the_repr_shows_the_hyperparameters():
    assert (
        repr(SGD([parameter([1.0])], lr=0.5, momentum=0.9))
        == "SGD(1 parameters, lr=0.5, momentum=0.9, nesterov=False, weight_decay=0.0)"
    )


def test_a_model_trains_a_step_with_every_registered_optimizer():
    for cls in registry.optimizers.values():
        model = nn.mlp((4, 3, 2), rng=0)
        before = model.state_dict()
        optimizer = cls([p for p in model.parameters() if p.ndim >= cls.spec.least_ndim])
        (model(np.ones((2, 4), np.float32)) ** 2).sum().backward()
        optimizer.step()
        after = model.state_dict()
        assert any(not np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("steps", [(1,), np.array([1]), [np.int64(1)], [1]])
def test_steps_may_be_any_sequence_of_whole_numbers(steps):
    optimizer = Adam([parameter([1.0, 2.0])])
    optimizer.load_state_dict(adam_state(steps=steps))
    assert type(optimizer.steps) is list
    assert [type(n) for n in optimizer.steps] == [int]
    assert optimizer.steps == [1]

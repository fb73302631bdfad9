"""Groups of parameters: each moves by its own hyperparameters, as it would with an optimizer of its own."""

import copy
import inspect
from typing import ClassVar

import numpy as np
import pytest
from optimizers import parameter

from gradcore import Tensor, nn, optim, registry
from gradcore.errors import ArgumentError, DomainError, GraphError, StateError
from gradcore.optim import SGD, Adam, NAdam, Optimizer, states

SHAPES = [(2, 3), (3, 2), (1, 4)]
EACH = pytest.mark.parametrize("cls", registry.optimizers.values(), ids=registry.optimizers)


def three():
    rng = np.random.default_rng(0)
    return [Tensor(rng.normal(size=shape), requires_grad=True) for shape in SHAPES]


def in_groups(cls, params):
    return cls([{"params": params[:1], "lr": 0.25}, {"params": params[1:], "weight_decay": 0.25}], lr=0.5)


def step(optimizers, params, t):
    rng = np.random.default_rng(t)
    for i, p in enumerate(params):
        g = rng.normal(size=p.shape)
        p.grad = None if t == i else g  # each is left out once, so that counts of steps differ
    for optimizer in optimizers:
        optimizer.step()


@EACH
def test_a_group_moves_as_with_an_optimizer_of_its_own(cls):
    together, alone = three(), three()
    grouped = in_groups(cls, together)
    own = [cls(alone[:1], lr=0.25), cls(alone[1:], lr=0.5, weight_decay=0.25)]
    for t in range(5):
        step([grouped], together, t)
        step(own, alone, t)
        if t == 2:
            grouped.param_groups[1].lr = own[1].lr = 0.125
            grouped.param_groups[0]["lr"] = own[0]["lr"] = 0.75
    for p, q in zip(together, alone, strict=True):
        np.testing.assert_array_equal(p.data, q.data)
    grouped.zero_grad()
    assert [p.grad for p in together] == [None] * 3


@EACH
def test_a_state_of_groups_goes_on_to_the_bit(cls):
    def trained(reload_at=None):
        params = three()
        optimizer = in_groups(cls, params)
        for t in range(5):
            if t == reload_at:
                state = optimizer.state_dict()
                optimizer = cls([{"params": params[:1]}, {"params": params[1:]}])
                optimizer.load_state_dict(state)
            step([optimizer], params, t)
        assert optimizer.lrs == (0.25, 0.5)
        assert [group.weight_decay for group in optimizer.param_groups][1] == 0.25
        return params

    for p, q in zip(trained(), trained(2), strict=True):
        np.testing.assert_array_equal(p.data, q.data)


def test_a_group_that_is_not_loaded_shows():
    """The check above can fail."""

    class Forgets(Adam):
        def load_state_dict(self, state):
            super().load_state_dict(state)
            for group in self.param_groups[1:]:
                group.steps = [0] * len(group.steps)

    with pytest.raises(AssertionError):
        test_a_state_of_groups_goes_on_to_the_bit(Forgets)


def test_a_group_that_takes_the_firsts_lr_shows():
    class First(SGD):
        def step(self):
            for group in self._groups[1:]:
                group.lr = self._groups[0].lr
            super().step()

    with pytest.raises(AssertionError):
        test_a_group_moves_as_with_an_optimizer_of_its_own(First)


def test_one_group_is_the_optimizer_itself():
    a, b = parameter([1.0]), parameter([2.0])
    optimizer = SGD([{"params": a, "lr": 0.5}], momentum=0.5)
    assert optimizer.param_groups == (optimizer,)
    assert (optimizer.lr, optimizer["lr"], optimizer["params"], optimizer.lrs) == (0.5, 0.5, [a], (0.5,))
    assert "groups" not in optimizer.state_dict()
    optimizer.lrs = [0.25]
    assert optimizer.lr == 0.25
    assert SGD(iter([{"params": iter([a])}, {"params": (b,)}])).params == [a, b]


def test_what_groups_have_in_common_is_an_attribute_and_what_not_is_refused():
    optimizer = in_groups(SGD, three())
    assert optimizer.momentum == 0.0
    optimizer.momentum = 0.5
    assert [group.momentum for group in optimizer.param_groups] == [0.5, 0.5]
    message = r"groups of this SGD differ in lr: 0\.25, 0\.5\. Read and set it by group, as in optimizer\.param_groups\[0\]\.lr"
    with pytest.raises(AttributeError, match=message):
        optimizer.lr
    with pytest.raises(AttributeError, match=message):
        optimizer.lr = 0.1
    optimizer.lrs = (1.0, 1.0)
    assert optimizer.lr == 1.0
    with pytest.raises(DomainError, match="momentum=2 is out of range"):
        optimizer.momentum = 2
    assert optimizer.momentum == 0.5
    with pytest.raises(ArgumentError, match="SGD has 2 groups of parameters, and got 1 for lr"):
        optimizer.lrs = [0.1]
    assert repr(in_groups(SGD, three())) == (
        "SGD(3 parameters in 2 groups, lr=0.25 / 0.5, momentum=0.0, nesterov=False, weight_decay=0.0 / 0.25)"
    )
    with pytest.raises(TypeError):
        iter(optimizer)


def test_a_class_whose_instances_had_groups_may_be_looked_at():
    """What groups have in common is read through the class: `help` and `inspect` ask it without an instance."""

    class Own(SGD):
        hyper: ClassVar = {**SGD.hyper, "own": lambda name, value: value}

        def __init__(self, params, own=1.0):
            Optimizer.__init__(self, params, lr=0.1, momentum=0.0, nesterov=False, weight_decay=0.0, own=own)

    made = Own([{"params": [parameter([1.0])]}, {"params": [parameter([2.0])]}], own=3.0)
    assert made.own == 3.0
    made.param_groups[1].own = 4.0
    with pytest.raises(AttributeError, match=r"the groups of this Own differ in own: 3\.0, 4\.0\."):
        _ = made.own
    assert not isinstance(Own.own, float)
    assert "own" in dict(inspect.getmembers(Own))


def test_what_groups_have_is_no_attribute_of_other_optimizers():
    in_groups(Adam, three())
    other = optim.RAdam(three())
    assert not hasattr(other, "amsgrad")
    with pytest.raises(AttributeError, match="'RAdam' object has no attribute 'amsgrad'"):
        other.amsgrad
    assert Adam(three()).lr == 1e-3


def test_a_hyperparameter_that_contradicts_one_group_changes_none():
    a, b = parameter([1.0]), parameter([1.0])
    optimizer = SGD([{"params": a, "momentum": 0.5}, {"params": b}])
    with pytest.raises(DomainError, match="nesterov=True changes nothing without momentum"):
        optimizer.nesterov = True
    assert optimizer.nesterov is False


def test_a_group_may_be_added_later():
    a, b, c = params = three()
    alone = three()
    optimizer = NAdam([a], lr=0.5)
    own = [NAdam([p], lr=lr) for p, lr in zip(alone, (0.5, 0.125, 0.5), strict=True)]
    step([optimizer], params[:1], 7)
    step(own[:1], alone[:1], 7)
    optimizer.add_param_group({"params": b, "lr": 0.125})
    optimizer.add_param_group({"params": [c]})
    assert [p is q for p, q in zip(optimizer.params, params, strict=True)] == [True] * 3
    assert optimizer.lrs == (0.5, 0.125, 0.5)
    for t in (5, 6):
        step([optimizer], params, t)
        step(own, alone, t)
    for p, q in zip(params, alone, strict=True):
        np.testing.assert_array_equal(p.data, q.data)
    before = repr(optimizer)
    with pytest.raises(GraphError, match="the same parameter twice"):
        optimizer.add_param_group({"params": [b]})
    with pytest.raises(DomainError, match="lr=-1"):
        optimizer.add_param_group({"params": [parameter([1.0])], "lr": -1})
    with pytest.raises(GraphError, match="as parameter 0"):
        optimizer.add_param_group({"params": [b * 2]})
    assert repr(optimizer) == before


def test_a_copy_of_an_optimizer_of_groups_is_one_of_its_own():
    params = three()
    optimizer = in_groups(Adam, params)
    step([optimizer], params, 7)
    other = copy.deepcopy(optimizer)
    before = [p.data.copy() for p in params]
    for p in other.params:
        p.grad = np.ones(p.shape)
    other.step()
    for p, q, x in zip(params, other.params, before, strict=True):
        np.testing.assert_array_equal(p.data, x)
        assert (q.data != x).all()


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda a, b: [{"params": [a]}, {"params": [b, a]}], GraphError, "got the same parameter twice"),
        (lambda a, b: [{"params": [a]}, {"params": []}], GraphError, "got no parameters in group 1: leave it out"),
        (lambda a, b: [{"params": [a]}, {"lr": 0.1}], ArgumentError, "a group of parameters without \"params\", with 'lr'"),
        (lambda a, b: [{}], ArgumentError, "without \"params\", with nothing: write"),
        (lambda a, b: [{"params": [a]}, b], ArgumentError, "got groups of parameters and, as entry 1, Tensor"),
        (lambda a, b: [a, {"params": [b]}], ArgumentError, "and, as entry 0, Tensor"),
        (lambda a, b: {"params": [a]}, ArgumentError, r"got a dict: pass a list of groups, SGD\(\[\{\"params\": \[...\]\}\]\)"),
        (lambda a, b: [{"params": {a}}], ArgumentError, "got a set as the parameters of group 0"),
        (lambda a, b: [{"params": b}, {"params": frozenset([a])}], ArgumentError, "got a set as the parameters of group 1"),
        (lambda a, b: [{"params": nn.Linear(2, 3)}], ArgumentError, "got a model, Linear: pass its parameters"),
        (lambda a, b: [{"params": [a * 2]}, {"params": b}], GraphError, "as parameter 0: a parameter is a Tensor"),
        (lambda a, b: [{"params": a, "lr": -1}, {"params": b}], DomainError, "lr=-1 is out of range"),
        (lambda a, b: [{"params": a, "learning_rate": 1}], ArgumentError, "no hyperparameter 'learning_rate': did you mean lr"),
        (lambda a, b: [{"params": a, "betas": 1}], ArgumentError, "no hyperparameter 'betas': it has lr, momentum"),
        (lambda a, b: [{"params": a, 3: 1}], ArgumentError, "no hyperparameter 3"),
    ],
)  # fmt: skip
def test_groups_that_can_not_be_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        SGD(make(parameter([1.0]), parameter([2.0])))


def test_a_name_that_no_group_has_is_refused():
    group = in_groups(SGD, three()).param_groups[0]
    with pytest.raises(
        ArgumentError, match="SGD has no hyperparameter 'weightdecay': did you mean weight_decay"
    ):
        group["weightdecay"] = 1.0
    with pytest.raises(ArgumentError, match="SGD has no hyperparameter 'step'"):
        group["step"]
    with pytest.raises(ArgumentError, match="SGD has no hyperparameter 'params'"):
        group["params"] = []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.update(groups=s["groups"][:1]), "it is the state of 1 groups of parameters, and the optimizer has 2"),
        (lambda s: s.update(groups=(*s["groups"], {})), "it is the state of 3 groups of parameters, and the optimizer has 2"),
        (lambda s: s.update(groups="ab"), "it is the state of 'ab' for groups of parameters"),
        (lambda s: s.update(groups=[1, 2]), "expected hyperparameters and steps of a group, got 1"),
        (lambda s: s["groups"][1].pop("lr"), "it lacks lr"),
        (lambda s: s["groups"][1].update(lr=-1), "lr=-1 is out of range"),
        (lambda s: s["groups"][1].update(steps=[1]), "it is the state of 1 parameters, and the optimizer has 2"),
        (lambda s: s.pop("2.sum"), r"missing: 2\.sum"),
        (lambda s: s.update({"3.sum": s["2.sum"]}), r"unexpected: 3\.sum"),
        (lambda s: s.update({"lr": 0.5}), "unexpected: lr"),
        (lambda s: s.update({"2.sum": s["1.sum"]}), r"different: 2\.sum, expected float64 \(1, 4\), got float64 \(3, 2\)"),
    ],
)  # fmt: skip
def test_a_state_of_other_groups_is_refused_and_changes_nothing(change, message):
    params = three()
    optimizer = in_groups(Adam, params)
    step([optimizer], params, 7)
    state = optimizer.state_dict()
    change(state)
    before = optimizer.state_dict()
    with pytest.raises(StateError, match=r"(?s)this state does not fit Adam.*" + message):
        optimizer.load_state_dict(state)
    after = optimizer.state_dict()
    assert before.keys() == after.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value)


def test_the_state_of_groups_does_not_fit_one():
    params = three()
    state = in_groups(Adam, params).state_dict()
    with pytest.raises(
        StateError, match="it is the state of 2 groups of parameters, and the optimizer has 1"
    ):
        Adam(params).load_state_dict(state)
    with pytest.raises(
        StateError, match="it is the state of 1 groups of parameters, and the optimizer has 2"
    ):
        in_groups(Adam, params).load_state_dict(Adam(params).state_dict())


def test_norms_are_clipped_over_all_groups():
    params = three()
    optimizer = in_groups(SGD, params)
    for p in params:
        p.grad = np.ones(p.shape)
    assert optim.clip_grad_norm(optimizer.params, 1.0) == 4.0
    assert params[2].grad[0, 0] == 0.25


def test_the_groups_of_a_state_may_be_a_tuple():
    params = three()
    optimizer = in_groups(Adam, params)
    step([optimizer], params, 7)
    state = optimizer.state_dict()
    other = in_groups(Adam, params)
    other.load_state_dict({**state, "groups": tuple(state["groups"])})
    assert other.state_dict()["groups"] == state["groups"]


def test_to_read_a_state_changes_no_optimizer():
    params = three()
    optimizer = in_groups(Adam, params)
    step([optimizer], params, 7)
    state = optimizer.state_dict()
    step([optimizer], params, 8)
    before = optimizer.state_dict()
    found = states.read(optimizer.param_groups, state, "Adam")
    assert [entry["steps"] for entry in found] == [entry["steps"] for entry in state["groups"]]
    assert found[0]["steps"] != before["groups"][0]["steps"]
    after = optimizer.state_dict()
    assert after["groups"] == before["groups"]
    for name in ("0.sum", "1.sum", "2.sum"):
        np.testing.assert_array_equal(after[name], before[name])

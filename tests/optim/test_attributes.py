"""Attributes of optimizers: hyperparameters under their names, near misses, and what is passed in place of parameters."""

import inspect

import pytest
from optimizers import parameter

from gradcore import registry
from gradcore.errors import GraphError, StateError
from gradcore.optim import SGD


@pytest.mark.parametrize(
    ("name", "meant"),
    [("Learning_Rate", "lr"), ("LR", "lr"), ("MOMENTUM", "momentum"), ("weightdecay", "weight_decay")],
)
def test_a_near_miss_is_answered_in_whatever_case(name, meant):
    with pytest.raises(AttributeError, match=f"has no attribute '{name}': did you mean {meant}"):
        setattr(SGD([parameter([1.0])]), name, 0.5)


def test_a_private_attribute_may_be_near_a_hyperparameter():
    optimizer = SGD([parameter([1.0])])
    optimizer._momentum = 3
    assert optimizer._momentum == 3


def test_a_subclass_may_set_a_hyperparameter_before_the_base_is_made():
    class Mine(SGD):
        def __init__(self, params, lr):
            self.lr = lr
            super().__init__(params, lr=self.lr / 2)

    assert Mine([parameter([1.0])], 0.5).lr == 0.25


@pytest.mark.parametrize("state", [[1, 2], None, "lr"])
def test_a_state_that_is_no_mapping_is_refused(state):
    with pytest.raises(StateError, match=r"fit SGD: expected what state_dict\(\) gives, got"):
        SGD([parameter([1.0])]).load_state_dict(state)


@pytest.mark.parametrize("entry", [(parameter([1.0]),), ("a", 3), ("a", parameter([1.0]), 3)])
def test_a_tuple_that_is_no_pair_of_name_and_tensor_is_no_parameter(entry):
    with pytest.raises(GraphError, match=r"SGD got \(.* as parameter 0: a parameter is a Tensor"):
        SGD([entry])


def test_an_optimizer_answers_other_names_with_what_to_write():
    with pytest.raises(AttributeError, match=r"Optimizer has no state: write state_dict\(\)"):
        SGD([parameter([1.0])]).state


@pytest.mark.parametrize("name", sorted(registry.optimizers))
def test_an_optimizer_takes_its_own_hyperparameters_and_no_other(name):
    cls = registry.optimizers[name]
    parameters = inspect.signature(cls).parameters
    assert sorted(parameters) == sorted(["params", *cls.hyper])
    assert parameters.keys() == inspect.signature(cls.__init__).parameters.keys() - {"self"}
    with pytest.raises(TypeError, match="unexpected keyword argument 'learning_rate'"):
        cls([parameter([1.0])], learning_rate=0.1)


def test_a_subclass_shows_the_parameters_of_the_constructor_that_it_has():
    class Beside:
        pass

    class Mine(Beside, SGD):
        pass

    class Others(Mine):
        def __init__(self, params, rate):
            super().__init__(params, lr=rate)

    assert inspect.signature(Mine) == inspect.signature(SGD)
    assert list(inspect.signature(Others).parameters) == ["params", "rate"]

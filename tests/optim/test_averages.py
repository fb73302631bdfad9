"""Averages of weights against explicit sums over all values that were taken in, and beside PyTorch's."""

import numpy as np
import pytest
from optimizers import parameter

from gradcore import Tensor, nn
from gradcore.errors import ArgumentError, DomainError, GraphError, StateError
from gradcore.optim import EMA, SWA

VALUES = np.random.default_rng(0).normal(size=(6, 3))


def weighted(cls, count, decay=0.75):
    """The average as a sum over all values, with weights that are written out."""
    if cls is SWA:
        return VALUES[:count].mean(0)
    weights = [(1 - decay) * decay ** (count - 1 - i) for i in range(count)]
    weights[0] = decay ** (count - 1)  # the first values were the average as a whole
    return np.tensordot(weights, VALUES[:count], 1)


def make(cls, p):
    return cls([p], 0.75) if cls is EMA else cls([p])


EACH = pytest.mark.parametrize("cls", [EMA, SWA])


def averages(cls, dtype=np.float64, reload_at=None):
    p = parameter([7.0, 7.0, 7.0], dtype)
    average, seen = make(cls, p), []
    for i, values in enumerate(VALUES):
        if i == reload_at:
            state = average.state_dict()
            average = make(cls, p)
            average.load_state_dict(state)
            state["0"][...] = 0
        p.data = values.astype(dtype)
        average.update()
        seen.append(average.averages[0].copy())
    return np.array(seen)


@EACH
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_an_average_is_the_sum_of_all_values_by_their_weights(cls, dtype):
    found = averages(cls, dtype)
    expected = [weighted(cls, count) for count in range(1, len(VALUES) + 1)]
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=0, atol=16 * np.finfo(dtype).eps)


class Late(EMA):
    """Weighs new values as the old."""

    def _weight(self):
        return self.decay


class Uneven(SWA):
    """Counts from the wrong end."""

    def _weight(self):
        return 1 / self.count


@pytest.mark.parametrize("cls", [Late, Uneven])
def test_other_weights_show(cls, monkeypatch):
    monkeypatch.setattr(cls.__base__, "_weight", cls._weight)
    with pytest.raises(AssertionError):
        test_an_average_is_the_sum_of_all_values_by_their_weights(cls.__base__, np.float64)


@EACH
def test_a_state_goes_on_to_the_bit(cls):
    np.testing.assert_array_equal(averages(cls), averages(cls, reload_at=3))


@EACH
def test_it_is_as_in_pytorch(cls):
    torch = pytest.importorskip("torch")
    from torch.optim import swa_utils

    model = torch.nn.Linear(3, 1, bias=False, dtype=torch.float64)
    how = {"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.75)} if cls is EMA else {}
    average, found = swa_utils.AveragedModel(model, **how), []
    for values in VALUES:
        with torch.no_grad():
            model.weight[...] = torch.tensor(values)
        average.update_parameters(model)
        found.append(average.module.weight.detach().numpy()[0].copy())
    np.testing.assert_allclose(averages(cls), found, rtol=0, atol=1e-15)


def test_parameters_have_the_averages_within_the_block_and_their_own_after_it():
    model = nn.Linear(2, 2, rng=0)
    ema = EMA(model.parameters(), 0.5)
    start = model.state_dict()
    ema.update()
    for p in model.parameters():
        p.data = p.data + 1
    ema.update()
    held = model.weight.data

    def fails():
        with ema.applied():
            np.testing.assert_allclose(model.weight.data, start["weight"] + 0.5, rtol=1e-6)
            model.weight.data[...] = 0
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert model.weight.data is held
    np.testing.assert_allclose(held, start["weight"] + 1, rtol=1e-6)
    ema.copy_to()
    np.testing.assert_allclose(model.weight.data, start["weight"] + 0.5, rtol=1e-6)
    assert model.weight.data is not ema.averages[0]
    np.testing.assert_allclose(held, start["weight"] + 1, rtol=1e-6)


def test_before_the_first_update_the_average_is_the_start():
    p, q = parameter([3.0]), parameter([3.0])
    ema = EMA([p, q])
    p.data = np.array([5.0])
    q.data[...] = 5.0  # in place, as an optimizer's step is
    assert (ema.count, [a.tolist() for a in ema.averages]) == (0, [[3.0], [3.0]])


@EACH
def test_the_first_update_takes_the_values_over_to_the_bit(cls):
    p = parameter([1e16])
    average = make(cls, p)
    p.data = np.array([0.1])
    average.update()
    assert average.averages[0].tolist() == [0.1]


@EACH
def test_a_state_is_a_copy_that_later_updates_leave_alone(cls):
    p = parameter([1.0])
    average = make(cls, p)
    average.update()
    state = average.state_dict()
    p.data = np.array([3.0])
    average.update()
    assert state["0"].tolist() == [1.0]
    assert average.averages[0].tolist() != [1.0]


@EACH
def test_the_state_of_an_average_without_updates_is_taken(cls):
    average, other = make(cls, parameter([1.0])), make(cls, parameter([2.0]))
    other.load_state_dict(average.state_dict())
    assert (other.count, other.averages[0].tolist()) == (0, [1.0])


@pytest.mark.parametrize("decay", [0, 1])
def test_a_decay_may_be_0_or_1(decay):
    p = parameter([1.0])
    ema = EMA([p], decay)
    ema.update()
    p.data = np.array([3.0])
    ema.update()
    assert ema.averages[0].tolist() == [1.0 if decay else 3.0]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p: EMA([p], 1.5), DomainError, r"decay=1\.5 is out of range: it must be a number with 0\.0 <= decay <= 1\.0"),
        (lambda p: EMA([p], -0.1), DomainError, r"decay=-0\.1 is out of range"),
        (lambda p: EMA([]), GraphError, r"EMA got no parameters: pass model\.parameters\(\)"),
        (lambda p: SWA([p, 1.0]), GraphError, r"SWA got 1\.0 as parameter 1: it averages Tensors of floating-point numbers"),
        (lambda p: SWA([Tensor(np.arange(2))]), GraphError, "as parameter 0"),
        (lambda p: EMA(nn.Linear(2, 2)), ArgumentError, r"EMA got a model, Linear: pass its parameters"),
        (lambda p: EMA([p]).load_state_dict({"0": 1}), StateError, "expected what state_dict"),
        (lambda p: EMA([p]).load_state_dict(["count"]), StateError, r"expected what state_dict\(\) gives, got \['count'\]"),
        (lambda p: EMA([p]).load_state_dict({"count": -1}), StateError, "count is -1, expected a whole number"),
        (lambda p: EMA([p]).load_state_dict({"count": 1.5}), StateError, r"count is 1\.5, expected a whole number"),
        (lambda p: EMA([p]).load_state_dict({"count": True}), StateError, "count is True, expected a whole number"),
        (lambda p: EMA([p]).load_state_dict({"count": 1}), StateError, "missing: 0"),
        (lambda p: EMA([p]).load_state_dict({"count": 1, "0": np.zeros(2)}), StateError, "different: 0"),
    ],
)  # fmt: skip
def test_what_can_not_be_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(parameter([1.0]))

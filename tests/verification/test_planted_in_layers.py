"""Stage 1 can fail: mistakes in layers, each detected by the very check that the suite runs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_calls import calls

from gradcheck.strategies import examples
from gradcheck.verification import (
    VerificationError,
    check_layer_gradient,
    check_layer_misfit,
    check_layer_rows,
    check_layer_second_order,
    check_layer_start,
    check_layer_state,
    check_layer_value,
    like,
)
from gradcheck.verification.planted import SEEK, detected
from gradcore import Tensor, nn, registry
from gradcore.convert import plain
from gradcore.errors import ShapeError
from gradcore.ops import mean, reshape
from gradcore.ops.products import linear
from gradcore.spec import LayerSpec, case, reals

# --- values and gradients ---------------------------------------------------------------------------------------------


class NoBias(nn.Linear):
    def forward(self, x):
        return linear(x, self.weight)


class BiasWithoutGradient(nn.Linear):
    def forward(self, x):
        return linear(x, self.weight, None if self.bias is None else self.bias.data)


class MeanWithoutGradient(nn.BatchNorm1d):
    def forward(self, x):
        if not self.training:
            return super().forward(x)
        axes = (0, *range(2, len(x.shape)))
        values = x.data if isinstance(x, Tensor) else x
        centred = x - values.mean(axes, keepdims=True)
        variance = mean(centred * centred, axes, True)
        by_channel = (1, -1, *(1,) * (len(x.shape) - 2))
        normal = centred / np.sqrt(variance + self.eps)
        return normal * reshape(self.weight, by_channel) + reshape(self.bias, by_channel)


class BatchInEvaluation(nn.BatchNorm1d):
    def forward(self, x):
        self.training = True
        return super().forward(x)


class Unscaled(nn.Dropout):
    def forward(self, x):
        return super().forward(x) * (1 - self.p if self.training else 1)


class DropsInEvaluation(nn.Dropout):
    def forward(self, x):
        self.training = True
        return super().forward(x)


class OnArraysOnly(nn.ReLU):
    """Another function on plain arrays, as they come in evaluation without gradients."""

    def forward(self, x):
        return super().forward(x) if isinstance(x, Tensor) else np.abs(x)


class DetachedInBackward(nn.Sigmoid):
    """The right gradient, which is a constant to whoever differentiates it again."""

    def forward(self, x):
        y = super().forward(plain(x))
        return y + (x - plain(x)) * (y * (1 - y))


OTHER = like(
    registry.ops["sigmoid"],
    vjp=lambda gy, y, x: gy * y * (1 - y) if type(x) is np.ndarray else gy * y * (1 - y) * 1.001,
)


class OtherWhenRecorded(nn.Sigmoid):
    """A gradient that is another one where it is to be differentiated again."""

    def forward(self, x):
        return OTHER(x)


# --- state ------------------------------------------------------------------------------------------------------------


class BiasedVariance(nn.BatchNorm1d):
    def _follow(self, mean, variance, count):
        super()._follow(mean, variance, count)
        self.running_var -= self.momentum * variance / (count - 1)


class MomentumSwapped(nn.BatchNorm2d):
    def _follow(self, mean, variance, count):
        momentum, self.momentum = self.momentum, 1 - self.momentum
        super()._follow(mean, variance, count)
        self.momentum = momentum


class FollowsInEvaluation(nn.BatchNorm1d):
    """Running averages that go on in evaluation, after the output has been taken from them."""

    def forward(self, x):
        y = super().forward(x)
        if not self.training and len(x):
            now = plain(x).mean((0, *range(2, len(x.shape))))
            self.running_mean = self.running_mean + self.momentum * (now - self.running_mean)
        return y


class FollowsInBackward(nn.BatchNorm1d):
    """Running averages that change once more when the gradient comes by."""

    def forward(self, x):
        def rule(gy, y, x):
            self.running_mean += 1
            return gy

        follow = like(registry.ops["neg"], forward=lambda x, /: +x, vjp=rule)
        return super().forward(follow(x))


class DrawsTwice(nn.Dropout):
    def forward(self, x):
        y = super().forward(x)
        if self.training:
            self.rng.random()
        return y


class DrawsInEvaluation(nn.Dropout):
    def forward(self, x):
        self.rng.random()
        return super().forward(x)


class ScalesItsWeight(nn.Linear):
    """Weight decay in the wrong place."""

    def forward(self, x):
        y = super().forward(x)
        self.weight.data *= 0.999
        return y


class LeavesTraining(nn.Dropout):
    def forward(self, x):
        y = super().forward(x)
        self.training = False
        return y


# --- batches of one or none -------------------------------------------------------------------------------------------


class TakesOne(nn.BatchNorm1d):
    """A single value per channel is passed off as a batch."""

    def _count(self, shape, rows):
        return max(rows * int(np.prod(shape[2:])), 2)


class RefusesOne(nn.Linear):
    def forward(self, x):
        if self.training and len(x) == 1:
            raise ShapeError(f"one row is no batch, and x has the shape {x.shape}")
        return super().forward(x)


class DropsTheRowAxis(nn.Linear):
    def forward(self, x):
        y = super().forward(x)
        return y if len(x) != 1 else reshape(y, y.shape[1:])


class FollowsBeforeItRefuses(nn.BatchNorm1d):
    def _count(self, shape, rows):
        self.running_mean += 1e-3
        found = super()._count(shape, rows)
        self.running_mean -= 1e-3
        return found


WRONG = [
    (NoBias, True, check_layer_value),
    (NoBias, False, check_layer_value),
    (OnArraysOnly, False, check_layer_value),
    (BiasWithoutGradient, True, check_layer_gradient),
    (MeanWithoutGradient, True, check_layer_gradient),
    (DetachedInBackward, True, check_layer_second_order),
    (OtherWhenRecorded, True, check_layer_second_order),
    (BatchInEvaluation, False, check_layer_value),
    (Unscaled, True, check_layer_value),
    (DropsInEvaluation, False, check_layer_value),
    (BiasedVariance, True, check_layer_state),
    (MomentumSwapped, True, check_layer_state),
    (FollowsInEvaluation, False, check_layer_state),
    (FollowsInBackward, True, check_layer_state),
    (DrawsTwice, True, check_layer_state),
    (DrawsInEvaluation, False, check_layer_state),
    (ScalesItsWeight, True, check_layer_state),
    (LeavesTraining, True, check_layer_state),
    (TakesOne, True, check_layer_rows),
    (RefusesOne, True, check_layer_rows),
    (DropsTheRowAxis, False, check_layer_rows),
    (FollowsBeforeItRefuses, True, check_layer_rows),
]
IDS = [f"{cls.__name__}-{'training' if training else 'evaluation'}" for cls, training, _ in WRONG]


@pytest.mark.parametrize(("layer", "training", "check"), WRONG, ids=IDS)
def test_a_wrong_layer_is_detected(layer, training, check):
    assert layer.__name__ in detected(calls(layer, training), lambda drawn: check(*drawn))


# (A weight that changes shows in the value of the next call, too.)
ALONE = [
    entry
    for entry in WRONG
    if entry[0] is not ScalesItsWeight
    and entry[2] in (check_layer_state, check_layer_rows, check_layer_second_order)
]


@pytest.mark.parametrize(("layer", "training", "check"), ALONE, ids=[entry[0].__name__ for entry in ALONE])
def test_and_by_value_and_gradient_alone_it_is_not(layer, training, check):
    @settings(SEEK, max_examples=15)
    @given(
        calls(layer, training).filter(
            lambda drawn: len(drawn[1].arrays[0].shape) < 1 or len(drawn[1].arrays[0]) > 1
        )
    )
    def passes(drawn):
        check_layer_value(*drawn)
        check_layer_gradient(*drawn)

    passes()


# --- inputs that do not fit -------------------------------------------------------------------------------------------


class CutsWhatIsTooMuch(nn.BatchNorm1d):
    def forward(self, x):
        return super().forward(x[:, : self.features])


class RefusesLate(nn.BatchNorm1d):
    """The batch is followed before it is looked at."""

    def forward(self, x):
        values = plain(x)[:, : self.features]
        self._follow(values.mean(0), values.var(0), 2)
        return super().forward(x)


@pytest.mark.parametrize(
    ("layer", "message"),
    [(CutsWhatIsTooMuch, "was not refused"), (RefusesLate, "by a call that was refused")],
)
def test_an_input_that_does_not_fit_and_is_taken_is_detected(layer, message):
    check = lambda drawn: check_layer_misfit(*drawn, {"features": 1})  # noqa: E731
    assert message in detected(calls(layer, True), check)


# --- what a new layer holds -------------------------------------------------------------------------------------------


class WideStart(nn.Linear):
    def __init__(self, in_features, out_features, bias=True, *, rng=None):
        super().__init__(in_features, out_features, bias, initializer=nn.init.xavier_uniform, rng=rng)


class FanOfOneGroup(nn.Conv2d):
    """Kaiming's bound from all input channels, and not from those of one group."""

    def __init__(self, in_channels, out_channels, kernel_size, *, rng=None, groups=1, **more):
        super().__init__(in_channels, out_channels, kernel_size, rng=rng, groups=groups, **more)
        self.weight.data /= np.float32(groups**0.5)


class StartsAtOne(nn.BatchNorm1d):
    def __init__(self, features, **more):
        super().__init__(features, **more)
        self.running_mean += 1


class BufferForABias(nn.Linear):
    def __init__(self, *args, rng=None, **more):
        super().__init__(*args, rng=rng, **more)
        if self.bias is not None:
            self.bias = self.bias.data


class Frozen(nn.Linear):
    def __init__(self, *args, rng=None, **more):
        super().__init__(*args, rng=rng, **more)
        self.weight.requires_grad = False


class WideNumbers(nn.Standardize):
    def __init__(self, **more):
        super().__init__(**more)
        self.std = self.std.astype(np.float64)


class AsleepAtFirst(nn.Dropout):
    def __init__(self, **more):
        super().__init__(**more)
        self.training = False


STARTS = [WideStart, FanOfOneGroup, StartsAtOne, Frozen, WideNumbers, AsleepAtFirst]


@pytest.mark.parametrize("layer", STARTS)
def test_a_layer_with_another_start_is_detected(layer):
    drawn = st.tuples(st.sampled_from(layer.spec.cases).flatmap(examples), st.integers(0, 99))
    assert layer.__name__ in detected(drawn, lambda d: check_layer_start(layer, d[0].params, d[1]))


def test_a_layer_with_state_that_its_spec_does_not_declare_is_detected():
    class Counts(nn.Module):
        spec = LayerSpec(case(reals("n")), reference=lambda _s, _t, x: x)

        def __init__(self):
            super().__init__()
            self.seen = np.zeros(())

        def forward(self, x):
            self.seen += len(x)
            return x

    with pytest.raises(VerificationError, match=r"holds \['seen'\], and the spec's `initial` gives \[\]"):
        check_layer_start(Counts, {}, 0)
    message = detected(calls(Counts, True), lambda drawn: check_layer_state(*drawn))
    assert "seen was changed by the call" in message
    assert "declare it in the spec's `state_after`" in message

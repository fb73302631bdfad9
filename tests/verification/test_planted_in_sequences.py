"""Mistakes in layers of sequences, each detected by the very check that the suite runs."""

import numpy as np
import pytest
from hypothesis import strategies as st
from layer_calls import calls

from gradcheck.strategies import examples
from gradcheck.verification import (
    check_layer_gradient,
    check_layer_start,
    check_layer_state,
    check_layer_value,
)
from gradcheck.verification.planted import detected
from gradcore import nn
from gradcore.convert import plain


class ForgetGateFirst(nn.LSTMCell):
    """The gates in the order f, i, g, o."""

    def _step(self, from_x, from_h, state):
        n = self.hidden_size
        order = [*range(n, 2 * n), *range(n), *range(2 * n, 4 * n)]
        return nn.LSTMCell._step(from_x[..., order], from_h[..., order], state)


class BiasOutsideReset(nn.GRUCell):
    """tanh(W_in x + b_in + r W_hn h + b_hn)."""

    def _step(self, from_x, from_h, state):
        bias = vars(self).get("bias_hh")
        if bias is None:
            return nn.GRUCell._step(from_x, from_h, state)
        n = [0.0, 0.0, 1.0] @ np.kron(np.eye(3), np.ones(self.hidden_size))
        return nn.GRUCell._step(from_x + bias * n, from_h - bias * n, state)


class UpdateTurned(nn.GRUCell):
    """h' = z n + (1 - z) h."""

    def _step(self, from_x, from_h, state):
        sign = [1.0, -1.0, 1.0] @ np.kron(np.eye(3), np.ones(self.hidden_size))
        return nn.GRUCell._step(from_x * sign, from_h * sign, state)


class OneBias(nn.RNN):
    def _run(self, steps, state, suffix):
        own = vars(self)
        bias = own.pop(f"bias_hh{suffix}", None)
        try:
            return super()._run(steps, state, suffix)
        finally:
            if bias is not None:
                own[f"bias_hh{suffix}"] = bias


class StaysReversed(nn.GRU):
    """The other direction's outputs in the order in which they were made."""

    def _run(self, steps, state, suffix):
        made, last = super()._run(steps, state, suffix)
        return (made[::-1] if suffix.endswith("reverse") else made), last


class FirstStateForAll(nn.LSTM):
    """The state of the first layer is given to every layer."""

    def _given(self, hx, shape, dtype):
        parts = super()._given(hx, shape, dtype)
        return tuple([part[[0] * shape[0]] for part in parts])


class CellWithoutGradient(nn.LSTM):
    """Truncated: the gradient ends at the cell's state."""

    def _step(self, from_x, from_h, state):
        return nn.LSTM._step(from_x, from_h, (state[0], plain(state[1])))


class DropsAfterTheLast(nn.RNN):
    def forward(self, x, hx=None):
        y, h = super().forward(x, hx)
        return self.dropout(y), h


class Transposed(nn.MultiheadAttention):
    """A square mask by key and query."""

    def forward(self, query, key, value, padding=None, need_weights=True, mask=None):
        turns = mask is not None and mask.shape[-1] == mask.shape[-2]
        return super().forward(
            query, key, value, padding, need_weights, mask.swapaxes(-1, -2) if turns else mask
        )


class SdpaMask(nn.MultiheadAttention):
    """Booleans are taken as those of scaled_dot_product_attention are."""

    def forward(self, query, key, value, padding=None, need_weights=True, mask=None):
        turned = ~mask if mask is not None and mask.dtype == bool else mask
        return super().forward(query, key, value, padding, need_weights, turned)


class ScaleOfAllHeads(nn.MultiheadAttention):
    """1 / sqrt(embed_dim), and not of one head's part of it."""

    def _heads(self, x, part):
        return super()._heads(x, part) * (1 if part else self.num_heads**-0.5)


class KeyIsValue(nn.MultiheadAttention):
    """The key's projection of the value."""

    def _heads(self, x, part):
        return super()._heads(x, min(part, 1))


class NoBiasInProjection(nn.MultiheadAttention):
    def _heads(self, x, part):
        bias, vars(self)["in_proj_bias"] = self.in_proj_bias, None
        try:
            return super()._heads(x, part)
        finally:
            vars(self)["in_proj_bias"] = bias


class NormAfter(nn.TransformerEncoderLayer):
    """norm_first is not heeded."""

    def forward(self, *inputs):
        self.norm_first = False
        return super().forward(*inputs)


class NoShortCut(nn.TransformerEncoderLayer):
    def _fed(self, x):
        return super()._fed(x) - x


WRONG = [
    (Transposed, False, check_layer_value),
    (SdpaMask, False, check_layer_value),
    (ScaleOfAllHeads, False, check_layer_value),
    (KeyIsValue, False, check_layer_value),
    (NoBiasInProjection, False, check_layer_value),
    (NormAfter, False, check_layer_value),
    (NoShortCut, False, check_layer_value),
    (ForgetGateFirst, False, check_layer_value),
    (BiasOutsideReset, False, check_layer_value),
    (UpdateTurned, False, check_layer_value),
    (OneBias, False, check_layer_value),
    (StaysReversed, False, check_layer_value),
    (FirstStateForAll, False, check_layer_value),
    (CellWithoutGradient, False, check_layer_gradient),
    (DropsAfterTheLast, True, check_layer_value),
    (DropsAfterTheLast, True, check_layer_state),
]
IDS = [f"{cls.__name__}-{check.__name__}" for cls, _, check in WRONG]


@pytest.mark.parametrize(("layer", "training", "check"), WRONG, ids=IDS)
def test_a_wrong_layer_is_detected(layer, training, check):
    assert layer.__name__ in detected(calls(layer, training), lambda drawn: check(*drawn))


class WideStart(nn.GRU):
    """Bounds from the width of the input."""

    def __init__(self, input_size, hidden_size, **more):
        super().__init__(input_size, hidden_size, **more)
        self.weight_ih_l0.data *= 2


def test_a_layer_with_another_start_is_detected():
    drawn = st.tuples(st.sampled_from(WideStart.spec.cases).flatmap(examples), st.integers(0, 99))
    assert "WideStart" in detected(drawn, lambda d: check_layer_start(WideStart, d[0].params, d[1]))

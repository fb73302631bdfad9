"""Recurrent layers: values by hand, shapes, states, and errors."""

import numpy as np
import pytest

from gradcore import Tensor, nn
from gradcore.errors import DomainError, ShapeError


def ones(layer):
    for parameter in layer.parameters():
        parameter.data[...] = 1
    return layer


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def test_an_rnn_of_ones_by_hand():
    x = np.array([[0.25], [-0.5]])  # two steps
    y, h = ones(nn.RNN(1, 1))(x)
    first = np.tanh(0.25 + 2)
    second = np.tanh(-0.5 + first + 2)
    np.testing.assert_allclose(y.data.ravel(), [first, second], rtol=1e-14)
    np.testing.assert_allclose(h.data, [[second]], rtol=1e-14)


def test_names_and_shapes_are_pytorchs():
    layer = nn.LSTM(3, 2, num_layers=2, bidirectional=True, rng=0)
    assert {name: p.shape for name, p in layer.named_parameters()} == {
        f"{name}_l{k}{way}": shape
        for k, width in enumerate((3, 4))
        for way in ("", "_reverse")
        for name, shape in {
            "weight_ih": (8, width),
            "weight_hh": (8, 2),
            "bias_ih": (8,),
            "bias_hh": (8,),
        }.items()
    }
    assert repr(layer).startswith("LSTM(3 -> 2, num_layers=2, bidirectional=True)  240 parameters")


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_a_sequence_in_two_parts_is_the_whole(kind):
    layer = kind(2, 3, num_layers=2, batch_first=True, rng=0)
    x = np.random.default_rng(1).standard_normal((4, 5, 2))
    whole, last = layer(x)
    first, state = layer(x[:, :2])
    second, end = layer(x[:, 2:], state)
    np.testing.assert_allclose(whole.data, np.concatenate([first.data, second.data], 1), rtol=1e-12)
    for a, b in zip(parts(last), parts(end), strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-12)


@pytest.mark.parametrize(
    ("cell", "layer"), [(nn.RNNCell, nn.RNN), (nn.LSTMCell, nn.LSTM), (nn.GRUCell, nn.GRU)]
)
def test_a_cell_in_a_loop_is_the_layer(cell, layer):
    step, whole = cell(2, 3, rng=5), layer(2, 3, rng=5)  # one seed draws the same weights
    x = np.random.default_rng(1).standard_normal((4, 1, 2))
    state, found = None, []
    for part in x:
        state = step(part, state)
        found.append(parts(state)[0].data)
    np.testing.assert_array_equal(np.stack(found), whole(x)[0].data)


def test_gradients_go_through_the_embedding_of_a_sequence():
    model = nn.Sequential(nn.Embedding(5, 3, rng=0))
    layer = nn.GRU(3, 4, batch_first=True, rng=0)
    y, _ = layer(model(np.array([[0, 1, 1]])))
    y.sum().backward()
    assert [bool(row.any()) for row in model[0].weight.grad] == [True, True, False, False, False]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.RNN(2, 3)(np.ones((4, 1, 3))), ShapeError, r"takes x of shape \(t, n, 2\) or \(t, 2\), and got \(4, 1, 3\)"),
        (lambda: nn.RNN(2, 3, batch_first=True)(np.ones(2)), ShapeError, r"takes x of shape \(n, t, 2\)"),
        (lambda: nn.RNN(2, 3)(np.ones((0, 1, 2))), ShapeError, r"a sequence of no steps: x has the shape \(0, 1, 2\)"),
        (lambda: nn.GRU(2, 3)(np.ones((4, 1, 2)), np.ones((1, 3))), ShapeError, r"a state of shape \(1, 3\): \(1, 1, 3\) would fit"),
        (lambda: nn.LSTM(2, 3)(np.ones((4, 1, 2)), np.ones((1, 1, 3))), ShapeError, r"as a pair \(h, c\): pass hx=\(h, c\), each of shape \(1, 1, 3\)"),
        (lambda: nn.LSTM(2, 3)(np.ones((4, 1, 2)), np.ones((2, 1, 1, 3))), ShapeError, r"LSTM takes the state as a pair \(h, c\)"),
        (lambda: nn.LSTMCell(2, 3)(np.ones((1, 2, 2))), ShapeError, r"takes x of shape \(n, 2\) or \(2,\), and got \(1, 2, 2\)"),
        (lambda: nn.RNN(2, 3, nonlinearity="sine"), DomainError, r"RNN got nonlinearity='sine': expected 'tanh' or 'relu'"),
        (lambda: nn.RNNCell(2, 3, nonlinearity="sine"), DomainError, r"RNNCell got nonlinearity='sine'"),
        (lambda: nn.GRU(0, 3), DomainError, r"GRU got input_size=0: expected a whole number of at least 1"),
        (lambda: nn.GRU(1, 3, dropout=1.0), DomainError, r"p=1\.0"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_new_state_is_of_the_inputs_dtype():
    y, h = nn.GRU(2, 3)(Tensor(np.ones((4, 1, 2), np.float32)))
    assert (y.dtype, h.dtype) == (np.float32, np.float32)

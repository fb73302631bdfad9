"""Recurrent layers: RNN, LSTM and GRU, over whole sequences and step by step."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gradcore.errors import DomainError, ShapeError
from gradcore.modes import repeated
from gradcore.nn import recurrent_references as reference
from gradcore.nn.dropout import Dropout
from gradcore.nn.module import Module
from gradcore.ops.activations import relu
from gradcore.ops.exponential import sigmoid
from gradcore.ops.joining import concatenate, stack
from gradcore.ops.products import linear
from gradcore.ops.shape import transpose
from gradcore.ops.trigonometric import tanh
from gradcore.registry import layer
from gradcore.sizes import size
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gradcore.nn.init import Rng

State = tuple[Any, ...]  # (h,), or the (h, c) of an LSTM


# --- one step: from the input's and the state's part of the gates, and the state, to the next state ---------------------


def _rnn_step(from_x: Any, from_h: Any, _state: State, *, function: Callable[[Any], Any]) -> State:
    return (function(from_x + from_h),)


def _lstm_step(from_x: Any, from_h: Any, state: State) -> State:
    i, f, g, o = _parts(from_x + from_h, 4)
    c = sigmoid(f) * state[1] + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


def _gru_step(from_x: Any, from_h: Any, state: State) -> State:
    n = state[0].shape[-1]
    r, z = _parts(sigmoid(from_x[..., : 2 * n] + from_h[..., : 2 * n]), 2)
    new = tanh(from_x[..., 2 * n :] + r * from_h[..., 2 * n :])
    return ((state[0] - new) * z + new,)


def _parts(gates: Any, count: int) -> list[Any]:
    n = gates.shape[-1] // count
    return [gates[..., k * n : (k + 1) * n] for k in range(count)]


def _function(owner: str, nonlinearity: str) -> Callable[[Any], Any]:
    functions: dict[str, Callable[[Any], Any]] = {"tanh": tanh, "relu": relu}
    if nonlinearity not in functions:
        raise DomainError(f"{owner} got nonlinearity={nonlinearity!r}: expected 'tanh' or 'relu'")
    return functions[nonlinearity]


# --- what they share --------------------------------------------------------------------------------------------------


class _Recurrent(Module):
    gates: ClassVar[int]
    states: ClassVar[int] = 1
    input_size: int
    hidden_size: int
    _step: Callable[..., State]

    def _add_parameters(self, width: int, bias: bool, suffix: str, rng: np.random.Generator) -> None:
        """Uniform in +-1 / sqrt(hidden_size), as in PyTorch, the rows of each gate below those of the one before."""
        rows, hidden = self.gates * self.hidden_size, self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, width), "weight_hh": (rows, hidden)}
        shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)} if bias else {}
        for name, shape in shapes.items():
            drawn = rng.uniform(-(hidden**-0.5), hidden**-0.5, shape).astype(np.float32)
            setattr(self, name + suffix, Tensor(drawn, True))

    def _run(self, steps: Sequence[Any], state: State, suffix: str) -> tuple[list[Any], State]:
        """The h after each step, and the last state. (The weights are turned once for all steps.)"""
        own = vars(self)
        weight_ih, weight_hh = (transpose(own[name + suffix]) for name in ("weight_ih", "weight_hh"))
        bias_ih, bias_hh = (own.get(name + suffix) for name in ("bias_ih", "bias_hh"))
        made = []
        for x in steps:
            state = self._step(linear(x, weight_ih, bias_ih), linear(state[0], weight_hh, bias_hh), state)
            made.append(state[0])
        return made, state

    def _given(self, hx: Any, shape: tuple[int, ...], dtype: Any) -> State:
        """The states that came, or zeros; ShapeError where one has another shape."""
        name = type(self).__name__
        if hx is None:
            return tuple([repeated(np.zeros, shape, dtype)] * self.states)
        given = tuple(hx) if self.states > 1 and isinstance(hx, tuple | list) else (hx,)
        if len(given) != self.states:
            raise ShapeError(
                f"{name} takes the state as a pair (h, c): pass hx=(h, c), each of shape {shape}"
            )
        for part in given:
            if tuple(part.shape) != shape:
                raise ShapeError(f"{name} got a state of shape {tuple(part.shape)}: {shape} would fit")
        return given


class _Cell(_Recurrent):
    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, *, rng: Rng = None) -> None:
        super().__init__()
        self.input_size = size(type(self).__name__, "input_size", input_size)
        self.hidden_size = size(type(self).__name__, "hidden_size", hidden_size)
        self._add_parameters(self.input_size, bias, "", np.random.default_rng(rng))

    def forward(self, x: Any, hx: Any = None) -> Any:
        """The next state: h, or (h, c) of an LSTMCell. hx: the state before, zeros where None."""
        if len(x.shape) not in (1, 2) or x.shape[-1] != self.input_size:
            raise ShapeError(
                f"{type(self).__name__}({self.input_size}, {self.hidden_size}) takes x of shape (n, {self.input_size}) or "
                f"({self.input_size},), and got {x.shape}"
            )
        state = self._given(hx, (*x.shape[:-1], self.hidden_size), x.dtype)
        _, state = self._run([x], state, "")
        return state if self.states > 1 else state[0]

    def extra_repr(self) -> str:
        return f"{self.input_size} -> {self.hidden_size}"


class _Layers(_Recurrent):
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        rng: Rng = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.input_size = size(name, "input_size", input_size)
        self.hidden_size = size(name, "hidden_size", hidden_size)
        self.num_layers = size(name, "num_layers", num_layers)
        self.batch_first = batch_first
        self.bidirectional = bidirectional
        generator = np.random.default_rng(rng)
        for k in range(self.num_layers):
            width = self.hidden_size * len(self._directions) if k else self.input_size
            for direction in self._directions:
                self._add_parameters(width, bias, f"_l{k}{direction}", generator)
        self.dropout = Dropout(dropout, rng=generator)

    @property
    def _directions(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.bidirectional else ("",)

    def forward(self, x: Any, hx: Any = None) -> tuple[Any, Any]:
        """The last layer's h at each step, and the state after the last step. hx: the state before, zeros where None."""
        sequence = len(x.shape) == 2
        if len(x.shape) not in (2, 3) or x.shape[-1] != self.input_size:
            layout = "n, t" if self.batch_first else "t, n"
            raise ShapeError(
                f"{type(self).__name__}({self.input_size}, {self.hidden_size}) takes x of shape ({layout}, {self.input_size}) "
                f"or (t, {self.input_size}), and got {x.shape}"
            )
        time = 1 if self.batch_first and not sequence else 0
        if x.shape[time] == 0:
            raise ShapeError(f"{type(self).__name__} got a sequence of no steps: x has the shape {x.shape}")
        batch = () if sequence else (x.shape[1 - time],)
        steps = [x[:, t] if time else x[t] for t in range(x.shape[time])]
        rows = self.num_layers * len(self._directions)
        before = self._given(hx, (rows, *batch, self.hidden_size), x.dtype)
        after: list[State] = []
        for k in range(self.num_layers):
            if k:
                steps = [self.dropout(step) for step in steps]
            made = []
            for direction in self._directions:
                state = tuple([part[len(after)] for part in before])
                order = -1 if direction else 1
                out, last = self._run(steps[::order], state, f"_l{k}{direction}")
                made.append(out[::order])
                after.append(last)
            steps = made[0] if len(made) == 1 else [concatenate(both, -1) for both in zip(*made, strict=True)]
        last_states = tuple([stack(parts, 0) for parts in zip(*after, strict=True)])
        return stack(steps, time), (last_states if self.states > 1 else last_states[0])

    def extra_repr(self) -> str:
        defaults = {"num_layers": 1, "batch_first": False, "bidirectional": False}
        more = [
            f"{name}={getattr(self, name)}"
            for name, usual in defaults.items()
            if getattr(self, name) != usual
        ]
        return ", ".join([f"{self.input_size} -> {self.hidden_size}", *more])


# --- cells ------------------------------------------------------------------------------------------------------------


@layer(spec=reference.cell_spec("RNN"))
class RNNCell(_Cell):
    """One step of an `RNN`: h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu in place of tanh.

    x: (n, input_size) or (input_size,); hx, and what is returned: (n, hidden_size) or (hidden_size,). Parameters:
    weight_ih, weight_hh, bias_ih, bias_hh. rng: a `numpy.random.Generator` or a seed. Raises ShapeError where x or hx
    does not fit, DomainError for another nonlinearity.
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        *,
        rng: Rng = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, rng=rng)
        self._step = partial(_rnn_step, function=_function("RNNCell", nonlinearity))


@layer(spec=reference.cell_spec("LSTM"))
class LSTMCell(_Cell):
    """One step of an `LSTM`: takes x and hx = (h, c), returns the next (h, c).

    x: (n, input_size) or (input_size,); h and c: (n, hidden_size) or (hidden_size,). Parameters: weight_ih, weight_hh,
    bias_ih, bias_hh. rng: a `numpy.random.Generator` or a seed. Raises ShapeError where x or hx does not fit.
    """

    gates, states = 4, 2
    _step = staticmethod(_lstm_step)


@layer(spec=reference.cell_spec("GRU"))
class GRUCell(_Cell):
    """One step of a `GRU`: takes x and h, returns the next h.

    x: (n, input_size) or (input_size,); hx, and what is returned: (n, hidden_size) or (hidden_size,). Parameters:
    weight_ih, weight_hh, bias_ih, bias_hh. rng: a `numpy.random.Generator` or a seed. Raises ShapeError where x or hx
    does not fit.
    """

    gates = 3
    _step = staticmethod(_gru_step)


# --- layers -----------------------------------------------------------------------------------------------------------


@layer(spec=reference.layers_spec("RNN"))
class RNN(_Layers):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh) along a sequence, or relu in place of tanh: Elman 1990.

    x: (t, n, input_size), with batch_first (n, t, input_size), or (t, input_size). Returns the last layer's h at each
    step, in x's layout with d hidden_size features, and the last h of each layer and direction, (num_layers d, n,
    hidden_size); d is 2 with bidirectional, else 1. hx: h before the first step, of that shape. Parameters as in PyTorch:
    weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, ..., those of the other direction end in _reverse.
    dropout: the probability of dropping an entry between layers. rng: a `numpy.random.Generator` or a seed.
    Raises ShapeError where x or hx does not fit, and for a sequence of no steps, DomainError for another nonlinearity.
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        rng: Rng = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, rng=rng
        )
        self._step = partial(_rnn_step, function=_function("RNN", nonlinearity))


@layer(spec=reference.layers_spec("LSTM"))
class LSTM(_Layers):
    """Long short-term memory: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000.

    i, f, g, o = the four parts of W_ih x + b_ih + W_hh h + b_hh; c' = sigmoid(f) c + sigmoid(i) tanh(g);
    h' = sigmoid(o) tanh(c'). Shapes, parameters, arguments and errors as in `RNN`; hx and the second result are the pair
    (h, c).
    """

    gates, states = 4, 2
    _step = staticmethod(_lstm_step)


@layer(spec=reference.layers_spec("GRU"))
class GRU(_Layers):
    """Gated recurrent unit: Cho et al. 2014, with the reset gate after the product, as in PyTorch.

    r, z = sigmoid of the first two parts of W_ih x + b_ih + W_hh h + b_hh;
    n = tanh(W_in x + b_in + r (W_hn h + b_hn)); h' = (1 - z) n + z h. Shapes, parameters, arguments and errors as in
    `RNN`.
    """

    gates = 3
    _step = staticmethod(_gru_step)

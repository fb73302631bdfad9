"""Recurrent layers as their specs have them: each entry of a batch on its own, each gate by its own matrices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradcore.spec import Array, Case, LayerSpec, OneOf, Size, case, flags, interval

_GATES = {"RNN": "h", "LSTM": "ifgo", "GRU": "rzn"}


def _logistic(x: Any) -> Any:
    return 0.5 + 0.5 * np.tanh(x / 2)


def _next(kind: str, state: Any, suffix: str, x: Any, h: Any, c: Any, nonlinearity: str) -> tuple[Any, Any]:
    """The state (h, c) after one step of one sequence: x, h and c are vectors."""
    of_x: dict[str, Any] = {}
    of_h: dict[str, Any] = {}
    for k, gate in enumerate(_GATES[kind]):
        rows = slice(k * len(h), (k + 1) * len(h))
        for parts, value, side in ((of_x, x, "ih"), (of_h, h, "hh")):
            bias = state.get(f"bias_{side}{suffix}", np.zeros(len(_GATES[kind]) * len(h)))
            parts[gate] = (state[f"weight_{side}{suffix}"][rows] * value).sum(1) + bias[rows]
    gates = {gate: of_x[gate] + of_h[gate] for gate in of_x}
    if kind == "RNN":
        return (np.tanh(gates["h"]) if nonlinearity == "tanh" else np.maximum(gates["h"], 0)), c
    if kind == "LSTM":
        c = _logistic(gates["f"]) * c + _logistic(gates["i"]) * np.tanh(gates["g"])
        return _logistic(gates["o"]) * np.tanh(c), c
    z = _logistic(gates["z"])
    return (1 - z) * np.tanh(of_x["n"] + _logistic(gates["r"]) * of_h["n"]) + z * h, c


def _cell(kind: str, state: Any, x: Any, h: Any, c: Any, nonlinearity: str) -> Any:
    rows = x.reshape(-1, x.shape[-1]) if x.size else np.zeros((math.prod(x.shape[:-1]), x.shape[-1]))
    hidden = state["weight_hh"].shape[1]
    h, c = (np.zeros((len(rows), hidden)) if v is None else v.reshape(len(rows), hidden) for v in (h, c))
    found = [_next(kind, state, "", *one, nonlinearity) for one in zip(rows, h, c, strict=True)]
    shape = (*x.shape[:-1], hidden)
    h, c = (np.array([one[k] for one in found]).reshape(shape) for k in (0, 1))
    return (h, c) if kind == "LSTM" else h


def _layers(
    kind: str,
    state: Any,
    kept: Any,
    x: Any,
    h: Any,
    c: Any,
    num_layers: int,
    nonlinearity: str,
    batch_first: bool,
    bidirectional: bool,
) -> Any:
    """kept: for layer, step, entry and feature the factor of dropout, before all layers but the first; or None."""
    alone = x.ndim == 2
    x = x[None] if alone else x if batch_first else x.swapaxes(0, 1)
    n, steps = x.shape[:2]
    hidden, ways = state["weight_hh_l0"].shape[1], 1 + bidirectional
    before = [
        np.zeros((num_layers * ways, n, hidden)) if v is None else v.reshape(num_layers * ways, n, hidden)
        for v in (h, c)
    ]
    after = [np.zeros((num_layers * ways, n, hidden)) for _ in before]
    y = np.zeros((n, steps, ways * hidden))
    for one in range(n):
        inputs = x[one]
        for k in range(num_layers):
            if k and kept is not None:
                inputs = inputs * kept[k - 1, :, one]
            y[one] = 0
            for way in range(ways):
                now = before[0][k * ways + way, one], before[1][k * ways + way, one]
                for t in range(steps)[:: -1 if way else 1]:
                    suffix = f"_l{k}" + "_reverse" * way
                    now = _next(kind, state, suffix, inputs[t], *now, nonlinearity)
                    y[one, t, way * hidden : (way + 1) * hidden] = now[0]
                for part, value in zip(after, now, strict=True):
                    part[k * ways + way, one] = value
            inputs = y[one].copy()
    y = y[0] if alone else y if batch_first else y.swapaxes(0, 1)
    after = [part[:, 0] if alone else part for part in after]
    return y, tuple(after) if kind == "LSTM" else after[0]


# --- specs ------------------------------------------------------------------------------------------------------------


def _initial(rng: Any, rows: int, hidden: int, widths: dict[str, int], bias: bool) -> dict[str, Any]:
    """Uniform with the variance 1 / (3 hidden)."""
    found = {}
    for suffix, width in widths.items():
        names = [("weight_ih", (rows, width)), ("weight_hh", (rows, hidden))]
        for name, shape in names + [("bias_ih", (rows,)), ("bias_hh", (rows,))] * bias:
            found[name + suffix] = (2 * rng.random(shape) - 1) / hidden**0.5
    return found


def _suffixes(input_size: int, hidden_size: int, num_layers: int, bidirectional: bool) -> dict[str, int]:
    """The width of the input of each layer and direction."""
    return {
        f"_l{k}{way}": hidden_size * (1 + bidirectional) if k else input_size
        for k in range(num_layers)
        for way in ["", "_reverse"][: 1 + bidirectional]
    }


def _x(shape: str) -> Array:
    """Numbers at which the gates are not saturated: there the slope of a slope is lost in rounding, in double precision too."""
    return interval(-2.0, 2.0, shape)


_CONFIG = {"input_size": Size("i"), "hidden_size": Size("k")}
_SIZES = {"n": (1, 2), "i": (1, 2), "k": (1, 2), "t": (1, 3)}


def _hx(kind: str) -> Any:
    """The arguments of `forward` for x and the states; where one of two is left out, it is zeros."""

    def inputs(x: Any, h: Any = None, c: Any = None) -> tuple[Any, ...]:
        if h is None and c is None:
            return (x,)
        zeros = 0 * (h if c is None else c)
        return x, (zeros if h is None else h, zeros if c is None else c)

    return inputs if kind == "LSTM" else None


def _count(kind: str) -> int:
    return 1 + (kind == "LSTM")


def cell_spec(kind: str) -> LayerSpec:
    """The spec of RNNCell, LSTMCell or GRUCell."""

    def reference(
        state: Any,
        _training: bool,
        x: Any,
        h: Any = None,
        c: Any = None,
        *,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
    ) -> Any:
        return _cell(kind, state, x, h, c, nonlinearity)

    def initial(rng: Any, input_size: int, hidden_size: int, bias: bool = True, **_: Any) -> Any:
        return _initial(rng, len(_GATES[kind]) * hidden_size, hidden_size, {"": input_size}, bias)

    batch = [_x(shape).replaced(optional=True) for shape in ["n k"] * _count(kind)]
    return LayerSpec(
        case(_x("n i"), *batch, params={**_CONFIG, "bias": flags()}, sizes={**_SIZES, "n": (0, 2)}),
        case(_x("i"), *[_x("k")] * _count(kind), params=_CONFIG, sizes=_SIZES),
        *[
            case(
                _x("n i"),
                _x("n k"),
                params={**_CONFIG, "nonlinearity": OneOf("relu")},
                sizes={**_SIZES, "n": (1, 2)},
            )
            for _ in range(kind == "RNN")
        ],
        reference=reference,
        initial=initial,
        inputs=_hx(kind),
    )


def layers_spec(kind: str) -> LayerSpec:
    """The spec of RNN, LSTM or GRU."""

    def reference(
        state: Any,
        training: bool,
        x: Any,
        h: Any = None,
        c: Any = None,
        *,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        rng: Any = None,
    ) -> Any:
        kept = None
        if training and dropout:
            # The weights were drawn before, one number for each entry.
            bits = np.random.PCG64(rng).advance(sum(w.size for w in state.values()))
            shape = (num_layers - 1, *_steps_first(x, batch_first), hidden_size * (1 + bidirectional))
            kept = (np.random.Generator(bits).random(shape) >= dropout) / (1 - dropout)
        return _layers(kind, state, kept, x, h, c, num_layers, nonlinearity, batch_first, bidirectional)

    def initial(
        generator: Any,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        bidirectional: bool = False,
        rng: Any = None,
        **_: Any,
    ) -> Any:
        generator = generator if rng is None else np.random.default_rng(rng)
        widths = _suffixes(input_size, hidden_size, num_layers, bidirectional)
        return _initial(generator, len(_GATES[kind]) * hidden_size, hidden_size, widths, bias)

    def drawn(state: Any, x: Any, *_states: Any, hidden_size: int, **params: Any) -> Any:
        """The generator past the weights' numbers, and past one for each entry that could be dropped."""
        if not params.get("dropout"):
            return {}
        entries = math.prod(_steps_first(x, params.get("batch_first", False))) * hidden_size
        count = entries * (1 + params.get("bidirectional", False)) * (params["num_layers"] - 1)
        bits = np.random.PCG64(params["rng"])
        return {"dropout.rng": np.random.Generator(bits.advance(sum(w.size for w in state.values()) + count))}

    return LayerSpec(
        *_cases(kind), reference=reference, initial=initial, state_after=drawn, inputs=_hx(kind), share=0.5
    )


def _steps_first(x: Any, batch_first: bool) -> tuple[int, int]:
    if x.ndim == 2:
        return (x.shape[0], 1)
    return (x.shape[1], x.shape[0]) if batch_first else (x.shape[0], x.shape[1])


def _cases(kind: str) -> tuple[Case, ...]:
    two = {**_CONFIG, "num_layers": OneOf(2), "batch_first": OneOf(True)}
    return (
        case(_x("t n i"), params={**_CONFIG, "bias": flags()}, sizes=_SIZES),
        case(
            _x("n t i"),
            params={**two, "dropout": OneOf(0.0, 0.5), "rng": OneOf(0, 1), "bias": flags()},
            sizes={
                **_SIZES,
                "t": (2, 3),
            },  # the first step, from a state of zeros, shows nothing of weight_hh
        ),
        case(
            _x("t n i"),
            *[_x("2*l n k")] * _count(kind),
            params={**_CONFIG, "num_layers": Size("l"), "bidirectional": OneOf(True)},
            sizes={**_SIZES, "t": (1, 2), "l": (1, 2)},
        ),
        case(_x("t i"), *[_x("1 k")] * _count(kind), params=_CONFIG, sizes={**_SIZES, "t": (1, 2)}),
        *(
            [
                case(
                    _x("t n i"),
                    params={**_CONFIG, "nonlinearity": OneOf("relu")},
                    sizes={**_SIZES, "t": (2, 3)},
                )
            ]
            * (kind == "RNN")
        ),
    )

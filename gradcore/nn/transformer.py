"""TransformerEncoderLayer: self-attention and two Linears, each with a short cut, a norm and dropout."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.errors import DomainError, ShapeError
from gradcore.nn import attention
from gradcore.nn.dropout import Dropout
from gradcore.nn.linear import Linear
from gradcore.nn.module import Module
from gradcore.nn.within import LayerNorm
from gradcore.ops.activations import gelu, relu
from gradcore.ops.axes import swapaxes
from gradcore.registry import layer
from gradcore.sizes import size
from gradcore.spec import LayerSpec, OneOf, Size, booleans, case, interval

if TYPE_CHECKING:
    from gradcore.nn.init import Rng

_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"relu": relu, "gelu": gelu}

# --- reference --------------------------------------------------------------------------------------------------------


def _norm(state: Any, name: str, x: Any, eps: float) -> Any:
    centred = x - x.sum(-1, keepdims=True) / x.shape[-1]
    variance = (centred**2).sum(-1, keepdims=True) / x.shape[-1]
    return centred * (variance + eps) ** -0.5 * state[name + ".weight"] + state[name + ".bias"]


def _gelu(x: Any) -> Any:
    return x * np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x.ravel().tolist()]).reshape(x.shape)


def _reference(
    state: Any,
    training: bool,
    src: Any,
    src_mask: Any = None,
    padding: Any = None,
    *,
    d_model: int,
    nhead: int,
    dim_feedforward: int = 2048,
    dropout: float = 0.1,
    activation: str = "relu",
    layer_norm_eps: float = 1e-5,
    batch_first: bool = False,
    norm_first: bool = False,
    rng: Any = None,
) -> Any:
    x = src if batch_first else src.swapaxes(0, 1)
    n, length = x.shape[:2]
    bits = np.random.PCG64(rng).advance(_weights(d_model, dim_feedforward)) if training and dropout else None
    draws = None if bits is None else np.random.Generator(bits)

    def kept(*shape: int) -> Any:
        return np.ones(shape) if draws is None else (draws.random(shape) >= dropout) / (1 - dropout)

    padding = None if padding is None else padding[:, None, None]
    added = attention.added_by((src_mask, padding), (n, nhead, length, length))

    def attended(x: Any) -> Any:
        weights = kept(*added.shape)
        y, _ = attention.by_heads(state, "self_attn.", nhead, x, x, x, added, weights)
        return y * kept(*y.shape)

    def fed(x: Any) -> Any:
        hidden = np.einsum("nti,io->nto", x, state["linear1.weight"]) + state["linear1.bias"]
        hidden = np.maximum(hidden, 0) if activation == "relu" else _gelu(hidden)
        hidden = hidden * kept(*hidden.shape)
        y = np.einsum("nti,io->nto", hidden, state["linear2.weight"]) + state["linear2.bias"]
        return y * kept(*y.shape)

    for part, norm in ((attended, "norm1"), (fed, "norm2")):
        if norm_first:
            x = x + part(_norm(state, norm, x, layer_norm_eps))
        else:
            x = _norm(state, norm, x + part(x), layer_norm_eps)
    return x if batch_first else x.swapaxes(0, 1)


def _weights(d_model: int, dim_feedforward: int) -> int:
    """How many numbers are drawn for the weights."""
    return 4 * d_model**2 + 2 * d_model * dim_feedforward


def _initial(
    generator: Any, d_model: int, dim_feedforward: int = 2048, rng: Any = None, **_: Any
) -> dict[str, Any]:
    generator = generator if rng is None else np.random.default_rng(rng)
    found = {f"self_attn.{name}": v for name, v in attention.initial(generator, d_model).items()}
    for name, before, after in (("linear1", d_model, dim_feedforward), ("linear2", dim_feedforward, d_model)):
        found[name + ".weight"] = (2 * generator.random((before, after)) - 1) * (6 / before) ** 0.5
        found[name + ".bias"] = np.zeros((1, after))
    for name in ("norm1", "norm2"):
        found |= {name + ".weight": np.ones(d_model), name + ".bias": np.zeros(d_model)}
    return found


def _drawn(
    state: Any,
    src: Any,
    *_: Any,
    d_model: int,
    nhead: int,
    dim_feedforward: int = 2048,
    dropout: float = 0.1,
    batch_first: bool = False,
    rng: Any = None,
    **_same: Any,
) -> Any:
    """The one generator, under the name of each Dropout, past all weights and all that could be dropped."""
    if not dropout:
        return {}
    n, length = src.shape[:2] if batch_first else src.shape[1::-1]
    count = n * length * (nhead * length + d_model + dim_feedforward + d_model)
    bits = np.random.PCG64(rng).advance(_weights(d_model, dim_feedforward) + count)
    places = ("self_attn.dropout", "dropout", "dropout1", "dropout2")
    return {f"{place}.rng": np.random.Generator(bits) for place in places}


def _open_somewhere(src: Any, mask: Any, padding: Any, **_: Any) -> bool:
    shut = np.zeros((1, 1, 1), bool)
    shut = shut if mask is None else shut | mask
    shut = shut if padding is None else shut | padding[:, None]
    return not shut.all(-1).any()


def _x(shape: str) -> Any:
    return interval(-2.0, 2.0, shape)


_CONFIG = {"d_model": Size("e"), "nhead": OneOf(1), "dim_feedforward": Size("f")}
_SIZES = {"n": (1, 2), "t": (1, 2), "e": (3, 3), "f": (1, 2)}

# --- the layer --------------------------------------------------------------------------------------------------------


@layer(
    spec=LayerSpec(
        case(
            _x("n t e"),
            booleans("t t", optional=True),
            booleans("n t", optional=True),
            params={
                **_CONFIG,
                "dropout": OneOf(0.0),
                "batch_first": OneOf(True),
                "activation": OneOf("relu", "gelu"),
            },
            sizes=_SIZES,
            values_where=_open_somewhere,
        ),
        case(
            _x("t n e"),
            params={
                **_CONFIG,
                "nhead": OneOf(2),
                "dropout": OneOf(0.0, 0.5),
                "norm_first": OneOf(True),
                "layer_norm_eps": OneOf(1e-2),
                "rng": OneOf(0, 1),
            },
            sizes={**_SIZES, "e": (4, 4)},
        ),
        reference=_reference,
        initial=_initial,
        state_after=_drawn,
        share=0.25,
    )
)
class TransformerEncoderLayer(Module):
    """x = norm1(x + attention(x)), then norm2(x + linear2(activation(linear1(x)))): Vaswani et al. 2017, section 3.1.

    norm_first: x + attention(norm1(x)), then x + linear2(activation(linear1(norm2(x)))). src: (t, n, d_model), with
    batch_first (n, t, d_model). Its parts are `self_attn` (`MultiheadAttention` of nhead heads), `linear1`, `linear2`,
    `norm1` and `norm2`. activation: "relu", "gelu" or a function. dropout: the probability of dropping an entry, in four
    places. rng: a `numpy.random.Generator` or a seed. Raises ShapeError where src or a mask does not fit, DomainError for
    another activation.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Any], Any] = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        *,
        rng: Rng = None,
    ) -> None:
        super().__init__()
        if not callable(activation) and activation not in _ACTIVATIONS:
            raise DomainError(
                f"TransformerEncoderLayer got activation={activation!r}: expected 'relu', 'gelu' or a function"
            )
        generator = np.random.default_rng(rng)
        self.d_model = size("TransformerEncoderLayer", "d_model", d_model)
        self.batch_first = batch_first
        self.norm_first = norm_first
        self.activation = activation
        self.self_attn = attention.MultiheadAttention(
            d_model, nhead, dropout, batch_first=True, rng=generator
        )
        self.linear1 = Linear(d_model, dim_feedforward, rng=generator)
        self.dropout = Dropout(dropout, rng=generator)
        self.linear2 = Linear(dim_feedforward, d_model, rng=generator)
        self.norm1 = LayerNorm(d_model, layer_norm_eps)
        self.norm2 = LayerNorm(d_model, layer_norm_eps)
        self.dropout1 = Dropout(dropout, rng=generator)
        self.dropout2 = Dropout(dropout, rng=generator)

    def forward(
        self, src: Any, src_mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool = False
    ) -> Any:
        """The output in src's shape; masks as those of `MultiheadAttention`: booleans are True where a key is shut out."""
        if len(src.shape) != 3 or src.shape[-1] != self.d_model:
            layout = "n, t" if self.batch_first else "t, n"
            raise ShapeError(
                f"TransformerEncoderLayer({self.d_model}) takes src of shape ({layout}, {self.d_model}), and got {src.shape}"
            )
        x = src if self.batch_first else swapaxes(src, 0, 1)  # ranks that share a batch have the first axis
        masks = (src_key_padding_mask, False, src_mask, True, is_causal)
        if self.norm_first:
            x = x + self._attended(self.norm1(x), masks)
            x = x + self._fed(self.norm2(x))
        else:
            x = self.norm1(x + self._attended(x, masks))
            x = self.norm2(x + self._fed(x))
        return x if self.batch_first else swapaxes(x, 0, 1)

    def _attended(self, x: Any, masks: tuple[Any, ...]) -> Any:
        return self.dropout1(self.self_attn(x, x, x, *masks)[0])

    def _fed(self, x: Any) -> Any:
        chosen = self.activation
        function = chosen if callable(chosen) else _ACTIVATIONS[chosen]
        return self.dropout2(self.linear2(self.dropout(function(self.linear1(x)))))

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.d_model}" + (", norm_first=True" if self.norm_first else "")

"""MultiheadAttention: several attentions side by side, and a projection of what they give."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.convert import plain
from gradcore.errors import DomainError, ShapeError
from gradcore.nn import init
from gradcore.nn.dropout import Dropout
from gradcore.nn.linear import Linear
from gradcore.nn.module import Module
from gradcore.ops.attention import attention_weights, check_mask
from gradcore.ops.axes import swapaxes
from gradcore.ops.products import linear
from gradcore.ops.reduce import mean
from gradcore.ops.shape import reshape, transpose
from gradcore.registry import layer
from gradcore.sizes import size
from gradcore.spec import Derived, LayerSpec, OneOf, Size, booleans, case, flags, interval
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

# --- reference --------------------------------------------------------------------------------------------------------


def by_heads(
    state: Any, prefix: str, heads: int, query: Any, key: Any, value: Any, added: Any, kept: Any
) -> tuple[Any, Any]:
    """One entry of the batch and one head after another, batch first; `added` and `kept` for (n, heads, l, s)."""
    n, length, width = query.shape
    each = width // heads
    if prefix + "in_proj_weight" in state:
        projections = np.split(state[prefix + "in_proj_weight"], 3)
    else:
        projections = [state[f"{prefix}{part}_proj_weight"] for part in "qkv"]
    bias = state.get(prefix + "in_proj_bias", np.zeros(3 * width))
    joined = np.zeros((n, length, width))
    weights = np.zeros((n, heads, length, key.shape[1]))
    for one, head in np.ndindex(n, heads):
        parts = []
        for k, x in enumerate((query, key, value)):
            rows = slice(head * each, (head + 1) * each)
            parts.append(np.einsum("ti,oi->to", x[one], projections[k][rows]) + np.split(bias, 3)[k][rows])
        q, k_, v = parts
        scores = np.exp((q[:, None] * k_).sum(-1) / math.sqrt(each) + added[one, head])
        weights[one, head] = scores / scores.sum(-1, keepdims=True) * kept[one, head]
        joined[one, :, head * each : (head + 1) * each] = np.einsum("ls,se->le", weights[one, head], v)
    out = np.einsum("nli,io->nlo", joined, state[prefix + "out_proj.weight"])
    return out + state.get(prefix + "out_proj.bias", 0.0), weights.mean(1)


def added_by(masks: Any, shape: tuple[int, ...]) -> Any:
    """What masks add to the scores: those of booleans shut keys out."""
    added = np.zeros(shape)
    for mask in masks:
        if mask is not None:
            added = added + (np.where(mask, -np.inf, 0.0) if mask.dtype == bool else mask)
    return added


def _weights_of(embed_dim: int, kdim: int | None = None, vdim: int | None = None) -> int:
    """How many weights are drawn."""
    return embed_dim * (2 * embed_dim + (kdim or embed_dim) + (vdim or embed_dim))


def _reference(
    state: Any,
    training: bool,
    query: Any,
    key: Any,
    value: Any,
    padding: Any = None,
    mask: Any = None,
    *,
    embed_dim: int,
    num_heads: int,
    dropout: float = 0.0,
    bias: bool = True,
    batch_first: bool = False,
    kdim: int | None = None,
    vdim: int | None = None,
    rng: Any = None,
) -> Any:
    alone = query.ndim == 2
    q, k, v = (x[None] if alone else x if batch_first else x.swapaxes(0, 1) for x in (query, key, value))
    shape = (len(q), num_heads, q.shape[1], k.shape[1])
    by_head = mask.reshape(shape) if mask is not None and mask.ndim == 3 else mask
    padding = None if padding is None else padding[:, None, None]
    kept = np.ones(shape)
    if training and dropout:
        bits = np.random.PCG64(rng).advance(_weights_of(embed_dim, kdim, vdim))
        kept = (np.random.Generator(bits).random(shape) >= dropout) / (1 - dropout)
    y, weights = by_heads(state, "", num_heads, q, k, v, added_by((by_head, padding), shape), kept)
    return (y[0], weights[0]) if alone else (y if batch_first else y.swapaxes(0, 1), weights)


def _drawn(
    state: Any,
    query: Any,
    key: Any,
    *_: Any,
    embed_dim: int,
    num_heads: int,
    dropout: float = 0.0,
    **params: Any,
) -> Any:
    """The generator past the weights, and past one number for each weight of the attention."""
    if not dropout:
        return {}
    count = _weights_of(embed_dim) + num_heads * math.prod(query.shape[:-1]) * len(key)
    return {"dropout.rng": np.random.Generator(np.random.PCG64(params["rng"]).advance(count))}


def initial(
    generator: Any,
    embed_dim: int,
    bias: bool = True,
    rng: Any = None,
    kdim: int | None = None,
    vdim: int | None = None,
    **_: Any,
) -> Any:
    """Xavier's bound for the three projections, taken as one where they are of one width, and 1 / sqrt(fan_in) for the last."""
    generator = generator if rng is None else np.random.default_rng(rng)
    rows = 3 * embed_dim
    widths = [embed_dim, kdim or embed_dim, vdim or embed_dim]
    shapes = {f"{part}_proj_weight": (embed_dim, width) for part, width in zip("qkv", widths, strict=True)}
    if widths == [embed_dim] * 3:
        shapes = {"in_proj_weight": (rows, embed_dim)}
    found = {
        name: (2 * generator.random(shape) - 1) * (6 / (shape[0] + shape[1])) ** 0.5
        for name, shape in shapes.items()
    }
    if bias:
        found["in_proj_bias"] = np.zeros(rows)
    found["out_proj.weight"] = (2 * generator.random((embed_dim, embed_dim)) - 1) / embed_dim**0.5
    if bias:
        found["out_proj.bias"] = np.zeros((1, embed_dim))
    return found


def _open_somewhere(
    query: Any, key: Any, value: Any, padding: Any, mask: Any, num_heads: int, **_: Any
) -> bool:
    shut = np.zeros((1, 1, 1), bool)
    if mask is not None:
        shut = shut | mask
    if padding is not None:
        by_row = padding[:, None]
        shut = shut | (np.repeat(by_row, num_heads, 0) if shut.shape[0] != 1 else by_row)
    return not shut.all(-1).any()


def _x(shape: str) -> Any:
    return interval(-2.0, 2.0, shape)


_HEADS = Derived(lambda e: [h for h in (2, 1) if e["e"] % h == 0])
_CONFIG = {"embed_dim": Size("e"), "num_heads": _HEADS}
# Two keys or more: the weight of a single one is 1, whatever the query.
_SIZES = {"n": (1, 2), "l": (0, 2), "s": (2, 3), "e": (1, 2)}


def fan_in_uniform(shape: Any, fan_in: int, _fan_out: int, rng: init.Rng) -> Any:
    """Uniform in +-1 / sqrt(fan_in), as PyTorch draws a Linear."""
    return np.random.default_rng(rng).uniform(-(fan_in**-0.5), fan_in**-0.5, shape).astype(np.float32)


# --- the layer --------------------------------------------------------------------------------------------------------


@layer(
    spec=LayerSpec(
        case(
            _x("n l e"),
            _x("n s e"),
            _x("n s e"),
            booleans("n s", optional=True),
            booleans("l s", optional=True),
            params={**_CONFIG, "batch_first": OneOf(True), "bias": flags()},
            sizes={**_SIZES, "s": (3, 4)},  # of which some two are open
            values_where=_open_somewhere,
        ),
        case(
            _x("l n e"),
            _x("s n e"),
            _x("s n e"),
            _x("n s"),
            _x("2*n l s"),
            params={"embed_dim": Size("e"), "num_heads": OneOf(2)},
            sizes={**_SIZES, "e": (2, 2)},
        ),
        case(_x("l e"), _x("s e"), _x("s e"), params=_CONFIG, sizes=_SIZES),
        case(
            _x("l n e"),
            _x("s n k"),
            _x("s n v"),
            params={**_CONFIG, "kdim": Size("k"), "vdim": Size("v"), "bias": flags()},
            sizes={**_SIZES, "k": (1, 3), "v": (1, 3)},
        ),
        case(
            _x("l n e"),
            _x("s n e"),
            _x("s n e"),
            params={**_CONFIG, "dropout": OneOf(0.25), "rng": OneOf(0, 1)},
            sizes=_SIZES,
        ),
        reference=_reference,
        initial=initial,
        state_after=_drawn,
        inputs=lambda query, key, value, padding=None, mask=None: (query, key, value, padding, True, mask),
    )
)
class MultiheadAttention(Module):
    """Attention of several heads, each on its part of the features: Vaswani et al. 2017, section 3.2.2.

    in_proj_weight: (3 embed_dim, embed_dim), those of query, key and value one below the other; in_proj_bias:
    (3 embed_dim,), zeros, or none. out_proj: a `Linear`, whose weight is (in, out). dropout: the probability of dropping a
    weight. batch_first: (n, length, embed_dim) in place of (length, n, embed_dim). rng: a `numpy.random.Generator` or a seed.
    kdim, vdim: the widths of key and value, embed_dim by default; with others, in place of in_proj_weight there are
    q_proj_weight (embed_dim, embed_dim), k_proj_weight (embed_dim, kdim) and v_proj_weight (embed_dim, vdim).
    Raises ShapeError where an input does not fit, DomainError where num_heads does not divide embed_dim.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        batch_first: bool = False,
        *,
        kdim: int | None = None,
        vdim: int | None = None,
        rng: init.Rng = None,
    ) -> None:
        super().__init__()
        self.embed_dim = size("MultiheadAttention", "embed_dim", embed_dim)
        self.num_heads = size("MultiheadAttention", "num_heads", num_heads)
        if self.embed_dim % self.num_heads:
            raise DomainError(
                f"MultiheadAttention got embed_dim={embed_dim} and num_heads={num_heads}: the number of heads must divide "
                f"it, such as {math.gcd(self.embed_dim, self.num_heads)}"
            )
        self.kdim = self.embed_dim if kdim is None else size("MultiheadAttention", "kdim", kdim)
        self.vdim = self.embed_dim if vdim is None else size("MultiheadAttention", "vdim", vdim)
        self.batch_first = batch_first
        generator = np.random.default_rng(rng)
        width, rows = self.embed_dim, 3 * self.embed_dim

        def drawn(out: int, inner: int) -> Tensor:
            return Tensor(init.xavier_uniform((out, inner), inner, out, generator), True)

        if self.kdim == self.vdim == width:
            self.in_proj_weight: Tensor | None = drawn(rows, width)
        else:
            self.in_proj_weight = None
            self.q_proj_weight = drawn(width, width)
            self.k_proj_weight = drawn(width, self.kdim)
            self.v_proj_weight = drawn(width, self.vdim)
        self.in_proj_bias = Tensor(np.zeros(rows, np.float32), True) if bias else None
        self.out_proj = Linear(width, width, bias, initializer=fan_in_uniform, rng=generator)
        self.dropout = Dropout(dropout, rng=generator)

    def forward(
        self,
        query: Any,
        key: Any,
        value: Any,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Any, Any]:
        """The output in the query's shape, and the weights (n, l, s), or None without need_weights.

        key_padding_mask: (n, s), attn_mask: (l, s) or (n num_heads, l, s); booleans are True where a key is shut out (in
        `scaled_dot_product_attention` where it takes part), numbers are added to the scores. average_attn_weights: the
        mean over the heads, else (n, num_heads, l, s). is_causal: query i sees the keys 0 to i. Inputs without a batch
        are (l, embed_dim) and (s, embed_dim).
        """
        self._fit(query, key, value)
        alone = len(query.shape) == 2
        q, k, v = (self._heads(x, i) for i, x in enumerate((query, key, value)))
        shape = (*q.shape[:-1], k.shape[-2])
        added, taking_part = None, None
        for mask in self._by_head(key_padding_mask, attn_mask, shape):
            check_mask("MultiheadAttention", mask, shape)
            if mask.dtype == bool:
                taking_part = ~plain(mask) if taking_part is None else taking_part & ~plain(mask)
            else:
                added = mask if added is None else added + mask
        weights = self.dropout(attention_weights(q, k, added, taking_part, is_causal))
        joined = swapaxes(weights @ v, 1, 2)
        y = self.out_proj(reshape(joined, (*joined.shape[:2], self.embed_dim)))
        y = y[0] if alone else y if self.batch_first else swapaxes(y, 0, 1)
        if not need_weights:
            return y, None
        weights = mean(weights, 1) if average_attn_weights else weights
        return y, (weights[0] if alone else weights)

    def _fit(self, query: Any, key: Any, value: Any) -> None:
        shapes = [tuple(x.shape) for x in (query, key, value)]
        batch = 0 if self.batch_first else 1
        if (
            len({len(s) for s in shapes}) != 1
            or len(shapes[0]) not in (2, 3)
            or [s[-1] for s in shapes] != [self.embed_dim, self.kdim, self.vdim]
            or shapes[1][:-1] != shapes[2][:-1]
            or (len(shapes[0]) == 3 and shapes[0][batch] != shapes[1][batch])
            or not shapes[1][-2 if self.batch_first else 0]
        ):
            layout = "n, {}" if self.batch_first else "{}, n"
            widths = [self.embed_dim, self.kdim, self.vdim]
            fits = ", ".join([f"({layout.format(n)}, {w})" for n, w in zip("lss", widths, strict=True)])
            raise ShapeError(
                f"MultiheadAttention({self.embed_dim}, {self.num_heads}) got query, key and value of the shapes {shapes[0]}, "
                f"{shapes[1]} and {shapes[2]}: {fits} would fit, or without n, with s of at least 1"
            )

    def _heads(self, x: Any, part: int) -> Any:
        """The projection of x for query (0), key (1) or value (2): (n, num_heads, length, embed_dim / num_heads)."""
        rows = slice(part * self.embed_dim, (part + 1) * self.embed_dim)
        bias = None if self.in_proj_bias is None else self.in_proj_bias[rows]
        if self.in_proj_weight is None:
            weight = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)[part]
        else:
            weight = self.in_proj_weight[rows]
        y = linear(x, transpose(weight), bias)
        y = y[None] if len(y.shape) == 2 else y if self.batch_first else swapaxes(y, 0, 1)
        return swapaxes(reshape(y, (*y.shape[:2], self.num_heads, self.embed_dim // self.num_heads)), 1, 2)

    def _by_head(self, padding: Any, mask: Any, shape: tuple[int, ...]) -> Iterator[Any]:
        """The masks that came, so that they broadcast to (n, num_heads, l, s)."""
        n, _, _, keys = shape
        if padding is not None:
            if math.prod(padding.shape) != n * keys:
                raise ShapeError(
                    f"MultiheadAttention got a key_padding_mask of shape {tuple(padding.shape)}: ({n}, {keys}) would fit"
                )
            yield reshape(padding, (n, 1, 1, keys))
        if mask is not None:
            by_head = len(mask.shape) == 3 and mask.shape[0] == n * self.num_heads
            yield reshape(mask, (n, self.num_heads, *mask.shape[1:])) if by_head else mask

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.embed_dim}, {self.num_heads} heads"

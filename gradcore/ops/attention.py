"""Scaled dot-product attention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradcore.convert import plain
from gradcore.errors import ArgumentError, DtypeError, ShapeError
from gradcore.op import Array, composed
from gradcore.ops.axes import swapaxes
from gradcore.ops.choice import where
from gradcore.ops.reduce import softmax
from gradcore.spec import OneOf, OpSpec, booleans, case, flags, interval


def _row_by_row(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> Any:
    """One query after another, its weights by the definition."""
    *batch, length, width = query.shape
    factor = width**-0.5 if scale is None else scale
    scores = (*batch, length, key.shape[-2])
    added = np.zeros(scores)
    if attn_mask is not None:
        given = np.broadcast_to(attn_mask, scores)
        added = np.where(given, 0.0, -np.inf) if given.dtype == bool else given
    y = np.zeros((*batch, length, value.shape[-1]))
    for *at, i in np.ndindex(*batch, length):
        place = tuple(at)
        for out in range(value.shape[-1]):
            terms, total = [], []
            for j in range(key.shape[-2]):
                if is_causal and j > i:
                    continue
                score = factor * math.fsum(query[(*place, i)] * key[(*place, j)]) + added[(*place, i, j)]
                total.append(math.exp(score))
                terms.append(math.exp(score) * value[(*place, j, out)])
            y[(*place, i, out)] = math.fsum(terms) / math.fsum(total) if any(total) else 0.0
    return y


def attention_weights(
    query: Array,
    key: Array,
    added: Any = None,
    taking_part: Any = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> Array:
    """softmax(query key^T scale + added) over the keys that take part, and zeros for a query that has none."""
    scores = (query * (query.shape[-1] ** -0.5 if scale is None else scale)) @ swapaxes(key, -1, -2)
    if added is not None:
        scores = scores + added
    if is_causal:
        before = np.tri(query.shape[-2], key.shape[-2], dtype=bool)
        taking_part = before if taking_part is None else taking_part & before
    if taking_part is None:
        return softmax(scores)
    some = taking_part.any(-1, keepdims=True)
    if some.all():
        return softmax(where(taking_part, scores, scores.dtype.type(-np.inf)))
    weights = softmax(where(taking_part | ~some, scores, scores.dtype.type(-np.inf)))
    return weights * some


def check_mask(name: str, mask: Any, shape: tuple[int, ...]) -> None:
    """ShapeError unless the mask broadcasts to scores of this shape, DtypeError unless it is of booleans or numbers to add."""
    try:
        fits = np.broadcast_shapes(mask.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"{name} got a mask of shape {tuple(mask.shape)} for scores of shape {shape}: it has to broadcast to that"
        )
    if mask.dtype.kind not in "bf":
        raise DtypeError(
            f"{name} got a mask of {mask.dtype}: booleans choose and floating numbers are added; write mask != 0"
        )


_SIZES = {"a": (0, 2), "l": (0, 3), "s": (1, 3), "e": (1, 2), "v": (1, 2)}
_OPTIONS = {"scale": OneOf(None, 0.3)}


def _x(shape: str) -> Any:
    return interval(-3.0, 3.0, shape)


@composed(
    spec=OpSpec(
        case(
            _x("a l e"),
            _x("a s e"),
            _x("a s v"),
            params={"is_causal": flags(), **_OPTIONS},
            sizes=_SIZES,
        ),
        case(
            _x("a 2 l e"),
            _x("a 2 s e"),
            _x("a 2 s v"),
            booleans("~a 1 l ~s"),
            params=_OPTIONS,
            sizes={**_SIZES, "a": (1, 2), "l": (1, 2), "s": (3, 4)},  # of which some two are open
        ),
        case(_x("l e"), _x("s e"), _x("s v"), _x("l s"), params=_OPTIONS, sizes=_SIZES),
        reference=_row_by_row,
    )
)
def scaled_dot_product_attention(
    query: Array,
    key: Array,
    value: Array,
    attn_mask: Any = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> Array:
    """softmax(query key^T scale + mask) value: Vaswani et al. 2017, equation 1.

    query: (..., l, e); key: (..., s, e); value: (..., s, v); returns (..., l, v). attn_mask: broadcasts to (..., l, s);
    booleans are True where a key takes part, numbers are added to the scores. is_causal: query i sees the keys 0 to i, in
    place of a mask. scale: 1 / sqrt(e) where None. A query that no key is open to gets zeros.
    Raises ShapeError where shapes do not fit, ArgumentError for a mask together with is_causal.
    """
    name = "scaled_dot_product_attention"
    if attn_mask is not None and is_causal:
        raise ArgumentError(
            f"{name} got both attn_mask and is_causal=True: combine them, mask & np.tri(l, s, dtype=bool)"
        )
    shapes = [tuple(a.shape) for a in (query, key, value)]
    try:
        leading = np.broadcast_shapes(shapes[0][:-2], shapes[1][:-2])  # those of the scores
        np.broadcast_shapes(leading, shapes[2][:-2])
    except ValueError:
        leading = None
    if (
        leading is None
        or any(len(s) < 2 for s in shapes)
        or shapes[0][-1] != shapes[1][-1]
        or shapes[1][-2] != shapes[2][-2]
        or not shapes[1][-2]
    ):
        raise ShapeError(
            f"{name} got query, key and value of the shapes {shapes[0]}, {shapes[1]} and {shapes[2]}: (..., l, e), "
            "(..., s, e) and (..., s, v) would fit, with s of at least 1"
        )
    added = taking_part = None
    if attn_mask is not None:
        check_mask(name, attn_mask, (*leading, shapes[0][-2], shapes[1][-2]))
        added, taking_part = (None, plain(attn_mask)) if attn_mask.dtype == bool else (attn_mask, None)
    return attention_weights(query, key, added, taking_part, is_causal, scale) @ value

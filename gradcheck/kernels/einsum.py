"""`np.einsum` as sums, transposed axes and products of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcore.errors import GraphError


def einsum(subscripts: str, *operands: Any) -> Any:
    """As NumPy's, operand by operand from the left; without ellipsis and without a letter twice in one operand."""
    text = subscripts.replace(" ", "")
    left, arrow, out = text.partition("->")
    terms = left.split(",")
    if not arrow:
        out = "".join(sorted([c for c in set(left) - {","} if left.count(c) == 1]))
    if "." in text or any(len(set(t)) != len(t) for t in terms) or len(terms) != len(operands):
        raise GraphError(
            f"np.einsum({subscripts!r}, ...) has no derivative rule here: letters only, each once in an operand"
        )
    pairs = list(zip(terms, operands, strict=True))
    letters, x = pairs[0]
    for k, (other, y) in enumerate(pairs[1:], 2):
        needed = set(out).union(*[t for t, _ in pairs[k:]])
        letters, x = _product(letters, x, other, y, needed)
    letters, x = _summed(letters, x, set(out))
    return np.transpose(x, [letters.index(c) for c in out]) if len(out) > 1 else x


def _summed(letters: str, x: Any, kept: set[str]) -> tuple[str, Any]:
    axes = tuple([a for a, c in enumerate(letters) if c not in kept])
    return "".join([c for c in letters if c in kept]), np.sum(x, axis=axes) if axes else x


def _product(a: str, x: Any, b: str, y: Any, needed: set[str]) -> tuple[str, Any]:
    a, x = _summed(a, x, needed | set(b))
    b, y = _summed(b, y, needed | set(a))
    both = [c for c in a if c in b]
    batch, inner = [c for c in both if c in needed], [c for c in both if c not in needed]
    mine, yours = [c for c in a if c not in b], [c for c in b if c not in a]
    size = dict(zip(a + b, (*np.shape(x), *np.shape(y)), strict=True))

    def shaped(array: Any, of: str, *groups: list[str]) -> Any:
        order = [of.index(c) for group in groups for c in group]
        array = np.transpose(array, order) if len(order) > 1 else array
        sizes = [int(np.prod([size[c] for c in group], dtype=np.int64)) for group in groups[1:]]
        return np.reshape(array, (*[size[c] for c in groups[0]], *sizes))

    made = shaped(x, a, batch, mine, inner) @ shaped(y, b, batch, inner, yours)
    letters = [*batch, *mine, *yours]
    return "".join(letters), np.reshape(made, [size[c] for c in letters])

"""Sums of products in Einstein's notation."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.errors import ShapeError
from gradcore.op import Array, op
from gradcore.spec import OneOf, OpSpec, case, reals
from gradcore.tensor import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def parsed(subscripts: str, ndims: Sequence[int]) -> tuple[list[str], str]:
    """The letters of each array and those of the result, without `...` and with the result spelled out.

    Raises ShapeError where the letters do not fit the arrays.
    """
    text = subscripts.replace(" ", "")
    inputs, arrow, output = text.partition("->")
    parts = inputs.split(",")
    if len(parts) != len(ndims):
        raise ShapeError(
            f"einsum({subscripts!r}) names {len(parts)} arrays, and got {len(ndims)}: separate them by commas"
        )
    free = iter([letter for letter in _LETTERS if letter not in text])
    named = [len(part.replace("...", "")) for part in parts]
    extra = [ndim - n if "..." in part else 0 for part, ndim, n in zip(parts, ndims, named, strict=True)]
    for part, ndim, n, more in zip(parts, ndims, named, extra, strict=True):
        if n + more != ndim or more < 0:
            raise ShapeError(
                f"einsum({subscripts!r}) has {part!r} for an array of {ndim} axes: one letter for each, or '...' for some"
            )
    dots = "".join(itertools.islice(free, max(extra)))
    letters = [part.replace("...", dots[len(dots) - more :]) for part, more in zip(parts, extra, strict=True)]
    if not arrow:
        once = sorted(c for c in set("".join(parts)) if "".join(parts).count(c) == 1)
        output = ("..." if "..." in text else "") + "".join(once)
    result = output.replace("...", dots)
    if strange := sorted(set(result) - set("".join(letters))):
        raise ShapeError(f"einsum({subscripts!r}) has {strange} in the result, which no array has")
    return letters, result


def _rule(
    gy: Array, _y: Array, *arrays: Array, subscripts: str, needs: tuple[bool, ...]
) -> tuple[Array | None, ...]:
    letters, result = parsed(subscripts, [x.ndim for x in arrays])
    sizes: dict[str, int] = {}
    for x, own in zip(arrays, letters, strict=True):
        for letter, size in zip(own, x.shape, strict=True):
            sizes[letter] = size if sizes.get(letter, 1) == 1 else sizes[letter]
    return tuple(
        [
            _cotangent(gy, i, arrays, letters, result, sizes) if needed else None
            for i, needed in enumerate(needs)
        ]
    )


def _cotangent(
    gy: Array, i: int, arrays: Sequence[Array], letters: Sequence[str], result: str, sizes: dict[str, int]
) -> Array:
    """The sum of products that gives the cotangent of array i: the others and gy, with i's letters as the result.

    A letter that i has twice, as in "ii->i", becomes two, tied by an identity matrix. One that i alone has, as in "ij->i", is
    spread over by ones.
    """
    others = [x for j, x in enumerate(arrays) if j != i]
    parts = [result, *[own for j, own in enumerate(letters) if j != i]]
    free = iter([c for c in _LETTERS if c not in sizes])
    own = ""
    for letter in letters[i]:
        if letter in own:
            twin = next(free)
            others.append(np.eye(sizes[letter], dtype=gy.dtype))
            parts.append(letter + twin)
            own += twin
        else:
            own += letter
    lengths = zip("".join(parts), [n for x in (gy, *others) for n in x.shape], strict=True)
    reached = {letter for letter, n in lengths if n == sizes.get(letter, n)}
    for letter in own:
        if letter not in reached:
            others.append(np.ones(sizes[letter], gy.dtype))
            parts.append(letter)
    return einsum_op(gy, *others, subscripts=f"{','.join(parts)}->{own}")


def _spelled(subscripts: str, ndims: Sequence[int]) -> tuple[list[str], str]:
    """The letters of each array and of the result, for the reference: `...` stands for the last of WXYZ."""
    inputs, arrow, output = subscripts.replace(" ", "").partition("->")
    counts = [
        ndim - len(part) + 3 if "." in part else 0
        for part, ndim in zip(inputs.split(","), ndims, strict=True)
    ]
    own = [part.replace("...", "WXYZ"[4 - k :]) for part, k in zip(inputs.split(","), counts, strict=True)]
    if not arrow:
        output = "".join(sorted(c for c in inputs if inputs.count(c) == 1 and c not in ".,"))
    return own, output.replace("...", "WXYZ"[4 - max(counts) :])


def _by_loop(*arrays: Any, subscripts: str) -> Any:
    """One product for each value of all letters."""
    letters, result = _spelled(subscripts, [x.ndim for x in arrays])
    sizes = {c: n for own, x in zip(letters, arrays, strict=True) for c, n in zip(own, x.shape, strict=True)}
    sums: dict[tuple[int, ...], list[float]] = {}
    for place in itertools.product(*[range(n) for n in sizes.values()]):
        at = dict(zip(sizes, place, strict=True))
        factors = [x[tuple(at[c] for c in own)] for own, x in zip(letters, arrays, strict=True)]
        sums.setdefault(tuple(at[c] for c in result), []).append(math.prod(factors))
    out = np.zeros([sizes[c] for c in result])
    for index, terms in sums.items():
        out[index] = math.fsum(terms)
    return out


def _case(arrays: Sequence[str], *subscripts: str, **more: Any) -> Any:
    return case(*map(reals, arrays), params={"subscripts": OneOf(*subscripts)}, **more)


@op(
    name="einsum",
    vjp=_rule,
    spec=OpSpec(
        _case(["i j", "j k"], "ij,jk->ik", "ij,jk", "ij,jk->", "ij,jk->ki", "ij , jk -> i"),
        _case(["n n"], "ii->i", "ii", "ij->ji", "ij->j", "ij->", "ji", "i...->..."),
        _case(["n n", "n"], "ii,i->i", "ij,j->i", "ij,i->", "ii,j->j", "...i,i->..."),
        _case(["b i j", "b j k"], "bij,bjk->bik", "...ij,...jk->...ik", "bij,bjk->ik", "bij,bjk->kbi"),
        _case(["i", "j", "i j"], "i,j,ij->", "i,j,ij->ij", "i,j,ij->j", sizes={"i": (0, 3), "j": (0, 3)}),
        _case(["b c n", "n"], "...n,n->...", "...n,n->n...", "bcn,n->bn", sizes={"b": (0, 2), "c": (1, 2)}),
        reference=_by_loop,
    ),
    broadcasts=True,
)
def einsum_op(*arrays: Array, subscripts: str) -> Array:
    """`einsum` with the arrays first."""
    letters, result = parsed(subscripts, [x.ndim for x in arrays])
    try:
        return np.einsum(f"{','.join(letters)}->{result}", *arrays, optimize=len(arrays) > 2)
    except ValueError as error:
        raise ShapeError(
            f"einsum({subscripts!r}) got the shapes {[x.shape for x in arrays]}: {error}. The axes are letters; a letter has one "
            "size in all arrays, and stands at most once in the result"
        ) from None


def einsum(subscripts: str, *arrays: Array, **options: Any) -> Array:
    """Sums of products in Einstein's notation, as NumPy's: `einsum("ij,jk->ik", a, b)`.

    A letter stands for an axis, of one size wherever it is; letters that the result lacks are summed over, and `...` stands for
    the axes without a letter. Without `->` the result has the letters that come once, in order. NumPy's `optimize` is taken
    and decides itself here. Raises ShapeError where letters and arrays do not fit.
    """
    if not isinstance(subscripts, str) or options.keys() - {"optimize"}:
        raise ShapeError(
            "einsum takes the subscripts as text, then the arrays, and no other option than optimize: "
            'einsum("ij,jk->ik", a, b)'
        )
    return einsum_op(*arrays, subscripts=subscripts)


FUNCTIONS[np.einsum] = einsum

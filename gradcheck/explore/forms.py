"""Other shapes of structure that a function takes beside those of an example: operands that broadcast, more or fewer axes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from gradcheck.explore.domain import Around, Form, Leaf, Shapes

Tries: TypeAlias = Iterator[tuple[str, tuple[Leaf, ...], tuple[int, ...], bool]]
"""Words, the arrays, sizes of new letters, and whether the outputs have to keep their shapes."""

MOST = 16
"""So many forms are kept, those that broadcast first."""

AXIS = 2
"""Size of an axis that is added: one that no right rule confuses with 1."""


def find_forms(
    domain: Around,
    takes: Callable[[tuple[Any, ...], dict[str, Any]], Shapes],
    pulls: Callable[[tuple[Any, ...], dict[str, Any]], bool],
) -> None:
    """Add the forms that forward takes to `domain.forms`.

    takes: shapes of the outputs, () where forward refuses. pulls: whether the rule raises nothing; a form for which it
    does is refused by the rule as a whole, and so an edge.
    """
    base = takes(domain.inputs, domain.params)
    floats = [i for i, leaf in enumerate(domain.arrays) if leaf.array.dtype.kind in "fc"]
    for words, arrays, new, keeps in (*_broadcast(domain, floats), *_ranks(domain, floats)):
        if len(domain.forms) > MOST:
            return
        sizes = [*domain.sizes, *new]
        form = Form(words, arrays, tuple(sizes))
        call = domain.call({leaf.place: leaf.array for leaf in arrays}, {})
        shapes = takes(*call)
        if not shapes or (keeps and shapes != base):
            continue
        domain.forms.append(replace(form, refused=not pulls(*call)))


def _with(arrays: Sequence[Leaf], i: int, leaf: Leaf) -> tuple[Leaf, ...]:
    return tuple([leaf if j == i else other for j, other in enumerate(arrays)])


def _broadcast(domain: Around, floats: Sequence[int]) -> Tries:
    """Each operand in turn with one axis of size 1, or with leading axes left out."""
    if len(domain.arrays) < 2:
        return
    for i in floats:
        leaf = domain.arrays[i]
        for axis, n in enumerate(leaf.array.shape):
            if n > 1:
                axes: list[int | None] = [None if a == axis else letter for a, letter in enumerate(leaf.axes)]
                one = replace(leaf, array=leaf.array.take([0], axis=axis), axes=axes)
                yield f"{leaf.path} with axis {axis} of size 1", _with(domain.arrays, i, one), (), True
        for count in range(1, leaf.array.ndim + 1):
            less = replace(leaf, array=np.array(leaf.array[(0,) * count]), axes=leaf.axes[count:])
            words = f"{leaf.path} without its first {f'{count} axes' if count > 1 else 'axis'}"
            yield words, _with(domain.arrays, i, less), (), True


def _ranks(domain: Around, floats: Sequence[int]) -> Tries:
    """A leading axis more, of all arrays or of those with the most axes or of the first; and one less."""
    if not floats:
        return
    most = max(domain.arrays[i].array.ndim for i in floats)
    deepest = [i for i in floats if domain.arrays[i].array.ndim == most]
    groups = {tuple(deepest), tuple(floats), (floats[0],)}
    for group in sorted(groups):
        arrays = list(domain.arrays)
        for i in group:
            leaf = arrays[i]
            array = np.stack([leaf.array, np.roll(leaf.array, 1)])
            arrays[i] = replace(leaf, array=array, axes=[len(domain.sizes), *leaf.axes])
        names = ", ".join([domain.arrays[i].path for i in group])
        yield f"{names} with a leading axis more", tuple(arrays), (AXIS,), False
    if most > 1:
        arrays = list(domain.arrays)
        for i in deepest:
            leaf = arrays[i]
            arrays[i] = replace(leaf, array=np.array(leaf.array[0]), axes=leaf.axes[1:])
        names = ", ".join([domain.arrays[i].path for i in deepest])
        yield f"{names} with an axis less", tuple(arrays), (), False

"""Other shapes of structure that a function takes beside those of an example: operands that broadcast, more or fewer axes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from gradcheck.explore.domain import Accepts, Around, Array, Form, Leaf, Pulls, Shapes, Values

Tries: TypeAlias = Iterator[tuple[Form, bool]]
"""A form, and whether the outputs have to keep their shapes for it to be one."""

MOST = 16
"""So many forms are kept, those that broadcast first."""

AXIS = 2
"""Size of an axis that is added: one that no right rule confuses with 1."""


def find_forms(domain: Around, takes: Accepts, pulls: Pulls, values: Values) -> None:
    """Add the forms that forward takes to `domain.forms`; one for which the rule raises is refused as a whole, and an edge."""
    base = takes(domain.inputs, domain.params)
    floats = [i for i, leaf in enumerate(domain.arrays) if leaf.array.dtype.kind in "fc"]
    for form, keeps in (*_broadcast(domain, floats, base), *_ranks(domain, floats, values)):
        if len(domain.forms) > MOST:
            return
        call = domain.call({leaf.place: leaf.array for leaf in form.arrays}, {})
        shapes = takes(*call)
        if shapes and (shapes == base or not keeps):
            domain.forms.append(replace(form, edge=form.edge or not pulls(*call)))


def _with(arrays: Sequence[Leaf], i: int, leaf: Leaf) -> tuple[Leaf, ...]:
    return tuple([leaf if j == i else other for j, other in enumerate(arrays)])


def _broadcast(domain: Around, floats: Sequence[int], base: Shapes) -> Tries:
    """Each operand in turn with one axis of size 1, or with leading axes left out.

    Operands that share the shape of an output may broadcast against each other as they like. Where the example shows how
    they do (a bias of one axis), or the operands are no such pair, other ways are edges.
    """
    shapes = [leaf.array.shape for leaf in domain.arrays]
    if len(shapes) < 2:
        return
    for i in floats:
        leaf, edge = domain.arrays[i], shapes.count(shapes[i]) < 2 or shapes[i] not in base
        for axis, n in enumerate(leaf.array.shape):
            if n > 1:
                axes: list[int | None] = [None if a == axis else letter for a, letter in enumerate(leaf.axes)]
                one = replace(leaf, array=leaf.array.take([0], axis=axis), axes=axes)
                words = f"{leaf.path} with axis {axis} of size 1"
                yield Form(words, _with(domain.arrays, i, one), tuple(domain.sizes), edge), True
        for count in range(1, leaf.array.ndim + 1):
            less = replace(leaf, array=np.array(leaf.array[(0,) * count]), axes=leaf.axes[count:])
            words = f"{leaf.path} without its first {f'{count} axes' if count > 1 else 'axis'}"
            yield Form(words, _with(domain.arrays, i, less), tuple(domain.sizes), edge), True


def _ranks(domain: Around, floats: Sequence[int], values: Values) -> Tries:
    """A leading axis more, of all arrays or of those with the most axes or of the first; and one less.

    Where the function does the same to each part along that axis (a batch), it means with more axes what it means with the
    example's. Where it does not (np.cumprod flattens), the example does not show what it means, and the form is an edge.
    """
    if not floats:
        return

    def outputs(arrays: Sequence[Leaf]) -> tuple[Array, ...] | None:
        return values(*domain.call({leaf.place: leaf.array for leaf in arrays}, {}))

    base = outputs(domain.arrays)
    most = max(domain.arrays[i].array.ndim for i in floats)
    deepest = [i for i in floats if domain.arrays[i].array.ndim == most]
    groups = {tuple(deepest), tuple(floats), (floats[0],)}
    for group in sorted(groups):
        arrays, second = list(domain.arrays), list(domain.arrays)
        for i in group:
            leaf = arrays[i]
            second[i] = replace(leaf, array=np.roll(leaf.array, 1))
            array = np.stack([leaf.array, second[i].array])
            arrays[i] = replace(leaf, array=array, axes=[len(domain.sizes), *leaf.axes])
        names = ", ".join([domain.arrays[i].path for i in group])
        edge = not _are_parts(outputs(arrays), (base, outputs(second)))
        yield Form(f"{names} with a leading axis more", tuple(arrays), (*domain.sizes, AXIS), edge), False
    if most > 1:
        arrays = list(domain.arrays)
        for i in deepest:
            leaf = arrays[i]
            arrays[i] = replace(leaf, array=np.array(leaf.array[0]), axes=leaf.axes[1:])
        names = ", ".join([domain.arrays[i].path for i in deepest])
        edge = not _are_parts(base, (outputs(arrays),))
        yield Form(f"{names} with an axis less", tuple(arrays), tuple(domain.sizes), edge), False


def _are_parts(whole: tuple[Array, ...] | None, parts: Sequence[tuple[Array, ...] | None]) -> bool:
    """Whether the first entries along the first axis of all outputs are these."""
    if whole is None:
        return False
    for k, part in enumerate(parts):
        if part is None or [y.shape for y in part] != [y.shape[1:] for y in whole if y.ndim]:
            return False
        if not all(
            len(y) > k and np.allclose(y[k], own, rtol=1e-4) for y, own in zip(whole, part, strict=True)
        ):
            return False
    return True

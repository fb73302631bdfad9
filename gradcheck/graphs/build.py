"""A graph in the making: steps with their values, undone where a value turns out unfit."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.graphs.fit import LARGEST, fits, smooth, takes_values, tame, within
from gradcheck.graphs.steps import Leaf, Node, entry_of, forward_of
from gradcheck.strategies.shapes import Unfit
from gradcheck.strategies.values import Domain, draw_values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from gradcheck.graphs.steps import Kind

BIGGEST = 64
"""No value of a graph has more entries, so that it can be printed and is quick to check."""

STEP = 2.0**-12
"""A move that is smaller than every margin, and larger than rounding."""


@dataclass
class Builder:
    """Steps so far, their values on arrays, and whether they need a gradient.

    dtypes: of float leaves, in turn. style, seed: what their values are drawn from.
    """

    dtypes: tuple[str, ...]
    style: str
    seed: int
    steps: list[Leaf | Node] = field(default_factory=list)
    values: list[NDArray[Any]] = field(default_factory=list)
    needs: list[bool] = field(default_factory=list)

    def floats(self) -> list[int]:
        """The steps that ops may take as floats, the latest first."""
        return [i for i in reversed(range(len(self.steps))) if self.values[i].dtype.kind == "f"]

    def forget(self, length: int) -> None:
        """Undo all steps but the first `length`."""
        for kept in (self.steps, self.values, self.needs):
            del kept[length:]

    def leaf(self, domain: Domain, kind: Kind) -> int:
        """A new leaf of the domain, at a point where it is smooth. Raises Unfit where there is none."""
        place = len(self.steps)
        dtype = np.dtype(self.dtypes[place % len(self.dtypes)])
        rng = np.random.default_rng((self.seed, place))
        array = draw_values(domain, self.style, "smooth", dtype, rng)
        return self._add(
            Leaf(array, kind if takes_values(domain.array) else "array"), array, kind == "gradient"
        )

    def given(self, array: NDArray[Any]) -> int:
        """A leaf of these values that requires a gradient."""
        array = np.array(array, order="C")
        return self._add(Leaf(array), array, True)

    def constant(self, array: NDArray[Any]) -> int:
        """A plain array."""
        return self._add(Leaf(array, "array"), array, False)

    def node(self, op: str, inputs: tuple[int | None, ...], params: Mapping[str, Any]) -> int:
        """A call of the op. Raises Unfit where its value is large, or no number, or changes too steeply."""
        arrays = [None if j is None else self.values[j] for j in inputs]
        with np.errstate(all="ignore"):
            y = np.asarray(forward_of(entry_of(op))(*arrays, **params))
        if y.size > BIGGEST or not (np.abs(y) <= LARGEST).all():
            raise Unfit
        if self._steep(op, inputs, params, y):
            raise Unfit
        return self._add(Node(op, inputs, params), y, any(self.needs[j] for j in inputs if j is not None))

    def _steep(
        self, op: str, inputs: tuple[int | None, ...], params: Mapping[str, Any], y: NDArray[Any]
    ) -> bool:
        """Whether a small move of the inputs is enlarged so much that rounding would be, too.

        Normalising entries that are all equal is such a place: what is left of its gradient is rounding alone.
        """
        rng = np.random.default_rng(0)
        moved: list[Any] = [None if j is None else self.values[j] for j in inputs]
        for place, j in enumerate(inputs):
            if j is not None and self.needs[j]:
                x = self.values[j]
                moved[place] = x + (STEP * rng.uniform(-1.0, 1.0, x.shape)).astype(x.dtype)
        with np.errstate(all="ignore"):
            change = np.abs(np.asarray(forward_of(entry_of(op))(*moved, **params)) - y)
        return not (change <= LARGEST * STEP).all()

    def _add(self, step: Leaf | Node, value: NDArray[Any], needs: bool) -> int:
        self.steps.append(step)
        self.values.append(value)
        self.needs.append(needs)
        return len(self.steps) - 1

    # --- bringing a value where it is wanted ---------------------------------------------------------------------------

    def shaped(self, value: int, shape: tuple[int, ...]) -> int:
        """The value under another shape: reshaped, broadcast, or its entries picked in turn as often as it takes."""
        x = self.values[value]
        if x.shape == shape:
            return value
        size = math.prod(shape)
        if x.size == size:
            return self.node("reshape", (value,), {"shape": shape})
        if fits("~...", x.shape, {}, shape):
            return self.node("broadcast_to", (value,), {"shape": shape})
        if not x.size:
            raise Unfit
        if x.ndim != 1:
            value = self.node("reshape", (value,), {"shape": (x.size,)})
        return self.node("getitem", (value,), {"index": np.resize(np.arange(x.size), shape)})

    def taken(self, value: int | None, domain: Domain) -> int:
        """The value as it is; raises Unfit where it is not in the domain."""
        if value is None or not (within(domain, self.values[value]) and smooth(domain, self.values[value])):
            raise Unfit
        return value

    def brought(self, value: int, domain: Domain, squash: bool) -> int:
        """The value in the domain: as it is, else squashed between the bounds, else moved off kinks by a constant.

        squash: squashed into the tame part of the domain in any case. Raises Unfit where that does not help.
        """
        value = self.shaped(value, domain.shape)
        if squash or not within(domain, self.values[value]):
            value = self._squashed(value, domain)
        x = self.values[value]
        if not smooth(domain, x):
            rng = np.random.default_rng((self.seed, len(self.steps)))
            target = draw_values(tame(domain), self.style, "smooth", x.dtype, rng)
            value = self.node("add", (value, self.constant(target - x)), {})
        return self.taken(value, domain)

    def _squashed(self, value: int, domain: Domain) -> int:
        dtype = self.values[value].dtype
        inner = tame(domain)
        if inner.low is None or inner.high is None:  # tame() bounds all that takes values
            raise Unfit
        if domain.low is not None and domain.high is None:
            square = self.node("mul", (value, value), {})
            return self.node("add", (square, self.constant(np.array(inner.low, dtype))), {})
        # By the sine, which has a derivative of like size everywhere, where others saturate.
        part = self.node("sin", (value,), {})
        half = np.array((inner.high - inner.low) / 2, dtype)
        scaled = self.node("mul", (part, self.constant(half)), {})
        middle = np.array((inner.high + inner.low) / 2, dtype)
        return self.node("add", (scaled, self.constant(middle)), {}) if middle else scaled

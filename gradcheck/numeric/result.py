"""What a numeric derivative found: a value with a bound for every output element, and how the function behaves there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.numeric.line import Layout, Values
from gradcheck.numeric.notebook import html_table


class Diagnosis(IntEnum):
    """The behaviour of the function at the point, for one output element; the larger, the worse."""

    SMOOTH = 0
    NOISY = 1
    """Values scatter by more than the rounding of their dtype; the bound includes this scatter."""
    EDGE = 2
    """Finite on one side only: the value is the slope of that side."""
    KINK = 3
    """The slopes of the two sides differ: value ± bound spans both."""
    UNRESOLVED = 4
    """No step gave a usable bound: a jump, an infinite slope, or structure finer than rounding can resolve."""
    STOCHASTIC = 5
    """A second evaluation at the same point gave another value."""
    NONFINITE = 6
    """The value at the point itself is infinite or NaN."""


@dataclass(frozen=True, slots=True)
class Derivative:
    """Derivative of `f` along `v`, one number per output element, each with a bound on its error.

    `value`, `bound`, `diagnosis` (of `Diagnosis` codes), `y` (the values at `x`), `left` and `right` (slopes of the
    two sides) and their bounds have the structure of what `f` returned: one array, or a tuple of arrays. Where an
    output is not diagnosed KINK or EDGE, `left` and `right` equal `value`. `bound` is infinite where nothing is
    known. A complex output has complex slopes, and a bound on the modulus of the error. The `flat_*` vectors hold
    the same, all outputs in a row and every complex number as its two parts.
    """

    flat_value: Values
    flat_bound: Values
    flat_diagnosis: NDArray[np.int8]
    flat_left: Values
    flat_right: Values
    flat_left_bound: Values
    flat_right_bound: Values
    flat_y: Values
    layout: Layout
    evaluations: int
    settled: bool
    """Whether the finest step, tried where not all of them were affordable, moves every output that has a slope."""
    flat_step: Values
    """The largest step that the estimate of each output rests on; NaN where no step was chosen."""

    def _fold(self, flat: NDArray[Any], *, real: bool = False) -> Any:
        parts = self.layout.fold(flat, real=real)
        return parts[0] if self.layout.single else parts

    @property
    def value(self) -> Any:
        """J v, in the structure of f's output."""
        return self._fold(self.flat_value)

    @property
    def bound(self) -> Any:
        """Bound on |value - truth|, in the structure of f's output."""
        return self._fold(self.flat_bound, real=True)

    @property
    def left(self) -> Any:
        """Slope for t < 0."""
        return self._fold(self.flat_left)

    @property
    def right(self) -> Any:
        """Slope for t > 0."""
        return self._fold(self.flat_right)

    @property
    def left_bound(self) -> Any:
        """Bound on the error of `left`."""
        return self._fold(self.flat_left_bound, real=True)

    @property
    def right_bound(self) -> Any:
        """Bound on the error of `right`."""
        return self._fold(self.flat_right_bound, real=True)

    @property
    def y(self) -> Any:
        """f(x), in float64 or complex128."""
        return self._fold(self.flat_y)

    @property
    def diagnosis(self) -> Any:
        """Code of `Diagnosis` for every output element; a complex element has the worse of its two parts."""
        parts, start = [], 0
        for shape, dtype in zip(self.layout.shapes, self.layout.dtypes, strict=True):
            width = 2 if dtype.kind == "c" else 1
            stop = start + width * math.prod(shape)
            part = self.flat_diagnosis[start:stop]
            parts.append((part if width == 1 else part.reshape(-1, 2).max(axis=1)).reshape(shape))
            start = stop
        return parts[0] if self.layout.single else tuple(parts)

    @property
    def usable(self) -> Any:
        """Whether value and bound are finite, for every output element: a boolean array or a tuple of them."""
        good = np.isfinite(self.flat_value) & np.isfinite(self.flat_bound)
        parts = self.layout.fold(np.where(good, 0.0, 1.0), real=True)
        masks = tuple(np.asarray(part == 0.0) for part in parts)
        return masks[0] if self.layout.single else masks

    def _repr_html_(self) -> str:
        return html_table(self.y, self.value, self.bound, self.diagnosis)

    @property
    def worst(self) -> Diagnosis:
        """Worst diagnosis of any output element; SMOOTH where there is none."""
        return Diagnosis(int(self.flat_diagnosis.max(initial=0)))

"""A function seen along a line: points that move exactly, values as one flat real vector, evaluations counted."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from types import EllipsisType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.numeric.quantiles import lower, median
from gradcore.errors import DtypeError, ShapeError

LARGE = 1 << 12
"""Entries from which on it is worth a look whether a direction moves a few of them only."""

ALL = ...

SHAPE = attrgetter("shape")


@cache
def eps_of(dtype: np.dtype[Any]) -> float:
    """Machine epsilon of a floating or complex dtype."""
    return float(np.finfo(dtype).eps)


EPS = eps_of(np.dtype(np.float64))

Array = NDArray[Any]
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Layout:
    """Shapes and dtypes of what `f` returned, so that one flat real vector can be folded back into them."""

    single: bool
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[np.dtype[Any], ...]

    def fold(self, flat: NDArray[Any], *, real: bool = False) -> tuple[Array, ...]:
        """Arrays of the outputs' shapes from a flat vector that holds a complex number as its two parts.

        With `real=True` the two parts of a complex number become one real number, the length of the pair.
        """
        parts, start = [], 0
        for shape, dtype in zip(self.shapes, self.dtypes, strict=True):
            width = 2 if dtype.kind == "c" else 1
            stop = start + width * math.prod(shape)
            part = flat[start:stop]
            if width == 2 and real:
                part = np.hypot(part[0::2], part[1::2])
            elif width == 2:
                part = np.ascontiguousarray(part, dtype=np.float64).view(np.complex128)
            parts.append(part.reshape(shape))
            start = stop
        return tuple(parts)

    def flat(self, arrays: Sequence[Array]) -> Values:
        """The flat vector of arrays of the outputs' shapes, such as a cotangent; for real outputs their real parts."""
        return flatten(
            [
                array.astype(np.complex128) if dtype.kind == "c" else array.real
                for array, dtype in zip(arrays, self.dtypes, strict=True)
            ]
        )


def in_a_row(arrays: Sequence[Array]) -> Array:
    """The entries of all arrays as one vector."""
    if len(arrays) == 1:
        return arrays[0].reshape(-1)
    return np.concatenate([array.reshape(-1) for array in arrays]) if arrays else np.zeros(0)


def flatten(arrays: Sequence[Array]) -> Values:
    """One float64 vector of all entries; a complex entry gives its real and imaginary part, next to each other."""
    parts = []
    for array in arrays:
        if array.dtype.kind == "c":
            parts.append(np.ascontiguousarray(array, np.complex128).reshape(-1).view(np.float64))
        else:
            parts.append(np.asarray(array, np.float64).reshape(-1))
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.zeros(0)


def as_tuple(value: Any) -> tuple[Any, ...]:
    """The arrays of a tuple or list, or the one array as a tuple of one."""
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def read_outputs(result: Any) -> tuple[list[Array], bool]:
    """Arrays that `f` returned and whether it returned a bare one; refuses what has no derivative.

    Raises:
        DtypeError: `f` returned something that is no array, or an array that is neither floating nor complex.
    """
    single = not isinstance(result, (tuple, list))
    arrays = [result] if single else list(result)
    for position, item in enumerate(arrays):
        if type(item) is not np.ndarray or item.dtype.kind not in "fc":
            arrays[position] = _output(item, None if single else position)
    return arrays, single


def _output(item: Any, position: int | None) -> Array:
    """One output as an array; position: among several, None for the only one."""
    array = None if item is None or isinstance(item, (str, bytes, dict, set)) else np.asarray(item)
    if array is not None and array.dtype.kind in "fc":
        return array
    name = "f returned" if position is None else f"output {position} of f is"
    if array is None:
        raise DtypeError(
            f"{name} a {type(item).__name__}, not an array; return an array or a tuple of arrays"
        )
    raise DtypeError(
        f"{name} {array.dtype}, which has no derivative; return a floating or complex array "
        "(or leave this output out of the check)"
    )


def positive(sizes: Values) -> Values:
    """Those of some sizes that are finite and above zero; the same array where all are."""
    finite = np.isfinite(sizes)
    if np.count_nonzero(finite) == sizes.size == np.count_nonzero(sizes):
        return sizes
    return sizes[finite & (sizes > 0)]


def magnitudes(array: Array) -> Values:
    """|entry|, a typical one for zero and non-finite entries (1 where all are)."""
    found = np.asarray(np.abs(array), np.float64)
    those = positive(found)
    if those is found:
        return found
    return np.where(np.isfinite(found) & (found > 0), found, median(those) if those.size else 1.0)


def _around(point: Array, tangent: Array, step: float) -> tuple[Array, Array, float]:
    """`x + step v`, `x - step v`, and the slip."""
    dtype, moved = point.dtype, np.asarray(step * tangent)
    above, below = np.asarray(point + moved, dtype), np.asarray(point - moved, dtype)
    went = np.subtract(above, below, out=moved if dtype == moved.dtype else None)
    return above, below, _lost(went, step, tangent)


def _lost(went: Array, step: float, tangent: Array) -> float:
    """Largest relative part of an entry's way of `2 step v` that is missing from the one that it went."""
    worst = 0.0
    for name in ("real", "imag") if tangent.dtype.kind == "c" else ("real",):
        speed, found = getattr(tangent, name), getattr(went, name) / (2.0 * step)
        other = found != speed
        if np.count_nonzero(other):
            other &= speed != 0
            due = speed[other]
            lost = np.abs(found[other].astype(np.float64, copy=False) - due) / np.abs(due)
            worst = max(worst, float(lost.max(initial=0.0)))
    return worst


def _moving(tangent: Array) -> slice | EllipsisType:
    """The rows of a large direction beyond which it is 0 throughout, all of a small one."""
    if tangent.size < LARGE or not tangent.ndim:
        return ALL
    moves = tangent.reshape(-1) != 0
    row = tangent.size // len(tangent)
    first, last = moves.argmax() // row, (moves.size - 1 - moves[::-1].argmax()) // row
    return ALL if last - first + 1 == len(tangent) else slice(int(first), int(last) + 1)


class Line:
    """`t -> f(x + t v)` as a flat float64 vector. Used within `np.errstate(all="ignore")`.

    Args:
        f: takes the arrays of `x`, returns an array or a tuple of arrays.
        x: arrays of any shape; those that move are floating or complex.
        v: for every array of `x` an array of its shape, or None for an input that stays.
        widen: evaluate float16 and float32 inputs as float64 (the same values, in finer arithmetic).

    Raises:
        ShapeError: `v` does not fit `x`.
        DtypeError: a moving input is neither floating nor complex.
    """

    def __init__(self, f: Callable[..., Any], x: Any, v: Any, *, widen: bool = True) -> None:
        if not callable(f):
            raise DtypeError(f"f is {f!r:.60}, and it has to be the function: derivative(np.sin, x, v)")
        if v is None:
            raise ShapeError(
                "v is None: pass a direction, an array (or None for one that stays) for every array of x"
            )
        points, tangents = as_tuple(x), as_tuple(v)
        if len(points) != len(tangents):
            raise ShapeError(
                f"x has {len(points)} arrays and v has {len(tangents)}; v needs one entry for every array of x, "
                "None for one that does not move"
            )
        self.f, self.evaluations = f, 0
        self.layout: Layout | None = None
        self.eps: Values | float = EPS
        self.failure: Exception | None = None
        self.x: list[Array] = []
        self.v: list[Array | None] = []
        for position, (point, tangent) in enumerate(zip(points, tangents, strict=True)):
            array = np.asarray(point)
            if tangent is None:
                self.x.append(array)
                self.v.append(None)
                continue
            direction = np.asarray(tangent)
            if array.shape != direction.shape:
                raise ShapeError(
                    f"x[{position}] has shape {array.shape} and v[{position}] has {direction.shape}; they must be equal"
                )
            if array.dtype.kind not in "fc":
                raise DtypeError(
                    f"x[{position}] is {array.dtype} and cannot move along a direction; give v[{position}] = None, "
                    "or pass a floating array"
                )
            wide = np.complex128 if "c" in (array.dtype.kind, direction.dtype.kind) else np.float64
            if array.dtype.kind != "c" and wide is np.complex128:
                raise DtypeError(
                    f"v[{position}] is complex and x[{position}] is {array.dtype}; a real array moves along a real "
                    "direction"
                )
            finer = widen and array.dtype != wide
            self.x.append(array.astype(np.result_type(array.dtype, wide)) if finer else array)
            self.v.append(direction.astype(wide, copy=False))
        self.rows = [ALL if tangent is None else _moving(tangent) for tangent in self.v]

    def scale(self) -> float:
        """Power of two next to the lower quartile of |x_i / v_i|: the step that moves such an entry by its own size.

        A zero counts as its array's typical entry. Not the median: a direction that evens out contributions moves up to half of
        the entries by far less than their size, and a step to suit those passes over all that the others do: of tanh(x) + b
        with large b it sees b alone, without a sign that anything is missing.
        """
        moving = [(x, v, rows) for x, v, rows in zip(self.x, self.v, self.rows, strict=True) if v is not None]
        every = positive(in_a_row([magnitudes(x)[rows] / np.abs(v[rows]) for x, v, rows in moving]))
        if not every.size:
            return 1.0
        return float(2.0 ** min(max(np.floor(np.log2(lower(every, 0.25))), -900.0), 900.0))

    def moves(self) -> bool:
        """Whether any entry of `v` differs from zero."""
        return any(tangent is not None and np.count_nonzero(tangent) for tangent in self.v)

    def slip(self, step: float) -> float:
        """Largest relative part of an entry's step that rounding of `x ± h v` takes away; 0 where all are exact."""
        return self._apart(step)[2]

    def _apart(self, step: float) -> tuple[list[Array], list[Array], float]:
        """Fresh arrays of `x + step v` and of `x - step v`, and the slip."""
        right, left, worst = [], [], 0.0
        for point, tangent, rows in zip(self.x, self.v, self.rows, strict=True):
            if tangent is None:
                above, below = point.copy(), point.copy()
            elif rows is ALL:
                above, below, slip = _around(point, tangent, step)
                worst = max(worst, slip)
            else:
                above, below = point + 0.0, point.copy()
                above[rows], below[rows], slip = _around(point[rows], tangent[rows], step)
                worst = max(worst, slip)
            right.append(above)
            left.append(below)
        return right, left, worst

    def _points(self, step: float) -> list[Array]:
        """Fresh arrays of `x + step v`."""
        return [
            point.copy()
            if tangent is None or step == 0.0
            else np.asarray(point + step * tangent, point.dtype)
            for point, tangent in zip(self.x, self.v, strict=True)
        ]

    def center(self) -> Values:
        """Values at `x` itself; an exception that `f` raises here goes to the caller."""
        self.evaluations += 1
        return self.read(self.f(*self._points(0.0)))

    def at(self, step: float) -> Values:
        """Values at `x + step v`, NaN throughout where `f` raises ValueError or ArithmeticError (outside of its domain)."""
        return self._values(self._points(step))

    def sides(self, step: float) -> tuple[Values, Values, float]:
        """Values at `x + step v` and at `x - step v`, and the slip of this step."""
        right, left, slip = self._apart(step)  # the slip first, as f may write into its arguments
        return self._values(right), self._values(left), slip

    def _values(self, arrays: Sequence[Array]) -> Values:
        self.evaluations += 1
        try:
            result = self.f(*arrays)
        except (ValueError, ArithmeticError) as error:
            self.failure = error
            return np.full(self.size, np.nan)
        return self.read(result)

    def elsewhere(self, arrays: Sequence[Array]) -> Values:
        """Values at other arrays altogether, NaN throughout where `f` takes no such ones."""
        self.evaluations += 1
        try:
            outputs, _ = read_outputs(self.f(*arrays))
        except Exception:  # noqa: BLE001 - whatever it raises, these are none of its points
            return np.full(self.size, np.nan)
        values = flatten(outputs)
        return values if values.size == self.size else np.full(self.size, np.nan)

    def like_output(self, gy: Any) -> Values:
        """Flat vector of a cotangent, which has to have the shapes of the output."""
        arrays = [np.asarray(g) for g in as_tuple(gy)]
        layout = self.layout
        if layout is None or tuple([g.shape for g in arrays]) != layout.shapes:
            raise ShapeError(
                f"gy has shapes {[g.shape for g in arrays]} and f's output has {list(layout.shapes) if layout else []}"
            )
        return layout.flat(arrays)

    @property
    def size(self) -> int:
        """Length of the flat vector, known after `center`."""
        if self.layout is None:
            raise ShapeError("the size of f's output is known only after f(x) was evaluated")
        return sum(
            (2 if dtype.kind == "c" else 1) * math.prod(shape)
            for shape, dtype in zip(self.layout.shapes, self.layout.dtypes, strict=True)
        )

    def read(self, result: Any) -> Values:
        """Flat vector of what `f` returned; the first one read fixes the layout."""
        arrays, single = read_outputs(result)
        shapes = tuple(map(SHAPE, arrays))
        if self.layout is None:
            self.layout = Layout(single, shapes, tuple([array.dtype for array in arrays]))
            self.eps = self._eps(arrays)
        elif shapes != self.layout.shapes:
            raise ShapeError(
                f"f returned shapes {list(self.layout.shapes)} at x and {list(shapes)} at a neighbouring point; "
                "a derivative needs the same output shape everywhere (does the shape depend on the values?)"
            )
        return flatten(arrays)

    def _eps(self, arrays: Sequence[Array]) -> Values | float:
        rounding = [max(eps_of(array.dtype), EPS) for array in arrays]
        if len(set(rounding)) <= 1:
            return rounding[0] if rounding else EPS
        widths = [array.size * (2 if array.dtype.kind == "c" else 1) for array in arrays]
        return np.repeat(rounding, widths)

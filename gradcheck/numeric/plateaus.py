"""Values that stand still around a point: a function of steps, such as floor, or digits that a coarse dtype inside lost?

Both look alike at the point itself: rint(x) is computed as (x + 2^52) - 2^52. But a format loses digits relative to the
values, and steps have a width of their own. At inputs a million times as large, floor still answers to a move of a
millionth of a millionth; what went through float32 does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcheck.numeric.line import Line, Values

LEAST_GRAIN, LARGE, OF_LARGE = 2.0**-24, 2.0**10, 2.0**-40
"""Smaller changes, times the inputs and values up to `LARGE`, or the last one times all of them, may be rounding of float64
inside: of 1 - cos(1e-6), where a constant of 1 was added."""

SOME = 0.7310585786300049

MOVES = 4

EVALUATIONS = 3 * (MOVES + 2)
"""So many more does `constant_between_jumps` take at most."""


@dataclass(frozen=True, slots=True)
class _Format:
    """How a number format inside of a function shows.

    exponent: of the inputs at which it is probed. move: relative, far below its rounding. digits: of its significand. offset:
    the largest constant inside, next to inputs and values, that it is taken to have been added to where the function shows
    nothing at those inputs.
    """

    exponent: int
    move: float
    digits: int
    offset: float


BFLOAT = _Format(24, 2.0**-17, 8, 2.0**4)
HALF = _Format(13, 2.0**-13, 11, 2.0**4)
SINGLE = _Format(48, 2.0**-36, 24, 2.0**12)


def constant_between_jumps(line: Line, y: Values, at: NDArray[np.intp], grain: Values) -> NDArray[np.bool_]:
    """Whether outputs that do not change over the finest steps are constant there, so that their derivative is 0.

    line: the function and its point. y: its values there. at: the outputs in question. grain: the smallest change of each
    that any step showed. False where the values may be coarse for rounding in float64, float32, float16 or bfloat16.
    """
    largest = max([1.0, *(float(np.max(np.abs(x[np.isfinite(x)]), initial=0.0)) for x in line.x)])
    size: Values = np.fmax(largest, np.abs(y[at]))
    found = np.asarray(grain > np.fmax(LEAST_GRAIN * np.fmin(size, LARGE), OF_LARGE * size))
    if not found.any():
        return found
    wide, coarse = _responds(line, BFLOAT, at)
    narrow, also = wide, coarse
    if not (wide | coarse).all():  # float16 overflows there
        narrow, also = _responds(line, HALF, at)
    half = wide | (~coarse & narrow)
    found &= ~coarse & ~(~wide & also)
    found &= half | ~_fits(HALF, y[at], grain, size) & ~_fits(BFLOAT, y[at], grain, size)
    if found.any():
        fine, coarse = _responds(line, SINGLE, at)
        found &= ~coarse & (fine | (grain * 2.0**SINGLE.digits > 2.0 * SINGLE.offset * size))
    return found


def _fits(form: _Format, y: Values, grain: Values, size: Values) -> NDArray[np.bool_]:
    """Whether values with this grain may come from the format: few digits, and a grain that a modest constant explains."""
    mantissa = np.ldexp(np.frexp(y)[0], form.digits)
    return np.asarray(
        (mantissa == np.rint(mantissa)) & (grain * 2.0**form.digits <= 2.0 * form.offset * size)
    )


def _responds(line: Line, form: _Format, at: NDArray[np.intp]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which outputs answer to moves below the format's rounding at inputs of its exponent, and which to larger ones only.

    Neither: outputs that are not finite there, or do not change at all.
    """
    rows = [_value(line, form, m * form.move, at) for m in range(MOVES + 1)]
    rows.append(_value(line, form, 2.0 ** (3 - form.digits), at))
    values = np.stack(rows)
    finite = np.isfinite(values).all(axis=0)
    each = (values[1:-1] != values[:-2]).all(axis=0)
    return finite & each, finite & ~each & (values[-1] != values[0])


def _value(line: Line, form: _Format, move: float, at: NDArray[np.intp]) -> Values:
    """Outputs where every entry that moves has the format's exponent, its own sign and digits, and goes up by `move`.

    A zero gets some digits.
    """
    arrays = []
    for x, v in zip(line.x, line.v, strict=True):
        if v is None or x.dtype.kind != "f":
            arrays.append(x.copy())
            continue
        digits = np.where(x == 0, SOME, np.frexp(x)[0])
        moved = np.where(np.isfinite(x), np.ldexp(digits, form.exponent) * (1.0 + move), x)
        arrays.append(np.asarray(moved, x.dtype))
    return line.elsewhere(arrays)[at]

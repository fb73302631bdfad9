"""Floating formats: unit roundoff, smallest number, units in the last place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradcheck.backends.protocol import Array
from gradcheck.errors import CallError


@dataclass(frozen=True, slots=True)
class Format:
    """A binary floating format with `digits` bits of significand, the hidden one included.

    least: its smallest number above zero. largest: its largest finite one.
    """

    name: str
    digits: int
    least: float
    largest: float

    @property
    def unit(self) -> float:
        """The unit roundoff: the largest relative error of rounding to nearest."""
        return float(2.0**-self.digits)

    def rounding(self, values: Array) -> Array:
        """The largest error of rounding each of the values to nearest."""
        return self.unit * np.abs(values) + self.least / 2

    def ulp(self, value: float) -> float:
        """The unit in the last place of a number of this size."""
        if value == 0 or not np.isfinite(value):
            return self.least
        return float(max(self.least, 2.0 ** (np.floor(np.log2(abs(value))) + 1 - self.digits)))

    def rounded(self, values: Array) -> Array:
        """The nearest numbers of the format, in float64; for values within its normal range."""
        fraction, exponent = np.frexp(values)
        scale = 2.0**self.digits
        return np.ldexp(np.rint(fraction * scale) / scale, exponent)


FORMATS = {
    f.name: f
    for f in (
        Format("float8_e4m3fn", 4, 2.0**-9, 448.0),
        Format("float8_e5m2", 3, 2.0**-16, 57344.0),
        Format("bfloat16", 8, 2.0**-133, float(2.0**127 * (2 - 2.0**-7))),
        Format("float16", 11, 2.0**-24, 65504.0),
        Format("tf32", 11, 2.0**-136, float(2.0**127 * (2 - 2.0**-10))),
        Format("float32", 24, 2.0**-149, float(np.finfo(np.float32).max)),
        Format("float64", 53, 2.0**-1074, float(np.finfo(np.float64).max)),
    )
}


def format_of(dtype: object, path: str) -> Format:
    """The format of a dtype of NumPy, ml_dtypes or PyTorch."""
    name = str(dtype).rpartition(".")[2]
    if name not in FORMATS:
        raise CallError(
            f"{path} is of {name}, and a kernel is judged in one of {', '.join(n for n in FORMATS if n != 'tf32')}: convert it"
        )
    return FORMATS[name]


def claimed(name: str, value: object, more: tuple[str, ...] = ()) -> str:
    """A claim on precision; `CallError` where it is none."""
    known = (*more, *[n for n in FORMATS if not n.startswith("float8")])
    if value not in known:
        raise CallError(f"{name}={value!r}: it is one of {', '.join(map(repr, known))}")
    return str(value)


@dataclass(frozen=True, slots=True)
class Claims:
    """What the author claims of a kernel's inside, as relative errors.

    result: of the result of each operation. sums: of a sum, relative to the sum of its terms' sizes. inputs: by which
    inputs and cotangents may seem moved.
    """

    result: float
    sums: float
    inputs: float = 2.0**-24

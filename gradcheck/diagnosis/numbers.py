"""Two numbers that differ, printed so that they differ, and a factor so that it is not 1."""

from __future__ import annotations

import math
from dataclasses import dataclass

Number = float | complex

FEWEST, MOST = 10, 17
"""Digits of a number that is reported: of a float64, `MOST` show every difference."""

CLOSE = 0.1
"""Two numbers that differ by less than this part of the larger one get their relative difference printed."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A claimed and a measured number as texts that differ where the numbers do, and how far they are apart, "" for far."""

    claimed: str
    measured: str
    apart: str


def pair(claimed: Number, measured: Number) -> Pair:
    """Both numbers with as many digits as their difference needs, and the relative difference where it is small.

    >>> pair(5.70428665, 5.70428663)
    Pair(claimed='5.70428665', measured='5.70428663', apart='a relative difference of 3.5e-09')
    >>> pair(-2.0, 2.0)
    Pair(claimed='-2', measured='2', apart='')
    """
    texts = [_texts(claimed, measured, digits) for digits in range(FEWEST, MOST + 1)]
    relative = relative_difference(claimed, measured)
    both = next((t for t in texts if _show(t, claimed, measured)), texts[-1])
    return Pair(*both, f"a relative difference of {relative:.2g}" if 0 < relative < CLOSE else "")


def relative_difference(a: Number, b: Number) -> float:
    """|a - b| as a part of the larger one, NaN where either is not finite.

    >>> relative_difference(1e308, -1e308), relative_difference(3.0, 3.0)
    (2.0, 0.0)
    """
    a, b = complex(a), complex(b)
    parts = [abs(part) for z in (a, b) for part in (z.real, z.imag)]
    if not all(map(math.isfinite, parts)):
        return math.nan
    largest = max(parts)
    if largest == 0:
        return 0.0
    unit = math.ldexp(1.0, min(max(math.frexp(largest)[1], -1020), 1023))  # nothing overflows on the way
    a, b = complex(a.real / unit, a.imag / unit), complex(b.real / unit, b.imag / unit)
    return abs(a - b) / max(abs(a), abs(b))


def factor(value: float) -> str:
    """A factor with as many digits as its distance from 1 needs.

    >>> factor(0.75), factor(1 + 3e-9), factor(1.0000000000001)
    ('0.75', '1.000000003', '1.0000000000001')
    """
    off = abs(abs(value) - 1)
    digits = 6 if not 0 < off < 1e-4 else min(MOST, 2 + math.ceil(-math.log10(off)))
    text = f"{value:.{digits}g}"
    return text if abs(float(text)) != 1 or off == 0 else f"{value:.{MOST}g}"


def _texts(a: Number, b: Number, digits: int) -> tuple[str, str]:
    return f"{a:.{digits}g}", f"{b:.{digits}g}"


def _show(texts: tuple[str, str], a: Number, b: Number) -> bool:
    """Whether the texts show the difference to a tenth of itself."""
    if texts[0] == texts[1]:
        return a == b
    off = [relative_difference(complex(t), z) for t, z in zip(texts, (a, b), strict=True)]
    return not sum(off) > 0.1 * relative_difference(a, b)

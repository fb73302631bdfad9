"""The error of differences against their step: large steps truncate, small ones leave rounding, and between them is the best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.numeric.derivative import DOWN, FIRST, GRID, derivative
from gradcheck.numeric.ladder import Samples, estimates
from gradcheck.numeric.line import Line

BETWEEN = (2.0, 8.5, 11.9, 13.6, 17.0, 18.6, 22.2, 24.1, 28.1, 30.1, 34.2, 36.2, 41.0, 43.7)
"""Steps that only the picture takes, as powers of 1/2 of the scale."""


@dataclass(frozen=True, slots=True)
class Curve:
    """What was measured of `t -> <gy, f(x + t v)>` around t = 0.

    value, bound: its derivative there. steps, errors: of the plain central difference over each step, the distance from
    `value`, the largest step first. bounds: of the extrapolated estimate whose largest step this is, (step, bound) each.
    chosen: the largest step that the estimates rest on: the smallest of any output, that of the middle one, and the largest.
    """

    value: float
    bound: float
    steps: tuple[float, ...]
    errors: tuple[float, ...]
    bounds: tuple[tuple[float, float], ...]
    chosen: tuple[float, float, float] | None


def curve(f: Callable[..., Any], x: Any, v: Any, gy: Any) -> Curve:
    """Measure it, in about 60 evaluations. Arguments as for `derivative`; gy: an array for every output array.

    Raises as `derivative` does.

    >>> c = curve(np.exp, np.array([1.0]), np.array([1.0]), (np.array([1.0]),))
    >>> bool(c.errors[0] > 1e-3), bool(min(c.errors) < 1e-9), bool(c.errors[-1] > 1e-7)
    (True, True, True)
    """
    found = derivative(f, x, v, gy=gy)
    line = Line(f, x, v)
    with np.errstate(all="ignore"):
        center = line.center()
        weight, scale = line.like_output(gy), line.scale()
        fractions = sorted([round(GRID * 2.0**-e) / GRID for e in (*FIRST, *DOWN, *BETWEEN)], reverse=True)
        sides = [line.sides(scale * fraction) for fraction in fractions]
        used = weight != 0

        def weighed(flat: Any) -> Any:
            return np.where(used, weight * flat, 0.0)

        value = float(weighed(found.flat_value).sum())
        error = np.abs(weighed(found.flat_bound))
        slopes = [
            (plus - minus) / (2.0 * scale * h) for h, (plus, minus, _) in zip(fractions, sides, strict=True)
        ]
        errors = [abs(float(weighed(slope).sum()) - value) for slope in slopes]
        ladder = [
            k for k, h in enumerate(fractions) if h in {round(GRID * 2.0**-e) / GRID for e in (*FIRST, *DOWN)}
        ]
        samples = Samples(
            tuple([fractions[k] for k in ladder]),
            np.array([[sides[k][side] for k in ladder] for side in (0, 1)]),
            center,
            line.eps,
            tuple([sides[k][2] for k in ladder]),
        )
        _, bounds = estimates(samples)
        of_steps = np.sqrt(np.square(weighed(bounds / scale)).sum(axis=1))
    kept = [(scale * h, e) for h, e in zip(fractions, errors, strict=True) if np.isfinite(e)]
    steps = found.flat_step[used & np.isfinite(found.flat_step) & (found.flat_value != 0)]
    chosen = None
    if steps.size:
        low, middle, high = np.sort(steps)[[0, steps.size // 2, -1]].tolist()
        chosen = (low, middle, high)
    return Curve(
        value,
        float(np.sqrt(np.square(error).sum())),
        tuple([h for h, _ in kept]),
        tuple([e for _, e in kept]),
        tuple(
            [
                (scale * fractions[k], float(b))
                for k, b in zip(ladder, of_steps, strict=False)
                if np.isfinite(b)
            ]
        ),
        chosen,
    )

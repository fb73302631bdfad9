"""Wrong entries that are at a kink of the reference, as where a maximum is reached twice: any slope between the two is right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gradcheck.backends.protocol import Array
from gradcheck.kernels.allowance import Judged
from gradcheck.kernels.measured import Measured

SAMPLED = 3
"""So many of the wrong entries are looked at, each by itself."""

STEP = 2.0**-20
"""Relative to the entry's size, or the array's where that is larger."""

APART = 0.05
"""Slopes that differ by more than this part of the larger one make a kink."""


def at_kinks(m: Measured, j: Judged) -> bool:
    """Whether an entry drawn from the wrong ones is always at a kink, and between its slopes; and all together move as they do."""
    bad = np.argwhere(j.bad)
    if not j.layout or not len(bad) or not m.affords(2 * SAMPLED + 3):
        return False
    rng = np.random.default_rng(m.seed)
    for at in bad[rng.permutation(len(bad))[:SAMPLED]]:
        index = tuple(at)
        place = np.zeros(j.truth.shape, bool)
        place[index] = True
        below, above = _slopes(m, j, place)
        low, high, limit = min(below, above), max(below, above), float(j.limit[index])
        if high - low <= APART * max(abs(low), abs(high)):
            return False
        if not low - limit <= float(j.actual[index]) <= high + limit:
            return False
    below, above = _slopes(m, j, j.bad)
    total, slack = float(np.sum(j.actual[j.bad])), float(np.sum(j.limit[j.bad]))
    if abs(above - below) <= APART * max(
        abs(above), abs(below)
    ):  # they move together, as all that are equal do
        return abs(total - (above + below) / 2) <= slack + 1e-6 * abs(total)
    return True


def _slopes(m: Measured, j: Judged, place: Array) -> tuple[float, float]:
    """Of the reference times the cotangent, to either side, along the sum of these entries."""
    k = [v.path for v in m.kernel.inputs].index(j.path)
    x = m.kernel.inputs[k].array
    size = max(float(np.abs(x[place]).max()), float(np.median(np.abs(x))), np.finfo(np.float64).tiny)
    h = float(np.exp2(np.floor(np.log2(size)))) * STEP
    own = [v.array for v in m.kernel.inputs]

    def outputs(step: float) -> Sequence[Array]:
        m.references += 1
        return m.reference.values([*own[:k], x + np.where(place, step, 0.0), *own[k + 1 :]])

    ups, downs, here = outputs(h), outputs(-h), m.truth.outputs
    gys = m.gys[j.which]
    with np.errstate(all="ignore"):
        slopes = [
            sum(
                [
                    float(np.vdot(gy, np.nan_to_num(y - y0)))
                    for gy, y, y0 in zip(gys, some, here, strict=True)
                    if gy is not None
                ]
            )
            for some in (downs, ups)
        ]
    return -slopes[0] / h, slopes[1] / h

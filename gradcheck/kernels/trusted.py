"""Whether the derivative of the reference is the derivative of the reference, along one direction."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcheck.kernels.measured import Measured
from gradcheck.numeric.derivative import derivative
from gradcheck.numeric.result import Diagnosis


def differs(m: Measured) -> str:
    """A sentence where the reference's own derivative is wrong, "" else; at a kink nothing is said."""
    gys = [gy for gy in m.gys[0] if gy is not None]
    moving = [v.format is not None and v.wanted for v in m.kernel.inputs]
    rng = np.random.default_rng(m.seed + 1)
    xs = [v.array for v in m.kernel.inputs]
    vs = [_direction(x, rng) if move else None for x, move in zip(xs, moving, strict=True)]
    at = [k for k, v in enumerate(m.outputs) if v.format is not None]

    def along(*arrays: Any) -> Any:
        m.references += 1
        ys = m.reference.values(list(arrays))
        return np.array([sum([float(np.vdot(gy, ys[k])) for gy, k in zip(gys, at, strict=True)])])

    claimed, size = 0.0, 0.0
    for gx, v in zip(m.truth.pulled[0], vs, strict=True):
        if gx is not None and v is not None:
            claimed += float(np.vdot(gx, v))
            size += float(np.vdot(np.abs(gx), np.abs(v)))
    if not np.isfinite(claimed):
        return ""
    with np.errstate(all="ignore"):
        found = derivative(along, tuple(xs), tuple(vs), max_evaluations=16)
    numeric, bound = float(found.value[0]), float(found.bound[0])
    if found.worst > Diagnosis.NOISY or not abs(numeric - claimed) > 4 * bound + 1e-6 * size:
        return ""
    return (
        f"the derivative of the reference {m.reference.name} is not its own: along one direction it is {numeric:.8g} ± {bound:.1g}, and the "
        f"recorded one is {claimed:.8g}. Look for detach(), .data, values that are frozen, or a custom rule in it"
    )


def _direction(x: Any, rng: np.random.Generator) -> Any:
    """Signs times powers of two of the entries' sizes; entries that are not finite stay."""
    with np.errstate(all="ignore"):
        size = np.exp2(np.floor(np.log2(np.abs(x))))
    return np.where(np.isfinite(x) & np.isfinite(size), size, 0.0) * rng.choice([-1.0, 1.0], x.shape)

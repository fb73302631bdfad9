"""Contracts on what a rule returns: shapes, dtypes, integers, and that it is a linear map of gy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gradcheck.backends.protocol import Array
from gradcheck.backends.tree import described
from gradcheck.contracts.base import Skip, agrees, close, contract
from gradcheck.verdict.evidence import Cotangents
from gradcheck.verdict.observation import Observation


@contract()
def cotangent_shape(obs: Observation) -> str | None:
    """Every cotangent has the shape of its input."""
    for path, gx, x, want in zip(obs.paths, obs.first_gx, obs.arrays, obs.wanted, strict=True):
        if want and gx is not None and gx.shape != x.shape:
            return f"the cotangent of {path} has shape {gx.shape}, and {path} has {x.shape}"
    return None


@contract()
def cotangent_dtype(obs: Observation) -> str | None:
    """Every cotangent has the dtype of its input, or the one to which forward promoted it."""
    outputs = {y.dtype for y in obs.outputs}
    for path, gx, x, want in zip(obs.paths, obs.first_gx, obs.arrays, obs.wanted, strict=True):
        if not want or gx is None or gx.dtype == x.dtype:
            continue
        if x.dtype not in outputs and gx.dtype in outputs and gx.dtype.kind == x.dtype.kind:
            continue
        return (
            f"the cotangent of {path} is {gx.dtype}, and {path} is {x.dtype}: look for a constant array or a function "
            f"that gives {gx.dtype}"
        )
    return None


@contract()
def integers_get_none(obs: Observation) -> str | None:
    """An integer or boolean input gets no cotangent: None or zeros."""
    arrays = [
        (p, g) for p, g, x in zip(obs.paths, obs.first_gx, obs.arrays, strict=True) if x.dtype.kind in "iub"
    ]
    if not arrays:
        raise Skip("no integer or boolean input")
    for path, gx in arrays:
        if gx is not None and gx.dtype.kind != "V" and np.any(gx):
            return f"{path} holds integers, which have no derivative, and got {described(gx)} that is not zero: return None"
    return None


@contract(follows=("deterministic", "vjp_repeatable", "vjp_keeps_inputs", "vjp_keeps_output"))
def linear(obs: Observation) -> str | None:
    """The cotangents depend on gy linearly."""
    small = any(gy.dtype == np.float16 for gy in obs.first_gys)
    for scale in (-1.0, 2.0**3 if small else 2.0**20, 2.0**-3 if small else 2.0**-20):
        gys = [gy * gy.dtype.type(scale) for gy in obs.first_gys]
        expected = [None if g is None else g * g.dtype.type(scale) for g in map(_as_float, obs.first_gx)]
        found = obs.pulled(gys, obs.fresh())
        if close(found, expected) or not _finite((*gys, *expected)) or _overflows(obs, found):
            continue
        if not agrees(obs, found, expected, gys):
            return f"gy times {scale:g} does not give gx times {scale:g}: a rule is linear in gy (no clipping, no sign)"
    other = [gy * gy.dtype.type(0.3780) for gy in obs.draw()]  # no two entries cancel to an exact zero
    both = [a + b for a, b in zip(obs.first_gys, other, strict=True)]
    parts = [obs.first_gx, obs.pulled(other, obs.fresh())]
    total = [_plus(a, b) for a, b in zip(*parts, strict=True)]
    found = obs.pulled(both, obs.fresh())
    if close(found, total) or any(_overflows(obs, gx) for gx in (found, total, *parts)):
        return None
    if not agrees(obs, found, total, both, (obs.first_gys, other)):
        return "the result for gy1 + gy2 is not the sum of those for gy1 and gy2: a rule is linear in gy"
    return None


def _overflows(obs: Observation, gx: Cotangents) -> bool:
    """Whether a dtype narrower than double precision has left its range, which is no evidence against linearity."""
    return not obs.in_double and not _finite([g for g in gx if g is not None and g.dtype.kind in "fc"])


def _finite(gs: Sequence[Array | None]) -> bool:
    return all(bool(np.isfinite(g).all()) for g in gs if g is not None)


def _as_float(g: Array | None) -> Array | None:
    return g.astype(np.float64) if g is not None and g.dtype.kind not in "fc" else g


def _plus(a: Array | None, b: Array | None) -> Array | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b if a.shape == b.shape else a


@contract(follows=("vjp_repeatable", "vjp_keeps_inputs", "vjp_keeps_output"))
def zero_cotangent(obs: Observation) -> str | None:
    """gy of zeros gives zeros, never NaN, wherever the gradient is finite."""
    gxs = obs.pulled([np.zeros(gy.shape, gy.dtype) for gy in obs.first_gys], obs.fresh())
    for path, gx, usual, want in zip(obs.paths, gxs, obs.first_gx, obs.wanted, strict=True):
        if not want or gx is None or usual is None or gx.shape != usual.shape or not np.count_nonzero(gx):
            continue
        wrong = (gx != 0) & np.isfinite(usual)
        if wrong.any():
            value = gx[wrong].flat[0]
            return f"a cotangent gy of zeros gives {value} in the cotangent of {path}: it has to give zeros"
    return None

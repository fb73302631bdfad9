"""Why a cotangent has the wrong shape: a broadcast that was not summed, a transpose, if that explains the numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial

import numpy as np

from gradcheck.backends.protocol import Array
from gradcheck.diagnosis.case import Cause
from gradcheck.verdict.compare import Verdict
from gradcheck.verdict.observation import Observation
from gradcore.graph import broadcasts_to, unbroadcast


def cause_of_shape(obs: Observation, i: int) -> Cause | None:
    """What explains a cotangent of the wrong shape: an unsummed broadcast or a transpose, if that explains the numbers."""
    x = obs.arrays[i]
    gx = obs.first_gx[i]
    if gx is None:
        return None
    candidates: list[tuple[str, str, Callable[[Array], Array]]] = []
    if gx.size >= x.size and broadcasts_to(x.shape, gx.shape):
        text = f"sum it over the axes that broadcasting {x.shape} to {gx.shape} added or stretched"
        candidates.append(("unsummed broadcast", text, lambda g: np.asarray(unbroadcast(g, x.shape))))
    for axes in itertools.islice(itertools.permutations(range(gx.ndim)), 1, 24):
        if tuple([gx.shape[a] for a in axes]) == x.shape:
            text = f"its axes have to be in the order {axes}: np.transpose(gx, {axes})"
            candidates.append(("transposed", text, partial(np.transpose, axes=axes)))
    if gx.size == x.size:
        candidates.append(("shape", f"reshaped to {x.shape} it is right", lambda g: g.reshape(x.shape)))
    seen = []
    for _ in range(2):
        gys = obs.draw()
        v = obs.aim(only=i)
        numeric = obs.numeric(v)
        gxs = obs.pulled(gys)
        seen.append((v, numeric, gys, gxs))
    for word, text, candidate in candidates:
        verdicts = []
        for v, numeric, gys, gxs in seen:
            g = gxs[i]
            if g is None or g.shape != gx.shape:
                break
            changed = [candidate(g) if j == i else None for j in range(len(gxs))]
            verdicts.append(obs.held(numeric, changed, v, gys).verdict)
        if len(verdicts) == len(seen) and all(one in (Verdict.PASS, Verdict.SUBGRADIENT) for one in verdicts):
            return Cause(word, text)
    return None

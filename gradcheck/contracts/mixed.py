"""Contract on a gradient under mixed precision, where a framework chooses the dtype of each operation (`torch.autocast`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gradcheck.backends.framed import Framed, FramedRun
from gradcheck.backends.protocol import Array, spread
from gradcheck.contracts.base import Skip, contract
from gradcheck.errors import RuleError
from gradcheck.numeric.perturbation import change, moved
from gradcheck.verdict.evidence import Cotangents, copied
from gradcheck.verdict.observation import Observation

DRAWS = 8
"""Runs in which the effect of rounding is seen."""

ERRORS, LIMIT = 3.0, 3.0
"""Root mean squares of that effect, with a rounding of the gradient itself; and how many times as much a right rule may be off."""

POINTS = 3
"""Points at which a gradient has to be off: at one alone, rounding may have crossed a kink or made a tie."""

BEYOND = 16.0
"""How many units of the lower precision those points are apart."""

SINGLE = {"f": np.dtype(np.float32), "c": np.dtype(np.complex64)}


@contract(of=Framed, on_request=True, follows=("vjp_repeatable", "deterministic"))
def autocast(obs: Observation) -> str | None:
    """Under autocast the gradient is that in single precision, within what the lower precision rounds.

    The allowance is measured: in single precision inputs, cotangents and every result on the way are moved by what
    rounding to the lower one may move it.
    """
    subject = obs.subject
    found = subject.lowered() if isinstance(subject, Framed) else None
    if found is None or not isinstance(subject, Framed):
        raise Skip("there is no autocast for these values")
    mixed, unit = found
    words = subject.framework.advice["autocast"]
    advice = words[0].upper() + words[1:]
    rng = np.random.default_rng([obs.seed, 6])
    given = [a.astype(SINGLE.get(a.dtype.kind, a.dtype)) for a in obs.arrays]
    off = ""
    for _ in range(POINTS):
        try:
            exact = _pulled(obs, _run(obs, subject, given), obs.first_gys)
        except Exception as error:
            raise Skip(f"it cannot be run in single precision ({type(error).__name__}: {error})") from error
        try:
            run = _run(obs, mixed, given)
        except Exception as error:
            if not subject.own_rule:
                raise Skip(
                    f"forward cannot be run under autocast ({type(error).__name__}: {error})"
                ) from error
            return f"under autocast forward raises {type(error).__name__}: {error}. {advice}"
        try:
            low = _pulled(obs, run, obs.first_gys)
        except RuleError as error:
            return f"under autocast the rule raises {error}. {advice}"
        off = _off(obs, subject, given, unit, exact, low)
        if not off:
            return None
        given = _moved(given, BEYOND * unit, rng)
    return f"{off}. {advice}"


def _off(
    obs: Observation, subject: Framed, given: Sequence[Array], unit: float, exact: Cotangents, low: Cotangents
) -> str:
    """Which gradient is off by more than rounding explains, in words; "" for none."""
    rng = np.random.default_rng([obs.seed, 7])
    shaken = []
    for seed in range(DRAWS):
        try:
            with subject.framework.rounding(unit, seed):
                run = _run(obs, subject, _moved(given, unit, rng))
                shaken.append(_pulled(obs, run, _moved(obs.first_gys, unit, rng)))
        except Exception as error:
            raise Skip(
                f"rounding in the lower precision leaves its domain ({type(error).__name__})"
            ) from error
    for i, (path, want) in enumerate(zip(obs.paths, obs.wanted, strict=True)):
        if not want:
            continue
        size = _distance(exact[i], None)
        effect = float(np.sqrt(np.mean([_distance(one[i], exact[i]) ** 2 for one in shaken])))
        allowed = LIMIT * (unit * size + ERRORS * effect)
        far = _distance(low[i], exact[i])
        if not far <= allowed:
            return (
                f"under autocast the gradient by {path} is another one: it differs from that in single precision by {far:.2g}, "
                f"where its norm is {size:.2g} and rounding explains {allowed:.1g}"
            )
    return ""


def _run(obs: Observation, subject: Framed, arrays: Sequence[Array]) -> FramedRun:
    obs.forwards += 1
    with np.errstate(all="ignore"):
        return subject.run([a.copy() for a in arrays])


def _pulled(obs: Observation, run: FramedRun, gys: Sequence[Array]) -> Cotangents:
    obs.pulls += 1
    with np.errstate(all="ignore"):
        return copied(run.pull(spread(run.outputs, [gy.copy() for gy in gys])))


def _moved(arrays: Sequence[Array], by: float, rng: np.random.Generator) -> list[Array]:
    return [moved(a, by, rng) if a.dtype.kind in "fc" else a for a in arrays]


def _distance(a: Array | None, b: Array | None) -> float:
    """The norm of the difference; None counts as zeros."""
    if a is None or b is None:
        rest = b if a is None else a
        return 0.0 if rest is None else float(np.linalg.norm(np.asarray(rest, np.complex128)))
    if a.shape != b.shape:
        return np.inf
    return float(np.linalg.norm(np.asarray(change(a, b), np.complex128)))

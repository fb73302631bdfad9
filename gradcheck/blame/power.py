"""power: which mistakes a test of a rule would detect, found out by planting them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from gradcheck.backends import Call, as_subject
from gradcheck.backends.arguments import seed_of
from gradcheck.backends.pair import Pair
from gradcheck.backends.protocol import Array, spread
from gradcheck.backends.tree import leaves, rebuild
from gradcheck.check import gradcheck
from gradcheck.errors import CallError
from gradcheck.report.power import Planted, Power
from gradcheck.verdict.compare import Verdict
from gradcheck.verdict.evidence import same
from gradcheck.verdict.observation import Observation

Change = Callable[[Array, Array], Array | None]
"""From a cotangent and the output to another one; None where there is no such mistake for this shape."""


def _one_entry(g: Array, _y: Array) -> Array:
    changed = np.array(g)
    if changed.size:
        changed.reshape(-1)[int(np.argmax(np.abs(changed)))] *= changed.dtype.type(1.1)
    return changed


def _transposed(g: Array, _y: Array) -> Array | None:
    return np.ascontiguousarray(g.T).reshape(g.shape) if g.ndim > 1 and min(g.shape[:2]) > 1 else None


def _reversed(g: Array, _y: Array) -> Array | None:
    return np.flip(g, 0) if g.ndim and len(g) > 1 else None


def _shifted(g: Array, _y: Array) -> Array | None:
    return np.roll(g, 1) if g.size > 1 else None


def _mean_for_sum(g: Array, y: Array) -> Array | None:
    """Of an input that was broadcast, or reduced: the mean of what has to be summed, or the reverse."""
    return g * g.dtype.type(g.size / y.size) if g.size != y.size and g.size and y.size else None


def _times(factor: float) -> Change:
    return lambda g, _y: g * g.dtype.type(factor)


MISTAKES: dict[str, Change] = {
    "sign": _times(-1.0),
    "factor 2": _times(2.0),
    "factor 1/2": _times(0.5),
    "zero": _times(0.0),
    "mean for sum": _mean_for_sum,
    "transposed": _transposed,
    "reversed": _reversed,
    "shifted by one": _shifted,
    "one entry by 10 %": _one_entry,
    "all by 1e-3": _times(1.0 + 1e-3),
    "all by 1e-6": _times(1.0 + 1e-6),
}
"""What is done to the cotangent of one input."""

OF_OUTPUT: dict[str, Change] = {
    "gy ignored": lambda gy, _y: np.ones_like(gy),
    "gy shifted by one": _shifted,
    "gy's sign lost": lambda gy, _y: np.abs(gy),
}
"""What is done to the cotangent of the output before the rule gets it."""


def power(
    f: Callable[..., Any], inputs: Any, *, vjp: Callable[..., Any] | None = None, **options: Any
) -> Power:
    """Plant mistakes in the rule, and try which of them `gradcheck(f, inputs, vjp=vjp, **options)` detects.

    f, inputs, vjp, options: those of the test; without vjp, f is a gradcore Op. Each mistake is tried in the cotangent of each
    input, and of the output: a sign, a factor, a transpose, one entry, 1e-6 of everything, ...: see `MISTAKES`. What is
    missed though it changes the cotangent lies below the test's error bound; where it changes nothing, other inputs are
    needed: all zeros, all equal, symmetric or of size 1 they hide it.

    Returns a `Power`, with `score`, `missed`, and a table as its text; true where all were detected. Raises `CallError` where
    there is no rule, or the test fails already.

    >>> import numpy as np
    >>> bool(power(np.sin, (np.array([0.5, 2.0, -1.0]),), vjp=lambda gy, y, x: gy * np.cos(x)))
    True
    """
    options = {**options, "raise_exception": False}
    wrt, params, seed = options.get("wrt"), options.get("params"), seed_of(options.get("seed", 0))
    subject = as_subject(Call(f, inputs, vjp, wrt, params, seed=seed))
    if not isinstance(subject, Pair):
        raise CallError(
            f"{subject.name} comes without a rule of its own to plant mistakes in: pass vjp=rule, or a gradcore Op"
        )
    before = gradcheck(f, inputs, vjp=vjp, **options)
    if before.verdict is Verdict.FAIL:
        raise CallError(
            f"the test of {subject.name} fails as it is ({', '.join(before.causes)}): mend the rule before mistakes are planted in it"
        )
    with np.errstate(all="ignore"):
        obs = Observation(subject, seed)
        gys = obs.draw()
        right = obs.pulled(gys)
    planted = []
    for place, (item, g) in enumerate(zip(subject.inputs, right, strict=True)):
        if not item.wanted or g is None:
            continue
        for mistake, change in MISTAKES.items():
            changed = change(g, obs.outputs[0])
            if changed is not None:
                rule = _wrong(subject, change, place)
                planted.append(
                    _tried(subject, inputs, rule, options, mistake, item.path, same([g], [changed]))
                )
    for mistake, change in OF_OUTPUT.items():
        turned = [change(gy, gy) for gy in gys]
        if all(gy is not None for gy in turned):
            rule = _wrong(subject, change, None)
            with np.errstate(all="ignore"):
                found = subject.cotangents(
                    rule(
                        rebuild(obs.run.result, iter(spread(obs.run.outputs, gys))),
                        obs.run.result,
                        *subject._arguments(obs.copies()),
                        **subject.params,
                    )
                )
            planted.append(_tried(subject, inputs, rule, options, mistake, "", same(found, right)))
    if not planted:
        raise CallError(
            f"no mistake can be planted in the rule of {subject.name}: it returns no cotangent for these inputs"
        )
    return Power(subject.name, tuple(planted))


def _tried(
    subject: Pair,
    inputs: Any,
    rule: Callable[..., Any],
    options: dict[str, Any],
    mistake: str,
    path: str,
    unchanged: bool,
) -> Planted:
    """The outcome of the same test with a wrong rule."""
    given = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
    report = gradcheck(subject.f, given, vjp=rule, **{**options, "params": subject.params})
    failed = report.verdict is Verdict.FAIL
    return Planted(mistake, path, failed, unchanged, report.causes[0] if failed else "")


def _wrong(subject: Pair, change: Change, place: int | None) -> Callable[..., Any]:
    """The rule with the cotangent of one input changed; None for that of the output."""

    @wraps(subject.rule)
    def rule(gy: Any, y: Any, *arguments: Any, **params: Any) -> Any:
        if place is None:
            new = [
                None if x is None else _kept(change(np.asarray(x), np.asarray(x)), x)
                for _, x in leaves(gy, "")
            ]
            return subject.rule(rebuild(gy, iter(new)), y, *arguments, **params)
        found = subject.cotangents(subject.rule(gy, y, *arguments, **params))
        outputs = [np.asarray(x) for _, x in leaves(y, "") if x is not None]
        g = found[place]
        if g is not None:
            found[place] = _kept(change(g, outputs[0]), g)
        return _as_arguments(subject, found)

    return rule


def _kept(changed: Array | None, g: Array) -> Array:
    return g if changed is None else changed


def _as_arguments(subject: Pair, found: Sequence[Array | None]) -> tuple[Any, ...]:
    """Cotangents, one per array, in the structure of the inputs; None in the place of static ones."""
    flat: list[Any] = [None] * len(subject._flat)
    for place, g in zip(subject._places, found, strict=True):
        flat[place] = g
    made: tuple[Any, ...] = rebuild(subject._template, iter(flat))
    return made

"""The derivative by the located entry as a few lines of code without the checker, tried before they are printed."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.backends.call import Call
from gradcheck.backends.framework import framework_of
from gradcheck.backends.protocol import Traits
from gradcheck.backends.registered import children_of
from gradcheck.backends.tree import leaves
from gradcheck.backends.values import array_in, reading
from gradcheck.diagnosis.locate import Located
from gradcheck.diagnosis.snippet import MOST, function_text, literal, writable
from gradcheck.verdict.evidence import Evidence
from gradcheck.verdict.observation import Observation

SHOWS = 8.0
"""A difference has to be nearer to the derivative than the claim is, by this factor."""

PLAIN = 1e-3
"""The simplest difference will do where its error is this part of the rule's."""


def entry_snippet(obs: Observation, call: Call, e: Evidence, at: Located) -> str:
    """Code that differentiates `<gy, f>` by one entry with a few calls of f.

    "" where it would not show the fault: inputs too large to be written out, or no difference of a few values gives the
    derivative that was measured.
    """
    if not (writable(call.arguments) and writable(call.params)) or any(gy.size > MOST for gy in e.gys):
        return ""
    found = _best(obs, e, at)
    if found is None:
        return ""
    formula, step, error = found
    path = obs.paths[at.input]
    index = ", ".join(map(str, at.index)) or "()"
    kind = "complex" if obs.arrays[at.input].dtype.kind == "c" else "float"
    where = f"{path}[{index}]" if at.index else path
    framework = framework_of(call.f, *[leaf for _, leaf in leaves(call.arguments, "")])
    within = framework.within_code() if framework is not None else ""
    return "\n".join(
        [
            f"# without the checker: the derivative of <gy, f> by {where}, {_near(error)}",
            *_cotangents(obs, e),
            "def value(t):",
            f"    x = np.array({_data(obs, call, path)}, {kind})",
            f"    x[{index}] += t",
            f"    {within + ' ' if within else ''}y = {_called(obs, call, path)}",
            f"    return {_product(obs, e)}",
            f"h = {step}",
            formula.printed(kind == "complex"),
        ]
    )


def _near(error: float) -> str:
    return f"within {error:.0e} of the one measured" if error else "just as measured"


def _data(obs: Observation, call: Call, path: str) -> str:
    """Code of the array at `path`, be it in a tensor, or in one that f holds."""
    found = dict(leaves(call.arguments, "inputs"))
    if path not in found:
        framework = framework_of(call.f)
        held = path if framework is None else framework.held_code(function_text(call.f, "f"), path)
        return obs.subject.traits.reads.format(held)
    return reading(found[path]).format(path)


# --- the code ---------------------------------------------------------------------------------------------------------


def _outputs(obs: Observation) -> list[str]:
    """The differentiable outputs, as expressions of y."""
    return ["y" + obs.subject.output_paths[k].removeprefix("output") for k in obs.places]


def _cotangents(obs: Observation, e: Evidence) -> list[str]:
    names = ["gy"] if len(e.gys) == 1 else [f"gy{k}" for k in range(len(e.gys))]
    kept = zip(names, e.gys, strict=True)
    return [f"{n} = {literal(gy.astype(complex if gy.dtype.kind == 'c' else float))}" for n, gy in kept]


def _product(obs: Observation, e: Evidence) -> str:
    reads = obs.subject.traits.reads
    terms = []
    for k, (y, gy) in enumerate(zip(_outputs(obs), e.gys, strict=True)):
        name = "gy" if len(e.gys) == 1 else f"gy{k}"
        terms.append(
            f"(np.conj({name}) * {reads.format(y)}).real.sum()"
            if gy.dtype.kind == "c"
            else f"({name} * {reads.format(y)}).sum()"
        )
    return " + ".join(terms)


def _called(obs: Observation, call: Call, path: str) -> str:
    traits = obs.subject.traits
    given = [_argument(a, f"inputs[{i}]", path, traits) for i, a in enumerate(call.arguments)]
    given += [f"{key}={literal(value)}" for key, value in (call.params or {}).items()]
    measured = call.f if call.straight_through is None else call.straight_through
    f, framework = function_text(measured, "f" if measured is call.f else "surrogate"), framework_of(measured)
    if framework is not None:
        return framework.call_code(f, given, "" if path.startswith("inputs[") else path, measured)
    return f"{f}({', '.join(given)})"


def _argument(value: Any, path: str, moved: str, traits: Traits) -> str:
    """An argument of the call, in double precision, with x in the place `moved`; what stays as it is, is its path."""
    if path == moved:
        return traits.makes.format("x")
    if isinstance(value, dict):
        items = {k: _argument(item, f"{path}[{k!r}]", moved, traits) for k, item in value.items()}
        same = all(text == f"{path}[{k!r}]" for k, text in items.items())
        return path if same else "{" + ", ".join([f"{k!r}: {text}" for k, text in items.items()]) + "}"
    if isinstance(value, tuple | list):
        parts = [_argument(item, f"{path}[{k}]", moved, traits) for k, item in enumerate(value)]
        if all(text == f"{path}[{k}]" for k, text in enumerate(parts)):
            return path
        if isinstance(value, list):
            return f"[{', '.join(parts)}]"
        name = type(value).__name__ if hasattr(value, "_fields") else ""
        return f"{name}({', '.join(parts)}{',' if len(parts) == 1 and not name else ''})"
    if (children := children_of(value)) is not None:
        texts = {name: _argument(item, path + name, moved, traits) for name, item in children}
        new = [f"{name[1:]}={text}" for name, text in texts.items() if text != path + name]
        return f"dataclasses.replace({path}, {', '.join(new)})" if new else path
    array = array_in(value)
    if array is None:
        return path
    bare = isinstance(value, np.ndarray | np.generic)
    wide = {"f": "float", "c": "complex"}.get(array.dtype.kind, "")
    narrow = wide and array.dtype.itemsize < np.dtype(wide).itemsize
    if not bare and not narrow and traits.makes != "{}":
        return path
    text = reading(value).format(path) + (f".astype({wide})" if narrow else "")
    return traits.makes.format(text) if wide or not bare else text


# --- the difference ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Formula:
    """A way to take a difference.

    code: with `{h}` for the step. weights: of the values at multiples of h, to be divided by h. powers: steps to try, as
    powers of 1/2 of the entry's size. signs: sides to try.
    """

    code: str
    weights: dict[int, float]
    powers: tuple[int, ...]
    signs: tuple[int, ...] = (1,)
    note: str = ""

    def printed(self, is_complex: bool) -> str:
        """The code that prints the derivative: for a complex entry those by both of its parts."""
        if is_complex:
            return f"print(complex(*[{self.code.replace('{h}', 'h * u')} for u in (1, 1j)])){self.note}"
        return f"print({self.code.replace('{h}', 'h')}){self.note}"


CENTRAL = Formula("(value({h}) - value(-{h})) / (2 * h)", {1: 0.5, -1: -0.5}, (17, 12))
FOURTH = Formula(
    "(8 * (value({h}) - value(-{h})) - value(2 * {h}) + value(-2 * {h})) / (12 * h)",
    {1: 8 / 12, -1: -8 / 12, 2: -1 / 12, -2: 1 / 12},
    (9, 11, 7),
)
INWARD = Formula(
    "(4 * value({h}) - value(2 * {h}) - 3 * value(0)) / (2 * h)",
    {1: 2.0, 2: -0.5, 0: -1.5},
    (17, 21, 25, 33),
    (1, -1),
    "  # one-sided",
)


def _best(obs: Observation, e: Evidence, at: Located) -> tuple[Formula, str, float] | None:
    """The simplest difference that gives the derivative that was measured: its formula, step, and error rounded up."""
    x = obs.wide[at.input]
    here = float(np.abs(x[at.index]))
    scales = [here] if here > 0 and math.isfinite(here) else []
    scales += [float(np.median(np.abs(x))) or 1.0, 1.0]
    claim = abs(at.analytic - at.numeric)
    claim = claim if math.isfinite(claim) else max(abs(at.numeric), at.bound)
    best: tuple[Formula, str, float] | None = None
    for formula in (CENTRAL, FOURTH, INWARD):
        for scale, power, sign in itertools.product(dict.fromkeys(scales), formula.powers, formula.signs):
            exponent = math.frexp(scale)[1] - 1 - power
            if not -1000 < exponent < 900:
                continue
            error = _error(obs, e, at, formula, sign * 2.0**exponent)
            if math.isfinite(error) and (best is None or error < best[2] / 4):
                best = formula, f"{'-' if sign < 0 else ''}2.0**{exponent}", error
            if best is not None and best[2] <= max(at.bound, PLAIN * claim):
                return best
    return best if best is not None and best[2] <= max(at.bound, claim / SHOWS) else None


def _error(obs: Observation, e: Evidence, at: Located, formula: Formula, h: float) -> float:
    """How far the difference is from the derivative that was measured, with room for rounding; NaN where there is none."""
    units = (1, 1j) if obs.arrays[at.input].dtype.kind == "c" else (1,)
    with np.errstate(all="ignore"):
        got = complex(
            *[sum(w * _value(obs, e, at, u * h * k) for k, w in formula.weights.items()) / h for u in units]
        )
        error = 2 * abs(got - at.numeric) + 16 * np.finfo(float).eps * abs(got)
    return _rounded_up(error) if math.isfinite(error) else math.nan


def _rounded_up(error: float) -> float:
    """One significant digit."""
    unit = 10.0 ** math.floor(math.log10(error)) if error > 0 else 0.0
    return float(f"{math.ceil(error / unit) * unit:.0e}") if unit else 0.0


def _value(obs: Observation, e: Evidence, at: Located, t: complex) -> float:
    """`<gy, f>` with the entry moved by `t`, NaN where f takes no such value."""
    arrays = [x.copy() for x in obs.wide]
    arrays[at.input][at.index] += t
    found = obs.values_at(arrays)
    if found is None:
        return math.nan
    with np.errstate(all="ignore"):
        return float(sum(float(np.real(np.sum(np.conj(gy) * y))) for gy, y in zip(e.gys, found, strict=True)))

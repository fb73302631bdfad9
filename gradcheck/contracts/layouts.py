"""Contracts on arrays that hold the same values in another way: strides, views, one array in two places.

What every consumer of NumPy arrays has to take is a contract: C and Fortran order, gaps, read-only arrays, strides of 0.
Negative strides are not among it, as other libraries refuse them (`torch.from_numpy` does): forward or a rule that raises
there, and says that it is for the strides, gets a note; wrong numbers there break `any_layout`. To make a refusal count,
name `negative_strides`: contracts="+negative_strides".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.backends.protocol import Array
from gradcheck.contracts.base import Skip, agrees, alike, close, contract
from gradcheck.errors import CallError, RuleError
from gradcheck.verdict.evidence import Cotangents, constant_along, copied
from gradcheck.verdict.observation import Observation
from gradcheck.verdict.spreads import spreads


def fortran(x: Array) -> Array:
    """The same values in Fortran order."""
    return np.asarray(np.array(x, order="F"))


def every_second(x: Array) -> Array:
    """The same values as every second entry along the last axis of a larger array."""
    if not x.ndim:
        return x.copy()
    larger = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
    larger[..., ::2] = x
    return larger[..., ::2]


def reversed_strides(x: Array) -> Array:
    """The same values as a view with negative strides."""
    turned = (slice(None, None, -1),) * x.ndim
    return np.asarray(x[turned].copy()[turned])


def all_at_once(x: Array) -> Array:
    """Fortran order, gaps and negative strides together."""
    if not x.ndim:
        return x.copy()
    larger = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype, order="F")
    turned = (slice(None, None, -1),) * (x.ndim - 1) + (slice(None, None, -2),)
    larger[turned] = x
    return np.asarray(larger[turned])


def spaced(x: Array) -> Array:
    """Fortran order and gaps together, with strides above zero."""
    if not x.ndim:
        return x.copy()
    larger = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype, order="F")
    larger[..., ::2] = x
    return larger[..., ::2]


def channels_last(x: Array) -> Array:
    """The second axis last in memory, as images often are."""
    if x.ndim < 3:
        return x.copy()
    return np.moveaxis(np.moveaxis(x, 1, -1).copy(), -1, 1)


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "in Fortran order": fortran,
    "that are every second entry of a larger one": every_second,
    "with negative strides": reversed_strides,
    "in Fortran order, with gaps and negative strides": all_at_once,
}

POSITIVE: dict[str, Callable[[Array], Array]] = {
    "in Fortran order": fortran,
    "that are every second entry of a larger one": every_second,
    "in channels-last order": channels_last,
    "in Fortran order, with gaps": spaced,
}
"""Layouts of frameworks whose arrays have no negative strides."""


NEGATIVE = ("with negative strides", "in Fortran order, with gaps and negative strides")
"""Those of them that other libraries may refuse."""


@dataclass(frozen=True, slots=True)
class _Trouble:
    """What goes wrong in a layout: who refuses it, with what error, or gives other values (error "")."""

    who: str
    error: str = ""

    @property
    def of_strides(self) -> bool:
        """Whether it is a refusal that says that the strides are the reason."""
        return "stride" in self.error.lower()


def _in_layout(obs: Observation, layout: Callable[[Array], Array], *, inputs: bool = True) -> _Trouble | None:
    """What goes wrong with cotangents in this layout, and the inputs too, None for nothing."""
    try:
        run = obs.forward([layout(x) if inputs else x.copy() for x in obs.arrays])
        outputs = [y.copy() for y in run.outputs]
        gx = copied(obs.pull([layout(gy) for gy in obs.first_gys], run))
    except RuleError as error:
        return _Trouble("the rule", str(error))
    except CallError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever forward raises here, it did not raise on contiguous arrays
        return _Trouble("forward", f"{type(error).__name__}: {error}")
    first = obs.outputs_before, obs.first_gx
    if close(outputs, obs.outputs_before) and agrees(obs, gx, obs.first_gx, obs.first_gys):
        return None
    if alike(obs, obs.arrays, obs.first_gys, first, (outputs, gx)):
        return None
    return _Trouble("the rule" if close(outputs, obs.outputs_before) else "forward")


@contract(follows=("deterministic",))
def any_layout(obs: Observation) -> str | None:
    """The same result on arrays in Fortran order, with gaps and with negative strides."""
    if all(x.size < 2 for x in obs.arrays):
        raise Skip("no input has two entries")
    _has_strides(obs)
    layouts = LAYOUTS if obs.subject.traits.strides == "any" else POSITIVE
    together = [list(layouts.values())[-1]]
    if layouts is POSITIVE and any(x.ndim > 2 for x in obs.arrays):
        together.append(channels_last)
    if all(_in_layout(obs, layout) is None for layout in together):
        found = _in_layout(obs, spaced, inputs=False) if layouts is POSITIVE else None
        return None if found is None else _worded(found, "of cotangents in Fortran order, with gaps")
    for words, layout in layouts.items():
        found = _in_layout(obs, layout)
        if found is not None and words in NEGATIVE and found.of_strides:
            obs.refusal = obs.refusal or (found.who, found.error)
            found = _in_layout(obs, layout, inputs=False) if found.who == "forward" else None
            if found is None or found.of_strides:
                continue
        if found is not None:
            return _worded(found, words)
    found = (
        _in_layout(obs, spaced) if obs.refusal else None
    )  # what those with negative strides stand for besides
    return None if found is None else _worded(found, "in Fortran order, with gaps")


def _has_strides(obs: Observation) -> None:
    if obs.subject.traits.strides == "none":
        raise Skip("these arrays have no layout in memory that a user chooses")


def _worded(found: _Trouble, words: str) -> str:
    if found.error:
        return f"{found.who} refuses arrays {words}: it raises {found.error}; contiguous arrays of the same values pass"
    return f"on arrays {words}, {found.who} gives other values: contiguous arrays of the same values pass"


@contract(on_request=True)
def negative_strides(obs: Observation) -> str | None:
    """forward and the rule take arrays with negative strides."""
    if all(x.size < 2 for x in obs.arrays):
        raise Skip("no input has two entries")
    if obs.subject.traits.strides != "any":
        raise Skip("these arrays have no negative strides")
    found = _in_layout(obs, reversed_strides)
    return _worded(found, NEGATIVE[0]) if found is not None and found.error else None


def _views(obs: Observation) -> tuple[list[Array], list[Array]]:
    arrays = [constant_along(x) if x.dtype.kind in "fc" else x.copy() for x in obs.other_arrays]
    gys = [constant_along(gy) for gy in obs.first_gys]
    for a in (*arrays, *gys):
        a.flags.writeable = False
    return arrays, gys


def _on_views(obs: Observation) -> tuple[str, str]:
    """Outcome on read-only arrays with strides of 0, as (contract that it breaks or "", sentence)."""
    reference, expected = obs.elsewhere(), obs.other_gx
    if reference is None or expected is None:
        raise Skip("neither forward nor the rule takes constant values of these shapes")
    outputs = [y.copy() for y in reference.outputs]
    arrays, gys = _views(obs)
    try:
        run = obs.forward(arrays)
        gx = copied(obs.pull(gys, run))
    except CallError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it raises here, it did not raise on writeable arrays
        text = f"raises {error if isinstance(error, RuleError) else f'{type(error).__name__}: {error}'}"
        return (
            "read_only_arrays" if "read-only" in text or "not writeable" in text else "broadcast_views"
        ), text
    if alike(obs, obs.other_arrays, gys, (outputs, expected), (run.outputs, gx)):
        return "", ""
    if spreads(obs, obs.other_arrays, gys) is None:
        raise Skip("constant values of these shapes, as singular matrices, lie at the edge of the domain")
    return "broadcast_views", "gives other values than on a contiguous copy"


def _cached(obs: Observation) -> tuple[str, str]:
    if obs.on_views is None:
        obs.on_views = _on_views(obs)
    return obs.on_views


@contract(follows=("forward_keeps_inputs", "vjp_keeps_inputs", "vjp_keeps_output", "vjp_keeps_cotangent"))
def read_only_arrays(obs: Observation) -> str | None:
    """The same result on arrays that can't be written to."""
    if not obs.subject.traits.read_only:
        raise Skip("these arrays can always be written to")
    broken, text = _cached(obs)
    return (
        f"on read-only arrays it {text}: it writes into an array that it was given"
        if broken == "read_only_arrays"
        else None
    )


@contract(follows=("read_only_arrays", "any_layout", "stateless", "deterministic"))
def broadcast_views(obs: Observation) -> str | None:
    """The same result on arrays whose strides are 0, as np.broadcast_to makes them."""
    _has_strides(obs)
    broken, text = _cached(obs)
    if broken == "read_only_arrays":
        raise Skip("broadcast views are read-only, and read_only_arrays is broken")
    return f"on arrays with strides of 0 (np.broadcast_to) it {text}" if broken else None


@contract(follows=("deterministic",))
def aliased_arguments(obs: Observation) -> str | None:
    """f(x, x) with one array in two places gives the sum of the two partial derivatives."""
    pair = _twins(obs)
    if pair is None:
        raise Skip("no two inputs of one shape and dtype")
    i, j = pair
    x = obs.arrays[i]
    try:
        separate = obs.copies()
        separate[j] = x.copy()
        run = obs.forward(separate)
        expected = obs.fitted(obs.pulled(obs.first_gys, run))
        once = obs.copies()
        once[j] = once[i]
        aliased = obs.forward(once)
    except CallError:
        raise
    except Exception as error:
        raise Skip(f"forward does not take equal values for {obs.paths[i]} and {obs.paths[j]}") from error
    if not all(np.isfinite(y).all() for y in run.outputs) or not _finite(expected):
        raise Skip(f"not finite at equal values for {obs.paths[i]} and {obs.paths[j]}")
    gx = obs.fitted(obs.pulled(obs.first_gys, aliased))
    # The partial derivatives may cancel, as those of the vector product x * x do: their rounding does not.
    parts = [g for g in (expected[i], expected[j]) if g is not None]
    size = max([float(np.abs(g).max(initial=0.0)) for g in parts], default=0.0)
    totals = [_total(gx, i, j)], [_total(expected, i, j)]
    if not close(aliased.outputs, run.outputs) or not close(*totals, size=size):
        return (
            f"with one array as {obs.paths[i]} and {obs.paths[j]} the result is another than with two equal arrays: "
            "distinguish inputs by position, not by identity"
        )
    return None


def _twins(obs: Observation) -> tuple[int, int] | None:
    n = len(obs.arrays)
    for i in range(n):
        for j in range(i + 1, n):
            a, b = obs.arrays[i], obs.arrays[j]
            if obs.wanted[i] and obs.wanted[j] and a.shape == b.shape and a.dtype == b.dtype and a.size:
                return i, j
    return None


def _total(gx: Cotangents, i: int, j: int) -> Any:
    parts = [g for g in (gx[i], gx[j]) if g is not None]
    return sum(parts[1:], parts[0]) if parts else None


def _finite(gx: Sequence[Array | None]) -> bool:
    return all(g is None or bool(np.isfinite(g).all()) for g in gx)


@contract()
def stable_dtype(obs: Observation) -> str | None:
    """All forward calls on inputs of the same dtypes give outputs of the same dtypes."""
    if obs.drift is None:
        return None
    first, second = [", ".join(map(str, dtypes)) for dtypes in obs.drift]
    return (
        f"two forward calls on inputs of the same dtypes gave outputs of {first} and of {second}: let the dtype of an output "
        "follow from those of the inputs alone"
    )

"""A jaxpr run step by step in float64, with the error that rounding each result may have.

Calls of functions (jit, custom rules, remat) and loops and branches are gone into; what else holds a jaxpr of its own is run as
a whole, and named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from gradcheck.backends.protocol import Array
from gradcheck.kernels.jax_numpy import in_numpy
from gradcheck.kernels.noise import Source

EXACT = frozenset(
    [
        "neg",
        "sign",
        "abs",
        "max",
        "min",
        "floor",
        "ceil",
        "round",
        "is_finite",
        "clamp",
        "stop_gradient",
        "copy",
        "copy_p",
        "select_n",
        "select_and_gather_add",
        "gather",
        "slice",
        "dynamic_slice",
        "dynamic_update_slice",
        "concatenate",
        "pad",
        "reshape",
        "transpose",
        "squeeze",
        "expand_dims",
        "broadcast_in_dim",
        "rev",
        "sort",
        "top_k",
        "reduce_max",
        "reduce_min",
        "cummax",
        "cummin",
        "argmax",
        "argmin",
        "convert_element_type",
        "bitcast_convert_type",
        "scatter",
        "scatter_max",
        "scatter_min",
        "scatter-max",
        "scatter-min",
        "reduce_window_max",
        "reduce_window_min",
        "split",
        "iota",
        "real",
        "nextafter",
        "reduce_precision",
        "optimization_barrier",
        "gradcheck_seam",
    ]
)

SUMS = frozenset(
    [
        "reduce_sum",
        "dot_general",
        "cumsum",
        "scatter-add",
        "scatter_add",
        "conv_general_dilated",
        "reduce_window_sum",
        "select_and_scatter_add",
        "ragged_dot",
        "ragged_dot_general",
    ]
)

WITHIN = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "core_call": "call_jaxpr", "checkpoint": "jaxpr",
          "remat": "jaxpr", "remat2": "jaxpr", "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr",
          "custom_vjp_call_jaxpr": "fun_jaxpr"}  # fmt: skip
"""Primitives that call a jaxpr, and the name of the parameter with it."""

SEAM = core.Primitive("gradcheck_seam")
"""What stands between forward and backward: the cotangents pass it."""
SEAM.def_abstract_eval(lambda gy: gy)
SEAM.def_impl(lambda gy: gy)

Outputs = list[Array]


class Interpreter:
    """One run. source: of the errors, None for none. stored: what the backward pass reads in place of the outputs.

    narrow: the first result that was not in float64. opaque: primitives that were run as a whole.
    """

    def __init__(self, source: Source | None) -> None:
        self._source = source
        self.narrow = ""
        self.opaque: set[str] = set()

    def run(
        self,
        closed: Any,
        arrays: Sequence[Any],
        stored: Callable[[dict[Any, Any]], None] = lambda _: None,
    ) -> Outputs:
        """The results of a closed jaxpr. stored: is called with the values so far when the seam is reached."""
        jaxpr = closed.jaxpr
        values: dict[Any, Array] = dict(zip(jaxpr.constvars, map(np.asarray, closed.consts), strict=True))
        values.update(zip(jaxpr.invars, map(np.asarray, arrays), strict=True))
        reached = False
        for eqn in jaxpr.eqns:
            if eqn.primitive is SEAM and not reached:
                reached = True
                stored(values)
            found = self._step(eqn, [_read(v, values) for v in eqn.invars])
            values.update(zip(eqn.outvars, found, strict=True))
        return [_read(v, values) for v in jaxpr.outvars]

    def _step(self, eqn: Any, given: Sequence[Any]) -> Outputs:
        name, p = eqn.primitive.name, eqn.params
        if name in WITHIN and WITHIN[name] in p:
            return self.run(_closed(p[WITHIN[name]]), given)
        if name == "scan":
            return self._scan(p, given)
        if name == "while":
            return self._while(p, given)
        if name == "cond":
            place = int(np.clip(int(given[0]), 0, len(p["branches"]) - 1))
            return self.run(_closed(p["branches"][place]), given[1:])
        found = _computed(eqn, given)
        if any(True for _ in core.jaxprs_in_params(p)) and name not in SUMS and name not in EXACT:
            self.opaque.add(name)
        for y in found:
            if jnp.issubdtype(y.dtype, jnp.inexact) and y.dtype != np.float64:
                self.narrow = self.narrow or f"{y.dtype} (the result of {name})"
        if self._source is None or name in EXACT:
            return found
        if name in SUMS:
            terms = _computed(eqn, [np.abs(x) if x.dtype == np.float64 else x for x in given])
            counted = [_count(name, p, given, y) for y in found]
            return [self._rounded(y, t, n) for y, t, n in zip(found, terms, counted, strict=True)]
        return [self._rounded(y) for y in found]

    def _rounded(self, y: Any, terms: Any = None, count: Any = 1) -> Any:
        if self._source is None or y.dtype != np.float64:
            return y
        return self._source.rounded(y, terms, count)

    def _scan(self, p: Any, given: Sequence[Any]) -> Outputs:
        consts, carried = p["num_consts"], p["num_carry"]
        fixed, carry, rows = (
            given[:consts],
            list(given[consts : consts + carried]),
            given[consts + carried :],
        )
        order = range(p["length"])
        made: list[Outputs] = []
        for k in reversed(order) if p["reverse"] else order:
            found = self.run(_closed(p["jaxpr"]), [*fixed, *carry, *[x[k] for x in rows]])
            carry = found[:carried]
            made.append(found[carried:])
        if p["reverse"]:
            made.reverse()
        inner = p["jaxpr"].out_avals[carried:]
        stacked = [
            np.stack([row[i] for row in made]) if made else np.zeros((0, *a.shape), a.dtype)
            for i, a in enumerate(inner)
        ]
        return [*carry, *stacked]

    def _while(self, p: Any, given: Sequence[Any]) -> Outputs:
        n, m = p["cond_nconsts"], p["body_nconsts"]
        asked, fixed, carry = given[:n], given[n : n + m], list(given[n + m :])
        while bool(self.run(p["cond_jaxpr"], [*asked, *carry])[0]):
            carry = self.run(p["body_jaxpr"], [*fixed, *carry])
        return carry


@jax.custom_vjp  # type: ignore[untyped-decorator]
def _quotient(a: Any, b: Any) -> Any:
    return jax.lax.div(a, b)


def _quotient_forward(a: Any, b: Any) -> Any:
    y = jax.lax.div(a, b)
    return y, (y, b)


def _quotient_backward(saved: Any, gy: Any) -> Any:
    y, b = saved
    gb = -gy * y / b
    axes = [axis for axis, n in enumerate(jnp.shape(b)) if n != gb.shape[axis]]
    return gy / b, gb.sum(axes, keepdims=True) if axes else gb


_quotient.defvjp(_quotient_forward, _quotient_backward)


def rewritten(closed: Any, arrays: Sequence[Any], *, constant_maxima: bool) -> Outputs:
    """The results of a jaxpr, traced: quotients have a derivative that reads the quotient, as a kernel reads what it stored.

    JAX's own reads both operands. constant_maxima: whether maxima are taken for constants.
    """
    jaxpr, values = closed.jaxpr, dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))
    values.update(zip(jaxpr.invars, arrays, strict=True))
    for eqn in jaxpr.eqns:
        given = [v.val if _is_literal(v) else values[v] for v in eqn.invars]
        name = eqn.primitive.name
        if name in ("jit", "pjit"):
            found = rewritten(eqn.params["jaxpr"], given, constant_maxima=constant_maxima)
        elif name == "div" and _is_quotient(given, eqn.outvars[0].aval):
            found = [_quotient(*given)]
        else:
            found = _bound(eqn, given)
        if constant_maxima and name in ("reduce_max", "reduce_min"):
            found = [jax.lax.stop_gradient(y) for y in found]
        values.update(zip(eqn.outvars, found, strict=True))
    return [v.val if _is_literal(v) else values[v] for v in jaxpr.outvars]


def _is_quotient(given: Sequence[Any], like: Any) -> bool:
    fits = jnp.shape(given[0]) == like.shape and jnp.ndim(given[1]) == like.ndim
    return bool(fits and like.dtype == np.float64)


def _computed(eqn: Any, given: Sequence[Array]) -> Outputs:
    made = in_numpy(eqn.primitive.name, eqn.params, given, [v.aval for v in eqn.outvars])
    return [np.asarray(y) for y in _bound(eqn, given)] if made is None else [made]


def _read(v: Any, values: dict[Any, Array]) -> Array:
    return np.asarray(v.val, v.aval.dtype) if _is_literal(v) else values[v]


def _bound(eqn: Any, given: Sequence[Any]) -> Outputs:
    made = eqn.primitive.get_bind_params(eqn.params)
    functions, params = (
        made if isinstance(made, tuple) else ((), made)
    )  # until JAX 0.9, functions stood apart
    found = eqn.primitive.bind(*functions, *given, **params)
    return list(found) if eqn.primitive.multiple_results else [found]


def _closed(jaxpr: Any) -> Any:
    return jaxpr if hasattr(jaxpr, "consts") else core.ClosedJaxpr(jaxpr, ())


def _is_literal(v: Any) -> bool:
    return isinstance(v, core.Literal)


def _count(name: str, p: Any, given: Sequence[Any], y: Any) -> Any:
    """How many terms each sum has, about."""
    x = given[0]
    if name == "dot_general":
        return int(np.prod([x.shape[a] for a in p["dimension_numbers"][0][0]], dtype=np.int64))
    if name == "cumsum":
        return x.shape[p["axis"]]
    if name == "reduce_sum":
        return x.size // max(y.size, 1)
    return max(1, given[-1].size // max(y.size, 1))

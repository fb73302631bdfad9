"""Which `custom_vjp` of a function in JAX is wrong: its jaxpr is evaluated equation by equation, and each call is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, jaxpr_as_fun

from gradcheck.backends import Call
from gradcheck.backends.protocol import wide
from gradcheck.blame.single import blame_of, judged, judged_whole, shapes_of
from gradcheck.report.explanation import Explanation
from gradcheck.report.graph import GraphOp, State
from gradcore.tracing import Source

HOME = str(Path(jax.__file__).parent)
ENTERED = ("jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint", "custom_jvp_call")
"""Equations whose own jaxpr is evaluated in their place: what they do to derivatives, evaluating does not need."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One call of a function with a rule of its own, and the values that it got. place: its number among all equations."""

    name: str
    place: int
    f: Callable[..., Any]
    values: tuple[Any, ...]
    made: tuple[Any, ...]
    source: Source | None


class _Evaluation:
    """twins: the calls in the same order, as JAX records them in double precision; empty where they are not known."""

    def __init__(self, twins: Sequence[tuple[Any, Any]] = ()) -> None:
        self.twins = twins
        self.seen: list[Seen] = []
        self.hidden: list[str] = []
        self.ops: list[GraphOp] = []

    def run(
        self, jaxpr: Any, consts: Sequence[Any], args: Sequence[Any], origins: Sequence[int | None]
    ) -> tuple[list[Any], list[int | None]]:
        """The results. origins: for each argument the number of the op or input that it comes from; returned for each result too."""
        env: dict[Any, Any] = {}
        maker: dict[Any, int | None] = dict(zip(jaxpr.invars, origins, strict=True))
        env.update(zip(jaxpr.constvars, consts, strict=True))
        env.update(zip(jaxpr.invars, args, strict=True))
        for eqn in jaxpr.eqns:
            values = [v.val if isinstance(v, Literal) else env[v] for v in eqn.invars]
            takes = [None if isinstance(v, Literal) else maker.get(v) for v in eqn.invars]
            inner = _inner(eqn)
            if inner is not None and eqn.primitive.name in ENTERED:
                made, makers = self.run(inner.jaxpr, inner.consts, values, takes)
            else:
                made = _bound(jaxpr, eqn, values)
                makers = [len(self.ops)] * len(made)
                self.ops.append(_graph_op(eqn, len(self.ops) + 1, takes))
                self._keep(jaxpr, eqn, values, made)
            env.update(zip(eqn.outvars, made, strict=True))
            maker.update(zip(eqn.outvars, makers, strict=True))
        outs = [(v.val, None) if isinstance(v, Literal) else (env[v], maker.get(v)) for v in jaxpr.outvars]
        return [value for value, _ in outs], [k for _, k in outs]

    def _keep(self, jaxpr: Any, eqn: Any, values: Sequence[Any], made: Sequence[Any]) -> None:
        name = eqn.primitive.name
        if _has_rule(eqn):
            twin = self.twins[len(self.seen)] if self.twins else None
            self.seen.append(
                Seen(
                    _name(eqn),
                    len(self.ops),
                    _callable(jaxpr, eqn, twin),
                    tuple(values),
                    tuple(made),
                    _source(eqn),
                )
            )
            return
        within = sorted({_name(e) for sub in _jaxprs(eqn) for e in _customs(sub)})
        if within:
            self.hidden.append(f"{', '.join(within)}: called within {name}, whose steps are not looked into")


def explained(call: Call) -> Explanation:
    """The `custom_vjp`s that f calls, each checked at the values that it saw; and where none is wrong, the whole."""
    name = str(getattr(call.f, "__name__", "the function"))
    inputs = call.inputs if isinstance(call.inputs, tuple) else (call.inputs,)

    def whole(*args: Any) -> Any:
        return call.f(*args, **(call.params or {}))

    closed = jax.make_jaxpr(whole)(*inputs)
    found = _Evaluation(_twins(closed.jaxpr, whole, inputs))
    given = jax.tree_util.tree_flatten_with_path(inputs)[0]
    found.run(closed.jaxpr, closed.consts, [x for _, x in given], [-1 - k for k in range(len(given))])
    blamed, unjudged, verified = [], list(found.hidden), 0
    states: dict[int, State] = {}
    for seen in found.seen:
        outcome = judged(Call(seen.f, seen.values, seed=call.seed))
        if outcome.report is not None:
            shapes = shapes_of(*[[np.asarray(x) for x in some] for some in (seen.values, seen.made)])
            report = replace(outcome.report, snippet="")  # it could not name the function
            blamed.append(blame_of(report, seen.name, seen.place, seen.source, shapes))
        elif outcome.reason:
            unjudged.append(f"{seen.name}: {outcome.reason}")
        verified += outcome.right
        wrong = outcome.report is not None
        states[seen.place] = "wrong" if wrong else "right" if outcome.right else "unjudged"
    total = None if blamed else judged_whole(call)
    named = [(f"inputs{jax.tree_util.keystr(path)}", x) for path, x in given]
    return Explanation(
        name,
        len(found.ops),
        verified,
        tuple(blamed),
        tuple(unjudged),
        whole=None if total is None else total.report,
        whole_right=total is not None and total.right,
        trusted=len(found.ops) - len(found.seen),
        seed=call.seed,
        graph=_graph(found.ops, states, named),
    )


def _graph_op(eqn: Any, place: int, takes: Sequence[int | None]) -> GraphOp:
    """An equation. takes: inputs by negative numbers, which `_graph` puts behind the ops."""
    name = _name(eqn) if _has_rule(eqn) else eqn.primitive.name
    source = _source(eqn)
    made = ", ".join([f"{v.aval.dtype} {v.aval.shape}" for v in eqn.outvars if hasattr(v.aval, "dtype")])
    known = tuple(dict.fromkeys([k for k in takes if k is not None]))
    return GraphOp(name, place, made, "" if source is None else source.short, known, "trusted")


def _graph(
    ops: Sequence[GraphOp], states: Mapping[int, State], inputs: Sequence[tuple[str, Any]]
) -> tuple[GraphOp, ...]:
    """The ops with their states, by place, and the inputs behind them."""
    n = len(ops)
    found = [
        replace(
            op,
            takes=tuple([k if k >= 0 else n - 1 - k for k in op.takes]),
            state=states.get(op.place, "trusted"),
        )
        for op in ops
    ]
    return (*found, *[GraphOp(name, 0, _shape(x), "", (), "input") for name, x in inputs])


def _shape(x: Any) -> str:
    return f"{jax.numpy.result_type(x)} {np.shape(x)}"


def _inner(eqn: Any) -> Any:
    for key in ("jaxpr", "call_jaxpr"):
        inner = eqn.params.get(key)
        if isinstance(inner, ClosedJaxpr):
            return inner
        if isinstance(inner, Jaxpr) and not inner.constvars:
            return ClosedJaxpr(inner, ())
    return None


def _bound(jaxpr: Any, eqn: Any, values: Sequence[Any]) -> list[Any]:
    """The results of one equation, evaluated as a jaxpr of its own: how a primitive is called differs between versions of JAX."""
    given = {v: value for v, value in zip(eqn.invars, values, strict=True) if not isinstance(v, Literal)}
    kept = [v for v in eqn.outvars if type(v).__name__ != "DropVar"]
    alone = jaxpr.replace(
        constvars=[],
        invars=list(given),
        outvars=kept,
        eqns=[eqn],
        debug_info=jaxpr.debug_info.with_unknown_names(),
    )
    made = iter(jaxpr_as_fun(ClosedJaxpr(alone, ()))(*given.values()))
    return [next(made) if v in kept else None for v in eqn.outvars]


def _has_rule(eqn: Any) -> bool:
    return str(eqn.primitive.name).startswith("custom_vjp_call")


def _twins(jaxpr: Any, f: Callable[..., Any], inputs: tuple[Any, ...]) -> list[tuple[Any, Any]]:
    """The calls of `jaxpr` with rules of their own, recorded for the inputs in double precision: equations fix their dtypes.

    Each with the jaxpr it is in; none where f does not take double precision, or calls others there.
    """
    known = list(_entered(jaxpr))
    if not known:
        return []
    with jax.enable_x64(True):
        try:
            twins = list(_entered(jax.make_jaxpr(f)(*jax.tree_util.tree_map(_wide, inputs)).jaxpr))
        except Exception:  # noqa: BLE001 - whatever f raises for dtypes that it does not take
            return []
    forms = [[(_name(eqn), len(eqn.invars)) for _, eqn in some] for some in (known, twins)]
    return twins if forms[0] == forms[1] else []


def _entered(jaxpr: Any) -> Iterator[tuple[Any, Any]]:
    """The calls with rules of their own in the order in which `_Evaluation.run` comes to them."""
    for eqn in jaxpr.eqns:
        inner = _inner(eqn)
        if inner is not None and eqn.primitive.name in ENTERED:
            yield from _entered(inner.jaxpr)
        elif _has_rule(eqn):
            yield jaxpr, eqn


def _wide(x: Any) -> Any:
    return jax.numpy.asarray(wide(np.asarray(x))) if isinstance(x, jax.Array | np.ndarray | np.generic) else x


def _callable(jaxpr: Any, eqn: Any, twin: tuple[Any, Any] | None) -> Callable[..., Any]:
    """The call as a function of its values. twin: the one to call where they are in double precision."""
    recorded = [v.aval.dtype for v in eqn.invars]

    def f(*values: Any) -> Any:
        wider = [v.dtype for v in values] != recorded
        made = _bound(*twin, values) if wider and twin is not None else _bound(jaxpr, eqn, values)
        return made[0] if len(made) == 1 else tuple(made)

    f.__name__ = _name(eqn)
    return f


def _name(eqn: Any) -> str:
    inner = _inner(eqn)
    return str(getattr(getattr(inner and inner.jaxpr, "debug_info", None), "func_name", eqn.primitive.name))


def _source(eqn: Any) -> Source | None:
    """The user's line that made the call: the innermost frame that is not JAX's."""
    trace = eqn.source_info.traceback
    for frame in trace.frames if trace is not None else ():
        if not frame.file_name.startswith(HOME):
            return Source(frame.file_name, frame.line_num, frame.function_name)
    return None


def _jaxprs(eqn: Any) -> Iterator[Any]:
    for value in eqn.params.values():
        for one in value if isinstance(value, tuple | list) else (value,):
            if isinstance(one, ClosedJaxpr):
                yield one.jaxpr
            elif isinstance(one, Jaxpr):
                yield one


def _customs(jaxpr: Any) -> Iterator[Any]:
    """The calls with rules of their own, at any depth."""
    for eqn in jaxpr.eqns:
        if _has_rule(eqn):
            yield eqn
        else:
            for inner in _jaxprs(eqn):
                yield from _customs(inner)

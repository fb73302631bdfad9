"""Which op of a function or a module in PyTorch is wrong, or where on the way its derivative is lost."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from gradcheck.backends import Call
from gradcheck.backends.framed import Framed
from gradcheck.backends.framework import innermost, outputs_of
from gradcheck.blame.single import Judged, blame_of, judged, judged_whole, near
from gradcheck.blame.torch_calls import Event, Recorder, copies, fingerprint, functions_behind, tensors
from gradcheck.blame.torch_graph import graph_of, ordered
from gradcheck.blame.torch_lost import hooked, lost, overwritten
from gradcheck.report.explanation import Blame, Explanation
from gradcheck.report.graph import State
from gradcheck.report.report import Report

MOVES = (2.0**-10, 2.0**-20, 2.0**-30)
"""By which part of their size inputs are moved to see what depends on them: smaller where other calls are made then."""


@dataclass(slots=True)
class Pass:
    """One recorded run, forward and backward.

    leaves: the inputs. outputs: the tensors that came out. gys: their cotangents. gradients: one per leaf, None for none.
    pulled: by node, the cotangents that it got and gave. error: what the backward pass raised.
    """

    events: list[Event]
    leaves: list[Any]
    outputs: list[Any]
    gys: list[Any] = field(default_factory=list)
    gradients: list[Any] = field(default_factory=list)
    pulled: dict[Any, tuple[Any, Any]] = field(default_factory=dict)
    error: str = ""


class Watched:
    """A subject of PyTorch whose runs are recorded."""

    def __init__(self, subject: Framed, module: Any, seed: int) -> None:
        self.subject, self.module, self.seed = subject, module, seed
        self.arrays = [np.array(item.array, order="C") for item in subject.inputs]
        with torch.enable_grad():
            self.functions = functions_behind(outputs_of(subject.call(self.own(self.arrays))))

    def own(self, arrays: Sequence[Any]) -> list[Any]:
        """New leaves with copies of these values."""
        return self.subject.own([np.array(a) for a in arrays])

    def forward(self, arrays: Sequence[Any], restored: Collection[int] = ()) -> Pass:
        """A recorded call."""
        own, recorder = self.own(arrays), Recorder(restored)
        with ExitStack() as stack:
            for context in (
                torch.enable_grad(),
                recorder.naming(self.module),
                recorder.watching(self.functions),
                recorder,
            ):
                stack.enter_context(context)
            result = self.subject.call(own)
        outputs = [y for y in outputs_of(result) if isinstance(y, torch.Tensor)]
        return Pass(recorder.events, own, outputs)

    def run(self, arrays: Sequence[Any], restored: Collection[int] = ()) -> Pass:
        """The same with its backward pass."""
        made = self.forward(arrays, restored)
        rng = torch.Generator().manual_seed(self.seed)
        roots = [y for y in made.outputs if y.requires_grad and y.is_floating_point()]
        made.gys = [
            torch.ones_like(y)
            if y.numel() == 1
            else torch.randn(y.shape, generator=rng, dtype=y.dtype).to(y.device)
            for y in roots
        ]
        sources = [x for x, item in zip(made.leaves, self.subject.inputs, strict=True) if item.wanted]
        removed = [node.register_hook(_kept(made.pulled, node)) for node in _nodes(made.events)]
        try:
            found: Sequence[Any] = (
                torch.autograd.grad(roots, sources, made.gys, retain_graph=True, allow_unused=True)
                if roots
                else []
            )
        except Exception as error:  # noqa: BLE001 - a backward of the user's may raise anything
            made.error, found = f"{type(error).__name__}: {error}", []
        finally:
            for hook in removed:
                hook.remove()
        made.gradients = list(found) or [None] * len(sources)
        return made

    def moved(self, made: Pass) -> Pass | None:
        """A recorded call at other inputs near by, which makes the same calls; None where there is none."""
        rng = np.random.default_rng(self.seed)
        for part in MOVES:
            arrays = [
                near(a, part, rng) if item.wanted else a
                for a, item in zip(self.arrays, self.subject.inputs, strict=True)
            ]
            other = self.forward(arrays)
            if [(e.name, len(e.made)) for e in other.events] == [(e.name, len(e.made)) for e in made.events]:
                return other
        return None


def _nodes(events: Sequence[Event]) -> list[Any]:
    found = [event.node for event in events if event.node is not None]
    return list(
        dict.fromkeys([*found, *[node for event in events for node in event.history if node is not None]])
    )


def _kept(pulled: dict[Any, tuple[Any, Any]], node: Any) -> Callable[[Any, Any], None]:
    def hook(gxs: Any, gys: Any) -> None:
        pulled[node] = (gxs, gys)

    return hook


def explained(call: Call, subject: Framed) -> Explanation:
    """Every custom Function verified by itself; where all of them are right and the whole is not, where the derivative is lost."""
    module, seed = innermost(call.f), call.seed
    watched = Watched(subject, module, seed)
    made = watched.run(watched.arrays)
    calls = [event for event in made.events if event.follows]
    if not any(y.requires_grad for y in made.outputs):
        calls = made.events
    places = {id(event): place for place, event in enumerate(calls, 1)}
    order = ordered(made.events, calls)
    index = {id(event): k for k, event in enumerate(order)}

    def blame(
        kind: Any, event: Event, text: str, cause: str, op: str = "", place: Event | None = None
    ) -> Blame:
        return Blame(
            kind,
            op or event.title,
            places.get(id(place or event), 0),
            text,
            cause,
            event.where,
            shapes_of(event),
            at=index[id(event)],
        )

    found: list[Blame] = []
    unjudged, right, states = [], 0, dict[int, State]()
    for event in calls:
        if event.custom is None:
            continue
        place = places[id(event)]
        outcome = _custom(event, made, seed)
        changed = _changed(event, made) if outcome.right else ""
        if outcome.report is not None:
            found.append(blame_of(outcome.report, event.title, place, event.where, shapes_of(event)))
        elif outcome.reason:
            unjudged.append(f"{event.title} (call {place}): {outcome.reason}")
        elif changed:
            found.append(blame("changed", event, changed, "changed in place"))
        right += outcome.right and not changed
        states[id(event)] = "right" if outcome.right and not changed else "unjudged"
    if not found:
        found = [blame("nonfinite", event, text, "nonfinite") for event, text in _nonfinite(made)]
    note, whole = "", None if found else judged_whole(call)
    if whole is not None and whole.reason:
        note = f"there is no verdict on the gradient of the whole: {whole.reason}"
    if whole is not None and whole.report is not None:
        other = watched.moved(made)
        if other is None:
            note = "other calls are made for inputs very near, so that nothing can be said of where the derivative is lost"
        else:
            for kind, op, event, text in lost(made, other, watched) or overwritten(made, watched):
                found.append(blame(kind, event, text, kind, op))
        if not found:
            for event in calls:
                report = _builtin(event, seed)
                if report is not None:
                    found.append(
                        blame_of(report, event.title, places[id(event)], event.where, shapes_of(event))
                    )
        if not found:
            found = [blame("hook", event, text, "hook") for event, text in hooked(made)]
    if made.error and not found:
        note = f"the backward pass raised {made.error}"
    trusted = sum(event.custom is None for event in calls)
    report, right_whole = (None, False) if whole is None else (whole.report, whole.right)
    states.update({id(order[b.at]): "wrong" for b in found})
    inputs = {item.path: x for item, x in zip(subject.inputs, made.leaves, strict=True)}
    graph = graph_of(made.events, calls, states, inputs)
    return Explanation(
        subject.name,
        len(calls),
        right,
        tuple(found),
        tuple(unjudged),
        report,
        right_whole,
        note,
        trusted,
        seed,
        graph,
    )


def shapes_of(event: Event) -> str:
    """Dtypes and shapes of what went in and came out."""

    def words(x: Any) -> str:
        return f"{str(x.dtype).rpartition('.')[2]} {tuple(x.shape)}"

    return f"{', '.join([words(x) for x in event.given])} -> {', '.join([words(x) for x in event.made]) or 'no tensor'}"


def _custom(event: Event, made: Pass, seed: int) -> Judged:
    """The rule of a custom Function at what it saw, with the cotangents that it got."""
    call = Call(event.custom, event.values, seed=seed)
    gys = made.pulled.get(event.node, ((), ()))[1]
    arrays = [] if any(gy is None for gy in gys) else [_array(gy) for gy in gys if gy.is_floating_point()]
    return judged(call, arrays)


def _array(x: Any) -> Any:
    found = x.detach().resolve_conj().to_dense() if x.layout != torch.strided else x.detach().resolve_conj()
    return np.array(found.numpy(force=True))


def _changed(event: Event, made: Pass) -> str:
    """How the node's own backward pass differs from that of a fresh call at the same values; "" where it does not."""
    if event.node not in made.pulled or not event.given:
        return ""
    gxs, gys = made.pulled[event.node]
    sources = tensors(event.values)
    fresh = tuple([x.detach().clone().requires_grad_(x.requires_grad) for x in sources])
    remaining = iter(fresh)
    args = tuple([next(remaining) if isinstance(x, torch.Tensor) else x for x in event.values])
    if len(sources) != sum(isinstance(x, torch.Tensor) for x in event.values):
        return ""  # tensors in lists, which apply does not differentiate by
    with torch.enable_grad():
        result = event.custom.apply(*args)
    outputs = outputs_of(result)
    pairs = [(y, gy) for y, gy in zip(outputs, gys, strict=False) if gy is not None and y.requires_grad]
    wanted = [x for x in fresh if x.requires_grad]
    again = torch.autograd.grad([y for y, _ in pairs], wanted, [gy for _, gy in pairs], allow_unused=True)
    before = [gx for gx, x in zip(gxs, sources, strict=False) if x.requires_grad]
    if len(before) != len(again):
        return ""
    for gx, now in zip(before, again, strict=True):
        if (gx is None) != (now is None) or (
            gx is not None and not torch.allclose(gx, now, 1e-3, 0.0, equal_nan=True)
        ):
            return (
                "its backward gives another gradient than that of a fresh call on the same values: what it saved was changed "
                "after forward, or it keeps a state on the class. Save tensors with ctx.save_for_backward, which guards them, not "
                "as attributes of ctx"
            )
    return ""


def _nonfinite(made: Pass) -> list[tuple[Event, str]]:
    """The first call that made NaN or infinity of finite values, forward or backward, where they reach the result or a gradient."""
    out = any(not bool(torch.isfinite(y).all()) for y in made.outputs if y.is_floating_point())
    if out:
        for event in made.events:
            if (
                event.given
                and _scalars_finite(event)
                and _all_finite(event.given)
                and not _all_finite(event.made)
            ):
                return [
                    (event, f"all that went in is finite ({_ranges(event.given)}), and {_first(event.made)}")
                ]
    lost_ = [gx for gx in made.gradients if gx is not None and not bool(torch.isfinite(gx).all())]
    if out or not lost_:
        return []
    for event in reversed(made.events):
        for node in dict.fromkeys([event.node, *event.history]):
            gxs, gys = made.pulled.get(node, ((), ()))
            if gxs and _all_finite(gys) and not _all_finite(gxs):
                return [
                    (
                        event,
                        f"its backward gets a finite cotangent ({_ranges(gys)}), and {_first(gxs)}: its input is "
                        f"{_ranges(event.given)}. The derivative is not finite there",
                    )
                ]
    return []


def _scalars_finite(event: Event) -> bool:
    numbers = [x for x in (*event.args, *event.kwargs.values()) if isinstance(x, float)]
    return all(np.isfinite(numbers))


def _all_finite(values: Sequence[Any]) -> bool:
    return all(
        x is None or not (x.is_floating_point() or x.is_complex()) or bool(torch.isfinite(x).all())
        for x in values
    )


def _ranges(values: Sequence[Any]) -> str:
    found = [x.detach() for x in values if x is not None and x.is_floating_point() and x.numel()]
    return ", ".join([f"from {float(x.min()):g} to {float(x.max()):g}" for x in found]) or "none"


def _first(values: Sequence[Any]) -> str:
    for x in values:
        if x is not None and (x.is_floating_point() or x.is_complex()):
            wrong = torch.nonzero(~torch.isfinite(x.detach()))
            if len(wrong):
                at = wrong[0].tolist()
                return f"it makes {x.detach()[tuple(at)].item()} at {at}"
    return "it makes none"


def _builtin(event: Event, seed: int) -> Report | None:
    """The report on one call of PyTorch's own, where its derivative is wrong at what it saw."""
    if event.custom is not None or event.kwargs.get("out") is not None or not any(event.attached):
        return None
    if [fingerprint(x) for x in event.given] != event.before:
        return None

    def again(*args: Any) -> Any:
        return event.function(*args, **event.kwargs)

    again.__name__ = event.name
    found = judged(Call(again, copies(event.args), seed=seed))
    return found.report

"""A function of a framework's values behind the one protocol that the checks use: the adapter of all frameworks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np

from gradcheck.backends.framework import Framework, NoForwardMode, Recorded, Stated, outputs_of
from gradcheck.backends.protocol import Array, Input, Subject, Traits, differentiable
from gradcheck.backends.tree import described, leaves, rebuild, replaced
from gradcheck.backends.wanted import chosen
from gradcheck.errors import CallError, RuleError


class Framed:
    """`invoke` on a flat list of leaves, of which those at `places` are inputs; the others stay as they are."""

    accumulates = True
    primal: Subject | None = None

    def __init__(
        self,
        framework: Framework,
        invoke: Callable[[Sequence[Any]], Any],
        flat: Sequence[Any],
        places: Sequence[int],
        inputs: tuple[Input, ...],
        name: str,
    ) -> None:
        self.framework, self.inputs, self.name = framework, inputs, name
        self.gradient = f"{framework.name}'s derivative of {name}"
        self.traits: Traits = framework.traits
        self.output_paths: tuple[str, ...] = ()
        self.notes: tuple[str, ...] = ()
        self.own_rule = False  # whether f is one function with a rule that its user wrote
        self.composed = False
        self.wanted = [item.wanted for item in inputs]
        self._invoke, self._flat, self._places = invoke, list(flat), tuple(places)
        self._judged: list[bool] | None = None  # outputs from which a gradient can be pulled back

    def call(self, own: Sequence[Any]) -> Any:
        """What f returns for these leaves in the places of the inputs."""
        return self._invoke(replaced(self._flat, self._places, own))

    def own(self, arrays: Sequence[Array]) -> list[Any]:
        """A leaf per input; one array in two places is one leaf, as in f(x, x)."""
        made: dict[int, Any] = {}
        for place, item, array in zip(self._places, self.inputs, arrays, strict=True):
            if id(array) not in made:
                made[id(array)] = self.framework.leaf(array, self._flat[place], wanted=item.wanted)
        return [made[id(array)] for array in arrays]

    def run(self, arrays: Sequence[Array]) -> FramedRun:
        """Forward on leaves that share these arrays, recorded."""
        with self.framework.mode(arrays):
            own = self.own(arrays)
            recorded = self.framework.record(self.call, own, self.wanted)
            return FramedRun(self, own, recorded, self._outputs(recorded.result, first=self._judged is None))

    def values(self, arrays: Sequence[Array]) -> tuple[Array, ...]:
        """The differentiable outputs."""
        with self.framework.mode(arrays):
            try:
                result = self.framework.values(self.call, self.own(arrays), self.wanted)
            except (ValueError, ArithmeticError):
                raise
            except Exception as error:
                self._refused_when_wide(arrays, error)
                raise
            found = differentiable([array for _, array in self._outputs(result, first=False)])
            self._note_narrow(arrays, found)
            return found

    def _note_narrow(self, arrays: Sequence[Array], outputs: Sequence[Array]) -> None:
        """Note where f computes in single precision whatever it gets."""
        wide = [np.finfo(a.dtype).bits > 32 for a in arrays if a.dtype.kind in "fc"]
        narrow = [y.dtype for y in outputs if np.finfo(y.dtype).bits == 32]
        if all(wide) and narrow:
            note = (
                f"it returns {narrow[0]} for inputs in double precision, so that its derivative is judged no finer than that: "
                "take the dtypes from the inputs to have it judged in double precision"
            )
            self.notes = tuple(dict.fromkeys([*self.notes, note]))

    def _refused_when_wide(self, arrays: Sequence[Array], error: Exception) -> None:
        given = [i.array.dtype for i, a in zip(self.inputs, arrays, strict=True) if i.array.dtype != a.dtype]
        if given:
            raise CallError(
                f"{self.name} takes {given[0]} and raised {type(error).__name__} for the same values in double precision, in "
                f"which the numeric derivative is taken: {str(error).rstrip('.')}. Where it holds {self.framework.noun}s of its own, pass "
                "what holds them (a module) in its place, pass them as inputs, or make all of them double precision"
            ) from error

    def alone(self, i: int) -> Framed:
        """The same function with a gradient requested by one input only."""
        made = copy(self)
        made.inputs = tuple([replace(item, wanted=j == i) for j, item in enumerate(self.inputs)])
        made.wanted = [j == i for j in range(len(self.inputs))]
        return made

    def lowered(self) -> tuple[Framed, float] | None:
        """The same function under mixed precision, and the unit roundoff of the lower one; None where there is no such thing."""
        found = self.framework.lowered(self._invoke, self._flat[self._places[0]])
        if found is None:
            return None
        made = copy(self)
        made._invoke = found[0]
        return made, found[1]

    def gradients(self, own: Sequence[Any], wanted: Sequence[bool], gys: Sequence[Any | None]) -> list[Any]:
        """The cotangents of the wanted leaves as values that can be differentiated by `own` and `gys`."""
        return self.framework.gradients(self.call, own, wanted, gys)

    def by_rule(
        self, arrays: Sequence[Array], _outputs: Sequence[Array], gys: Sequence[Array | None]
    ) -> list[Array | None] | None:
        """The rule on other arrays, with the outputs that forward gives for them: it cannot be called with any others."""
        run = self.run(arrays)
        shapes = [None if gy is None else gy.shape for gy in gys]
        if any(s is not None and s != y.shape for s, y in zip(shapes, run.outputs, strict=True)):
            return None
        return run.pull(gys)

    def tangents(self, arrays: Sequence[Array], v: Sequence[Array | None]) -> tuple[Array, ...] | None:
        """Forward mode: tangents of the differentiable outputs along `v`; None where f has none.

        Raises `RuleError` where the rule raises.
        """
        with self.framework.mode(arrays):
            own = self.own(arrays)
            moving = [
                None if t is None else self.framework.leaf(np.array(t, a.dtype), leaf)
                for t, a, leaf in zip(v, arrays, own, strict=True)
            ]
            try:
                found = self.framework.tangents(self.call, own, moving)
            except CallError:
                raise
            except Exception as error:
                raise RuleError(f"{type(error).__name__}: {error}") from error
            if found is None:
                return None
            outputs = self._outputs(self.framework.values(self.call, own, self.wanted), first=False)
            kept = [t for t, judged in zip(found, self._judged or [], strict=True) if judged]
            arrays_of = [
                np.zeros_like(y) if t is None else self.framework.array(t, f"the tangent of {path}")
                for t, (path, y) in zip(kept, outputs, strict=True)
            ]
            return tuple([t for t, (_, y) in zip(arrays_of, outputs, strict=True) if y.dtype.kind in "fc"])

    def _outputs(self, result: Any, *, first: bool) -> list[tuple[str, Array]]:
        """Names and arrays of the outputs that are judged; the first call decides which."""
        found = [(path, leaf) for path, leaf in leaves(result, "output") if leaf is not None]
        for path, leaf in found:
            if not self.framework.owns(leaf):
                raise CallError(
                    f"{self.name} returned {described(leaf)} ({path}) where {self.framework.name} {self.framework.noun}s "
                    f"went in: return {_one(self.framework.noun)}, or a tuple or dict of {self.framework.noun}s"
                )
        arrays = [(path, self.framework.array(leaf, path)) for path, leaf in found]
        if first:
            follows = [
                a.dtype.kind not in "fc" or self.framework.follows(x)
                for (_, x), (_, a) in zip(found, arrays, strict=True)
            ]
            floating = [ok for ok, (_, a) in zip(follows, arrays, strict=True) if a.dtype.kind in "fc"]
            self._judged = follows if any(floating) else [True] * len(found)
            left = [path for (path, _), ok in zip(found, self._judged, strict=True) if not ok]
            self.notes = (f"{', '.join(left)} requires no gradient, and is not judged",) * bool(left)
        judged = self._judged or []
        if len(judged) != len(arrays):
            raise CallError(
                f"{self.name} returned {len(judged)} {self.framework.noun}s at first and {len(arrays)} later: a check needs "
                "a function that returns the same structure each time"
            )
        kept = [pair for pair, ok in zip(arrays, judged, strict=True) if ok]
        self.output_paths = tuple([path for path, _ in kept])
        return kept

    def places_of(self, gys: Iterable[Any | None]) -> list[Any | None]:
        """One entry per output of f, None for those that are not judged, from one per judged output."""
        remaining = iter(gys)
        return [next(remaining) if ok else None for ok in self._judged or []]


class Forward(Framed):
    """The same function, whose derivative is that of forward mode alone: a cotangent consists of one tangent per entry."""

    def __init__(self, framework: Framework, *of: Any) -> None:
        super().__init__(framework, *of)
        self.gradient = f"{framework.name}'s forward-mode derivative of {self.name}"

    def run(self, arrays: Sequence[Array]) -> FramedRun:
        """Forward on leaves that share these arrays."""
        with self.framework.mode(arrays):
            own = self.own(arrays)
            result = self.framework.values(self.call, own, self.wanted)

            def pull(gys: Sequence[Any | None]) -> list[Any | None]:
                try:
                    return self.framework.by_tangents(self.call, own, self.wanted, gys)
                except NoForwardMode as error:
                    raise CallError(
                        f"{self.name} has no forward-mode derivative, as it goes through a custom_vjp or a primitive without a jvp: "
                        'pass modes=("rev",)'
                    ) from error

            return FramedRun(
                self, own, Recorded(result, pull), self._outputs(result, first=self._judged is None)
            )

    def gradients(self, own: Sequence[Any], wanted: Sequence[bool], gys: Sequence[Any | None]) -> list[Any]:
        """The same by tangents."""
        return self.framework.second_tangents(self.call, own, wanted, gys)


class FramedRun:
    """One recorded forward call."""

    def __init__(
        self, subject: Framed, own: Sequence[Any], recorded: Recorded, outputs: Sequence[tuple[str, Array]]
    ) -> None:
        self._subject, self._own, self._recorded = subject, own, recorded
        self.result = recorded.result
        self.outputs = tuple([array for _, array in outputs])

    def pull(self, gys: Sequence[Array | None]) -> list[Array | None]:
        """One cotangent per input array; the whole of it at the first of several places of one array."""
        return self._pulled(self._recorded.pull, gys)

    def accumulated(self, gys: Sequence[Array | None]) -> list[Array | None]:
        """What the framework leaves with its user."""
        return self._pulled(self._recorded.accumulated or self._recorded.pull, gys)

    def batched(self, gys: Sequence[Array | None]) -> list[Array | None] | None:
        """Cotangents of a batch, along a first axis that each of them has; None where the framework takes none."""
        return None if self._recorded.batched is None else self._pulled(self._recorded.batched, gys)

    def overwritten(self) -> bool:
        """Change every floating input in place; False where the framework has no such thing."""
        changed = [
            self._subject.framework.overwrite(leaf)
            for leaf, item in zip(self._own, self._subject.inputs, strict=True)
            if item.differentiable
        ]
        return all(changed)

    def _pulled(self, pull: Any, gys: Sequence[Array | None]) -> list[Array | None]:
        subject, framework = self._subject, self._subject.framework
        with framework.mode([item for item in gys if item is not None]):
            fitting = [
                None if gy is None else gy if gy.dtype == y.dtype else gy.astype(y.dtype)
                for gy, y in zip(gys, self.outputs, strict=True)
            ]
            outputs = outputs_of(self.result)
            made = [
                None if gy is None else framework.leaf(gy, like)
                for gy, like in zip(subject.places_of(fitting), outputs, strict=True)
            ]
            try:
                found = pull(made)
            except CallError:
                raise
            except Exception as error:
                raise RuleError(f"{type(error).__name__}: {error}") from error
            seen: set[int] = set()
            result: list[Array | None] = []
            for leaf, gx, item in zip(self._own, found, subject.inputs, strict=True):
                again = id(leaf) in seen
                seen.add(id(leaf))
                what = f"the gradient of {item.path}"
                result.append(None if gx is None or again else framework.array(gx, what))
            return result


def _one(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeio' else 'a'} {noun}"


def framed(
    framework: Framework, f: Any, arguments: tuple[Any, ...], params: Mapping[str, Any], wrt: Any
) -> Framed:
    """f as a subject. Raises `CallError` where nothing can be differentiated by."""
    kind = Forward if isinstance(f, Stated) and f.forward else Framed
    f = f.function if isinstance(f, Stated) else f
    held = framework.held(f)
    title, function = framework.title(f), framework.function(f)
    named = [*leaves(arguments, "inputs"), *held.items()]
    count = len(named) - len(held)

    def invoke(flat: Sequence[Any]) -> Any:
        given = rebuild(arguments, iter(flat[:count]))
        return framework.call(function, given, params, dict(zip(held, flat[count:], strict=True)))

    requests = {path: framework.trainable(leaf) for path, leaf in named if framework.owns(leaf)}
    explicit = wrt is None and any(asked is not None for asked in requests.values())
    places, found = [], []
    for place, (path, leaf) in enumerate(named):
        if framework.owns(leaf):
            array = framework.array(leaf, path)
            asked = bool(requests[path]) or not explicit
            places.append(place)
            found.append(Input(path, array, array.dtype.kind in "fc" and asked))
    if not requests or (explicit and not any(requests.values())):
        floating = [item.path for item in found if item.differentiable]
        advice = (
            f"none of the {framework.noun}s requires a gradient ({', '.join(floating)}): request one, such as with "
            "x.requires_grad_(), or name inputs, as in wrt=0"
            if floating
            else f"there is no floating {framework.noun} among the inputs: pass one"
        )
        raise CallError(f"nothing to differentiate by: {advice}")
    inputs = chosen(named, found, wrt, len(arguments))
    made = kind(framework, invoke, [leaf for _, leaf in named], places, inputs, title)
    made.own_rule = framework.own_rule(f)
    made.composed = kind is Framed and framework.composed(f)
    return made


def gradient_of(first: Framed, gys: Sequence[Array | None]) -> Framed:
    """The gradient function `(*inputs, gys) -> gxs` of a subject; the cotangents are inputs named `gy`."""
    framework = first.framework
    flat, places, wanted = first._flat, first._places, first.wanted
    kept = [k for k, gy in enumerate(gys) if gy is not None]
    first_run = first.run([np.array(item.array) for item in first.inputs])
    outputs = outputs_of(first_run.result)
    single = len(kept) == 1 and not isinstance(first_run.result, tuple | list | dict)

    def invoke(both: Sequence[Any]) -> Any:
        inputs, cotangents = both[: len(flat)], both[len(flat) :]
        own = [inputs[place] for place in places]
        by_output: list[Any | None] = [None] * len(gys)
        for k, gy in zip(kept, cotangents, strict=True):
            by_output[k] = gy
        return tuple(first.gradients(own, wanted, first.places_of(by_output)))

    likes = first.places_of(range(len(gys)))
    position = {k: i for i, k in enumerate(likes) if k is not None}
    items, extra = list(first.inputs), []
    for k in kept:
        gy = gys[k]
        if gy is not None:
            with framework.mode([gy]):
                extra.append(framework.leaf(gy, outputs[position[k]]))
            items.append(Input("gy" if single else f"gy[{k}]", gy, True))
    more = range(len(flat), len(flat) + len(extra))
    second = type(first)(
        framework, invoke, [*flat, *extra], [*places, *more], tuple(items), f"the gradient of {first.name}"
    )
    how = "second forward-mode derivative" if isinstance(first, Forward) else "second derivative"
    second.gradient = f"{framework.name}'s {how} of {first.name}"
    return second

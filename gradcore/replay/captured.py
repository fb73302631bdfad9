"""Captured: a step that is recorded twice, verified, and then replayed."""

from __future__ import annotations

import functools
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.distributed.shard import current_shard
from gradcore.modes import recording, tracing
from gradcore.replay.guards import Surroundings, all_hold
from gradcore.replay.plan import LIMIT, Program
from gradcore.replay.program import Changed, NotCapturable, arrays_in, layout, same_bits
from gradcore.replay.recorder import Recorder
from gradcore.replay.results import finished
from gradcore.replay.same import same_calls
from gradcore.tensor import Tensor
from gradcore.variables import leaves_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from gradcore.replay.guards import Guard

VARIANTS = 8  # programs for arguments of one kind: for branches, and for training and evaluation
KINDS = 64  # of arguments
PATIENCE = 8  # recordings one after another before the step is left alone


class Variant:
    """A program and the guards of what it takes for given."""

    def __init__(self, recorder: Recorder, outputs: Any) -> None:
        self.program = Program(recorder.calls, recorder.inputs, recorder.args, outputs, set(recorder.used))
        self.guards: list[Guard] = recorder.around.guards(recorder.watch.free)
        self.holds = all_hold(self.guards)
        self.calls = recorder.calls
        self.decisions = recorder.decisions
        self.replays = 0

    def due(self) -> bool:
        """Whether the step itself runs, to be compared with what was recorded: at the 8th replay, the 16th, the 32nd, ..."""
        return self.replays >= 7 and not self.replays & (self.replays + 1)

    def changed(self) -> str:
        """Which guard does not hold; "" where all do."""
        if self.holds():
            return ""
        for guard in self.guards:
            if not guard.holds():
                return guard.difference()
        self.holds = all_hold(self.guards)  # with the equal numbers that there are now
        return ""


class Kind:
    """Arguments of one structure, shapes, dtypes, and plain values."""

    def __init__(self) -> None:
        self.variants: list[Variant] = []
        self.once: list[Variant] = []  # recorded once
        self.recordings = 0  # since the last replay
        self.reason = ""  # why it is left alone


class Captured:
    """What `capture` returns: called like the step."""

    def __init__(self, step: Callable[..., Any]) -> None:
        self.step = step
        functools.update_wrapper(self, step)
        self.replays = 0
        self.recordings = 0
        self.fallbacks: dict[str, int] = {}
        self._kinds: dict[Any, Kind] = {}
        self._last: Variant | None = None
        self._last_mode: Any = None
        self._last_count = 0
        self._lock = threading.Lock()

    # --- a call -------------------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What `step(*args, **kwargs)` would give and change."""
        if not self._lock.acquire(blocking=False):
            return self.step(
                *args, **kwargs
            )  # its buffers are in use: another thread, or a callback that calls it
        try:
            last = self._last
            if (
                last is not None
                and not kwargs
                and len(args) == self._last_count
                and tracing() is None
                and recording() is self._last_mode
                and current_shard() is None
                and not last.due()
                and last.holds()
            ):
                try:
                    result = last.program.run(*args)
                except Changed:
                    pass
                else:
                    last.replays += 1
                    self.replays += 1
                    return result
            return self._call(args, kwargs)
        finally:
            self._lock.release()

    def _call(self, args: Any, kwargs: Any) -> Any:
        if tracing() is not None or current_shard() is not None:
            return self._eagerly("anomaly, another trace, or ranks that share a batch", args, kwargs)
        leaves = leaves_of((args, kwargs))
        key = (_kind((args, kwargs)), recording())
        try:
            kind = self._kinds.get(key)
        except TypeError:
            return self._eagerly("an argument is no array, Tensor, number or text", args, kwargs)
        if kind is None:
            if len(self._kinds) >= KINDS:
                return self._eagerly(
                    f"arguments of more than {KINDS} kinds: hand in numbers that change as 0-d arrays, np.array(x)",
                    args,
                    kwargs,
                )
            kind = self._kinds[key] = Kind()
        if kind.reason:
            return self._eagerly(kind.reason, args, kwargs)
        arrays = [x for x in leaves if isinstance(x, np.ndarray | Tensor)]
        changes: list[str] = []
        for variant in kind.variants:
            reason = variant.changed()
            if not reason:
                if variant.due():
                    break
                try:
                    result = variant.program.run(*arrays)
                except Changed as change:
                    changes.append(f"{change} has changed")
                    continue
                variant.replays += 1
                self.replays += 1
                kind.recordings = 0
                self._prefer(kind, variant, args if not kwargs else (kwargs,))
                return result
            changes.append(reason)
        for reason in changes:
            self._count(reason)
        return self._record(kind, args, kwargs, arrays)

    def _prefer(self, kind: Kind, variant: Variant, args: tuple[Any, ...]) -> None:
        """Try it first next time, and where all arguments are arrays and Tensors without a look at them."""
        kind.variants.remove(variant)
        kind.variants.insert(0, variant)
        flat = all(type(a) is np.ndarray or type(a) is Tensor for a in args)
        self._last = variant if flat else None
        self._last_count = len(args)
        self._last_mode = recording()

    def _eagerly(self, reason: str, args: Any, kwargs: Any) -> Any:
        self._count(reason)
        return self.step(*args, **kwargs)

    def _count(self, reason: str) -> None:
        if reason in self.fallbacks or len(self.fallbacks) < 64:
            self.fallbacks[reason] = self.fallbacks.get(reason, 0) + 1

    # --- recording ----------------------------------------------------------------------------------------------------

    def _record(self, kind: Kind, args: Any, kwargs: Any, arrays: list[Any]) -> Any:
        kind.recordings += 1
        self.recordings += 1
        if kind.recordings > PATIENCE:
            kind.reason = next(reversed(self.fallbacks), "what the step uses changes from call to call")
            kind.variants.clear()
            self._last = None
            return self._eagerly(kind.reason, args, kwargs)
        try:
            others = [x for x in leaves_of((args, kwargs)) if not isinstance(x, np.ndarray | Tensor)]
            recorder = Recorder(arrays, Surroundings(self.step, others))
        except NotCapturable as error:
            kind.reason = str(error)
            return self._eagerly(kind.reason, args, kwargs)
        with recorder:
            result = self.step(*args, **kwargs)
        try:
            self._keep(kind, recorder, finished(recorder, result, LIMIT), result)
            for variant in (*kind.variants, *kind.once):
                variant.program.strip()
        except NotCapturable as error:
            kind.reason = str(error)
            kind.variants.clear()
            self._last = None
            self._count(kind.reason)
        return result

    def _keep(self, kind: Kind, recorder: Recorder, outputs: Any, result: Any) -> None:
        """Compare with what was recorded before; a variant that is new waits for a second recording."""
        for variant in [v for v in kind.variants if v.decisions == recorder.decisions and not v.changed()]:
            difference = same_calls(variant.calls, recorder.calls)
            if not difference:
                verify(variant.program, recorder, outputs, result)
                variant.replays += 1
                kind.recordings = 0
                return
            kind.variants.remove(variant)
            self._last = None
            self._count(difference)
        for variant in [v for v in kind.once if v.decisions == recorder.decisions]:
            kind.once.remove(variant)
            difference = variant.changed() or same_calls(variant.calls, recorder.calls)
            if not difference:
                verify(variant.program, recorder, outputs, result)
                kind.variants.insert(0, variant)
                del kind.variants[VARIANTS:]
                return
            self._count(difference)
        new = Variant(recorder, outputs)
        verify(new.program, recorder, outputs, result)
        kind.once.append(new)
        del kind.once[:-VARIANTS]

    # --- what happened ------------------------------------------------------------------------------------------------

    def report(self) -> str:
        """How many calls were replayed and recorded, and why others ran eagerly; `source()` shows the program."""
        variants = [v for kind in self._kinds.values() for v in kind.variants]
        lines = [
            f"captured {getattr(self.step, '__name__', 'step')}: {self.replays} replays, {self.recordings} recorded, "
            f"{_count(len(variants), 'program')} for {_count(len(self._kinds), 'kind')} of arguments"
        ]
        for variant in variants:
            program = variant.program
            lines.append(
                f"  a program of {len(program.calls)} calls, {program.bytes:,} bytes of buffers, replayed {variant.replays} times"
            )
        lines += [f"  {count} times eagerly or anew: {reason}" for reason, count in self.fallbacks.items()]
        return "\n".join(lines)

    def source(self) -> str:
        """The source of the program that was replayed last: one line a call."""
        for kind in self._kinds.values():
            for variant in kind.variants:
                if variant is self._last or self._last is None:
                    return variant.program.source
        return ""

    def __repr__(self) -> str:
        return f"<{self.report().splitlines()[0]}>"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def verify(program: Program, recorder: Recorder, outputs: Any, result: Any) -> None:
    """Run a program on what a recorded step got, changing nothing, and compare all it gives with the step's, to the bit."""
    stands: dict[int, Any] = {}
    others: dict[str, Any] = {}
    for name, leaf in program.leaves.items():
        mine = recorder.leaves.get(id(leaf.tensor))
        start = leaf.start if mine is None else mine.start
        stands[id(leaf.tensor)] = others[name] = SimpleNamespace(
            data=start[0], grad=start[1], requires_grad=leaf.tensor.requires_grad
        )
    args: list[Any] = []
    for arg, value in zip(recorder.args, recorder.inputs, strict=True):
        stand: Any = value.example
        if type(arg) is Tensor:
            stand = Tensor(value.example)
            stand.requires_grad = arg.requires_grad
            stand.grad = recorder.leaves[id(arg)].start[1]
            stands[id(arg)] = stand
        args.append(stand)
    effects = iter(recorder.effects)

    def effect(*given: Any, **_: Any) -> Any:
        recorded = next(effects)
        arrays = arrays_in(given)
        if len(arrays) != len(recorded.given) or not all(map(same_bits, arrays, recorded.given)):
            raise _other("what a callback gets")
        for key, (_, grad) in recorded.before.items():
            if key in stands and not _same_or_none(stands[key].grad, grad):
                raise _other("the gradients before a callback")
        for key, (data, grad) in recorded.after.items():
            if key in stands:
                stands[key].data, stands[key].grad = data, grad
        return recorded.result

    others.update(dict.fromkeys(program.effects, effect))
    try:
        found = program.function(others)(*args)
    except Changed as change:
        raise NotCapturable(f"the recorded step does not meet its own guards: {change}") from None
    for mine, theirs in zip(leaves_of(found), leaves_of(result), strict=True):
        if not same_bits(*[x.data if type(x) is Tensor else x for x in (mine, theirs)]):
            raise _other("what is returned")
    for leaf in recorder.leaves.values():
        if id(leaf.tensor) in stands and not _same_or_none(stands[id(leaf.tensor)].grad, leaf.tensor.grad):
            raise _other("a gradient")


def _other(what: str) -> NotCapturable:
    return NotCapturable(
        f"a replay gives other values for {what} than the step: something was changed in place by other means than gradcore's "
        "ops, or depends on what a replay can't see. Do it in gradcore.callback(function, ...)"
    )


def _same_or_none(x: Any, y: Any) -> bool:
    return (x is None and y is None) or same_bits(x, y)


def _kind(tree: Any) -> Any:
    """What a replay takes for given of arguments: their structure, the layouts of arrays, and the values of all others."""
    if isinstance(tree, dict):
        return (dict, *[(key, _kind(part)) for key, part in tree.items()])
    if isinstance(tree, tuple | list):
        return (type(tree), *[_kind(part) for part in tree])
    if type(tree) is Tensor:
        return (Tensor, tree.requires_grad, tree.is_leaf, layout(tree.data))
    if isinstance(tree, np.ndarray):
        return (np.ndarray, layout(tree))
    return (type(tree), tree)

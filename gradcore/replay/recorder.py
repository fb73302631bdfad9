"""Recorder: the trace that writes down what a step does while it runs eagerly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.graph import Node, next_order
from gradcore.modes import Trace, _mode, _trace, recording
from gradcore.op import Op
from gradcore.replay import leaves as kinds
from gradcore.replay.inline import Whole, fitted_calls, forward_calls, rule_calls
from gradcore.replay.leaves import Effect, Leaf
from gradcore.replay.program import Call, Value, arrays_in, mapped, values_in
from gradcore.replay.watch import Watch, reasoned
from gradcore.tensor import Tensor
from gradcore.tracing import calling

if TYPE_CHECKING:
    from collections.abc import Callable

    from gradcore.replay.guards import Surroundings


class Recorder(Trace):
    """Turns the events of one eager run into calls; `failed` says why there can be no replay, "" where there can.

    args: the arrays and Tensors among the step's arguments. held: by id the arrays that the step's surroundings hold, which
    a replay reads where they are.
    """

    def __init__(self, args: list[Any], around: Surroundings) -> None:
        super().__init__()
        held = {**around.tensors, **around.arrays}
        self.around = around
        self.args = args
        self.calls: list[Call] = []
        self.failed = ""
        self.leaves: dict[int, Leaf] = {}
        self._held = held
        self._known: dict[int, tuple[Any, Value]] = {}
        self.used: dict[int, Any] = {}  # arrays of the surroundings
        self._owners: dict[int, int] = {}  # which tensor's data an array is
        self._numbers: dict[int, Any] = {}  # arrays of Python's numbers
        self._effects = 0
        self.inputs: list[Value] = []
        self.decisions: list[bool] = []
        # The node and cotangent of the last rule that gave all cotangents at once, and those.
        self._rule: tuple[Any, Any, Any] = (None, None, None)
        self._start = next_order()
        self.effects: list[Effect] = []
        arrays = [arg.data if type(arg) is Tensor else arg for arg in args]
        self.watch = Watch(around, self.leaves, self.used, arrays, self.fail)
        for i, arg in enumerate(args):
            array = arg.data if type(arg) is Tensor else arg
            value = Value(array)
            self.inputs.append(value)
            if id(array) in self._known or id(array) in held or (type(arg) is Tensor and id(arg) in held):
                self.fail(
                    f"argument {i} comes twice, or is held by what the step uses as well: a replay could not tell which of the "
                    "two was meant. Pass a copy"
                )
            self._known[id(array)] = (array, value)
            self._owners[id(array)] = id(arg)
            if type(arg) is Tensor:
                self.leaves[id(arg)] = Leaf(arg, value, i)
                if not arg.is_leaf:
                    self.fail(
                        f"argument {i} is the result of an op, whose graph leads out of the step: detach it"
                    )

    def fail(self, reason: str) -> None:
        """There can be no replay; the first reason counts."""
        if not self.failed:
            source = calling()
            self.failed = reason + (f" ({source.short})" if source is not None else "")

    # --- values -------------------------------------------------------------------------------------------------------

    def value_of(self, x: Any) -> Any:
        """The Value of an array or Tensor that enters a call; anything else as it is."""
        if isinstance(x, Node):
            leaf = self.leaves.get(id(x))
            if x._op is None and x._order <= self._start and (leaf is None or leaf.argument is None):
                return self._loaded(x) if leaf is None or leaf.stale or leaf.value is None else leaf.value
            if leaf is not None and leaf.stale:
                return self._loaded(x)
            known = self._known.get(id(x.data))
            if known is not None:
                return known[1]
            if x._order > self._start:
                return self.value_of(x.data)
            if x._op is not None:
                self.fail(
                    f"the result of {x._op.name}, computed before the step, enters it: compute it inside, or hand it in as an "
                    "argument"
                )
                return x.data
            return self._loaded(x)
        if isinstance(x, np.ndarray):
            known = self._known.get(id(x))
            if known is not None:
                return known[1]
            if id(x) in self._held:
                self.used[id(x)] = x
            elif id(x) not in self._numbers and x.size:
                self.fail(
                    f"an array of shape {x.shape} and dtype {x.dtype} enters the step that none of gradcore's ops made: a replay "
                    "would take it for a constant. Hand it in as an argument, or make it in gradcore.callback(function, ...)"
                )
        if isinstance(x, np.generic):
            if id(x) in self._known:
                return self._known[id(x)][1]
            if id(x) not in self._held:
                self.fail(
                    f"a number of NumPy's, {x!r}, enters the step that none of gradcore's ops made: a replay would take it for a "
                    "constant. Write float(...) around it where it is one, else make it in gradcore.callback(function, ...)"
                )
        return x

    def _loaded(self, tensor: Any) -> Value:
        """A leaf's data, looked up at each replay."""
        leaf = self.leaves.get(id(tensor))
        value = Value(tensor.data)
        if leaf is None:
            leaf = self.leaves[id(tensor)] = Leaf(tensor, value)
        if self._owners.setdefault(id(tensor.data), id(tensor)) != id(tensor):
            self.fail(
                f"two tensors of the step share one array, of shape {tensor.shape}, and may have arrays of their own in a replay: "
                "copy one of them"
            )
        leaf.value = value
        self.calls.append(Call(kinds.load, (leaf,), out=value))
        self._known[id(tensor.data)] = (tensor.data, value)
        leaf.stale = False
        return value

    def know(self, x: Any, value: Value) -> None:
        """State which Value an array is."""
        self._known[id(x)] = (x, value)

    # --- ops and rules ------------------------------------------------------------------------------------------------

    def recorded(self, node: Any) -> None:
        """Refuse what is no call of an op."""
        if type(node._op) is not Op:
            self.fail(f"{node._op.name} can't be captured: call it outside of the step, or without it")

    @reasoned
    def called(self, function: Any, inputs: Any, arrays: Any, params: Any, out: Any) -> None:
        """Write down the forward call of an op, or a function of the values."""
        if self.failed:
            return
        y = out.data if type(out) is Tensor else out
        if not isinstance(y, np.ndarray):
            return
        weak = type(out) is not Tensor
        if weak and not all(id(x) in self._known for x in inputs if isinstance(x, np.ndarray | np.generic)):
            return  # inside of a rule, or of arrays of the step's own: its result is then refused where it enters an op
        args: list[Any] = []
        for x, array in zip(inputs, arrays, strict=False):  # a method gives room for two
            if isinstance(x, np.generic):
                value = self.value_of(x)
                if type(value) is Value and isinstance(array, np.ndarray):
                    self.know(array, Value(array))
                    self.calls.append(Call(np.asarray, (value,), out=self._known[id(array)][1]))
                elif isinstance(array, np.ndarray):
                    self._numbers[id(array)] = array
                args.append(self.value_of(array) if type(value) is Value else array)
            elif x is None or isinstance(x, Node | np.ndarray):
                args.append(self.value_of(x))
            else:
                args.append(array)
                if isinstance(array, np.ndarray):
                    self._numbers[id(array)] = array
        static = {name: self._static(param) for name, param in params.items()}
        plain = function.forward if type(function) is Op else function
        self._take(y, self._untraced(forward_calls, (plain, tuple(args), static, y, weak)))

    def _static(self, param: Any) -> Any:
        """A static parameter; arrays inside are looked at as operands are."""
        if isinstance(param, np.ndarray | Node):
            return self.value_of(param)
        if isinstance(param, tuple | list):
            found = [self._static(p) for p in param]
            return type(param)(found) if type(param) in (tuple, list) else param
        return param

    @reasoned
    def pulled(self, node: Any, gy: Any, index: int, gx: Any) -> None:
        """Write down the call of a rule."""
        if type(gx) is Tensor or self.failed:  # a rule that is recorded itself is made of ops
            return
        op = node._op
        if type(op) is not Op:
            return
        if self._rule[0] is not node or self._rule[1] is not gy:
            arrays = [self.value_of(a) for a in node._arrays]
            static = {name: self._static(param) for name, param in (node._params or {}).items()}
            args = (self.value_of(gy), self.value_of(node.data), *arrays)
            if op.rules is not None:
                calls, given = self._untraced(rule_calls, (op.rules[index], args, static, f"{op.name}_rule"))
            else:
                needs = tuple([p is not None for p in node._parents])
                whole = Whole(op, needs)
                calls, given = self._untraced(rule_calls, (whole, args, static, f"{op.name}_rule"))
                self._rule = (node, gy, given)
            self.calls += calls
        else:
            given = self._rule[2]
        one = given[index] if isinstance(given, tuple) else given
        self._take(gx, self._untraced(fitted_calls, (one, gx, node._arrays[index])))

    def _take(self, x: Any, found: tuple[list[Call], Value]) -> None:
        self.calls += found[0]
        self.know(x, found[1])

    def added(self, before: Any, gx: Any, total: Any) -> None:
        """Write down the sum of two cotangents."""
        if self.failed or type(total) is Tensor:
            return
        first, second = self.value_of(before), self.value_of(gx)
        if total is before:
            self.calls.append(Call(np.add, (first, second), {"out": (first,)}))
            return
        array = isinstance(total, np.ndarray)
        value = Value(total, fresh=array)
        self.calls.append(
            Call(np.add if array else kinds.plus, (first, second), out=value, into=array, pure=array)
        )
        self.know(total, value)

    def seeded(self, array: Any, source: Any) -> None:
        """Write down the cotangent that a backward pass begins with."""
        if source is None:
            one = array.copy()  # a Tensor's gradient may be this array, and is then its own
            self.know(array, Value(array))
            self.calls.append(Call(kinds.constant, (one,), out=self._known[id(array)][1], pure=True))
            return
        inner = self.value_of(source) if isinstance(source, Node | np.ndarray) else source
        value = Value(array, bases=())
        self.calls.append(Call(np.array, (inner,), {"dtype": array.dtype}, value))
        self.know(array, value)

    # --- leaves -------------------------------------------------------------------------------------------------------

    def received(self, leaf: Any, before: Any, gx: Any) -> None:
        """Write down what happens to a leaf's gradient."""
        if self.failed:
            return
        entry = self.leaves.get(id(leaf))
        if entry is None:
            entry = self._leaf(leaf)
            entry.start = (leaf.data, before)
        value = self.value_of(gx)
        if before is None:
            if not entry.cleared and not entry.inner:
                entry.starts_without = True
            if leaf.grad is not gx or not all(root.fresh for root in value.roots()):
                own = Value(leaf.grad, fresh=True)
                self.calls.append(Call(kinds.copied, (value,), out=own))
                value = own
        else:
            known = self._known.get(id(before))
            if known is None:
                old = Value(before)
                entry.starts_with = before
                self.calls.append(Call(kinds.load_grad, (entry,), out=old))
            else:
                old = known[1]
            total = Value(leaf.grad, fresh=True)
            self.calls.append(Call(kinds.sum_of_gradients, (old, value), out=total))
            value = total
        entry.cleared = True  # what comes later in the step no longer depends on what was before
        value.keep()
        entry.grad = leaf.grad
        if not entry.inner:
            self.calls.append(Call(kinds.store_grad, (entry, value), effect=True))
            self._effects += 1
        self.know(leaf.grad, value)

    def cleared(self, leaf: Any) -> None:
        """Write down that a gradient is None."""
        entry = self.leaves.get(id(leaf))
        if entry is None:
            entry = self._leaf(leaf)
        entry.cleared = True
        entry.grad = None
        if not entry.inner:
            self.calls.append(Call(kinds.clear_grad, (entry,), effect=True))

    def _leaf(self, tensor: Any) -> Leaf:
        entry = self.leaves[id(tensor)] = Leaf(tensor, None)
        entry.inner = tensor._order > self._start
        return entry

    def assigned(self, leaf: Any, values: Any) -> None:
        """Write down that a leaf was given values in place."""
        from gradcore.holding import assign

        entry = self.leaves.get(id(leaf))
        if entry is None:
            self._loaded(leaf)
            entry = self.leaves[id(leaf)]
        value = self.value_of(values)
        if type(value) is Value:
            value.keep()
        self.calls.append(Call(assign, (entry, value), effect=True))
        self.effects.append(Effect(None, [value.example] if type(value) is Value else [], {}, self._states()))
        self._effects += 1
        self.watch.settle()
        self._reload()

    # --- what a replay can't follow -----------------------------------------------------------------------------------

    def read(self, tensor: Any, how: str) -> None:
        """Refuse values that Python gets to see."""
        self.fail(
            f"{how} reads a tensor's values inside the step, where a replay could not follow what depends on them: return the "
            "tensor and read it outside, branch on the tensor itself (`if loss > 1:`, before anything is changed), or do it in "
            "gradcore.callback(function, tensor)"
        )

    def decided(self, tensor: Any, outcome: bool) -> None:
        """A branch: a replay compares the outcome before it changes anything."""
        if self._effects:
            self.fail(
                "a tensor is used as a condition after the step has changed something (a gradient, a parameter, a generator), "
                "which could not be undone where it comes out otherwise: decide before, or outside of the step"
            )
            return
        self.decisions.append(outcome)
        self.calls.append(Call(kinds.decide, (self.value_of(tensor), outcome)))

    # --- effects ------------------------------------------------------------------------------------------------------

    def performs(self, function: Callable[..., Any], args: tuple[Any, ...], changes: bool) -> Any:
        """Call it untraced, and write the call down."""
        if self.failed:
            return self._untraced(function, args)
        inner = [self._argument(a) for a in args]
        for value in values_in(inner):
            value.keep()
        self.watch.check()
        given = arrays_in(mapped(inner, lambda leaf: leaf.example if type(leaf) is Value else leaf))
        before = self._states()
        result = self._untraced(function, args)
        self.effects.append(Effect(result, given, before, self._states()))
        if changes:
            self.watch.settle()
        examples = result if type(result) is tuple else (result,)
        out = Value(result)
        self.calls.append(Call(function, tuple(inner), out=out, effect=True))
        self._effects += changes
        for i, x in enumerate(examples):
            if isinstance(x, np.ndarray | np.generic) and id(x) not in self._known:
                part = out
                if type(result) is tuple:
                    part = Value(x, bases=(out,))
                    self.calls.append(Call(kinds.part_of, (out, i), out=part))
                self.know(x, part)
        if changes:
            self._reload()
        return result

    def _argument(self, arg: Any) -> Any:
        if type(arg) is Tensor and (id(arg) in self._held or id(arg) in self.leaves):
            return self.leaves.get(id(arg), arg)
        if type(arg) is Tensor:
            self.fail("a callback gets a Tensor of the step: hand it the values, x.data")
            return arg
        if isinstance(arg, np.ndarray | np.generic):
            return self.value_of(arg)
        return type(arg)([self._argument(a) for a in arg]) if type(arg) in (tuple, list) else arg

    def _untraced(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        mode, trace = _mode.set(recording() is not False), _trace.set(None)
        try:
            return function(*args)
        finally:
            _trace.reset(trace)
            _mode.reset(mode)

    def _reload(self) -> None:
        """What a callback may have changed is looked up again: data and gradients of leaves."""
        for entry in self.leaves.values():
            if entry.inner:
                continue  # what a callback can't reach
            entry.stale = True
            if entry.grad is not None:
                self._known.pop(id(entry.grad), None)
                entry.grad = entry.tensor.grad
                if entry.grad is not None:
                    value = Value(entry.grad)
                    self.calls.append(Call(kinds.load_grad, (entry,), out=value, weak=True))
                    self.know(entry.grad, value)

    def _states(self) -> dict[int, tuple[Any, Any]]:
        return {id(e.tensor): (e.tensor.data, e.tensor.grad) for e in self.leaves.values()}

"""From calls to a function: which results go into buffers, which buffers are used again, and its source."""

from __future__ import annotations

import copy
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.errors import GraphError
from gradcore.graph import next_order
from gradcore.replay.leaves import Leaf, Output, clear_grad, decide, load, load_grad, store_grad
from gradcore.replay.program import Call, Changed, Value, layout, mapped, values_in
from gradcore.replay.simpler import simplified
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

LIMIT = 20_000  # calls: Python takes long to compile more


def needed(calls: list[Call], returned: set[int]) -> list[Call]:
    """Without the weak calls whose results nothing needs; returned: ids of Values that the step returns."""
    used = set(returned)
    found = []
    for call in reversed(calls):
        made = [call.out] if call.out is not None else [*values_in(call.kwargs.get("out"))]
        if call.weak and not any(id(value) in used for value in made):
            continue
        used.update(id(v) for v in call.values())
        found.append(call)
    return found[::-1]


def buffers(calls: list[Call]) -> dict[int, np.ndarray[Any, Any]]:
    """For each value, by id, that its call may write into a buffer, that buffer; freed ones are used again.

    A value may be in memory that another one is a view of: a buffer is free after the last use of all views of it. What is
    held after the step, or handed to a callback, gets none. A ufunc may write into the buffer of its own last input; where
    the layouts differ NumPy itself makes a copy first.
    """
    last: dict[int, int] = {}
    for i, call in enumerate(calls):
        for value in call.values():
            for root in value.roots():
                last[id(root)] = i
        if call.out is not None:
            for root in call.out.roots():
                last.setdefault(id(root), i)
                last[id(root)] = max(last[id(root)], i)
    given: dict[int, np.ndarray[Any, Any]] = {}
    free: dict[Any, list[np.ndarray[Any, Any]]] = {}
    ends: dict[int, list[Value]] = {}
    for call in calls:
        out = call.out
        if out is not None and call.into and out.fresh and not out.kept:
            ends.setdefault(last[id(out)], []).append(out)
    for i, call in enumerate(calls):
        ending = [v for v in ends.get(i, []) if id(v) in given]
        if isinstance(call.function, np.ufunc) and call.function.signature is None:
            _release(ending, given, free)
            ending = []
        out = call.out
        if out is not None and call.into and out.fresh and not out.kept:
            key = layout(out.example)
            pool = free.get(key)
            given[id(out)] = pool.pop() if pool else np.empty_like(out.example)
            if last[id(out)] == i:
                ending.append(out)
        _release(ending, given, free)
    return given


def _release(values: Iterable[Value], given: dict[int, Any], free: dict[Any, list[Any]]) -> None:
    for value in values:
        free.setdefault(layout(given[id(value)]), []).append(given[id(value)])


class Program:
    """The calls of one step as the source of a Python function, and the function.

    source: what a replay runs, one line a call. a0, a1, ... are arguments, v0, v1, ... values, b0, b1, ... buffers, c0, c1, ...
    constants and leaves.
    """

    def __init__(
        self,
        calls: list[Call],
        inputs: list[Value],
        args: list[Any],
        outputs: Any,
        held: Collection[int] = (),
    ) -> None:
        self._returned = {id(v) for v in values_in(_plain(outputs))}
        copied = [copy.copy(call) for call in needed(calls, self._returned)]
        self.calls, outputs = simplified(copied, outputs, held)
        self._returned = {id(v) for v in values_in(_plain(outputs))}
        self._space: dict[str, Any] = {"Changed": Changed}
        self._names: dict[int, str] = {}
        self._counts: dict[str, int] = {}
        self._functions: dict[Any, str] = {}
        self._held: list[Any] = []  # what names are known of by id
        self._lines: list[str] = []
        self._buffers = buffers(self.calls)
        self.leaves: dict[str, Leaf] = {}
        self._leaves: list[Leaf] = []
        self.effects: dict[str, Call] = {}
        self._outside = {id(c.out) for c in self.calls if c.function in (load, load_grad)}
        self._forgotten: set[int] = set()
        for i, (value, arg) in enumerate(zip(inputs, args, strict=True)):
            kind = self._constant(type(arg))
            self._lines.append(f"if type(a{i}) is not {kind}: raise Changed('the type of argument {i}')")
            if type(arg) is Tensor:
                self._lines.append(
                    f"if a{i}.requires_grad is not {arg.requires_grad}: raise Changed('requires_grad of argument {i}')"
                )
                self._lines.append(f"if a{i}._op is not None: raise Changed('the graph of argument {i}')")
                self._lines.append(f"d{i} = a{i}.data")
            self._names[id(value)] = f"d{i}" if type(arg) is Tensor else f"a{i}"
            self._guard(self._names[id(value)], value.example, f"argument {i}")
        self._loads()
        self._starts()
        for call in self.calls:
            self._line(call)
        self._lines.append(f"return {self._tree(outputs)}")
        header = f"def replay({', '.join(f'a{i}' for i in range(len(args)))}):"
        self.source = "\n    ".join([header, *self._lines]) + "\n"
        self._code = compile(self.source, "<captured step>", "exec")
        self.run = self.function({})
        self.bytes = sum({id(b): b.nbytes for b in self._buffers.values()}.values())

    def strip(self) -> None:
        """Let go of the arrays of the recording: an optimizer leaves alone an array that something else holds."""
        for call in self.calls:
            for value in (*call.values(), *([] if call.out is None else [call.out])):
                value.example = None
        for leaf in self._leaves:
            leaf.strip()

    def function(self, others: dict[str, Any]) -> Callable[..., Any]:
        """The function, with other things in the place of some names."""
        space = {**self._space, **others}
        exec(self._code, space)  # noqa: S102 (the source is made here, of names alone)
        made: Callable[..., Any] = space["replay"]
        return made

    # --- lines --------------------------------------------------------------------------------------------------------

    def _guard(self, name: str, example: Any, what: str) -> None:
        kinds = self._constant(example.dtype)
        self._lines.append(
            f"if {name}.shape != {example.shape!r} or {name}.strides != {example.strides!r} or {name}.dtype is not {kinds} "
            f"and {name}.dtype != {kinds}: raise Changed({f'the shape, dtype or memory order of {what}'!r})"
        )

    def _loads(self) -> None:
        """Guards of all leaves, before anything is changed."""
        done: set[int] = set()
        for call in self.calls:
            if call.function is load and id(call.args[0].tensor) not in done and call.out is not None:
                leaf = call.args[0]
                done.add(id(leaf.tensor))
                self._lines.append(f"d = {self._leaf(leaf)}.data")
                self._guard("d", call.out.example, f"a parameter of shape {call.out.example.shape}")

        if done:
            self._lines.append("d = None")

    def _starts(self) -> None:
        done: set[int] = set()
        for call in self.calls:
            for leaf in call.args:
                if not isinstance(leaf, Leaf) or id(leaf) in done:
                    continue
                done.add(id(leaf))
                self._leaves.append(leaf)
                name = self._leaf(leaf)
                self._lines.append(
                    f"if {name}.requires_grad is not {leaf.tensor.requires_grad}: raise Changed('requires_grad')"
                )
                if leaf.starts_without:
                    self._lines.append(
                        f"if {name}.grad is not None: raise Changed('a gradient that was there before the step')"
                    )
                if leaf.starts_with is not None:
                    self._lines.append(
                        f"if {name}.grad is None: raise Changed('a gradient that was there before')"
                    )
                    self._guard(f"{name}.grad", leaf.starts_with, "a gradient that was there before")

    def _line(self, call: Call) -> None:
        args, out = call.args, call.out
        target = ""
        if out is not None:
            self._names[id(out)] = self._new("v")
            self._held.append(out)
            target = f"{self._names[id(out)]} = "
        if call.function is load:
            self._lines.append(f"{target}{self._leaf(args[0])}.data")
        elif call.function is load_grad:
            self._lines.append(f"{target}{self._leaf(args[0])}.grad")
        elif call.function is store_grad:
            self._lines.append(f"{self._leaf(args[0])}.grad = {self._tree(args[1])}")
        elif call.function is clear_grad:
            self._lines.append(f"{self._leaf(args[0])}.grad = None")
        elif call.function is decide:
            self._lines.append(
                f"if {'not ' if args[1] else ''}{self._tree(args[0])}: raise Changed('a condition on values')"
            )
        elif call.name == "attrgetter":
            self._lines.append(f"{target}{self._tree(args[0])}.T")
        elif call.function is operator.getitem:
            self._lines.append(f"{target}{self._tree(args[0])}[{self._tree(args[1])}]")
        else:
            inner, named = self._by_position(call)
            if isinstance(call.function, np.ufunc) and "out" in named:
                written = named.pop("out")
                inner.append(_out(call) + self._tree(written[0] if isinstance(written, tuple) else written))
            if out is not None and id(out) in self._buffers:
                inner.append(_out(call) + self._of(self._buffers[id(out)], "b"))
            inner += [f"{name}={self._tree(value)}" for name, value in named.items()]
            function = self._function(call)
            if call.effect:
                self._let_go(call)
                self.effects[function] = call
            self._lines.append(f"{target}{function}({', '.join(inner)})")

    def _let_go(self, call: Call) -> None:
        """Forget, before something outside may change it, what is not needed any more: an array that is held is not changed in place."""
        i = self.calls.index(call)
        needed = {id(v) for later in self.calls[i:] for v in later.values()} | self._returned
        names = [
            self._names[id(earlier.out)]
            for earlier in self.calls[:i]
            if earlier.out is not None
            and id(earlier.out) not in needed
            and id(earlier.out) not in self._forgotten
            and any(id(root) in self._outside or root.kept for root in earlier.out.roots())
        ]
        self._forgotten.update(
            id(c.out) for c in self.calls[:i] if c.out is not None and id(c.out) not in needed
        )
        if names:
            self._lines.append(f"{' = '.join(names)} = None")

    def _by_position(self, call: Call) -> tuple[list[str], dict[str, Any]]:
        """Arguments as texts, and those that go by name: NumPy's reductions read them sooner by position."""
        inner, named = [self._tree(a) for a in call.args], dict(call.kwargs)
        owner = getattr(call.function, "__self__", None)
        reduces = isinstance(owner, np.ufunc) and call.function == owner.reduce and len(inner) == 1
        if reduces and named.keys() <= {"axis", "keepdims"} and type(named.get("keepdims", False)) is bool:
            inner.append(self._tree(named.get("axis", 0)))
            inner += ["None", "None", "True"] if named.get("keepdims") else []
            named = {}
        return inner, named

    def _function(self, call: Call) -> str:
        known = None if call.effect else self._functions.get(_hashed(call.function))
        if known is not None:
            return known
        owner = getattr(call.function, "__self__", None)
        title = f"{owner.__name__}_{call.name}" if isinstance(owner, np.ufunc) else call.name
        name = "".join([c if c.isalnum() else "_" for c in title]).lstrip("_") or "call"
        count = self._counts[name] = self._counts.get(name, 0) + 1
        name = f"{name}_{count}" if count > 1 or call.effect else f"{name}_"
        if not call.effect:
            self._functions[_hashed(call.function)] = name
        self._held.append(call.function)
        self._space[name] = call.function
        return name

    def _tree(self, tree: Any) -> str:
        if type(tree) is Value:
            return self._names[id(tree)]
        if isinstance(tree, Leaf):
            return self._leaf(tree)
        if isinstance(tree, Output):
            if tree.value is None:
                return self._leaf(tree.tensor)
            return f"{self._of(_Wrap(tree.tensor), 'tensor')}({self._tree(tree.value)})"
        if tree is None or type(tree) in (bool, int, str) or tree is Ellipsis:
            return repr(tree)
        if type(tree) is tuple:
            return f"({''.join(self._tree(part) + ', ' for part in tree)})"
        if type(tree) is list:
            return f"[{', '.join(map(self._tree, tree))}]"
        if type(tree) is dict and all(type(key) is str for key in tree):
            return f"{{{', '.join(f'{key!r}: {self._tree(part)}' for key, part in tree.items())}}}"
        if isinstance(tree, slice):
            return f"slice({self._tree(tree.start)}, {self._tree(tree.stop)}, {self._tree(tree.step)})"
        if next(iter(values_in(tree)), None) is not None:
            raise GraphError(f"{tree!r:.60} can't be written down")
        return self._constant(tree)

    def _leaf(self, leaf: Leaf) -> str:
        if leaf.argument is not None:
            return f"a{leaf.argument}"
        name = self._of(leaf.tensor, "c")
        self.leaves[name] = leaf
        return name

    def _constant(self, value: Any) -> str:
        return self._of(value, "c")

    def _of(self, value: Any, letter: str) -> str:
        """The name of an object."""
        if id(value) not in self._names:
            self._names[id(value)] = name = self._new(letter)
            self._held.append(value)
            self._space[name] = value
        return self._names[id(value)]

    def _new(self, letter: str) -> str:
        count = self._counts[letter] = self._counts.get(letter, -1) + 1
        return f"{letter}{count}"


def _plain(tree: Any) -> Any:
    return mapped(tree, lambda leaf: leaf.value if isinstance(leaf, Output) else leaf)


def _hashed(function: Any) -> Any:
    """What is equal for one function; each reading of `np.add.reduce` is another object."""
    return function if getattr(function, "__self__", None) is not None else id(function)


def _out(call: Call) -> str:
    """By position, which is sooner, where NumPy does not warn of it."""
    return "out=" if call.function in (np.maximum, np.minimum) else ""


class _Wrap:
    """Makes a Tensor like one that the step returned: of an op whose graph is freed, or a constant."""

    def __init__(self, like: Any) -> None:
        self._op = like._op
        self._requires_grad = like.requires_grad

    def __call__(self, data: Any) -> Tensor:
        made = Tensor.__new__(Tensor)
        made.data = data
        made.grad = None
        made.requires_grad = self._requires_grad
        made._op = self._op
        made._left = made._right = made._first = made._second = None
        made._order = next_order()
        return made

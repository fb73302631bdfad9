"""Models drawn from a seed for `ci/reports/blame.py`, and gradcore's of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcheck import explain
from gradcheck.verification import CHANGES, broken
from gradcore import Tensor, registry
from gradcore.graph import walk

ROWS, COLUMNS = 4, 5
LARGE = 3.0


class Drawn:
    """A model drawn from a seed, built of calls of ops by name: what gradcore's and PyTorch's have in common."""

    def __init__(self, seed: int, ops: int, dtype: Any, wrong: tuple[int, int, str] | None = None) -> None:
        self.seed, self.ops, self.dtype, self.wrong = seed, ops, dtype, wrong
        rng = np.random.default_rng(seed)
        self.x = rng.standard_normal((ROWS, COLUMNS)).astype(dtype)
        self.w = (rng.standard_normal((COLUMNS, COLUMNS)) / 2).astype(dtype)
        self.b = rng.standard_normal(COLUMNS).astype(dtype)

    def __call__(self, x: Any, w: Any, b: Any) -> Any:
        rng = np.random.default_rng([self.seed, 1])
        self.count, pool = 0, [x]
        while self.count < self.ops - 2:
            x = self.step(rng, x, pool[int(rng.integers(len(pool)))], w, b)
            if float(abs(self.values(x)).max()) > LARGE:
                x = self.call("tanh", x)
            pool = [*pool[-3:], x]
        return self.call("sum", self.call("mul", x, x))

    def step(self, rng: Any, x: Any, other: Any, w: Any, b: Any) -> Any:
        """One op on the stream, or a few."""
        call, kind = self.call, int(rng.integers(16))
        if kind < 5:
            return call(("sin", "cos", "tanh", "sigmoid", "neg")[kind], x)
        if kind < 8:
            return call(("add", "mul", "sub")[kind - 5], x, other)
        if kind == 8:
            return call("matmul", x, w)
        if kind == 9:
            return call("add", call("mul", x, b), b)
        if kind == 10:
            return call("exp", call("neg", call("mul", x, x)))
        if kind == 11:
            return call("log1p", call("mul", x, x))
        if kind == 12:
            return call("mul", x, call("sum", x, axis=1, keepdims=True))
        if kind == 13:
            return call("div", x, call("exp", call("tanh", other)))
        return self.special(rng, x, other)


class Core(Drawn):
    """Of gradcore's ops."""

    def call(self, name: str, *arrays: Any, **params: Any) -> Any:
        """An op by its name, broken where its turn has come."""
        op = registry.ops[name]
        if self.wrong is not None and self.count == self.wrong[0]:
            op = broken(op, self.wrong[1], CHANGES[self.wrong[2]])
        self.count += 1
        y = op(*arrays, **params)
        self.made.append(y)
        return y

    def values(self, x: Any) -> Any:
        """Its array."""
        return x.data

    def special(self, rng: Any, x: Any, other: Any) -> Any:
        """Ops that PyTorch has under other names."""
        kind = int(rng.integers(6))
        if kind == 0:
            return self.call("softmax", x, axis=1)
        if kind == 1:
            return self.call("getitem", x, index=(slice(None), rng.integers(COLUMNS, size=COLUMNS)))
        if kind == 2:
            return self.call("sub", x, self.call("logsumexp", x, axis=1, keepdims=True))
        if kind == 3:
            return self.call("where", rng.random(x.shape) > 0.5, x, other)
        if kind == 4:
            return self.call("transpose", self.call("reshape", x, shape=(COLUMNS, ROWS)), axes=(1, 0))
        return self.call(
            "concatenate",
            self.call("getitem", x, index=slice(0, 2)),
            self.call("getitem", other, index=slice(2, ROWS)),
        )

    def graph(self) -> Tensor:
        """Its recorded result."""
        self.made: list[Tensor] = []
        return self(*[Tensor(a, requires_grad=True) for a in (self.x, self.w, self.b)])

    def place(self, rng: Any) -> tuple[int, int, str]:
        """A call, an input of it and a change, such that the rule gives something else for it."""
        behind = {node._order for node in walk(self.graph())}
        names = list(CHANGES)
        while True:
            count, change = int(rng.integers(len(self.made))), names[int(rng.integers(len(names)))]
            node = self.made[count]
            wanted = [i for i, parent in enumerate(node._parents) if parent is not None]
            if node._order not in behind or not wanted:
                continue
            position = wanted[int(rng.integers(len(wanted)))]
            gy = rng.standard_normal(node.shape).astype(node.dtype)
            gx = node._op.vjp(gy, node.data, *node._arrays, **(node._params or {}))[position]
            if not np.array_equal(CHANGES[change](gx), gx):
                return count, position, change

    def explained(self) -> Any:
        """The explanation."""
        self.root = self.graph()
        return explain(self.root)

    def named(self, found: Any) -> bool:
        """Whether the wrong op alone is blamed."""
        orders = [node._order for node in walk(self.root) if node._op is not None]
        planted = orders.index(self.made[self.wrong[0]]._order) + 1
        return [(b.kind, b.place) for b in found.blamed] == [("rule", planted)]

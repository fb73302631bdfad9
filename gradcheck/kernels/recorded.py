"""A reference in NumPy: recorded once on gradcore's Tensors, with its backward pass, and run again with errors.

The backward pass is recorded as well, so that all of forward and backward is one list of ops; gradcore's engine is not touched.

A maximum that is only subtracted against overflow has no part in the derivative. Differentiated all the same, its share cancels
the errors of the largest entry, and less would be allowed than a kernel needs, which leaves it out: so it is left out here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from gradcheck.backends.protocol import Array
from gradcheck.backends.tree import described, leaves, name_of
from gradcheck.errors import CallError
from gradcheck.kernels.formats import Claims
from gradcheck.kernels.noise import Pool, Source, run
from gradcheck.kernels.results import Results, same
from gradcore.convert import operand
from gradcore.errors import GradcoreError
from gradcore.graph import backward_pass, walk
from gradcore.modes import no_grad
from gradcore.tensor import Tensor


class Recorded:
    """`g` and its derivative for some cotangents, as a list of ops.

    call: `g` as a function of its arrays. arrays: float64 and others. The outputs' shapes are in `outputs`.
    """

    def __init__(
        self, g: Callable[..., Any], call: Callable[[list[Any]], Any], arrays: Sequence[Array], seed: int = 0
    ) -> None:
        self.notes: list[str] = []
        self.name, self._g, self._call = name_of(g), g, call
        self._pool = Pool(seed)
        self._given = [Tensor(a, requires_grad=True) if a.dtype.kind == "f" else a for a in arrays]
        try:
            result = self._call(list(self._given))
        except (GradcoreError, AttributeError) as error:
            raise CallError(
                f"the reference {self.name} could not be differentiated: {str(error).partition(': write it')[0]}. Write it with functions "
                "that gradcore has rules for (`gradcore.registry.ops` lists them), or in PyTorch or JAX"
            ) from error
        self._ys = [self._output(path, leaf) for path, leaf in leaves(result, "output")]
        self.outputs = tuple([y.data for y in self._ys])
        self._cut_shifts()
        self._cotangents: list[list[Tensor]] = []
        self._pulled: list[list[Tensor | None]] = []

    def _cut_shifts(self) -> None:
        """Take maxima for constants where that leaves the derivative as it is."""
        roots = [y for y in self._ys if y.requires_grad]
        tops = {
            n._order: n for y in roots for n in walk(y) if n._op is not None and n._op.name in ("max", "min")
        }
        if not tops:
            return
        rng = np.random.default_rng(0)
        probes = [(y, rng.standard_normal(y.shape)) for y in roots]
        before = self._gradients(probes)
        edges = [(node, node._left) for node in tops.values()]
        for node in tops.values():
            node._left = (None,)
        arrays = [x.data if isinstance(x, Tensor) else x for x in self._given]
        if not same(before, self._gradients(probes), arrays, [(y.data, gy) for y, gy in probes]):
            for node, parent in edges:
                node._left = parent

    def _gradients(self, roots: list[tuple[Tensor, Array]]) -> list[Array | None]:
        found = {id(leaf): gx for leaf, gx in backward_pass(roots, retain_graph=True)}
        return [found.get(id(x)) for x in self._given]

    def _output(self, path: str, leaf: Any) -> Tensor:
        if isinstance(leaf, np.ndarray | np.generic | float | int):
            leaf = Tensor(operand(leaf, np.dtype(np.float64)))
        if not isinstance(leaf, Tensor):
            raise CallError(
                f"the reference {self.name} returned {described(leaf)} ({path}): return an array for each that the kernel returns"
            )
        return leaf

    def pull(self, gys: Sequence[Array | None]) -> None:
        """Record the derivative for cotangents, None for an output that has none."""
        given = [
            Tensor(np.zeros(y.shape) if gy is None else gy, requires_grad=True)
            for gy, y in zip(gys, self._ys, strict=True)
        ]
        roots = [(y, gy) for y, gy in zip(self._ys, given, strict=True) if y.requires_grad]
        try:
            found = {id(leaf): gx for leaf, gx in backward_pass(roots, record=True)} if roots else {}
        except GradcoreError as error:
            raise CallError(f"the reference {self.name} could not be differentiated: {error}") from error
        self._cotangents.append(given)
        self._pulled.append([found.get(id(x)) for x in self._given])

    def ready(self) -> None:
        """Put all that was recorded into one list. Raises `CallError` where it is not in float64."""
        roots = [*self._ys, *[gx for pulled in self._pulled for gx in pulled if gx is not None]]
        nodes = {node._order: node for root in roots for node in walk(root)}
        self._nodes = [nodes[order] for order in sorted(nodes)]
        for node in self._nodes:
            if node.data.dtype.kind == "f" and node.data.dtype != np.float64:
                what = "an input" if node._op is None else f"the result of {node._op.name}"
                raise CallError(
                    f"the reference {self.name} works in {node.data.dtype} ({what}), and it has to be exact beside the kernel: "
                    "make its constants and conversions float64, or leave them out"
                )
        self._forward = max([y._order for y in self._ys])
        self._last = {p._order: n._order for n in self._nodes for p in n._parents if p is not None}
        for root in roots:
            self._last[root._order] = -1

    def at(self, arrays: Sequence[Array]) -> Recorded:
        """The same reference on other arrays."""
        return Recorded(self._g, self._call, arrays)

    def values(self, arrays: Sequence[Array]) -> list[Array]:
        """The outputs for other arrays, nothing recorded."""
        with no_grad():
            result = self._call([Tensor(a) if a.dtype.kind == "f" else a for a in arrays])
        return [self._output(path, leaf).data for path, leaf in leaves(result, "output")]

    def exact(self) -> Results:
        """Outputs and cotangents as recorded."""
        return self._results({node._order: node.data for node in self._nodes})

    def noisy(self, claims: Claims, units: Sequence[float], draws: int) -> Iterator[Results]:
        """The same with errors. units: the roundoff with which each output is stored before the backward pass reads it."""
        yield from (self._noisy(claims, units) for _ in range(draws))

    def _noisy(self, claims: Claims, units: Sequence[float]) -> Results:
        source = Source(claims, self._pool)
        values: dict[int, Any] = {}
        outputs = {y._order: i for i, y in enumerate(self._ys)}
        read: dict[int, Any] = {}
        for node in self._nodes:
            order = node._order
            if node._op is None:
                values[order] = source.moved(node.data) if node.requires_grad else node.data
            else:
                seen = read if order > self._forward else {}
                arrays = [
                    a if p is None else seen.get(p._order, values[p._order])
                    for p, a in zip(node._parents, node._arrays, strict=True)
                ]
                values[order] = run(node._op, arrays, node._params or {}, source)
            if order in outputs:
                read[order] = source.stored(values[order], units[outputs[order]])
            for p in node._parents:
                if p is not None and self._last[p._order] == order:
                    values.pop(p._order, None)
        return self._results(values)

    def _results(self, values: dict[int, Any]) -> Results:
        return Results(
            [values[y._order] for y in self._ys],
            [[None if gx is None else values[gx._order] for gx in pulled] for pulled in self._pulled],
        )

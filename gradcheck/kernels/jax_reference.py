"""A reference in JAX: traced once with its derivative, and run step by step in float64, exact or with errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from gradcheck.backends.protocol import Array
from gradcheck.backends.tree import described, leaves, name_of
from gradcheck.errors import CallError
from gradcheck.kernels.formats import Claims
from gradcheck.kernels.jax_noise import SEAM, Interpreter, rewritten
from gradcheck.kernels.noise import Pool, Source
from gradcheck.kernels.results import Results, same

Call = Callable[[list[Any]], Any]


class JaxReference:
    """`g` on float64 arrays, and its `jax.vjp` for some cotangents, as one jaxpr."""

    def __init__(self, g: Callable[..., Any], call: Call, arrays: Sequence[Array], seed: int = 0) -> None:
        self.notes: list[str] = []
        self.name, self._g, self._call, self._arrays = name_of(g), g, call, list(arrays)
        self._moving = [k for k, a in enumerate(arrays) if a.dtype.kind == "f"]
        self._pool, self._gys = Pool(seed), list[Sequence[Array | None]]()
        with jax.enable_x64(True):
            self._forward = jax.make_jaxpr(self._flat)(*self._sources())
            run = Interpreter(None)
            self.outputs = tuple([np.asarray(y) for y in run.run(self._forward, self._sources())])
        self._require_double(run)

    def _sources(self) -> list[Any]:
        return [jnp.asarray(self._arrays[k]) for k in self._moving]

    def _flat(self, *sources: Any) -> tuple[Any, ...]:
        own = [jnp.asarray(a) for a in self._arrays]
        for k, x in zip(self._moving, sources, strict=True):
            own[k] = x
        ys = [(path, y) for path, y in leaves(self._call(own), "output") if y is not None]
        for path, y in ys:
            if not isinstance(y, jax.Array | np.ndarray | np.generic | float | int):
                raise CallError(
                    f"the reference {self.name} returned {described(y)} ({path}): return an array for each of the kernel's"
                )
        return tuple([jnp.asarray(y) for _, y in ys])

    def pull(self, gys: Sequence[Array | None]) -> None:
        """Ask for the derivative for these cotangents as well."""
        self._gys.append(gys)

    def ready(self) -> None:
        """Trace it all, and find out whether its maxima are subtracted against overflow only, as in `recorded`."""
        with jax.enable_x64(True):
            self._whole = self._traced(constant_maxima=False)
            exact = self.exact()
            if "reduce_m" not in str(self._forward):
                return
            kept, self._whole = self._whole, self._traced(constant_maxima=True)
            constant = self.exact()
        if not all(
            same(a, b, self._arrays, list(zip(self.outputs, gys, strict=True)))
            for a, b, gys in zip(exact.pulled, constant.pulled, self._gys, strict=True)
        ):
            self._whole = kept

    def _traced(self, *, constant_maxima: bool) -> Any:
        """The jaxpr of outputs and cotangents, `SEAM` between them."""

        def function(*xs: Any) -> Any:
            return tuple(rewritten(self._forward, xs, constant_maxima=constant_maxima))

        dtypes = [y.dtype for y in self.outputs]

        def whole(sources: Sequence[Any], gys: Sequence[Any]) -> Any:
            ys, transposed = jax.vjp(function, *sources)
            pulled = []
            for some in gys:
                each = iter(some)
                given = tuple(
                    [
                        SEAM.bind(next(each)) if d.kind == "f" else np.zeros(y.shape, jax.dtypes.float0)
                        for y, d in zip(ys, dtypes, strict=True)
                    ]
                )
                pulled.append(transposed(given))
            return ys, pulled

        return jax.make_jaxpr(whole)(self._sources(), self._cotangents())

    def _cotangents(self) -> list[list[Any]]:
        """For each pull, those of the floating outputs; zeros for none."""
        return [
            [
                jnp.zeros(y.shape) if gy is None else jnp.asarray(gy)
                for gy, y in zip(gys, self.outputs, strict=True)
                if y.dtype.kind == "f"
            ]
            for gys in self._gys
        ]

    def at(self, arrays: Sequence[Array]) -> JaxReference:
        """The same reference on other arrays."""
        return JaxReference(self._g, self._call, arrays)

    def values(self, arrays: Sequence[Array]) -> list[Array]:
        """The outputs for other arrays, nothing recorded."""
        if [(a.shape, a.dtype) for a in arrays] != [(a.shape, a.dtype) for a in self._arrays]:
            return list(self.at(arrays).outputs)
        if not all(np.array_equal(arrays[k], a) for k, a in enumerate(self._arrays) if k not in self._moving):
            return list(self.at(arrays).outputs)
        with jax.enable_x64(True):
            return Interpreter(None).run(self._forward, [arrays[k] for k in self._moving])

    def exact(self) -> Results:
        """Outputs and cotangents without errors."""
        return self._run(None)

    def noisy(self, claims: Claims, units: Sequence[float], draws: int) -> Iterator[Results]:
        """The same with errors. units: the roundoff with which each output is stored before the backward pass reads it."""
        yield from (self._run(Source(claims, self._pool), units) for _ in range(draws))

    def _run(self, source: Source | None, units: Sequence[float] = ()) -> Results:
        run, n = Interpreter(source), len(self.outputs)

        def moved(x: Any) -> Any:
            return x if source is None else source.moved(np.asarray(x))

        kept: list[Any] = []

        def stored(values: dict[Any, Any]) -> None:
            """Write into each output, which the backward pass may read, the error with which the kernel stores it."""
            for v, unit in zip(self._whole.jaxpr.outvars[:n], units, strict=False):
                made = not isinstance(v, core.Literal) and v in values
                kept.append(values[v] if made else None)
                if source is not None and made and values[v].dtype == np.float64:
                    values[v] = source.stored(values[v], unit)

        with jax.enable_x64(True):
            inputs, given = self._sources(), [gy for gys in self._cotangents() for gy in gys]
            if source is not None:
                inputs = source.moved_alike([np.asarray(x) for x in inputs])
            found = run.run(self._whole, [*inputs, *[moved(x) for x in given]], stored)
        self._require_double(run)
        self.notes[:] = [
            f"what the reference does inside of {name} could not be looked into: its sums were not allowed for"
            for name in sorted(run.opaque)
        ]
        ys = [y if k >= len(kept) or kept[k] is None else kept[k] for k, y in enumerate(found[:n])]
        each = iter(found[n:])
        pulled: list[list[Array | None]] = []
        for _ in self._gys:
            own: list[Array | None] = [None] * len(self._arrays)
            for k in self._moving:
                own[k] = np.asarray(next(each))
            pulled.append(own)
        return Results([np.asarray(y) for y in ys], pulled)

    def _require_double(self, run: Interpreter) -> None:
        if run.narrow:
            raise CallError(
                f"the reference {self.name} works in {run.narrow}, and it has to be exact beside the kernel: make its constants and "
                "conversions float64, or leave them out"
            )

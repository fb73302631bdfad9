"""JAX: functions of arrays, `custom_vjp` and `custom_jvp`, whatever `jax.vjp` and `jax.jvp` can differentiate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from gradcheck.backends.framework import (
    Call,
    Framework,
    NoForwardMode,
    Recorded,
    code_root,
    name_in,
    outputs_of,
)
from gradcheck.backends.protocol import Array, Traits
from gradcheck.backends.tree import leaves, name_of, rebuild
from gradcheck.errors import CallError

NAMESPACES = (
    ("jnp", jnp),
    ("jnp.linalg", jnp.linalg),
    ("jnp.fft", jnp.fft),
    ("jax.nn", jax.nn),
    ("jax.lax", jax.lax),
    ("jax.scipy.special", jax.scipy.special),
    ("jax.scipy.linalg", jax.scipy.linalg),
)

LOST = (
    "nothing arrives from the output at this input: look for jax.lax.stop_gradient, an integer dtype, jnp.round and "
    "comparisons on the way, or a bwd that returns None or zeros for it"
)

CUSTOM = (jax.custom_vjp, jax.custom_jvp)

COLUMNS = 64
"""Tangents that are moved at once: as many copies of every value on the way are in memory."""


class Jax(Framework):
    """Arrays of JAX and of NumPy, and their `jax.vjp`; in 64 bits only where an array has them."""

    name, noun = "JAX", "array"
    traits = Traits(
        strides="none", read_only=False, reads="np.asarray({})", makes="jnp.asarray({})", lost=LOST
    )
    imports: ClassVar[Mapping[str, str]] = {"jax": "import jax", "jnp": "import jax.numpy as jnp"}
    advice: ClassVar[Mapping[str, str]] = {
        "partial_gradients": "let bwd return the same cotangent of an input whatever `perturbed` says of the others",
    }

    # --- values -------------------------------------------------------------------------------------------------------

    def owns(self, leaf: Any) -> bool:
        """An array of numbers, of NumPy too, traced or not; no random key."""
        if isinstance(leaf, jax.Array):
            return not jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.extended)
        return isinstance(leaf, np.ndarray | np.floating | np.complexfloating)

    def array(self, leaf: Any, path: str) -> Array:
        """A copy of its numbers, as nobody can write into the array; refuses traced arrays and those of 16 bits."""
        if isinstance(leaf, jax.core.Tracer):
            raise CallError(
                f"{path} is traced by jax.jit, jax.grad, jax.vmap or the like, and holds no numbers there: call the check outside "
                "of it, on arrays"
            )
        if jnp.issubdtype(leaf.dtype, jnp.inexact) and jnp.finfo(leaf.dtype).bits < 32:
            raise CallError(
                f"{path} is {leaf.dtype}, in which a derivative cannot be told from rounding: pass x.astype(jnp.float32), and "
                "check the kernel in 16 bits against that one"
            )
        return np.array(leaf) if isinstance(leaf, jax.Array) else np.asarray(leaf)

    def leaf(self, array: Array, like: Any, *, wanted: bool = False) -> Any:
        """A copy, as JAX takes its arrays for constant, on the device of `like`."""
        devices = like.devices() if isinstance(like, jax.Array) and not _traced(like) else ()
        with self.mode([array]):
            made = jax.device_put(np.array(array, order="C"), *devices if len(devices) == 1 else ())
            if made.dtype != array.dtype and array.dtype.kind in "fc":
                raise CallError(
                    f"JAX made {made.dtype} of {array.dtype} on {made.device}, and the numeric derivative needs double precision: "
                    "check on the CPU, with inputs made under jax.default_device(jax.devices('cpu')[0])"
                )
        return made

    # --- functions ----------------------------------------------------------------------------------------------------

    def claims(self, f: Any) -> bool:
        """A custom_vjp or custom_jvp, a function under jax.jit, jax.grad or another transformation, one of JAX's own."""
        if not callable(f) or isinstance(f, type):
            return False
        homes = (str(type(f).__module__), str(getattr(f, "__module__", "")), code_root(f))
        return any(home.partition(".")[0] in ("jax", "jaxlib") for home in homes)

    def function(self, f: Any) -> Callable[..., Any]:
        """f, where it has a rule at all."""
        if (isinstance(f, jax.custom_vjp) and getattr(f, "bwd", None) is None) or (
            isinstance(f, jax.custom_jvp) and getattr(f, "jvp", None) is None
        ):
            kind = type(f).__name__
            fix = "f.defvjp(fwd, bwd)" if kind == "custom_vjp" else "f.defjvp(jvp), or f.defjvps(...)"
            raise CallError(f"{name_of(f)} is a jax.{kind} without a rule: give it one with {fix}")
        made: Callable[..., Any] = f
        return made

    def composed(self, f: Any) -> bool:
        """A function that has no rule of its own."""
        return not isinstance(f, CUSTOM)

    # --- derivatives --------------------------------------------------------------------------------------------------

    def mode(self, arrays: Iterable[Array]) -> AbstractContextManager[Any]:
        """64 bits where an array has them; else as its user set it."""
        double = any(a.dtype.kind in "fc" and np.finfo(a.dtype).bits > 32 for a in arrays)
        return jax.enable_x64(True) if double else nullcontext()

    def record(self, call: Call, own: Sequence[Any], wanted: Sequence[bool]) -> Recorded:
        """`jax.vjp` by the wanted leaves."""
        x64 = bool(jax.config.jax_enable_x64)
        found: list[Any] = []

        def flat(*sources: Any) -> Any:
            found[:] = [call(_placed(own, sources, wanted))]
            outputs = outputs_of(found[0])
            return tuple([jnp.asarray(y) for y in outputs if self.owns(y)])

        outputs, transposed = self._traced(jax.vjp, flat, *_sources(own, wanted))
        remaining = iter(outputs)
        new = [next(remaining) if self.owns(y) else y for _, y in leaves(found[0], "")]
        result = rebuild(found[0], iter(new))

        def pull(gys: Sequence[Any | None]) -> list[Any | None]:
            with jax.enable_x64(x64):
                try:
                    gxs = transposed(tuple([_cotangent(y, gy) for y, gy in zip(outputs, gys, strict=True)]))
                except (ValueError, NotImplementedError) as error:
                    _require_reverse(error)
                    raise
                return _spread([_conjugate(gx) for gx in gxs], own, wanted)

        def batched(gys: Sequence[Any | None]) -> list[Any | None]:
            places = [k for k, gy in enumerate(gys) if gy is not None]

            def one(given: Sequence[Any]) -> list[Any | None]:
                return pull([given[places.index(k)] if k in places else None for k in range(len(gys))])

            made: list[Any | None] = jax.vmap(one)([gys[k] for k in places])
            return made

        return Recorded(result, pull, batched=batched)

    def values(self, call: Call, own: Sequence[Any], wanted: Sequence[bool]) -> Any:
        """The call itself."""
        return call(own)

    def gradients(
        self, call: Call, own: Sequence[Any], wanted: Sequence[bool], gys: Sequence[Any | None]
    ) -> list[Any]:
        """The cotangents within whatever is tracing."""

        def flat(*sources: Any) -> Any:
            return tuple([jnp.asarray(y) for y in outputs_of(call(_placed(own, sources, wanted)))])

        outputs, transposed = jax.vjp(flat, *_sources(own, wanted))
        gxs = transposed(tuple([_cotangent(y, gy) for y, gy in zip(outputs, gys, strict=True)]))
        spread = _spread([_conjugate(gx) for gx in gxs], own, wanted)
        return [gx for gx, want in zip(spread, wanted, strict=True) if want]

    def tangents(
        self, call: Call, own: Sequence[Any], moving: Sequence[Any | None]
    ) -> list[Any | None] | None:
        """`jax.jvp`; a custom_vjp has none."""
        moved = [t is not None for t in moving]
        by_leaf = {id(x): t for x, t in zip(own, moving, strict=True) if t is not None}
        sources = _sources(own, moved)

        def flat(*given: Any) -> Any:
            return tuple([jnp.asarray(y) for y in outputs_of(call(_placed(own, given, moved)))])

        try:
            _, found = jax.jvp(flat, tuple(sources), tuple([by_leaf[id(x)] for x in sources]))
        except TypeError as error:
            if "custom_vjp" in str(error) and "forward-mode" in str(error):
                return None
            raise
        return [None if t.dtype == jax.dtypes.float0 else t for t in found]

    def by_tangents(
        self, call: Call, own: Sequence[Any], wanted: Sequence[bool], gys: Sequence[Any | None]
    ) -> list[Any | None]:
        """Many tangents at once, where what is on the way takes a batch of them."""
        with self.mode(own):
            try:
                return self._columns(call, own, wanted, gys)
            except NotImplementedError:
                return super().by_tangents(call, own, wanted, gys)

    def second_tangents(
        self, call: Call, own: Sequence[Any], wanted: Sequence[bool], gys: Sequence[Any | None]
    ) -> list[Any]:
        """The same, within whatever is tracing."""
        return [gx for gx, want in zip(self._columns(call, own, wanted, gys), wanted, strict=True) if want]

    def _columns(
        self, call: Call, own: Sequence[Any], wanted: Sequence[bool], gys: Sequence[Any | None]
    ) -> list[Any | None]:
        def along(leaf: Any, tangent: Any) -> Any:
            moved = self.tangents(call, own, [tangent if x is leaf else None for x in own])
            if moved is None:
                raise NoForwardMode
            pairs = [(gy, t) for gy, t in zip(gys, moved, strict=True) if gy is not None and t is not None]
            return sum([jnp.sum(jnp.real(jnp.conj(gy) * t)) for gy, t in pairs], jnp.zeros(()))

        found = {}
        for leaf in _sources(own, wanted):
            each = jax.vmap(partial(along, leaf))
            gx = jnp.zeros(0, leaf.dtype)
            for start in range(0, leaf.size, COLUMNS):
                rows = jnp.arange(start, min(start + COLUMNS, leaf.size))
                units = (rows[:, None] == jnp.arange(leaf.size)).astype(leaf.dtype).reshape(-1, *leaf.shape)
                entries = each(units)
                if jnp.iscomplexobj(leaf):
                    entries = entries + 1j * each(1j * units)
                gx = jnp.concatenate([gx, entries.astype(leaf.dtype)])
            found[id(leaf)] = gx.reshape(leaf.shape)
        return [found.get(id(x)) for x in own]

    def _traced(self, transform: Any, *arguments: Any) -> Any:
        """Raises `CallError` where numbers are made of traced arrays, which no derivative passes."""
        try:
            return transform(*arguments)
        except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError) as error:
            raise CallError(
                f"a number or a NumPy array is made of a traced array ({type(error).__name__}), as float(x), np.sin(x) and "
                "branches under jit do, and jax.vjp can't differentiate that: use jax.numpy functions throughout, such as "
                "jnp.sin(x)"
            ) from error

    # --- code ---------------------------------------------------------------------------------------------------------

    def literal(self, leaf: Any, nested: str) -> str:
        """`jnp.array(...)` with its dtype."""
        if not leaf.size:
            return f"jnp.zeros({leaf.shape}, {str(leaf.dtype)!r})"
        return f"jnp.array({nested}, {str(leaf.dtype)!r})"

    def function_code(self, f: Any) -> str | None:
        """Of JAX's own functions, and of those that a decorator of JAX has made; `f` for what it has wrapped otherwise."""
        if (own := name_in(NAMESPACES, f)) is not None:
            return own
        name, root = str(getattr(f, "__name__", "")), str(getattr(f, "__module__", "")).partition(".")[0]
        made = isinstance(f, CUSTOM) or type(f).__module__.partition(".")[0] == "jaxlib"
        return name if made and root != "jax" and name.isidentifier() else "f"

    def setup_code(self, given: Iterable[Any]) -> str:
        """The switch for 64 bits, where a leaf has them."""
        arrays = [np.asarray(x) for x in given if isinstance(x, jax.Array) and self.owns(x)]
        double = any(a.dtype.itemsize > (8 if a.dtype.kind == "c" else 4) for a in arrays)
        return 'jax.config.update("jax_enable_x64", True)' if double else ""

    def within_code(self) -> str:
        """The same for a call alone."""
        return "with jax.enable_x64(True):"


def _require_reverse(error: Exception) -> None:
    """Raises `CallError` where the error says that there is no reverse mode."""
    if any(
        words in str(error)
        for words in ("Reverse-mode differentiation", "reverse-mode differentiation", "support transpose")
    ):
        raise CallError(
            f"the function has no reverse-mode derivative ({str(error).partition('. ')[0]}): check its forward mode alone with "
            'check_grads(f, args, order=1, modes=("fwd",))'
        ) from error


def _traced(leaf: Any) -> bool:
    return isinstance(leaf, jax.core.Tracer)


def _sources(own: Sequence[Any], wanted: Sequence[bool]) -> list[Any]:
    """The wanted leaves, each once."""
    return list({id(leaf): leaf for leaf, want in zip(own, wanted, strict=True) if want}.values())


def _placed(own: Sequence[Any], sources: Sequence[Any], wanted: Sequence[bool]) -> list[Any]:
    """The leaves with others in the places of `_sources`."""
    new = {id(x): made for x, made in zip(_sources(own, wanted), sources, strict=True)}
    return [new.get(id(x), x) for x in own]


def _spread(gxs: Sequence[Any], own: Sequence[Any], wanted: Sequence[bool]) -> list[Any | None]:
    """One per leaf from one per source."""
    by_leaf = {id(x): gx for x, gx in zip(_sources(own, wanted), gxs, strict=True)}
    return [by_leaf[id(x)] if want else None for x, want in zip(own, wanted, strict=True)]


def _conjugate(x: Any) -> Any:
    """JAX pairs a cotangent and a tangent as `Re sum(ct * t)`, with no conjugate."""
    return jnp.conj(x) if jnp.iscomplexobj(x) else x


def _cotangent(y: Any, gy: Any | None) -> Any:
    """Of an output: zeros for none, and nothing at all for integers."""
    if not jnp.issubdtype(y.dtype, jnp.inexact):
        return np.zeros(y.shape, jax.dtypes.float0)
    return np.zeros(y.shape, y.dtype) if gy is None else _conjugate(gy)


FRAMEWORK = Jax()
"""The only one."""

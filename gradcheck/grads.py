"""`check_grads` with the arguments of `jax.test_util.check_grads` and of `autograd.test_util.check_grads`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from gradcheck.backends.framework import by_forward_mode, framework_of
from gradcheck.backends.tree import leaves, rebuild
from gradcheck.backends.values import array_in
from gradcheck.check import USUAL, gradcheck
from gradcheck.errors import CallError
from gradcheck.report.report import Report


def check_grads(
    f: Callable[..., Any],
    args: Any = None,
    order: int | None = None,
    modes: Iterable[str] = ("fwd", "rev"),
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
) -> Any:
    """The check of JAX, `check_grads(f, args, order, modes)`, and of autograd, `check_grads(f, modes=modes, order=order)(*args)`.

    args: tuple of the arguments; floats among them are differentiated by as well. Left out, or as the numbers of arguments
    to differentiate by, it is autograd's form. order: 1, or 2 for the second as well; 1 by default in JAX's form and 2 in
    autograd's. modes: "fwd" and "rev"; ("fwd",) is for functions without reverse mode. atol, rtol, eps: not needed, as the error bound is
    measured; the report has a note where they were given.

    Returns the `Report`, in autograd's form a function of the arguments that does. Raises `GradientError`, an `AssertionError`,
    on a fail; `CallError` where no verdict can be given, as nobody looks at the result of an assertion.
    """
    __tracebackhide__ = True
    names = {modes} if isinstance(modes, str) else set(modes)
    if not names or not names <= {"fwd", "rev"}:
        raise CallError(f'modes={modes!r}: pass "fwd" for forward mode, "rev" for reverse mode, or both')
    given = {"atol": atol, "rtol": rtol, "eps": eps}
    options = {name: value for name, value in given.items() if value is not None}

    def checked(args: tuple[Any, ...], wrt: Any, order: int, otherwise: str) -> Report:
        __tracebackhide__ = True
        if order not in (1, 2):
            raise CallError(
                f"order={order!r}: pass 1, or 2 for the second order as well; no higher order is checked"
            )
        inputs = _floats_as_arrays(args)
        values = [leaf for _, leaf in leaves(inputs, "")]
        contracts = USUAL if "fwd" in names else USUAL - {"forward_mode"}
        if names == {"fwd"}:
            backend = None
            judged: Callable[..., Any] = by_forward_mode(f, values, otherwise)
        else:
            judged, backend = f, None if framework_of(f, *values) is not None else otherwise
        report = gradcheck(
            judged,
            inputs,
            wrt=wrt,
            order=order,
            backend=backend,
            contracts=contracts,
            **options,  # type: ignore[arg-type]
        )
        if "fwd" in names:
            _has_forward_mode(report)
        if not report:
            raise CallError(f"no verdict on {report.name}: {report.reason}. Try other inputs")
        return report

    if args is None or _positions(args):
        return lambda *inputs: checked(inputs, args, 2 if order is None else order, "autograd")
    if not isinstance(args, tuple | list):
        raise CallError("args has to be a tuple with the arguments of f: check_grads(f, (x, y), order=1)")
    return checked(tuple(args), None, 1 if order is None else order, "jax")


def _positions(args: Any) -> bool:
    """Whether these are the numbers of arguments, as autograd has them."""
    several = args if isinstance(args, tuple | list) and args else (args,)
    return all(isinstance(n, int) and not isinstance(n, bool) for n in several)


def _floats_as_arrays(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Python floats as arrays, in the precision of the other inputs."""
    arrays = [array_in(leaf) for _, leaf in leaves(args, "")]
    dtypes = [a.dtype for a in arrays if a is not None and a.dtype.kind in "fc"]
    dtype = np.finfo(np.result_type(*dtypes)).dtype if dtypes else np.dtype(np.float64)
    new = [np.asarray(leaf, dtype) if isinstance(leaf, float) else leaf for _, leaf in leaves(args, "")]
    made: tuple[Any, ...] = rebuild(args, iter(new))
    return made


def _has_forward_mode(report: Report) -> None:
    for contract in report.contracts:
        if contract.name == "forward_mode" and contract.status == "skipped" and "has no" in contract.text:
            raise CallError(
                f'modes has "fwd", and {report.name} has no forward-mode derivative, as it goes through a custom_vjp or a primitive '
                'without a jvp: pass modes=("rev",)'
            )

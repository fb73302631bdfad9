"""verify: a function's gradient over a whole domain, and the smallest example that shows it wrong."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from gradcheck.backends.arguments import number, params_of, seed_of, whole
from gradcheck.backends.framework import stated
from gradcheck.errors import CallError
from gradcheck.explore.explorer import Explorer
from gradcheck.explore.kernels import KernelExplorer
from gradcheck.report.failure import GradientError
from gradcheck.report.verification import Verification
from gradcheck.verdict.compare import Verdict

Edges: TypeAlias = Literal["list", "fail"]


def verify(
    f: Callable[..., Any],
    domain: Any = None,
    *,
    like: Any = None,
    vjp: Callable[..., Any] | None = None,
    wrt: int | str | Sequence[int | str] | None = None,
    params: Mapping[str, Any] | None = None,
    backend: str | None = None,
    straight_through: Callable[..., Any] | None = None,
    reference: Callable[..., Any] | None = None,
    accumulate: str | None = None,
    intermediates: str | None = None,
    max_examples: int = 100,
    max_seconds: float = 30.0,
    edges: Edges = "list",
    complex: bool = False,  # noqa: A002 - what the numbers are
    seed: int = 0,
    raise_exception: bool = True,
) -> Verification:
    """Check the gradient of `f` over a domain: shapes, values, static parameters and cotangents are drawn by Hypothesis.

    f, vjp, wrt, backend, straight_through: as for `gradcheck`. Every example is checked with all contracts.
    domain: a `gradcore.spec` case, several, or a spec; or a Hypothesis strategy of tuples with the inputs. By default the
    spec of `f`, where it has one.
    like: one example of the inputs in place of a domain. What forward takes beside it is found by running it: other sizes
    and numbers of axes, operands that broadcast, special values, static parameters. Where it raises or is not finite, an
    example is set aside.
    edges: what lies beyond the example (sizes of 0, magnitudes far from its own, other signs, static numbers of another sign
    or order, shapes and static values at which the rule raises) is tried as well; what is wrong only there is listed as
    `edges` beside the verdict, or is a fail with "fail". A domain that was given has no edges.
    reference, accumulate, intermediates: as for `gradcheck`, of a kernel in low precision; with `like`. Drawn are sizes around
    powers of two, magnitudes, equal values, repeated indices, masked rows and memory layouts that kernel and reference take.
    complex: with `like`, try complex numbers in place of the real ones as well.
    params: static parameters by name; with `like` an example of them, else the same for every example.
    max_examples: how many are drawn. max_seconds: how long to try; what was left out then is listed in `left_out`.
    seed: the same one draws the same examples.
    raise_exception: whether a fail raises `GradientError`, whose `verification` is the result and whose message is it.

    Raises `GradientError` on a fail, `CallError` where the call can't be judged.

    >>> result = verify(np.sin, like=(np.array([0.5, 2.0]),), vjp=lambda gy, y, x: gy * np.cos(x), max_examples=20)
    >>> bool(result), result.verdicts["pass"] > 10
    (True, True)
    """
    __tracebackhide__ = True
    max_examples = whole("max_examples", max_examples, 1, "as at least one example has to be drawn")
    seconds = number("max_seconds", max_seconds, "the seconds after which verify ends with what it has")
    if edges not in ("list", "fail"):
        raise CallError(
            f'edges={edges!r}: pass "list" to list them beside the verdict, or "fail" to count them'
        )
    if reference is not None:
        alone = {
            "a domain": domain is not None,
            "straight_through=": straight_through is not None,
            "backend=": backend is not None,
            "complex=": complex,
        }
        if any(alone.values()) or like is None:
            came = ", ".join([name for name, given in alone.items() if given]) or "no example"
            raise CallError(
                f"{came} came together with reference=: pass one example of the kernel's inputs as like=(x, w), in its own dtype, and "
                "the claims accumulate= and intermediates= where they are others than 'float32'"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = KernelExplorer(
                f,
                reference,
                vjp,
                {"accumulate": accumulate, "intermediates": intermediates},
                max_examples,
                seed_of(seed),
                seconds,
                edges == "fail",
            ).over(like, wrt, params_of(params))
        return _raised(result, raise_exception=raise_exception)
    if accumulate is not None or intermediates is not None:
        raise CallError(
            "accumulate= and intermediates= are claims on a kernel that is judged beside a reference: pass reference=g"
        )
    explorer = Explorer(
        stated(f, backend),
        vjp,
        max_examples,
        seed_of(seed),
        seconds,
        edges == "fail",
        complex,
        straight_through,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # special values overflow and divide by zero, and mean it
        result = explorer.over(domain, like, wrt, params_of(params))
    return _raised(result, raise_exception=raise_exception)


def _raised(result: Verification, *, raise_exception: bool) -> Verification:
    __tracebackhide__ = True
    if raise_exception and result.verdict is Verdict.FAIL and result.smallest is not None:
        raise GradientError(result.smallest, result)
    return result

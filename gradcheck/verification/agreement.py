"""Values against references: how far apart may two right programs be?

Nothing is set by hand. Both programs are run again at inputs that differ by a few units in the last place; how much
their results scatter is what rounding does to them there (stochastic arithmetic, as in Vignes' CESTAC method): the
condition of the function and cancellation inside either program show by themselves.

The inputs are moved by up to ``16 eps |x|``, with random signs. For a result ``y = sum_j a_j`` of n terms (and any result
to first order, with ``a_j = dy/dx_j x_j``) the scatter is about ``16 eps |a|_2``. Rounding inside: each term is good to a
few eps, and a sum by NumPy or BLAS passes fewer than 32 roundings of eps/2 for any one term (blocks, then pairs), which
makes ``16 eps |a|_1 <= 16 eps sqrt(n) |a|_2``. So the bound is ``(1 + sqrt(n)) scatter``, plus ``16 eps |y|`` for a result
that does not depend on the inputs' last places, plus ``2 eps max|x|`` for programs that subtract inputs from each other
(softmax takes off the largest) and add the rest to a constant, plus the dtype's smallest number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.numeric.perturbation import moved, widest
from gradcheck.verification.outcome import VerificationError, described, first_difference

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from gradcheck.strategies import Example

ULPS = 16.0
"""How far inputs are moved, and the rounding allowed to a result, in units of eps."""

SAMPLES = 8
"""With so many, all of them small by chance has a probability below 1e-10 for a result of two terms or more."""


def shifted(arrays: Sequence[Any], which: Sequence[bool], eps: float, rng: np.random.Generator) -> list[Any]:
    """The arrays with those of `which` moved by 8 to 16 eps of each entry, with random signs."""
    return [
        moved(array, ULPS * eps * rng.uniform(0.5, 1.0, array.shape), rng) if moves else array
        for array, moves in zip(arrays, which, strict=True)
    ]


def scatter(
    function: Callable[..., Any],
    arrays: Sequence[Any],
    which: Sequence[bool],
    eps: float,
    y: NDArray[Any],
    clip: Callable[[Sequence[Any]], Sequence[Any]] = list,
) -> NDArray[Any]:
    """The largest |change| of every entry of y = function(*arrays) over a few inputs moved by some eps."""
    rng = np.random.default_rng(0)

    def result() -> NDArray[Any]:
        with np.errstate(all="ignore"):
            return np.asarray(function(*clip(shifted(arrays, which, eps, rng))), np.float64)

    return widest(y, (result() for _ in range(SAMPLES)))


def check_agreement(
    what: str,
    function: Callable[..., Any],
    reference: Callable[..., Any],
    arrays: Sequence[Any],
    which: Sequence[bool],
    *,
    clip: Callable[[Sequence[Any]], Sequence[Any]] = list,
) -> None:
    """`function(*arrays)` must equal `reference(*arrays)` in shape, and in value up to measured rounding.

    which: the arrays that may be moved to measure it. clip: brings moved arrays back into the domain. The reference gets
    float64. Raises `VerificationError`.
    """
    y = np.asarray(function(*arrays))
    wide = [a.astype(np.float64) if a is not None and a.dtype.kind == "f" else a for a in arrays]
    truth = np.asarray(reference(*wide))
    if y.shape != truth.shape:
        raise VerificationError(f"{what}: the value has shape {y.shape}, and the reference {truth.shape}")
    if y.dtype.kind != "f":
        if not np.array_equal(y, truth):
            raise VerificationError(f"{what}: the value is {y!r}, and the reference {truth!r}")
        return
    eps = max(
        [float(np.finfo(a.dtype).eps) for a in arrays if a is not None and a.dtype.kind == "f"] or [0.0]
    )
    eps = max(eps, float(np.finfo(y.dtype).eps))
    n = sum(a.size for a, moves in zip(arrays, which, strict=True) if moves)
    value = y.astype(np.float64)
    largest = max(
        [float(np.abs(a).max(initial=0.0)) for a, m in zip(wide, which, strict=True) if m], default=0.0
    )
    with np.errstate(invalid="ignore"):
        least = eps * (ULPS * np.abs(truth) + 2.0 * largest)
    tiny = float(np.finfo(y.dtype).tiny)
    if first_difference(value, truth, least + tiny) is None:
        return
    wobble = scatter(function, arrays, which, eps, value, clip)
    wobble = wobble + scatter(reference, wide, which, float(np.finfo(np.float64).eps), truth, clip)
    difference = first_difference(value, truth, (1.0 + np.sqrt(n)) * wobble + least + tiny)
    if difference is not None:
        raise VerificationError(f"{what}: entry {difference[0]} is {difference[1]}")


def inside(example: Example) -> Callable[[Sequence[Any]], list[Any]]:
    """Brings arrays that were moved back into the example's domains."""
    return lambda arrays: [
        a if a is None else d.clip(a) for a, d in zip(arrays, example.domains, strict=True)
    ]


def check_value(entry: Any, example: Example, name: str) -> None:
    """The forward value of an op or loss against its spec's reference, with its shape and dtype.

    The result's dtype is that of the float inputs (float32 in, float32 out), or the static parameter `dtype`.
    """
    forward = getattr(entry, "forward", entry)
    what = f"{name} on {described(example.arrays, example.params)}"
    y = np.asarray(forward(*example.arrays, **example.params))
    floats = [a.dtype for a in example.arrays if a is not None and a.dtype.kind == "f"]
    if floats:
        expected = np.dtype(example.params.get("dtype", np.result_type(*floats)))
        if y.dtype != expected:
            raise VerificationError(f"{what}: the value is {y.dtype}, and should be {expected}")
    check_agreement(
        what,
        lambda *arrays: forward(*arrays, **example.params),
        lambda *arrays: entry.spec.reference(*arrays, **example.params),
        example.arrays,
        example.takes_gradient,
        clip=inside(example),
    )

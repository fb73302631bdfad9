"""A backward pass that is recorded, to be differentiated again, against the plain one.

A rule may go another way on Tensors than on arrays, in blocks or in place. `gradgradcheck` takes the recorded pass as the
function whose derivative it measures: what that function gives is compared here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.backends.tree import leaves
from gradcheck.numeric.line import in_a_row
from gradcheck.verification.agreement import check_agreement
from gradcore.graph import backward_pass
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


def check_recorded_pass(
    what: str,
    f: Callable[..., Any],
    arrays: Sequence[Any],
    which: Sequence[bool],
    clip: Callable[[Sequence[Any]], Sequence[Any]] = list,
) -> None:
    """The gradients of `f(*Tensors)` are the same, up to rounding, whether the backward pass is recorded or not.

    which: the arrays to differentiate by. clip: brings arrays that were moved to measure rounding back into the domain.
    Raises `VerificationError`.
    """
    n, rng = len(arrays), np.random.default_rng(0)
    gys = [rng.standard_normal(y.shape).astype(y.dtype) for y in _outputs(f, as_leaves(arrays, which))]
    check_agreement(
        f"the recorded gradient of {what}",
        lambda *values: _gradients(f, as_leaves(values[:n], which), values[n:], record=True),
        lambda *values: _gradients(f, as_leaves(values[:n], which), values[n:], record=False),
        [*arrays, *gys],
        [*which, *(True for _ in gys)],
        clip=lambda values: [*clip(values[:n]), *values[n:]],
    )


def as_leaves(values: Sequence[Any], which: Sequence[bool]) -> list[Any]:
    """The values with those of `which` as Tensors that require a gradient; None stays None."""
    return [
        Tensor(v, requires_grad=True) if wanted and v is not None else v
        for v, wanted in zip(values, which, strict=True)
    ]


def _outputs(f: Callable[..., Any], tensors: Sequence[Any]) -> list[Tensor]:
    """Those that the leaves have to do with."""
    return [y for _, y in leaves(f(*tensors), "") if isinstance(y, Tensor) and y.requires_grad]


def _gradients(
    f: Callable[..., Any], tensors: Sequence[Any], gys: Sequence[Any], *, record: bool
) -> NDArray[Any]:
    """The gradients by all leaves in a row."""
    roots = [(y, Tensor(gy) if record else gy) for y, gy in zip(_outputs(f, tensors), gys, strict=True)]
    found = {id(leaf): gx for leaf, gx in backward_pass(roots, record=record)}
    gradients = [found.get(id(t), np.zeros_like(t.data)) for t in tensors if isinstance(t, Tensor)]
    return in_a_row([gx.data if isinstance(gx, Tensor) else gx for gx in gradients])

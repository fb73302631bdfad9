"""Contract on a gradient that is differentiated once more: recorded for that, it is the gradient that training uses."""

from __future__ import annotations

import numpy as np

from gradcheck.backends.framed import Framed
from gradcheck.backends.protocol import Array, Subject, spread
from gradcheck.contracts.base import Skip, close, contract, within
from gradcheck.errors import RuleError
from gradcheck.verdict.observation import Observation
from gradcheck.verdict.spreads import spreads


@contract(follows=("deterministic",), at_second_order=True)
def recorded_gradient(obs: Observation) -> str | None:
    """The gradient that is recorded to be differentiated is the same as the plain one.

    A rule may do something else where its backward pass is recorded, as with `torch.is_grad_enabled()`. A second order
    measures the recorded gradient's derivative, which may be right although that gradient is not.
    """
    first = obs.subject.primal
    if first is None:
        raise Skip("only of a gradient that is differentiated once more")
    try:
        plain = _plain(first, obs.copies())
    except RuleError as error:
        return f"recorded for a second order, it is not what training computes: there the rule raises {error}"
    recorded = obs.outputs_before
    if [gx.shape for gx in plain] == [gx.shape for gx in recorded]:
        if close(plain, recorded):
            return None
        allowed = spreads(obs, obs.arrays, obs.first_gys)  # of the outputs, then of what is pulled back
        if allowed is None:
            raise Skip("rounding cannot be measured here")
        if within(plain, recorded, allowed[: len(plain)]):
            return None
    plainly = "without create_graph" if isinstance(first, Framed) else "on arrays instead of Tensors"
    return (
        f"recorded for a second order, it is not what training computes: {plainly} the same backward pass gives other numbers. "
        "Compute them in one way, whether they are recorded or not"
    )


def _plain(first: Subject, arrays: list[Array]) -> list[Array]:
    """The gradients by the inputs that are differentiated by, from one backward pass that is not recorded."""
    n = len(first.inputs)
    run = first.run(arrays[:n])
    gxs = run.pull(spread(run.outputs, arrays[n:]))
    return [
        np.zeros_like(item.array) if gx is None else gx
        for item, gx in zip(first.inputs, gxs, strict=True)
        if item.wanted and item.differentiable
    ]

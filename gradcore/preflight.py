"""Before the first step: the gradients of this very model and loss, verified numerically on a first batch.

The one place besides the command line that knows gradcheck; only the command line imports it.
"""

from __future__ import annotations

import copy
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck import Verdict, gradcheck
from gradcore.errors import GradcoreError
from gradcore.losses import cross_entropy
from gradcore.nn.module import functional_call
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from gradcore.nn.module import Module


class PreflightError(GradcoreError):
    """The gradients of a model and its loss are not what the loss function says they are."""


def check_gradients(
    model: Module, inputs: Any, targets: Any, loss: Callable[[Any, Any], Any] = cross_entropy
) -> str:
    """Verify d loss / d parameters on one batch along a few directions; one line that says how far it can be trusted.

    The model is as before afterwards, its running averages and random generators included.
    Raises PreflightError, with the report, where a gradient is wrong.
    """
    started = time.perf_counter()
    parameters = dict(model.named_parameters())
    shared = {id(parameter): parameter for parameter in parameters.values()}

    def loss_of_parameters(replaced: dict[str, Tensor]) -> Any:
        # A fresh copy of all but the parameters: every call meets the same running averages and dropout masks.
        fresh = copy.deepcopy(model, dict(shared))
        return loss(functional_call(fresh, replaced, inputs), targets)

    values, nearby = {name: parameter.detach() for name, parameter in parameters.items()}, ""
    report = gradcheck(loss_of_parameters, (values,), raise_exception=False, contracts=False)
    if set(report.causes) == {"kink"}:
        # Blank examples and biases of zero put all ReLUs on their kinks at once, where no rule has to be right.
        values, nearby = _moved(values), ", close to these values as the loss has a kink there"
        report = gradcheck(loss_of_parameters, (values,), raise_exception=False, contracts=False)
    if report.verdict is Verdict.FAIL:
        raise PreflightError(
            f"the gradients of this model and loss are wrong, so training was not started.\n{report}\nThe rule of one "
            "of their ops is at fault: gradcheck.gradcheck on each layer alone shows which (--no-preflight trains all "
            "the same)"
        )
    cost = f"{report.evaluations} forward passes, {time.perf_counter() - started:.2f} s"
    untold = [result.path for result in report.inputs if result.verdict is Verdict.INCONCLUSIVE]
    told = len(parameters) - len(untold)
    if not told:  # no reason to keep anybody from training, but nothing to be called verified either
        return f"Could not verify the gradients on a batch of {len(inputs)} ({cost}): {report.reason}"
    count = f"{told} of {len(parameters)}" if untold else f"all {told}"
    line = f"Verified the gradients of {count} parameters on a batch of {len(inputs)}{nearby} ({cost})"
    return f"{line}; could not tell about {', '.join(untold)}: {report.reason}" if untold else line


def _moved(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """The values, each entry 0.01 or so away."""
    rng = np.random.default_rng(0)
    return {
        name: Tensor((p.data + 0.01 * rng.standard_normal(p.shape)).astype(p.dtype))
        for name, p in values.items()
    }

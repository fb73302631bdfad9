"""Before the first step: the gradients of this very model and loss, verified numerically on a first batch.

Besides the command line, only this file imports gradcheck. It is imported when it is used.
"""

from __future__ import annotations

import copy
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck import Verdict, gradcheck
from gradcore.errors import ArgumentError, GradcoreError
from gradcore.nn.module import Module, functional_call
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable


class PreflightError(GradcoreError):
    """The gradients of a model and its loss disagree with the numerical derivatives of the loss."""


def check_model(model: Module, loss: Callable[[Any, Any], Any], x: Any, y: Any) -> str:
    """Verify the gradients of a model's loss by its parameters on one batch of inputs x and targets y, before training.

    `Trainer.fit(preflight=True)` and `gradcore train` do so. Returns one line that reports what was verified. The model is
    unchanged afterwards, its running averages and random generators included.
    Raises PreflightError, with the report, where a gradient is wrong; ArgumentError for other arguments.
    """
    if not isinstance(model, Module) or not callable(loss) or isinstance(loss, type):
        raise ArgumentError(
            f"check_model got {type(model).__name__} and {loss!r:.60}: expected a model, a loss function and a batch, as in "
            "check_model(model, gradcore.cross_entropy, x, y)"
        )
    started = time.perf_counter()
    parameters = dict(model.named_parameters())
    shared = {id(parameter): parameter for parameter in parameters.values()}

    def loss_of_parameters(replaced: dict[str, Tensor]) -> Any:
        # A fresh copy of all but the parameters: every call meets the same running averages and dropout masks.
        fresh = copy.deepcopy(model, dict(shared))
        return loss(functional_call(fresh, replaced, x), y)

    values, nearby = {name: parameter.detach() for name, parameter in parameters.items()}, ""
    report = gradcheck(loss_of_parameters, (values,), raise_exception=False, contracts=False)
    if set(report.causes) == {"kink"}:
        # Blank examples and biases of zero put all ReLUs on their kinks at once, where no derivative exists.
        values, nearby = _moved(values), ", close to these values as the loss has a kink there"
        report = gradcheck(loss_of_parameters, (values,), raise_exception=False, contracts=False)
    if report.verdict is Verdict.FAIL:
        raise PreflightError(
            f"the gradients of this model and loss are wrong.\n{report}\nThe rule of one "
            "of their ops is at fault: gradcheck.gradcheck on each layer alone shows which (`gradcore train "
            "--no-preflight` trains without this check)"
        )
    cost = f"{report.evaluations} forward passes, {time.perf_counter() - started:.2f} s"
    unmeasured = [result.path for result in report.inputs if result.verdict is Verdict.INCONCLUSIVE]
    verified = len(parameters) - len(unmeasured)
    if not verified:  # inconclusive is no reason to refuse training, nor to report success
        return f"Could not verify the gradients on a batch of {len(x)} ({cost}): {report.reason}"
    count = f"{verified} of {len(parameters)}" if unmeasured else f"all {verified}"
    line = f"Verified the gradients of {count} parameters on a batch of {len(x)}{nearby} ({cost})"
    zero = [path for path in report.vacuous if path not in unmeasured]
    line += f"; zero on this batch: the gradient of {', '.join(zero)}" if zero else ""
    return f"{line}; {', '.join(unmeasured)} cannot be measured: {report.reason}" if unmeasured else line


def _moved(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """The values, each entry 0.01 or so away."""
    rng = np.random.default_rng(0)
    return {
        name: Tensor((p.data + 0.01 * rng.standard_normal(p.shape)).astype(p.dtype))
        for name, p in values.items()
    }

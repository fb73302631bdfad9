"""Averages of loss and accuracy, and why a loss is not finite."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from gradcore.convert import plain
from gradcore.errors import DataError, DivergenceError
from gradcore.graph import walk
from gradcore.losses import cross_entropy
from gradcore.modes import no_grad
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gradcore.nn.module import Module

ADVICE = "Use a smaller lr, or clip the gradients (clip_norm=1.0, on the command line --clip-norm 1)"


class Batches(Protocol):
    """Pairs (inputs, targets), again at each iteration; a `DataLoader`, or a list of pairs."""

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        """The pairs."""

    def __len__(self) -> int:
        """How many pairs."""


class Average:
    """Averages over examples: a last batch that is smaller counts for less."""

    def __init__(self, loss: float = 0.0, examples: int = 0, right: int = 0, labelled: bool = True) -> None:
        self.loss = loss
        self.examples = examples
        self.right = right
        self.labelled = labelled

    def add(self, loss: float, outputs: Any, targets: Any) -> None:
        """Count one batch, with its average loss."""
        logits, labels = plain(outputs), np.asarray(plain(targets))
        n = len(labels)
        self.loss += loss * n
        self.examples += n
        if labels.dtype.kind in "iu" and labels.ndim == 1 and logits.ndim == 2:
            self.right += int((logits.argmax(1) == labels).sum())
        else:
            self.labelled = False

    def merge(self, other: Average) -> None:
        """Count what another one has counted."""
        self.loss += other.loss
        self.examples += other.examples
        self.right += other.right
        self.labelled = self.labelled and other.labelled

    def result(self) -> dict[str, float]:
        """The average `loss`, and `accuracy` where all targets were class labels."""
        found = {"loss": self.loss / self.examples}
        if self.labelled:
            found["accuracy"] = self.right / self.examples
        return found


def evaluate(
    model: Module,
    batches: Batches,
    loss: Callable[[Any, Any], Any] = cross_entropy,
    after_batch: Callable[[Any, Any, float], object] | None = None,
) -> dict[str, float]:
    """The average `loss`, and `accuracy` where the targets are class labels; the model's mode is unchanged afterwards.

    after_batch: is called with each batch's inputs, targets and loss, in evaluation mode, and may raise.
    """
    seen = Average()
    with evaluating(model):
        for inputs, targets in batches:
            outputs = model(inputs)
            value = float(loss(outputs, targets))
            seen.add(value, outputs, targets)
            if after_batch is not None:
                after_batch(inputs, targets, value)
    return seen.result()


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Nothing is recorded inside, and the model is in evaluation mode; afterwards each module is in its own mode again."""
    training = [(module, module.training) for _, module in model.named_modules()]
    model.eval()
    try:
        with no_grad():
            yield
    finally:
        for module, mode in training:
            module.training = mode


def rest(batches: Batches, done: int, count: int) -> Iterator[tuple[Any, Any]]:
    """The batches of an epoch after the first `done`; raises DataError where they are not `count` in all."""
    if done == count:  # a DataLoader stands before the next epoch already
        return
    skip = 0 if hasattr(batches, "load_state_dict") else done
    number = done - skip
    for batch in batches:
        number += 1
        if number > count:
            break
        if number > done:
            yield batch
    if number != count:
        raise DataError(
            f"the batches are {'more than' if number > count else 'only'} {min(number, count)}, and their length said {count}"
        )


def check_parameters(model: Module, where: str) -> None:
    """Raise DivergenceError where a parameter is not finite."""
    for name, parameter in model.named_parameters():
        if not np.isfinite(parameter.data).all():
            raise DivergenceError(
                f"parameter {name} of shape {parameter.shape} is not finite after {where}: the last update went too far. "
                f"{ADVICE}"
            )


def explain_nonfinite(model: Module, loss: Tensor, inputs: Any) -> str:
    """Why a loss is not finite: the input, a parameter, or the first op whose output was not while its inputs were."""
    if not np.isfinite(plain(inputs)).all():
        wrong = np.argwhere(~np.isfinite(plain(inputs)))[0].tolist()
        return f"the input batch itself is not finite, first at index {wrong}. Clean the data"
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for node in walk(loss):
        if np.isfinite(node.data).all():
            continue
        if node.is_leaf:
            return (
                f"parameter {names.get(id(node), '(unnamed)')} of shape {node.shape} is not finite, so an earlier update "
                f"went too far. {ADVICE}"
            )
        wrong = np.argwhere(~np.isfinite(node.data))[0].tolist()
        shapes = ", ".join(str(np.shape(a)) for a in node._arrays)
        largest = max((float(np.abs(a).max()) for a in node._arrays if np.size(a)), default=0.0)
        return (
            f"the first op whose output is not finite is {node._op.name}, with inputs of shapes {shapes} up to "
            f"{largest:.3g} in size: {node.data[tuple(wrong)]} at index {wrong} of its output. {ADVICE}, or look at the "
            "scale of the data"
        )
    return "every recorded value is finite: the loss function itself computes outside the graph"

"""Trainer: the loop of forward, loss, backward, step and zero, with its history."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from gradcore import progress as shows
from gradcore.errors import DataError, DivergenceError, DomainError
from gradcore.graph import no_grad, walk
from gradcore.losses import cross_entropy
from gradcore.optim.clip import clip_grad_norm
from gradcore.optim.schedules import Schedule, constant
from gradcore.tensor import Tensor, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gradcore.nn.module import Module
    from gradcore.optim.base import Optimizer

Record = dict[str, Any]


class Batches(Protocol):
    """Pairs (inputs, targets), again at each iteration; a `DataLoader`, or a list of pairs."""

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        """The pairs."""

    def __len__(self) -> int:
        """How many pairs."""


class Trainer:
    """Trains a model: for each batch forward, loss, backward, step, zero; for each epoch one record in `history`.

    loss: `loss(outputs, targets)`, averaged over the batch; cross-entropy by default.
    schedule: the factor of the optimizer's lr in the course of one `fit` (`gradcore.optim.schedules`).
    clip_norm: the largest joint norm that gradients may have, larger ones are scaled down; None for no limit.
    progress: what shows the run (`gradcore.progress`); by default a live bar on a terminal, plain lines elsewhere.

    A record holds `epoch` (from 1), `train_loss` (averaged over the examples as they were seen, so before later steps),
    `train_accuracy` where the targets are class labels, `test_loss` and `test_accuracy` where there is a test set,
    and `seconds`.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        loss: Callable[[Any, Any], Any] = cross_entropy,
        *,
        clip_norm: float | None = None,
        schedule: Schedule = constant,
        progress: shows.Progress | None = None,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.loss = loss
        self.clip_norm = clip_norm
        self.schedule = schedule
        self.progress = progress if progress is not None else shows.automatic()
        self.history: list[Record] = []

    def fit(self, batches: Batches, epochs: int, test: Batches | None = None) -> list[Record]:
        """Train for a number of epochs, after those in `history` already; the records of these epochs.

        Raises DivergenceError as soon as the loss is not finite, naming the first op whose output was not;
        DomainError for a number of epochs below 0, DataError where there are no batches.
        """
        if epochs < 0:
            raise DomainError(f"fit got epochs={epochs}: a number of epochs is 0 or more")
        if len(batches) == 0:
            raise DataError(
                "there are no batches to train on: the data set is empty, or drop_last left nothing"
            )
        first = len(self.history) + 1
        lr = self.optimizer.lr
        steps = epochs * len(batches)
        try:
            with self.progress.start(first + epochs - 1, len(batches)):
                for epoch in range(first, first + epochs):
                    started = time.perf_counter()
                    taken = (epoch - first) * len(batches)
                    rates = (lr * self.schedule((taken + i) / steps) for i in range(len(batches)))
                    record = {"epoch": epoch, **self._train_epoch(epoch, batches, rates)}
                    if test is not None:
                        record |= {f"test_{name}": value for name, value in self.evaluate(test).items()}
                    record["seconds"] = time.perf_counter() - started
                    self.history.append(record)
                    self.progress.epoch(record)
        finally:
            self.optimizer.lr = lr
        return self.history[first - 1 :]

    def _train_epoch(self, epoch: int, batches: Batches, rates: Iterator[float]) -> Record:
        self.model.train()
        seen = _Average()
        # No warnings of overflow: the check below reports more, and once.
        with np.errstate(all="ignore"):
            for number, (rate, (inputs, targets)) in enumerate(zip(rates, batches, strict=True), 1):
                self.optimizer.lr = rate
                outputs = self.model(inputs)
                loss = self.loss(outputs, targets)
                value = loss.item()
                if not math.isfinite(value):
                    raise DivergenceError(
                        self._explain(loss, value, inputs, f"epoch {epoch}, batch {number}")
                    )
                loss.backward()
                if self.clip_norm is not None:
                    clip_grad_norm(self.optimizer.params, self.clip_norm)
                self.optimizer.step()
                self.optimizer.zero_grad()
                seen.add(value, outputs, targets)
                self.progress.batch(epoch, number, value)
        return {f"train_{name}": value for name, value in seen.result().items()}

    def evaluate(self, batches: Batches) -> dict[str, float]:
        """The average `loss`, and `accuracy` where the targets are class labels, in evaluation mode."""
        return evaluate(self.model, batches, self.loss)

    def _explain(self, loss: Tensor, value: float, inputs: Any, where: str) -> str:
        return f"the loss is {value} in {where}: " + explain_nonfinite(self.model, loss, inputs)


def evaluate(
    model: Module, batches: Batches, loss: Callable[[Any, Any], Any] = cross_entropy
) -> dict[str, float]:
    """The average `loss`, and `accuracy` where the targets are class labels; the model's mode is unchanged afterwards."""
    training = [(module, module.training) for _, module in model.named_modules()]
    model.eval()
    seen = _Average()
    try:
        with no_grad():
            for inputs, targets in batches:
                outputs = model(inputs)
                seen.add(float(loss(outputs, targets)), outputs, targets)
    finally:
        for module, mode in training:
            module.training = mode
    return seen.result()


class _Average:
    """Averages over examples: a last batch that is smaller counts for less."""

    def __init__(self) -> None:
        self.loss = 0.0
        self.examples = 0
        self.right = 0
        self.labelled = True

    def add(self, loss: float, outputs: Any, targets: Any) -> None:
        logits, labels = plain(outputs), np.asarray(plain(targets))
        n = len(labels)
        self.loss += loss * n
        self.examples += n
        if labels.dtype.kind in "iu" and labels.ndim == 1 and logits.ndim == 2:
            self.right += int((logits.argmax(1) == labels).sum())
        else:
            self.labelled = False

    def result(self) -> dict[str, float]:
        found = {"loss": self.loss / self.examples}
        if self.labelled:
            found["accuracy"] = self.right / self.examples
        return found


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
                "went too far. Use a smaller lr, or clip the gradients (clip_norm=1.0)"
            )
        wrong = np.argwhere(~np.isfinite(node.data))[0].tolist()
        shapes = ", ".join(str(np.shape(a)) for a in node._arrays)
        largest = max((float(np.abs(a).max()) for a in node._arrays if np.size(a)), default=0.0)
        return (
            f"the first op whose output is not finite is {node._op.name}, with inputs of shapes {shapes} up to "
            f"{largest:.3g} in size: {node.data[tuple(wrong)]} at index {wrong} of its output. Use a smaller lr, clip "
            "the gradients (clip_norm=1.0), or look at the scale of the data"
        )
    return "every recorded value is finite: the loss function itself computes outside the graph"

"""What is often passed to a Trainer in the place of something else, and what to write."""

from __future__ import annotations

from typing import Any

from gradcore.data import Dataset, Split
from gradcore.errors import ArgumentError, DataError, GraphError
from gradcore.nn.module import Module
from gradcore.optim.base import Optimizer
from gradcore.tensor import Tensor

_LOSSES = ("cross_entropy", "mse_loss")


def check_parts(model: Any, optimizer: Any, loss: Any) -> None:
    """Raise ArgumentError unless these are a model, an optimizer and a function, GraphError where they do not belong together."""
    if not isinstance(model, Module):
        raise ArgumentError(
            f"Trainer got {model!r:.60} as the model: pass a gradcore.nn.Module"
            + (", made by calling the class" if isinstance(model, type) else "")
        )
    if not isinstance(optimizer, Optimizer):
        name = optimizer.__name__ if isinstance(optimizer, type) else "Adam"
        raise ArgumentError(
            f"Trainer got {optimizer!r:.60} as the optimizer: make one of the model's parameters, as in "
            f"optim.{name}(model.parameters())"
        )
    if optimizer.takes_closure:
        raise ArgumentError(
            f"Trainer got {type(optimizer).__name__}, which evaluates the loss several times a step: write the loop yourself, "
            "with optimizer.step(closure)"
        )
    if isinstance(loss, type):
        raise ArgumentError(
            f"Trainer got the class {loss.__name__} as the loss: make one of it, loss={loss.__name__}()"
        )
    if not callable(loss):
        hint = f"gradcore.{loss}" if loss in _LOSSES else " or ".join(f"gradcore.{name}" for name in _LOSSES)
        raise ArgumentError(
            f"Trainer got loss={loss!r:.60}: pass a function of (outputs, targets), such as loss={hint}"
        )
    own = {id(p) for p in model.parameters()}
    if own.isdisjoint(id(p) for p in optimizer.params):
        raise GraphError(
            f"the optimizer holds {len(optimizer.params)} parameters and none of them is the model's, so training would change "
            f"nothing: make it with {type(optimizer).__name__}(model.parameters()), of the model that is trained"
        )


def check_batches(batches: Any, what: str) -> None:
    """Raise ArgumentError unless these are batches, DataError where there are none; `what` says in the message what for."""
    if isinstance(batches, Dataset | Split):
        part = "dataset" if isinstance(batches, Dataset) else "split.train"
        raise ArgumentError(
            f"batches to {what} on are expected, and {type(batches).__name__} holds single examples: write "
            f"DataLoader({part}, batch_size=32, shuffle=True), of gradcore.data"
        )
    if (
        isinstance(batches, Tensor)
        or not (hasattr(batches, "__len__") and hasattr(batches, "__iter__"))
        or hasattr(batches, "dtype")
    ):
        raise ArgumentError(
            f"batches to {what} on are expected, pairs of inputs and targets, and {type(batches).__name__} is none: write "
            "DataLoader(inputs, targets, batch_size=32, shuffle=True), of gradcore.data"
        )
    if len(batches) == 0:
        raise DataError(
            f"there are no batches to {what} on: the data set is empty, or drop_last left nothing"
        )


def no_loss(loss: Any) -> ArgumentError:
    """The error for what a loss function gave in place of a Tensor."""
    return ArgumentError(
        f"the loss function returned {loss!r:.60}: expected a Tensor of one entry, made by gradcore's ops from the outputs"
    )

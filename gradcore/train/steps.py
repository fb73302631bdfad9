"""What a Trainer does differently where ranks share each batch: here, the one process that has no others."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

from gradcore.errors import DivergenceError
from gradcore.modes import enable_grad, repeated
from gradcore.tensor import Tensor
from gradcore.train.arguments import no_loss
from gradcore.train.evaluation import Average, evaluate, explain_nonfinite

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gradcore.nn.module import Module
    from gradcore.optim.base import Optimizer
    from gradcore.replay import Captured
    from gradcore.train.checkpoints import Snapshot
    from gradcore.train.evaluation import Batches
    from gradcore.train.state import Plan, Position, Record

    T = TypeVar("T")


class Trained(Protocol):
    """What a step needs of a Trainer."""

    model: Module
    optimizer: Optimizer
    loss: Callable[[Any, Any], Any]
    history: list[Record]
    advice: str
    folder: Path | None
    resumed_at: int | None

    def _due(self) -> bool: ...
    def _signal(self) -> int | None: ...
    def _snapshot(self, batches: Any) -> Snapshot: ...
    def _go_on_from(
        self, plan: Plan, position: Position, history: list[Record], resumed_at: int | None
    ) -> None: ...


class Ranks(Protocol):
    """One process, or the ranks that train together (`gradcore.train.together.Together`)."""

    rank: int
    size: int

    def running(self) -> AbstractContextManager[object]:
        """Is open during `fit`; an error that leaves it on one rank alone ends all."""

    def first(self, function: Callable[[], Any]) -> Any:
        """What `function()` gives on rank 0, which alone calls it; what it raises is raised on all."""

    def together(self, function: Callable[[], T]) -> T:
        """`function()` on each rank; what it raises on any is raised on all."""

    def fail(self, error: BaseException) -> NoReturn:
        """Raise an error that all ranks raise at this place."""

    def share(self, batches: Any) -> None:
        """Begin on all ranks with the state of rank 0."""

    def check_equal(self) -> None:
        """Raise StateError where the ranks' parameters are not the same."""

    def gradients(self, inputs: Any, targets: Any, where: str) -> tuple[float, Average]:
        """Fill the gradients of the batch's average loss; that loss, and what the batch adds to the averages."""

    def pause(self) -> bool:
        """Whether the step that has ended is to be followed by a checkpoint."""

    def stop(self) -> int | None:
        """The number of the signal that asks for the end."""

    def test(self, epoch: int, batches: Batches, on_signal: Callable[[], object]) -> dict[str, float]:
        """The averages over batches. on_signal: is called in between where a signal has arrived, and raises."""


class Alone:
    """One process."""

    rank = 0
    size = 1

    def __init__(self, trainer: Trained, capture: bool = False) -> None:
        self.trainer = trainer
        self.captured: Captured | None = _captured(trainer.model, trainer.loss) if capture else None

    def running(self) -> AbstractContextManager[object]:
        """Nothing."""
        return nullcontext()

    def first(self, function: Callable[[], Any]) -> Any:
        """Call it."""
        return function()

    def together(self, function: Callable[[], T]) -> T:
        """Call it."""
        return function()

    def fail(self, error: BaseException) -> NoReturn:
        """Raise it."""
        raise error

    def share(self, batches: Any) -> None:
        """Nothing."""

    def check_equal(self) -> None:
        """Nothing."""

    def gradients(self, inputs: Any, targets: Any, where: str) -> tuple[float, Average]:
        """Forward, loss, backward."""
        if self.captured is not None:
            return self._replayed(self.captured, inputs, targets, where)
        model = self.trainer.model
        outputs = model(inputs)
        loss = self.trainer.loss(outputs, targets)
        if type(loss) is not Tensor:
            raise no_loss(loss)
        value = loss.item()
        if not math.isfinite(value):
            raise DivergenceError(diverged(model, loss, value, inputs, where))
        loss.backward()
        counted = Average()
        counted.add(value, outputs, targets)
        return value, counted

    def _replayed(self, step: Captured, inputs: Any, targets: Any, where: str) -> tuple[float, Average]:
        try:
            outputs, loss = step(inputs, targets)
        except _NotFinite as error:
            with enable_grad():  # what a replay leaves no graph of
                again = self.trainer.loss(self.trainer.model(inputs), targets)
            raise DivergenceError(diverged(self.trainer.model, again, error.value, inputs, where)) from None
        value = loss.item()
        counted = Average()
        counted.add(value, outputs, targets)
        return value, counted

    def pause(self) -> bool:
        """Whether a signal has arrived, or the time of a checkpoint."""
        return self.trainer._due()

    def stop(self) -> int | None:
        """The signal that has arrived."""
        return self.trainer._signal()

    def test(self, epoch: int, batches: Batches, on_signal: Callable[[], object]) -> dict[str, float]:
        """`evaluate`."""

        def after_batch(inputs: Any, targets: Any, value: float) -> None:
            if not math.isfinite(value):
                raise DivergenceError(test_diverged(self.trainer, epoch, inputs, targets, value))
            if self.trainer._signal() is not None:
                on_signal()

        return evaluate(self.trainer.model, batches, self.trainer.loss, after_batch)


class _NotFinite(Exception):  # noqa: N818 (it becomes a DivergenceError)
    def __init__(self, value: float) -> None:
        super().__init__(value)
        self.value = value


def _check_finite(loss: Any) -> None:
    value = float(loss)
    if not math.isfinite(value):
        raise _NotFinite(value)


def _captured(model: Module, loss_of: Callable[[Any, Any], Any]) -> Captured:
    """The forward pass, the loss and the backward pass, captured: outputs and loss."""
    from gradcore.replay import capture

    def step(inputs: Any, targets: Any) -> Any:
        outputs = model(inputs)
        loss = loss_of(outputs, targets)
        if type(loss) is not Tensor:
            raise no_loss(loss)
        repeated(_check_finite, loss.data)
        loss.backward()
        return (outputs.detach() if type(outputs) is Tensor else outputs), loss

    return capture(step)


def diverged(model: Module, loss: Tensor, value: float, inputs: Any, where: str) -> str:
    """What there is to say about a loss that is not finite."""
    return f"the loss is {value} in {where}: {explain_nonfinite(model, loss, inputs)}"


def test_diverged(trainer: Trained, epoch: int, inputs: Any, targets: Any, value: float) -> str:
    """The same about a loss on a batch to test on."""
    with enable_grad():
        loss = trainer.loss(trainer.model(inputs), targets)
    return f"the test loss is {value} after epoch {epoch}: {explain_nonfinite(trainer.model, loss, inputs)}"

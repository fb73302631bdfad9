"""A Trainer's steps where ranks share each batch."""

from __future__ import annotations

import math
import zlib
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import numpy as np

from gradcore.distributed.buckets import Buckets
from gradcore.distributed.communicator import check_communicator
from gradcore.distributed.group import Group
from gradcore.distributed.shard import count_rows, on_shard, own_numbers, split
from gradcore.distributed.sums import all_sum
from gradcore.errors import ArgumentError, DataError, DivergenceError, StateError
from gradcore.graph import backward_pass
from gradcore.modes import no_grad
from gradcore.nn.dropout import Dropout
from gradcore.nn.norm import BatchNorm1d, BatchNorm2d
from gradcore.tensor import Tensor
from gradcore.train.arguments import no_loss
from gradcore.train.evaluation import Average, evaluating
from gradcore.train.running import RunningValues
from gradcore.train.state import restore
from gradcore.train.steps import diverged, test_diverged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from gradcore.distributed.communicator import Communicator
    from gradcore.nn.module import Module
    from gradcore.train.evaluation import Batches
    from gradcore.train.steps import Trained

    T = TypeVar("T")


class Together:
    """The ranks of a communicator, each with its rows of every batch; raises ArgumentError where it is none."""

    def __init__(self, trainer: Trained, communicator: Communicator, sync_batch_norm: bool) -> None:
        check_communicator(communicator)
        self.trainer, self.communicator = trainer, communicator
        self.rank, self.size = communicator.Get_rank(), communicator.Get_size()
        self.sync_batch_norm = sync_batch_norm
        self._pause = False

    @contextmanager
    def running(self) -> Iterator[None]:
        """Everything that belongs to one `fit`."""
        trainer = self.trainer
        self.group = group = Group(self.communicator)
        group.advice = trainer.advice or advice(trainer)
        group.received = lambda: trainer._signal() is not None
        normalised = any(
            isinstance(module, BatchNorm1d | BatchNorm2d) for _, module in trainer.model.named_modules()
        )
        self._synchronised = group if self.sync_batch_norm else None
        # A row alone has no variance.
        self._least = 2 if normalised and not self.sync_batch_norm else 1
        self._buckets = Buckets(trainer.optimizer.params, group)
        self._running = RunningValues(trainer.model)
        self._own = _own_generators(trainer.model)
        self._loss_checked = False
        with group.guarded():
            try:
                yield
            except BaseException as error:
                if group.is_agreed(error):
                    group.close()
                raise
            group.close()

    def first(self, function: Callable[[], Any]) -> Any:
        """See `Group.first`."""
        return self.group.first(function)

    def together(self, function: Callable[[], T]) -> T:
        """See `Group.together`."""
        return self.group.together(function)

    def fail(self, error: BaseException) -> NoReturn:
        """See `Group.fail`."""
        self.group.fail(error)

    # --- the same on all ranks ------------------------------------------------------------------------------------------

    def share(self, batches: Any) -> None:
        """Take over the model, the optimizer, the generators and the position of rank 0."""
        trainer, group = self.trainer, self.group
        own = trainer._snapshot(batches)
        resumed = group.broadcast(trainer.resumed_at)
        state = group.broadcast(own.state)
        tensors = group.broadcast_arrays(own.tensors)

        def take() -> None:
            if own.state["plan"][1:] != state["plan"][1:]:
                raise ArgumentError(
                    "fit got {} epochs of {} batches, and on rank 0 {} of {}: all ranks make the same call".format(
                        *own.state["plan"][1:], *state["plan"][1:]
                    )
                )
            if self.rank:
                loader = batches if resumed is not None else None
                found = own._replace(state=state, tensors=tensors)
                trainer._go_on_from(*restore(found, trainer.model, trainer.optimizer, loader), resumed)
            place = batches.state_dict() if hasattr(batches, "state_dict") else None
            if place != state["loader"]:
                raise ArgumentError(
                    f"its loader is at {place}, and that of rank 0 at {state['loader']}: all ranks must have the same batches "
                    "in the same order, so give their loaders the same data and seed"
                )

        group.together(take)

    def check_equal(self) -> None:
        """Compare a checksum of each parameter and buffer."""
        arrays = self.trainer.model._state_arrays()
        sums = np.array([zlib.crc32(a.tobytes()) for a in arrays.values()], np.int64)
        first = self.group.sum(sums if self.rank == 0 else np.zeros_like(sums))
        wrong = [name for name, same in zip(arrays, first == sums, strict=True) if not same]

        def check() -> None:
            if wrong:
                raise StateError(
                    f"after epoch {len(self.trainer.history) + 1} {', '.join(wrong)[:200]} are not what they are on rank 0: "
                    "all ranks must run the same code on the same kind of machine, and change parameters by the optimizer "
                    "alone"
                )

        self.group.together(check)

    # --- a step ---------------------------------------------------------------------------------------------------------

    def gradients(self, inputs: Any, targets: Any, where: str) -> tuple[float, Average]:
        """The average over all rows: each rank's loss counts by its number of rows, so shards may be uneven."""
        trainer, group = self.trainer, self.group
        total = count_rows(inputs, targets)
        shard = split(total, self.rank, self.size, self._least, self._synchronised)
        inputs, targets = shard.of(inputs), shard.of(targets)
        counted, why = Average(), ""
        self._running.note()
        with on_shard(shard), own_numbers(self._own, self.rank) if self._own else nullcontext():
            outputs = trainer.model(inputs)
            loss = trainer.loss(outputs, targets)
        if type(loss) is not Tensor:
            raise no_loss(loss)
        value = loss.item()
        if not self._loss_checked:
            self._loss_checked = True
            group.together(lambda: _check_average(trainer.loss, outputs, targets, value))
        if not math.isfinite(value):
            why = diverged(trainer.model, loss, value, inputs, where)
        if shard.counts:
            counted.add(value, outputs, targets)
        due = trainer._signal() is not None or (self.rank == 0 and trainer._due())
        numbers = np.array([*_numbers(counted), due], np.float64)
        sent = group.start(np.concatenate([numbers, *self._running.changes(shard.weight)]))
        if not loss.requires_grad:
            loss.backward()  # which raises
        seed = np.full(loss.shape, shard.weight, loss.dtype)
        with on_shard(shard):  # where a function is computed again in the backward pass
            backward_pass([(loss, seed)], ready=self._buckets.ready)
        self._buckets.finish()
        numbers = group.finish(sent)
        counted = _average(numbers[:4])
        self._pause = bool(numbers[4])
        self._running.add(numbers[5:])
        if counted.examples != total:
            raise DataError(
                f"the ranks took {counted.examples} rows in {where}, and the batch has {total} here: all ranks must have the "
                "same batches"
            )
        if not math.isfinite(counted.loss):
            self._all_diverged(why, f"the average loss is {counted.loss} in {where}")
        return counted.loss / total, counted

    def _all_diverged(self, why: str, otherwise: str) -> NoReturn:
        texts = [f"on rank {rank} {text}" for rank, text in enumerate(self.group.texts(why)) if text]
        # Where a sum over ranks is the first op that is not finite, the reason is on another rank.
        texts.sort(key=lambda text: f" is {all_sum.name}," in text)
        self.group.fail(DivergenceError(texts[0] if texts else otherwise))

    def pause(self) -> bool:
        """Whether a signal has arrived on any rank, or on rank 0 the time of a checkpoint, before the step's sums."""
        return self._pause

    def stop(self) -> int | None:
        """The signal that has arrived, of the first rank that has one."""
        numbers = np.zeros(self.size, np.int64)
        numbers[self.rank] = self.trainer._signal() or 0
        return next((number for number in self.group.sum(numbers).tolist() if number), None)

    # --- evaluation -----------------------------------------------------------------------------------------------------

    def test(self, epoch: int, batches: Batches, on_signal: Callable[[], object]) -> dict[str, float]:
        """Whole batches, one to a rank in turn; what each gives is what it gives in one process."""
        trainer, group = self.trainer, self.group
        seen, own, why = Average(), Average(), ""
        last = len(batches) - 1
        with evaluating(trainer.model):
            for number, (inputs, targets) in enumerate(batches):
                if number % self.size == self.rank:
                    outputs = trainer.model(inputs)
                    value = float(trainer.loss(outputs, targets))
                    own.add(value, outputs, targets)
                    if not math.isfinite(value):
                        why = test_diverged(trainer, epoch, inputs, targets, value)
                if number % self.size == self.size - 1 or number == last:
                    found = group.sum(np.array([*_numbers(own), trainer._signal() is not None], np.float64))
                    seen.merge(_average(found[:4]))
                    own = Average()
                    if not math.isfinite(seen.loss):
                        self._all_diverged(why, f"the average test loss is {seen.loss} after epoch {epoch}")
                    if found[4]:
                        on_signal()
        return seen.result()


def advice(trainer: Trained) -> str:
    """How to go on after a rank has died."""
    if trainer.folder is None:
        return "Nothing was saved: a Trainer with checkpoint=FOLDER writes checkpoints"
    return f"The last checkpoint is in {trainer.folder}, and fit(..., resume=True) goes on from there, on any number of ranks"


def _numbers(counted: Average) -> list[float]:
    return [counted.loss, counted.examples, counted.right, not counted.labelled]


def _average(numbers: NDArray[Any]) -> Average:
    loss, examples, right, unlabelled = numbers.tolist()
    return Average(loss, int(examples), int(right), not unlabelled)


def _check_average(loss: Callable[[Any, Any], Any], outputs: Any, targets: Any, value: float) -> None:
    """Raise ArgumentError where a loss is not the average of its examples' losses, as one of two parts of them shows.

    The average over ranks would then not be what one process computes. Nothing is raised where the loss is random.
    """
    rows = len(targets)
    if rows < 2 or type(outputs) is not Tensor or outputs.shape[:1] != (rows,):
        return
    half = rows // 2
    with no_grad():
        again = float(loss(outputs, targets))
        parts = float(loss(outputs[:half], targets[:half])), float(loss(outputs[half:], targets[half:]))
    expected = (half * parts[0] + (rows - half) * parts[1]) / rows
    if again == value and abs(value - expected) > 1e-3 * max(abs(value), *map(abs, parts)):
        raise ArgumentError(
            f"the loss of {rows} examples is {value:.6g}, and the average of that of {half} of them and that of the others "
            f"{expected:.6g}: ranks share batches only for a loss that is an average over examples, so divide a sum by "
            "their number"
        )


def _own_generators(model: Module) -> list[np.random.Generator]:
    """Those that a module other than Dropout draws from, which do not draw for the whole batch."""
    found: dict[int, np.random.Generator] = {}
    for _, module in model.named_modules():
        if not isinstance(module, Dropout):
            for _, value in module._members():
                if isinstance(value, np.random.Generator):
                    found[id(value)] = value
    return list(found.values())

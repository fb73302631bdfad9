"""Trainer: the loop of forward, loss, backward, step and zero, with its history and its checkpoints."""

from __future__ import annotations

import copy
import math
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore import progress as shows
from gradcore.errors import CheckpointError, DomainError, Interrupted, OutputError, StateError
from gradcore.losses import cross_entropy
from gradcore.optim.clip import clip_grad_norm
from gradcore.optim.schedules import Schedule, constant
from gradcore.train.arguments import check_batches, check_parts
from gradcore.train.best import Best
from gradcore.train.checkpoints import Checkpoints
from gradcore.train.evaluation import check_parameters, evaluate, rest
from gradcore.train.ranks import ranks_of
from gradcore.train.signals import Deferred
from gradcore.train.state import Plan, Position, Record, capture, check_layouts, restore
from gradcore.train.threads import Threads

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from gradcore.distributed import Communicator
    from gradcore.nn.module import Module
    from gradcore.optim.base import Optimizer
    from gradcore.train.evaluation import Batches


class Trainer:
    """Trains a model: for each batch forward, loss, backward, step, zero; for each epoch one record in `history`.

    loss: `loss(outputs, targets)`, averaged over the batch; cross-entropy by default.
    schedule: the factor of the optimizer's lr in the course of one `fit` (`gradcore.optim.schedules`).
    clip_norm: the largest joint norm that gradients may have, larger ones are scaled down; None for no limit.
    patience: `fit` ends early after so many epochs in a row without a lower test loss; None for no such end.
    progress: what shows the run (`gradcore.progress`); by default a live bar on a terminal, plain lines elsewhere.

    A record holds `epoch` (from 1), `train_loss` (averaged over the examples as they were seen, so before later steps),
    `train_accuracy` where the targets are class labels, `test_loss` and `test_accuracy` where there is a test set,
    and `seconds` of training.

    checkpoint: a folder. After each epoch, and in between every `every` seconds, everything that the run needs to go on is
    written there: model, optimizer, place in the schedule and in the data's order, the generators that are attributes of
    modules, history. The last `keep` files stay, and that of the last whole epoch. `fit(..., resume=True)` goes on bit for
    bit, with batches of a `DataLoader` or others that come in the same order each time (and with the same number of
    BLAS threads). The model with the lowest test loss is kept as `best.safetensors`, with the strings of `metadata`.
    With checkpoints SIGINT, SIGTERM, SIGHUP and SIGXCPU let the step end, write one, and raise `errors.Interrupted`.

    communicator: `MPI.COMM_WORLD` of mpi4py in a program started by `mpiexec -n 4`: its ranks share each batch, with the
    same losses and weights as one process to rounding, for a loss that is an average over examples. All ranks make the
    same calls with the same batches in the same order; they begin with the state of rank 0, which alone writes and
    prints, and any number of ranks resumes. The same entries are dropped by Dropout as in one process; other generators
    of modules draw other numbers on each rank. sync_batch_norm: whether BatchNorm takes its statistics over all rows of
    a batch, as in one process, or each rank those of its own; running averages are averaged over the ranks.
    threads: of large ops and of BLAS during `fit`; BLAS's change how sums are rounded. None: GRADCORE_NUM_THREADS, or as they
    are. "auto": measured on the first steps, and again when steps slow down, so no other run is the same bit for bit; 1 on ranks.
    capture: whether steps are replayed as flat lists of NumPy calls (`gradcore.capture`), with the same bits; one process only.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        loss: Callable[[Any, Any], Any] = cross_entropy,
        *,
        clip_norm: float | None = None,
        schedule: Schedule = constant,
        patience: int | None = None,
        progress: shows.Progress | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        every: float = 30.0,
        keep: int = 2,
        metadata: Mapping[str, str] | None = None,
        communicator: Communicator | None = None,
        sync_batch_norm: bool = False,
        threads: int | str | None = None,
        capture: bool = False,
    ) -> None:
        check_parts(model, optimizer, loss)
        if patience is not None and patience < 1:
            raise DomainError(f"Trainer got patience={patience}: it is a number of epochs, 1 or more")
        if not every >= 0 or keep < 1:
            raise DomainError(
                f"Trainer got every={every} and keep={keep}: expected seconds, 0 or more, and a number of files, 1 or more"
            )
        self.model = model
        self.optimizer = optimizer
        self.loss = loss
        self.clip_norm = clip_norm
        self.schedule = schedule
        self.patience = patience
        self._ranks = ranks_of(self, communicator, sync_batch_norm, capture)
        leads = self._ranks.rank == 0
        self.progress = shows.automatic() if progress is None else progress
        if not leads:
            self.progress = shows.Silent()
        elif progress is None and self._ranks.size > 1:  # mpiexec's terminal is none that anybody sees
            self.progress = shows.Lines()
        self._threads = Threads(threads, self._ranks.size, self._tell)
        self.every = every
        self.metadata = dict(metadata or {})
        self.history: list[Record] = []
        self.rescued: Path | None = None
        """Where the last checkpoint is if its own folder took none at the end."""
        self.resumed_at: int | None = None
        """The number of steps at which `fit(resume=True)` went on; None where it began."""
        self.advice = ""
        """A sentence on how to go on after a rank has died; by default one about `fit(resume=True)`."""
        self.folder = None if checkpoint is None else Path(checkpoint)
        self._checkpoints: Checkpoints | None = None
        if checkpoint is not None and leads:
            self._checkpoints = Checkpoints(checkpoint, keep, self._tell)
        self._best = Best(self._checkpoints.folder, self._tell) if self._checkpoints is not None else None
        self._signals: Deferred | None = None
        self._position = Position()
        self._plan = Plan(1, 0, 0, ())
        self._next_save = math.inf
        self._written = False

    @property
    def steps(self) -> int:
        """Steps so far, in all calls of `fit`."""
        return self._position.step

    # --- the run ------------------------------------------------------------------------------------------------------

    def fit(
        self,
        batches: Batches,
        epochs: int,
        test: Batches | None = None,
        *,
        resume: bool = False,
        preflight: bool = False,
    ) -> list[Record]:
        """Train for a number of epochs, after those in `history` already; the records of these epochs.

        resume: go on from the last good checkpoint, in the middle of the same call of `fit`; from the start if there
        is none.
        preflight: first verify the gradients of the model and loss numerically on the first batch (`gradcore.check_model`);
        PreflightError where one is wrong, before anything is changed.
        Raises DivergenceError as soon as the loss, a parameter or the test loss is not finite, naming the first op whose
        output was not; DomainError for a number of epochs below 0, DataError where there are no batches;
        CheckpointError where the folder holds another run's checkpoints; StateError where a checkpoint is not of this
        model, optimizer and plan; OutputError where the first or the last checkpoint can't be written (`rescued` is
        then where the last one is).
        """
        with self._ranks.running():
            self._ranks.together(lambda: self._check_call(batches, epochs, test, resume))
            if preflight:
                self._ranks.first(lambda: self._preflight(batches))
            self._plan = Plan(len(self.history) + 1, epochs, len(batches), self.optimizer.lrs)
            self._position.next_epoch()
            with Deferred() if self.folder is not None else nullcontext() as self._signals:
                self._ranks.first(lambda: self._open(batches, resume))
                self._ranks.share(batches)
                try:
                    with (
                        self.progress.start(self._plan.last, len(batches)),
                        self._threads.running(self._position),
                    ):
                        while len(self.history) < self._plan.last and not self._patience_is_over():
                            self._run_epoch(batches, test)
                finally:
                    self.optimizer.lrs = self._plan.lrs
                    self._signals = None
                self._ranks.first(lambda: self._close(batches))
        return self.history[self._plan.first - 1 :]

    def _check_call(self, batches: Batches, epochs: int, test: Batches | None, resume: bool) -> None:
        if epochs < 0:
            raise DomainError(f"fit got epochs={epochs}: a number of epochs is 0 or more")
        check_batches(batches, "train")
        if test is not None:
            check_batches(test, "test")
        if self.patience is not None and test is None:
            raise DomainError("patience looks at the test loss: pass fit(batches, epochs, test=...)")
        if resume and self.folder is None:
            raise DomainError("resume needs a folder: make the Trainer with checkpoint=FOLDER")

    def _preflight(self, batches: Batches) -> None:
        from gradcore.preflight import check_model

        inputs, targets = next(iter(copy.copy(batches)))  # the loader itself stays where it is
        self._tell(check_model(self.model, self.loss, inputs, targets))

    def _open(self, batches: Batches, resume: bool) -> None:
        """Load the last checkpoint, or write the first, so that trouble with the folder shows before training."""
        checkpoints = self._checkpoints
        if checkpoints is None:
            return
        checkpoints.open()
        if resume and self._load(checkpoints, batches):
            return
        if checkpoints.paths() and not self._written:
            raise CheckpointError(
                f"{checkpoints.folder} holds checkpoints of another run: continue it by fit(..., resume=True), or choose "
                "another folder"
            )
        check_parameters(self.model, "the start")
        checkpoints.begin(self._snapshot(batches), self._position.step, len(self.history))
        self._written = True
        self._next_save = time.monotonic() + self.every

    def _close(self, batches: Batches) -> None:
        """Put what could not be written to its folder elsewhere."""
        if self._checkpoints is not None and self._checkpoints.failure is not None:
            self.rescue(batches)
            raise OutputError(
                f"{self._checkpoints.failure}. The last checkpoint is in {self.rescued} instead"
            )

    def _load(self, checkpoints: Checkpoints, batches: Batches) -> bool:
        while True:
            found = checkpoints.load(lambda layouts: check_layouts(self.model, self.optimizer, layouts))
            if found is None:
                return False
            expected = self._plan
            try:
                plan, position, history = restore(found, self.model, self.optimizer, batches)
            except CheckpointError as error:
                checkpoints.set_aside(checkpoints.paths()[0], error)
                continue
            if (plan.epochs, plan.batches) != (expected.epochs, expected.batches):
                raise StateError(
                    f"the checkpoint in {checkpoints.folder} belongs to a fit of {plan.epochs} epochs of {plan.batches} "
                    f"batches, and this is one of {expected.epochs} epochs of {expected.batches}: fit with its numbers to go on"
                )
            self._go_on_from(plan, position, history, position.step)
            checkpoints.remove_old()  # which a process that was killed may have had before it
            self._written = True
            self._next_save = time.monotonic() + self.every
            if self._best is not None:
                self._best.load(self.model, any("test_loss" in record for record in history))
            return True

    def _go_on_from(
        self, plan: Plan, position: Position, history: list[Record], resumed_at: int | None
    ) -> None:
        self._plan, self._position, self.history, self.resumed_at = plan, position, history, resumed_at

    def _run_epoch(self, batches: Batches, test: Batches | None) -> None:
        epoch, position = len(self.history) + 1, self._position
        self._train_epoch(epoch, batches)
        record = {
            "epoch": epoch,
            **{f"train_{name}": value for name, value in position.seen.result().items()},
        }
        self._ranks.check_equal()
        self._check_parameters(f"the last step of epoch {epoch}")
        if test is not None:
            record |= {f"test_{name}": value for name, value in self._test(epoch, batches, test).items()}
        record["seconds"] = position.seconds
        self.history.append(record)
        position.next_epoch()
        if self._best is not None:
            self._best.offer(self.model, record, self.metadata)
        self._save(batches, at_end=True)
        self.progress.epoch(record)

    def _train_epoch(self, epoch: int, batches: Batches) -> None:
        """The steps of an epoch from `_position` on."""
        optimizer, position, plan, signals = self.optimizer, self._position, self._plan, self._signals
        self.model.train()
        gradients = self._threads.timing(self._ranks.gradients)
        pause, show = self._ranks.pause, self.progress.batch
        before, steps = (epoch - plan.first) * plan.batches, plan.epochs * plan.batches
        started = time.perf_counter() - position.seconds
        # No warnings of overflow: the check below reports more, and once.
        with np.errstate(all="ignore"):
            for inputs, targets in rest(batches, position.batch, plan.batches):
                factor = self.schedule((before + position.batch) / steps)
                optimizer.lrs = [lr * factor for lr in plan.lrs]
                where = f"epoch {epoch}, batch {position.batch + 1}"
                value, counted = gradients(inputs, targets, where)
                if self.clip_norm is not None:
                    clip_grad_norm(optimizer.params, self.clip_norm)
                optimizer.step()
                optimizer.zero_grad()
                position.seen.merge(counted)
                position.batch += 1
                position.step += 1
                try:
                    show(epoch, position.batch, value)
                except OSError:  # nobody reads our output any more, or its disk is full
                    position.seconds = time.perf_counter() - started
                    if signals is not None and self._ranks.size == 1:
                        self._save(batches)
                    elif signals is not None:
                        self._write(batches)
                    raise
                if signals is not None and pause():
                    position.seconds = time.perf_counter() - started
                    self._save(batches)
                    started = time.perf_counter() - position.seconds
        position.seconds = time.perf_counter() - started

    def evaluate(self, batches: Batches) -> dict[str, float]:
        """The average `loss`, and `accuracy` where the targets are class labels, in evaluation mode."""
        return evaluate(self.model, batches, self.loss)

    def _test(self, epoch: int, batches: Batches, test: Batches) -> dict[str, float]:
        with np.errstate(all="ignore"):
            return self._ranks.test(epoch, test, lambda: self._save(batches))

    def _patience_is_over(self) -> bool:
        losses = [record.get("test_loss", math.inf) for record in self.history[self._plan.first - 1 :]]
        if self.patience is None or not losses:
            return False
        return len(losses) - 1 - losses.index(min(losses)) >= self.patience

    # --- checkpoints --------------------------------------------------------------------------------------------------

    def _signal(self) -> int | None:
        """The signal that this process has received."""
        return None if self._signals is None else self._signals.received

    def _due(self) -> bool:
        return self._signal() is not None or time.monotonic() >= self._next_save

    def _check_parameters(self, where: str) -> None:
        self._ranks.together(lambda: check_parameters(self.model, where))

    def _save(self, batches: Batches, *, at_end: bool = False) -> None:
        """Write a checkpoint, and raise Interrupted if a signal has arrived. at_end: of an epoch, or before the first."""
        if self.folder is None:
            return
        self._check_parameters(f"step {self._position.step}")  # one that is not finite would be of no use
        worked = self._ranks.first(lambda: self._write(batches, at_end=at_end))
        stop = self._ranks.stop()
        if stop is not None:
            folder = self.folder if worked else self._ranks.first(lambda: str(self.rescue(batches)))
            self._ranks.fail(
                Interrupted(
                    stop,
                    f"ended by signal {stop} after {self._position.step} steps; the checkpoint is in {folder}, and "
                    "fit(..., resume=True) goes on from there",
                )
            )

    def _write(self, batches: Batches, *, at_end: bool = False) -> bool:
        """Write a checkpoint; whether that worked."""
        checkpoints = self._checkpoints
        if checkpoints is None:
            return False
        snapshot = self._snapshot(batches)
        worked = self._best is None or self._best.save(checkpoints)
        worked = worked and checkpoints.save(snapshot, self._position.step, self._ended(at_end))
        self._written = self._written or worked
        self._next_save = time.monotonic() + self.every
        return worked

    def rescue(self, batches: Batches) -> Path:
        """Write checkpoint and best model into a new folder among the system's temporary files, `rescued`.

        Raises OutputError where that fails, DomainError for a Trainer without checkpoints.
        """
        if self._checkpoints is None or self._best is None:
            raise DomainError("there are no checkpoints to rescue: make the Trainer with checkpoint=FOLDER")
        between = self._position.batch == 0
        self.rescued = self._checkpoints.rescue(
            self._snapshot(batches), self._position.step, self._ended(between)
        )
        self._best.rescue(self.rescued)
        return self.rescued

    def _snapshot(self, batches: Batches) -> Any:
        return capture(
            self.model, self.optimizer, batches, self._plan, self._position, self.history, self.metadata
        )

    def _ended(self, at_end: bool) -> int | None:
        return len(self.history) if at_end else None

    def _tell(self, message: str) -> None:
        try:
            self.progress.message(message)
        except OSError:  # there is nobody to tell it to; no reason to end training
            return

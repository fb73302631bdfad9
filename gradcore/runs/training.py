"""The command `gradcore train`: one run in a folder of its own, from the start or from where it was ended."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import gradcore
from gradcore.data import DataLoader, load
from gradcore.distributed import world
from gradcore.distributed.group import Group
from gradcore.errors import DataError, DivergenceError, GradcoreError, Interrupted, OutputError
from gradcore.extras import load_extra
from gradcore.figures import save_curves, save_mistakes
from gradcore.io import ensure_writable, write_jsonl
from gradcore.model_file import MODEL, model_metadata, save_model
from gradcore.nn.models import HIDDEN, MODELS, build
from gradcore.runs.folder import (
    CURVES,
    HISTORY,
    MISTAKES,
    RESULTS,
    check_free,
    locked,
    named_folder,
    next_folder,
    read_config,
    remove_run,
    write_config,
)
from gradcore.runs.own import make_own
from gradcore.runs.settings import OPTIMIZERS, Settings, from_json, given, schedule
from gradcore.runs.threads import choose, describe
from gradcore.runs.using import EVALUATION_BATCH, probabilities
from gradcore.train import Checkpoints, Trainer
from gradcore.train.signals import Deferred
from gradcore.train.threads import held

if TYPE_CHECKING:
    import argparse

    from gradcore.data import Dataset, Split
    from gradcore.distributed import Communicator
    from gradcore.nn.module import Module


class _Run:
    """What a run is made of, built from its settings alone: the same settings give the same run."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        data = load(settings.data, settings.seed)
        self.data: Split = data.as_pictures() if settings.model == "cnn" else data
        train = self.data.train
        shape, self.name = train.images.shape[1:], os.path.basename(os.path.abspath(settings.data))
        weights, order = np.random.SeedSequence(settings.seed).spawn(2)
        rng, mean, std = np.random.default_rng(weights), self.data.mean, self.data.std
        self.model: Module
        if settings.model in MODELS:
            hidden = HIDDEN if settings.hidden is None else settings.hidden
            self.model = build(
                settings.model, shape, len(train.classes), rng, hidden=hidden, mean=mean, std=std
            )
        else:
            self.model = make_own(settings.model, rng, mean, std)(shape, len(train.classes))
        self.config = {
            "model": settings.model,
            "input_shape": list(shape),
            "classes": list(train.classes),
            "data": self.name,
            "scale": train.scale,
            "seed": settings.seed,
            **({} if settings.hidden is None else {"hidden": list(settings.hidden)}),
        }
        self.batches = DataLoader(
            train, batch_size=settings.batch_size, shuffle=True, seed=np.random.default_rng(order)
        )
        self.test = DataLoader(self.data.test, batch_size=EVALUATION_BATCH)

    def trainer(self, folder: Path, communicator: Communicator | None, threads: int | str | None) -> Trainer:
        """A trainer that writes its checkpoints into the folder."""
        settings = self.settings
        make, _ = OPTIMIZERS[settings.optimizer]
        trainer = Trainer(
            self.model,
            make(self.model.parameters(), **settings.hyper()),
            clip_norm=settings.clip_norm,
            schedule=schedule(settings.schedule),
            patience=settings.patience,
            checkpoint=folder,
            every=settings.checkpoint_every,
            metadata=model_metadata(self.config),
            communicator=communicator,
            sync_batch_norm=settings.sync_batch_norm,
            threads=threads,
        )
        trainer.advice = f"Continue from the last checkpoint with: {_resuming(folder, communicator)}"
        return trainer

    def about(self, ranks: int, threads: int | str | None) -> dict[str, Any]:
        """What config.json says besides the settings."""
        train, test = self.data.train, self.data.test
        return {
            "data": {
                "name": self.name,
                "fingerprint": fingerprint(train, test),
                "train": len(train),
                "test": len(test),
            },
            "model": self.config,
            "versions": versions(),
            "threads": threads,
            "ranks": ranks,
        }


class _Job(NamedTuple):
    """A run whose folder is ready. previous: the folder of a run that it is to replace."""

    run: _Run
    folder: Path
    about: dict[str, Any]
    resume: bool
    threads: int | str | None
    previous: Path | None = None


def train(options: argparse.Namespace) -> int:
    """Train a model and leave it, its history and its pictures in a folder; with other ranks where mpiexec started them."""
    communicator = world()
    with ExitStack() as lock:
        if communicator is None:
            job = _prepare(options, lock, None)
        else:
            group = Group(communicator)
            try:
                with group.guarded():
                    job = _prepare_together(options, lock, group)
            except (GradcoreError, Interrupted) as error:
                if group.rank == 0 or not group.is_agreed(error):
                    raise
                return 0
            group.close()
            if group.rank:
                _follow(job, communicator)
                return 0
        _train(job, communicator)
    if job.previous is not None:
        remove_run(job.previous)
    return 0


def _prepare(options: argparse.Namespace, lock: ExitStack, communicator: Communicator | None) -> _Job:
    """Everything before the first step, and the lock of the folder."""
    load_extra("matplotlib.figure", "saving what was trained")  # reported now, not after the last epoch
    ranks = 1 if communicator is None else communicator.Get_size()
    if options.resume is not None:
        job = _resumed(Path(options.resume), ranks, lock)
    else:
        job = _begun(options, ranks, lock)
    if ranks > 1:
        print(
            f"{ranks} ranks. If one of them dies: {_resuming(job.folder, communicator)}, on any number of ranks",
            flush=True,
        )
    return job


def _prepare_together(options: argparse.Namespace, lock: ExitStack, group: Group) -> _Job:
    """Rank 0 prepares the run, and the others build the same from its settings."""
    prepared: list[_Job] = []

    def prepare() -> list[Any]:
        prepared.append(_prepare(options, lock, group.communicator))
        job = prepared[0]
        return [
            vars(job.run.settings),
            str(job.folder),
            job.resume,
            job.threads,
            job.about["data"]["fingerprint"],
        ]

    settings, folder, resume, threads, expected = group.first(prepare)

    def build() -> _Job:
        if prepared:
            return prepared[0]
        run = _Run(from_json(settings))
        if fingerprint(run.data.train, run.data.test) != expected:
            raise DataError(
                f"{run.settings.data} is not the data that it is on rank 0: give all ranks the same"
            )
        return _Job(run, Path(folder), {}, resume, threads)

    return group.together(build)


def _follow(job: _Job, communicator: Communicator) -> None:
    """What a rank above 0 does. Rank 0 reports all that there is to report and has the job's exit status.

    This rank's own is 0 at all ends that ranks agree on: for another one mpiexec would end rank 0 while it still writes.
    """
    trainer = job.run.trainer(job.folder, communicator, job.threads)
    with suppress(GradcoreError, Interrupted):
        trainer.fit(job.run.batches, job.run.settings.epochs, job.run.test, resume=job.resume)


def _begun(options: argparse.Namespace, ranks: int, lock: ExitStack) -> _Job:
    settings = Settings(**given(vars(options))).complete()
    if os.path.exists(settings.data) and not _is_name(settings.data):
        settings = Settings(**{**vars(settings), "data": os.path.abspath(settings.data)})
    out = None if options.out is None else Path(options.out)
    if out is not None:
        check_free(out, overwrite=options.overwrite)
    run = _Run(settings)
    parent = Path("runs") / f"{run.name}-{settings.model.rpartition(':')[2]}"
    ensure_writable(parent if out is None else out)
    print(f"{run.data.train!r}, {run.data.test!r}\n{run.model!r}", flush=True)
    threads = choose(settings.threads, run.model, settings.batch_size, ranks)
    lock.enter_context(held(threads))
    if not options.no_preflight:
        _preflight(run)
    previous = None
    if out is None:
        folder = next_folder(parent)
    else:
        previous, folder = named_folder(out, overwrite=options.overwrite), out
    lock.enter_context(locked(folder))
    about = run.about(ranks, threads)
    write_config(folder, settings, about)
    shown = f"{settings}, gradcore {gradcore.__version__}, numpy {np.__version__}"
    print(f"Run {folder}: {shown}\n{describe(threads)}", flush=True)
    return _Job(run, folder, about, False, threads, previous)


def _is_name(source: str) -> bool:
    from gradcore.data import names

    return source in names


def _resumed(folder: Path, ranks: int, lock: ExitStack) -> _Job:
    settings, content = read_config(folder)
    run = _Run(settings)
    threads = content.get("threads")
    recorded = threads is not None and content.get("ranks") == ranks
    if not recorded:  # on other ranks numbers are rounded differently anyway
        threads = choose(settings.threads, run.model, settings.batch_size, ranks)
    about = run.about(ranks, threads)
    if about["data"]["fingerprint"] != content["data"]["fingerprint"]:
        raise DataError(
            f"{settings.data} is not the data that the run in {folder} was trained on: restore it, or begin a new run"
        )
    for what in ("versions", "threads", "ranks"):
        if about[what] != content.get(what):
            print(
                f"Note: the {what} were {content.get(what)} and are {about[what]} now, so numbers may be rounded differently",
                flush=True,
            )
    lock.enter_context(locked(folder))
    paths = Checkpoints(folder, 1, print).paths()
    where = f"from {paths[0].name}" if paths else "from the start, as no checkpoint was reached"
    print(f"Resuming {folder} {where}: {settings}\n{describe(threads, recorded=recorded)}", flush=True)
    lock.enter_context(held(threads))
    return _Job(run, folder, about, True, threads)


def _train(job: _Job, communicator: Communicator | None) -> None:
    run, folder, about, resume, threads, _ = job
    trainer = run.trainer(folder, communicator, threads)
    try:
        trainer.fit(run.batches, run.settings.epochs, run.test, resume=resume)
    except DivergenceError as error:
        _save_history(folder, run, trainer)
        raise DivergenceError(
            f"{error}. The last good checkpoint, after {_epochs(len(trainer.history))}, is in {folder}"
        ) from error
    except Interrupted:
        if trainer.rescued is not None:
            write_config(trainer.rescued, run.settings, about)
        _say_how_to_resume(trainer.rescued or folder, trainer, communicator)
        raise
    except OutputError as error:
        if trainer.rescued is None:
            raise
        _save_elsewhere(run, trainer, about, error)
    except OSError:  # nobody reads our output any more, or its disk is full; the checkpoint is written
        _say_how_to_resume(folder, trainer, communicator)
        raise
    if resume and trainer.steps == trainer.resumed_at and all((folder / name).is_file() for name in RESULTS):
        print(f"{folder} is finished, after {_epochs(len(trainer.history))}: there is nothing to resume")
        return
    with Deferred():  # they take a second or two, and all of them or none is better than some
        try:
            _save(folder, run, trainer)
        except OutputError as error:
            trainer.rescue(run.batches)
            _save_elsewhere(run, trainer, about, error)
    seconds = sum(record["seconds"] for record in trainer.history)
    print(
        f"{_epochs(len(trainer.history))}, {seconds:.1f} s of training. In {folder}: {', '.join(sorted(RESULTS))}"
        + (", best.safetensors" if trainer.history else "")
    )


def _save_elsewhere(run: _Run, trainer: Trainer, about: dict[str, Any], error: OutputError) -> None:
    """Leave all of the run where `trainer.rescued` says, and raise OutputError that says so."""
    folder = trainer.rescued
    if folder is None:
        raise error
    write_config(folder, run.settings, about)
    _save(folder, run, trainer)
    raise OutputError(
        f"{error}. The whole run is in {folder} instead: move it to a place that lasts"
    ) from error


def _resuming(folder: Path, communicator: Communicator | None) -> str:
    """The command that goes on with a run."""
    ranks = "" if communicator is None else f"mpiexec -n {communicator.Get_size()} "
    return f"{ranks}gradcore train --resume {folder}"


def _say_how_to_resume(folder: Path, trainer: Trainer, communicator: Communicator | None) -> None:
    with suppress(OSError, ValueError):
        print(
            f"Ended after {_epochs(len(trainer.history))} and {trainer.steps} steps. Continue with: "
            f"{_resuming(folder, communicator)}",
            file=sys.stderr,
            flush=True,
        )


def _epochs(n: int) -> str:
    return "1 epoch" if n == 1 else f"{n} epochs"


def _preflight(run: _Run) -> None:
    from gradcore import preflight

    batches = DataLoader(run.batches.images, run.batches.labels, batch_size=run.batches.batch_size)
    inputs, targets = next(iter(batches))
    print(preflight.check_model(run.model, gradcore.cross_entropy, inputs, targets), flush=True)


def _save(folder: Path, run: _Run, trainer: Trainer) -> None:
    save_model(folder / MODEL, run.model, run.config)
    _save_history(folder, run, trainer)
    test = run.data.test
    found = probabilities(run.model, test.images)
    save_mistakes(
        folder / MISTAKES,
        test.as_pictures().images,
        test.labels,
        found.argmax(1),
        found,
        classes=test.classes,
    )


def _save_history(folder: Path, run: _Run, trainer: Trainer) -> None:
    write_jsonl(folder / HISTORY, trainer.history)
    save_curves(folder / CURVES, trainer.history, title=f"{run.settings.model} on {run.name}")


def fingerprint(*parts: Dataset) -> str:
    """A checksum over all examples and labels."""
    digest = hashlib.sha256()
    for part in parts:
        for array in (part.images, part.labels):
            digest.update(str((array.shape, array.dtype.str)).encode())
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """What the numbers may depend on."""
    return {
        "gradcore": gradcore.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }

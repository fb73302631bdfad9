"""Reads damaged files with every reader: only documented errors, less than 256 MB and less than 2 s each.

    python ci/reports/fuzz_files.py [--files 100000] [--reader NAME ...] [--seed 0] [--jobs 2]

Each file is a whole one, changed in its bytes (flips, cuts, insertions, repeats) or in its structure (other sizes, names, types
and numbers, with the lengths and checksums put right again, so that the change gets past them). Files are read in worker
processes that may take 256 MB more than at their start, with warnings as errors; seconds are those of the processor. A
checkpoint that is refused must have left model, optimizer and loader as they were.
Exits with 1 where a file does anything else; the file is kept in the system's temporary folder.
"""

from __future__ import annotations

import argparse
import collections
import gzip
import hashlib
import io
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import common
import numpy as np
from file_changes import (
    change_bytes,
    change_config,
    change_csv,
    change_idx,
    change_inner,
    change_npz,
    change_png,
    change_state,
    change_tensors,
    change_text,
)

from gradcore import nn, optim
from gradcore.data import (
    DataLoader,
    encode_idx,
    load_csv,
    load_folder,
    load_npz,
    load_pictures,
    load_text,
    read_csv,
    read_idx,
    read_npz,
    read_png,
)
from gradcore.errors import CheckpointError, DataError, ModelFileError, StateError
from gradcore.io import load_tensors, save_tensors
from gradcore.model_file import load_model, save_model
from gradcore.progress import Silent
from gradcore.runs.folder import read_config, write_config
from gradcore.runs.settings import Settings
from gradcore.train import Trainer, read_checkpoint
from gradcore.train.state import check_layouts, restore

if TYPE_CHECKING:
    from collections.abc import Callable

MEMORY, SECONDS = 256 << 20, 2.0
LIMIT = 64 << 20  # of the readers that take one
BATCH = 500

# --- readers ------------------------------------------------------------------------------------------------------


class Reader:
    """A reader with whole files to start from, ways to change them, and the errors that it documents."""

    def __init__(
        self,
        read: Callable[[Path], object],
        changes: list[Callable[[random.Random, bytes], bytes]],
        documented: tuple[type[Exception], ...],
        seeds: list[bytes],
        name: str = "file",
        beside: dict[str, bytes] | None = None,
    ) -> None:
        self.read, self.changes, self.documented, self.seeds = read, changes, documented, seeds
        self.name = name
        self.beside = beside or {}


def written(write: Callable[[Path], object]) -> bytes:
    """The bytes of a file that is written to a path."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "f")
        return (Path(folder) / "f").read_bytes()


def archived(save: Callable[..., None], arrays: dict[str, Any]) -> bytes:
    """The bytes of an archive of arrays."""
    stream = io.BytesIO()
    save(stream, **arrays)
    return stream.getvalue()


def small_trainer(folder: Path | None) -> tuple[Trainer, DataLoader]:
    """A trainer with all that a checkpoint holds: buffers, generators, running values, a loader."""
    model = nn.Sequential(
        nn.Linear(3, 4, rng=0), nn.BatchNorm1d(4), nn.Dropout(0.5, rng=1), nn.Linear(4, 2, rng=2)
    )
    loader = DataLoader(np.ones((10, 3), np.float32), np.arange(10) % 2, batch_size=4, shuffle=True)
    trainer = Trainer(
        model, optim.Adam(model.parameters()), checkpoint=folder, progress=Silent(), every=0, keep=9
    )
    return trainer, loader


def checkpoint_seeds() -> list[bytes]:
    """A checkpoint in the middle of an epoch, and one at its end."""
    with tempfile.TemporaryDirectory() as name:
        trainer, loader = small_trainer(Path(name))
        trainer.fit(loader, 2, loader)
        paths = sorted(Path(name).glob("checkpoint-*"))
        return [paths[1].read_bytes(), paths[-1].read_bytes()]


def checkpoint_reader() -> Callable[[Path], object]:
    """Reads a checkpoint into a trainer, and looks that a refused one has changed nothing."""
    trainer, loader = small_trainer(None)
    model, optimizer = trainer.model, trainer.optimizer

    def state() -> Any:
        found = (model.state_dict(), optimizer.state_dict(), loader.state_dict())
        return [
            (key, getattr(value, "tobytes", lambda v=value: v)())
            for part in found
            for key, value in part.items()
        ]

    def read(path: Path) -> object:
        before = state()
        try:
            snapshot = read_checkpoint(path, lambda layouts: check_layouts(model, optimizer, layouts))
            return restore(snapshot, model, optimizer, loader)
        except (CheckpointError, ModelFileError, StateError, DataError):
            if state() != before:
                raise RuntimeError("a refused checkpoint has changed the trainer") from None
            raise

    return read


def png_seeds() -> list[bytes]:
    """Pictures of 8 x 8 in several modes."""
    from PIL import Image

    found = []
    for mode in ("L", "RGB", "RGBA", "P", "1", "LA", "I;16"):
        stream = io.BytesIO()
        Image.new(mode, (8, 8), 1).save(stream, "PNG")
        found.append(stream.getvalue())
    return found


def readers() -> dict[str, Reader]:
    """All readers of files, by name."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 255, (20, 4, 5)).astype(np.uint8), (np.arange(20) % 10).astype(np.uint8)
    files = {
        f"{part}-{kind}-ubyte": encode_idx(array)
        for part in ("train", "t10k")
        for kind, array in (("images-idx3", images), ("labels-idx1", labels))
    }
    idx = [encode_idx(images), encode_idx(rng.random(5)), encode_idx(np.array(3, np.int16))]
    arrays = {
        "a": rng.random((2, 3)),
        "b": np.arange(4) > 1,
        "c": np.zeros((0, 3), np.int8),
        "d": np.ones(()),
    }
    config: dict[str, Any] = {"input_shape": [1, 4, 4], "classes": ["a", "b"], "scale": 16.0}
    mlp = nn.models.build("mlp", (1, 4, 4), 2, 0, hidden=(4,))
    cnn = nn.models.build("cnn", (1, 4, 4), 2, 0)
    run = {"data": {"name": "digits", "fingerprint": "0"}, "versions": {}}

    def write_run(path: Path) -> None:
        path.mkdir()
        write_config(path, Settings().complete(), run)

    with tempfile.TemporaryDirectory() as folder:
        write_run(Path(folder) / "run")
        run_config = (Path(folder) / "run/config.json").read_bytes()
    tables = [b"kind,x,y\n0,1.5,2\n1,-3,4e2\n0,5,6\n", b"1,2,3\n0,5,6\n", b"a,b\nc,1\nd,2\n"]
    texts = ["Über\nalles 😀\r\n".encode(), b"abc"]
    labelled = {"a": rng.random((4, 3)), "b": np.arange(4) % 2}
    archives = [archived(save, labelled) for save in (np.savez, np.savez_compressed)]
    model_errors = (ModelFileError, StateError)
    change_model = change_inner("gradcore-model-1")
    return {
        "idx": Reader(read_idx, [change_idx], (DataError,), [*idx, *map(gzip.compress, idx)]),
        "folder": Reader(
            lambda path: load_folder(path.parent), [change_idx], (DataError,), [files["t10k-images-idx3-ubyte"]],
            "t10k-images-idx3-ubyte", files,
        ),
        "tensors": Reader(
            load_tensors, [change_tensors], (ModelFileError,),
            [written(lambda p: save_tensors(p, arrays)), written(lambda p: save_tensors(p, arrays, {"gradcore-a": "b"}))],
        ),
        "model": Reader(
            load_model, [change_tensors, change_model, change_model], model_errors,
            [
                written(lambda p: save_model(p, mlp, {"model": "mlp", "hidden": [4], **config})),
                written(lambda p: save_model(p, cnn, {"model": "cnn", **config})),
            ],
        ),
        "checkpoint": Reader(
            checkpoint_reader(), [change_tensors, change_state, change_state, change_state],
            (CheckpointError, ModelFileError, StateError, DataError), checkpoint_seeds(),
        ),
        "config": Reader(
            lambda path: read_config(path.parent), [change_config, change_config], (CheckpointError,), [run_config], "config.json"
        ),
        "csv": Reader(lambda path: read_csv(path, limit=LIMIT), [change_csv, change_csv], (DataError,), tables),
        "csv pairs": Reader(lambda path: load_csv(path, 0, limit=LIMIT), [change_csv, change_csv], (DataError,), tables),
        "npz": Reader(lambda path: read_npz(path, limit=LIMIT), [change_npz, change_npz], (DataError,), archives),
        "npz pairs": Reader(lambda path: load_npz(path, "a", "b"), [change_npz, change_npz], (DataError,), archives),
        "png": Reader(lambda path: read_png(path, (1, 8, 8)), [change_png], (DataError,), png_seeds()),
        "pictures": Reader(
            lambda path: load_pictures(path.parents[1], limit=LIMIT), [change_png], (DataError,), png_seeds(), "cats/1.png",
            {"dogs/1.png": png_seeds()[0]},
        ),
        "text": Reader(lambda path: load_text(path, limit=LIMIT), [change_text, change_text], (DataError,), texts),
    }  # fmt: skip


# --- the work -----------------------------------------------------------------------------------------------------


class TooLongError(Exception):
    """A file that takes more than the time it may."""


def too_long(*_: Any) -> None:
    """The handler of the timer."""
    raise TooLongError(f"more than {SECONDS} s")


def work(
    task: tuple[str, int, int, int, str],
) -> tuple[str, collections.Counter[str], list[tuple[str, bytes]]]:
    """Read so many changed files: outcomes by kind, and the files that did something else."""
    name, seed, number, count, root = task
    reader, rng = READERS[name], random.Random(f"{name} {seed} {number}")
    folder = Path(root) / f"{os.getpid()}-{name}"
    folder.mkdir(exist_ok=True)
    for other, content in reader.beside.items():
        (folder / other).parent.mkdir(exist_ok=True)
        (folder / other).write_bytes(content)
    path = folder / reader.name
    path.parent.mkdir(exist_ok=True)
    signal.signal(signal.SIGPROF, too_long)
    outcomes: collections.Counter[str] = collections.Counter()
    findings = []
    for _ in range(count):
        change = rng.choice([change_bytes, *reader.changes])
        data = change(rng, rng.choice(reader.seeds))
        path.write_bytes(data)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            reader.read(path)
            outcomes["read"] += 1
        except reader.documented as error:
            outcomes[type(error).__name__] += 1
        except Exception:  # noqa: BLE001 (whatever else it is, it is a finding)
            findings.append((traceback.format_exc(limit=-3), data))
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before > MEMORY >> 10:
            findings.append((f"more than {MEMORY} bytes", data))
    return name, outcomes, findings


def limit_memory() -> None:
    """Let this process take so much more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    warnings.simplefilter("error")


READERS: dict[str, Reader] = {}


def main() -> int:
    """Run, print, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=common.at_least_one, default=100_000, help="for each reader")
    parser.add_argument("--reader", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=common.at_least_one, default=2)
    options = parser.parse_args()
    READERS.update(readers())
    common.require_known(parser, "readers", options.reader, READERS)
    chosen = options.reader or list(READERS)
    kept = Path(tempfile.gettempdir()) / "fuzz-files"
    memory = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
    problems = 0
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(dir=memory) as root:
        for name in chosen:
            tasks = [
                (name, options.seed, number, min(BATCH, options.files - number * BATCH), root)
                for number in range(-(-options.files // BATCH))
            ]
            outcomes: collections.Counter[str] = collections.Counter()
            # A fork has the readers already. A worker that crashes ends the program by a BrokenProcessPool.
            context = multiprocessing.get_context("fork")
            with ProcessPoolExecutor(options.jobs, context, limit_memory) as pool:
                for _, found, findings in pool.map(work, tasks):
                    outcomes.update(found)
                    for text, data in findings:
                        problems += 1
                        kept.mkdir(exist_ok=True)
                        where = kept / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}"
                        where.write_bytes(data)
                        if problems <= 20:
                            print(f"{name}: {where}\n{text}", flush=True)
            shown = ", ".join(f"{kind} {count:,}" for kind, count in outcomes.most_common())
            print(
                f"{name:10} {sum(outcomes.values()):8,} files: {shown} ({time.monotonic() - begun:.0f} s)",
                flush=True,
            )
        shutil.rmtree(root, ignore_errors=True)
        Path(root).mkdir()
    print(f"{problems} findings (seed {options.seed})")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

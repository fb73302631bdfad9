"""What the commands `gradcore train`, `evaluate` and `predict` do."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore import optim
from gradcore.data import DataLoader, load, read_idx
from gradcore.errors import DataError, DivergenceError, OutputError
from gradcore.extras import load_extra
from gradcore.figures import save_curves, save_mistakes
from gradcore.graph import no_grad
from gradcore.io import ensure_writable, write_jsonl
from gradcore.model_file import load_model, save_model
from gradcore.nn.models import build
from gradcore.ops.reduce import softmax
from gradcore.train import Trainer
from gradcore.train import evaluate as evaluated

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from numpy.typing import NDArray

    from gradcore.data import Split
    from gradcore.nn.module import Module

_OPTIMIZERS: dict[str, tuple[Callable[..., optim.Optimizer], dict[str, float]]] = {
    "adam": (optim.Adam, {"lr": 2e-3}),
    "adamw": (optim.AdamW, {"lr": 2e-3}),
    "rmsprop": (optim.RMSprop, {"lr": 1e-3}),
    "sgd": (optim.SGD, {"lr": 0.05, "momentum": 0.9}),
}
_EVALUATION_BATCH = 256
_FILES = _MODEL, _HISTORY, _CURVES, _MISTAKES = (
    "model.safetensors",
    "history.jsonl",
    "curves.png",
    "mistakes.png",
)


def train(options: argparse.Namespace) -> int:
    """Train a model and leave it, its history and its pictures in a folder."""
    for extra in ("safetensors.numpy", "matplotlib.figure"):  # reported now, not after the last epoch
        load_extra(extra, "saving what was trained")
    data = _loaded(options.data, options.seed, options.model)
    shape = data.train.images.shape[1:]
    name = os.path.basename(os.path.abspath(options.data))
    folder = _output_folder(options.out or Path("runs") / f"{name}-{options.model}")
    weights, order = np.random.SeedSequence(options.seed).spawn(2)
    model = build(
        options.model,
        shape,
        len(data.train.classes),
        np.random.default_rng(weights),
        mean=data.mean,
        std=data.std,
    )
    config = {
        "model": options.model,
        "input_shape": list(shape),
        "classes": list(data.train.classes),
        "data": name,
        "scale": data.train.scale,
        "seed": options.seed,
    }
    batches = DataLoader(
        data.train, batch_size=options.batch_size, shuffle=True, seed=np.random.default_rng(order)
    )
    print(f"{data.train!r}, {data.test!r}\n{model!r}", flush=True)
    if not options.no_preflight:
        _preflight(model, batches)
    make, hyper = _OPTIMIZERS[options.optimizer]
    if options.lr is not None:
        hyper = {**hyper, "lr": options.lr}
    trainer = Trainer(
        model, make(model.parameters(), **hyper), schedule=getattr(optim.schedules, options.schedule)
    )
    started = time.perf_counter()
    try:
        trainer.fit(batches, options.epochs, DataLoader(data.test, batch_size=_EVALUATION_BATCH))
    except DivergenceError:
        _save_history(folder, config, trainer.history)  # the epochs before; an earlier model in there stays
        raise
    except (
        KeyboardInterrupt,
        OSError,
    ):  # the latter when nobody reads our output any more, or its disk is full
        _save(folder, model, config, trainer.history, data)
        print(
            f"Interrupted; what was reached after {_epochs(len(trainer.history))} is in {folder}",
            file=sys.stderr,
        )
        raise
    _save(folder, model, config, trainer.history, data)
    print(
        f"{_epochs(options.epochs)} in {time.perf_counter() - started:.1f} s. In {folder}: "
        + ", ".join(_FILES)
    )
    return 0


def _output_folder(path: str | Path) -> Path:
    folder = ensure_writable(path)
    for name in _FILES:
        if (folder / name).is_dir():
            raise OutputError(
                f"{folder / name} is a folder, and a file of that name is to be written: choose another --out"
            )
    return folder


def _epochs(n: int) -> str:
    return "1 epoch" if n == 1 else f"{n} epochs"


def _preflight(model: Module, batches: DataLoader) -> None:
    from gradcore import preflight

    inputs, targets = next(iter(DataLoader(batches.images, batches.labels, batch_size=batches.batch_size)))
    print(preflight.check_gradients(model, inputs, targets), flush=True)


def _save(
    folder: Path, model: Module, config: dict[str, Any], history: list[dict[str, Any]], data: Split
) -> None:
    save_model(folder / _MODEL, model, config)
    _save_history(folder, config, history)
    probabilities = _probabilities(model, data.test.images)
    save_mistakes(
        folder / _MISTAKES,
        data.test.as_pictures().images,
        data.test.labels,
        probabilities.argmax(1),
        probabilities,
        classes=data.test.classes,
    )


def _save_history(folder: Path, config: dict[str, Any], history: list[dict[str, Any]]) -> None:
    write_jsonl(folder / _HISTORY, history)
    save_curves(folder / _CURVES, history, title=f"{config['model']} on {config['data']}")


def evaluate(options: argparse.Namespace) -> int:
    """Loss and accuracy of a saved model on the parts of a data set."""
    model, config = load_model(options.model_file)
    data = _loaded(options.data, options.seed, config["model"])
    for part in (data.train, data.test):
        _check_fits(config, part.images.shape[1:], part.classes, part.name)
        found = evaluated(model, DataLoader(part, batch_size=_EVALUATION_BATCH))
        print(f"{part.name}: Loss = {found['loss']:.4f}, accuracy {found['accuracy']:.2%} of {len(part)}")
    return 0


def predict(options: argparse.Namespace) -> int:
    """Classes of examples, one line each."""
    model, config = load_model(options.model_file)
    classes, shape = config["classes"], config["input_shape"]
    labels: NDArray[Any] | None = None
    if os.path.isfile(options.data):
        images = _images(options.data, shape, config.get("scale", 1.0))
    else:
        part = _loaded(options.data, options.seed, config["model"]).test
        _check_fits(config, part.images.shape[1:], part.classes, part.name)
        images, labels = part.images, part.labels
    images = images[: options.limit]
    for i, row in enumerate(_probabilities(model, images)):
        best = int(row.argmax())
        true = None if labels is None else classes[labels[i]]
        if options.json:
            record = {
                "index": i,
                "class": classes[best],
                "probabilities": [float(p) for p in row],
                "true": true,
            }
            print(json.dumps(record))
        else:
            right = "" if true is None else f", true {true}" + ("" if true == classes[best] else "  <- wrong")
            print(f"{i}: {classes[best]} ({row[best]:.1%}){right}")
    return 0


def _loaded(source: str, seed: int, model: str) -> Split:
    data = load(source, seed)
    return data.as_pictures() if model == "cnn" else data


def _images(path: str, shape: tuple[int, ...], scale: float) -> NDArray[np.float32]:
    """Images of one IDX file, in the shape and on the scale that the model was trained on."""
    raw = read_idx(path)
    if not len(raw.reshape(-1)):
        raise DataError(f"{path} holds no examples: its shape is {raw.shape}")
    if not np.isfinite(raw).all():
        wrong = np.argwhere(~np.isfinite(raw))[0].tolist()
        raise DataError(f"{path} is not finite, first at index {wrong}. Clean the data")
    if raw.ndim < 2 or raw[0:1].size != int(np.prod(shape)):
        raise DataError(
            f"{path} holds an array of shape {raw.shape}, and the model takes examples of shape {shape}: expected "
            f"(n, {', '.join(str(n) for n in shape[-2:])})"
        )
    return (raw.reshape(len(raw), *shape) / np.float32(scale)).astype(np.float32)


def _check_fits(config: dict[str, Any], shape: tuple[int, ...], classes: tuple[str, ...], name: str) -> None:
    if shape != config["input_shape"] or list(classes) != config["classes"]:
        raise DataError(
            f"{name} does not fit this model: its examples have shape {shape} and the classes {', '.join(classes)}; the "
            f"model was trained on {config.get('data')}, with shape {config['input_shape']} and the classes "
            f"{', '.join(config['classes'])}"
        )


def _probabilities(model: Module, images: NDArray[Any]) -> NDArray[Any]:
    model.eval()
    with no_grad():
        parts = [
            model(images[k : k + _EVALUATION_BATCH]).data for k in range(0, len(images), _EVALUATION_BATCH)
        ]
    return np.asarray(softmax(np.concatenate(parts).astype(np.float64)))

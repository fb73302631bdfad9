"""Model files: parameters and buffers in the safetensors format, with what it takes to build the model again."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.errors import ModelFileError
from gradcore.io import load_tensors, parse_json, save_tensors
from gradcore.nn.models import MODELS, build, outline
from gradcore.state import check_state
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from gradcore.io import Layout
    from gradcore.nn.module import Module

    Make = Callable[[tuple[int, ...], int], Module]

MODEL = "model.safetensors"
_KEY = "gradcore-model-1"
_CHECKPOINT = "model."  # how the arrays of a model are called in a checkpoint
_MOST = 65_536  # of one size, of classes
_MOST_FEATURES = 2**24  # of one example; a damaged file must not make us allocate terabytes
_MOST_HIDDEN = 64


def model_metadata(config: Mapping[str, Any]) -> dict[str, str]:
    """A configuration as the strings that a file keeps beside its arrays.

    One entry, so that equal models are equal files.
    """
    return {_KEY: json.dumps(config)}


def save_model(path: str | os.PathLike[str], model: Module, config: Mapping[str, Any]) -> None:
    """Write a model that `gradcore.nn.models.build(**config)` made; whole or not at all.

    config: `model`, `input_shape` and `classes`; anything else that JSON can hold is kept beside them.
    """
    save_tensors(path, model.state_dict(), model_metadata(config))


def load_model(path: str | os.PathLike[str], make: Make | None = None) -> tuple[Module, dict[str, Any]]:
    """The model in a file, built anew, and its configuration.

    path: a model file, a checkpoint, or the folder of a run: then its last model, or if it has not ended its last
    checkpoint. make: `make(input_shape, classes)` builds a model of one's own; a file never makes us import code.
    Raises ModelFileError where the file is damaged, holds values that are not finite or was not written by `save_model`,
    StateError where it does not fit the architecture that it names. The shapes are compared before anything is read.
    """
    path = Path(path)
    if path.is_dir():
        path = _latest(path)
    built: list[tuple[Module, dict[str, Any]]] = []

    def check(layouts: dict[str, Layout], metadata: dict[str, str]) -> None:
        if _KEY not in metadata:
            raise ModelFileError(
                f"{path} is a safetensors file, but not one of gradcore's models: its metadata has no {_KEY!r}, only "
                f"{', '.join(metadata)[:200] or 'nothing'}. Build the model yourself and use load_state_dict"
            )
        config = _config(path, metadata[_KEY])
        model = _built(path, config, make)
        own = model._state_arrays()
        check_state(own, _of_model(layouts), f"{path} does not fit {type(model).__name__}")
        allowed = (
            8 * sum(array.nbytes for array in own.values()) + 2**25
        )  # a checkpoint has the optimizer's as well
        if sum(math.prod(layout.shape) * layout.dtype.itemsize for layout in layouts.values()) > allowed:
            raise ModelFileError(f"{path}: damaged: it holds far more than the model that it names")
        built.append((model, config))

    tensors = _of_model(load_tensors(path, check=check)[0])
    model, config = built[0]
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            wrong = np.argwhere(~np.isfinite(tensor))[0].tolist()
            raise ModelFileError(
                f"{path}: {name} of shape {tensor.shape} is not finite, first at index {wrong}: the file is damaged, or "
                "its training went too far. Train the model again"
            )
    if not tensors.get("0.std", np.ones(())).min(initial=1.0) > 0:
        raise ModelFileError(
            f"{path}: damaged: its standardisation divides by {float(tensors['0.std'].min())}, expected a number above 0"
        )
    _adopt(model, tensors)
    return model, config


def _latest(folder: Path) -> Path:
    from gradcore.train.checkpoints import Checkpoints

    if (folder / MODEL).exists():
        return folder / MODEL
    paths = Checkpoints(folder, 1, lambda _: None).paths()
    if not paths:
        raise ModelFileError(
            f"{folder}: expected a model file or the folder of a run, found a folder without a model"
        )
    return paths[0]


def _of_model(found: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of the model itself; in a checkpoint there are others."""
    if "state" not in found:
        return dict(found)
    return {
        name.removeprefix(_CHECKPOINT): value for name, value in found.items() if name.startswith(_CHECKPOINT)
    }


def _built(path: Path, config: dict[str, Any], make: Make | None) -> Module:
    shape, classes, name = config["input_shape"], len(config["classes"]), config["model"]
    if name in MODELS:
        hidden = {} if name == "cnn" or "hidden" not in config else {"hidden": config["hidden"]}
        return build(name, shape, classes, initializer=outline, **hidden)
    if make is None:
        raise ModelFileError(
            f"{path} holds a model of one's own, and a file does not make gradcore run code: pass --model {name} if you "
            "trust that function, or load_model(path, make=...)"
        )
    return make(shape, classes)


def _adopt(model: Module, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Put the arrays themselves into the model: its own may be outlines."""
    for prefix, module in model.named_modules():
        for name, value in list(vars(module).items()):
            path = f"{prefix}.{name}" if prefix else name
            if isinstance(value, Tensor):
                value.data = tensors[path]
            elif isinstance(value, np.ndarray):
                setattr(module, name, tensors[path])


def _config(path: Path, text: str) -> dict[str, Any]:
    try:
        config = parse_json(text)
        shape, hidden = config["input_shape"], config.get("hidden", [1])
        model, scale = config["model"], config.get("scale", 1.0)
        classes = config["classes"]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelFileError(
            f"{path}: its configuration can't be read ({error!r:.200}): {text!r:.200}"
        ) from error
    sound = (
        isinstance(model, str)
        and (model in MODELS or ":" in model)
        and _are_sizes(shape, (3,) if model == "cnn" else range(1, 5))
        and math.prod(shape) <= _MOST_FEATURES
        and (model != "cnn" or min(shape[1:]) >= 4)
        and _are_sizes(hidden, range(_MOST_HIDDEN + 1))
        and type(scale) in (int, float)
        and 0 < scale < 1e9
        and isinstance(classes, list)
        and 0 < len(classes) <= _MOST
        and all(isinstance(name, str) for name in classes)
    )
    if not sound:
        raise ModelFileError(
            f"{path}: its configuration is not one that this version builds (models: {', '.join(MODELS)}): {text!r:.200}"
        )
    return {**config, "input_shape": tuple(shape)}


def _are_sizes(value: Any, counts: Sequence[int]) -> bool:
    """Whether the value is a list of sizes, as many as one of `counts`."""
    return (
        isinstance(value, list)
        and len(value) in counts
        and all(type(size) is int and 0 < size <= _MOST for size in value)
    )

"""Model files: parameters and buffers in the safetensors format, with what it takes to build the model again."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.errors import ModelFileError
from gradcore.io import load_tensors, save_tensors
from gradcore.nn.models import MODELS, build

if TYPE_CHECKING:
    import os

    from gradcore.nn.module import Module, Sequential

_KEY = "gradcore-model-1"
_MOST_FEATURES = 2**24  # of one example; a damaged file must not make us allocate terabytes


def save_model(path: str | os.PathLike[str], model: Module, config: dict[str, Any]) -> None:
    """Write a model that `gradcore.nn.models.build(**config)` made; whole or not at all.

    config: `model`, `input_shape` and `classes`; anything else that JSON can hold is kept beside them.
    """
    # One entry, as the format's library writes several in any order, and equal models must be equal files.
    save_tensors(path, model.state_dict(), {_KEY: json.dumps(config)})


def load_model(path: str | os.PathLike[str]) -> tuple[Sequential, dict[str, Any]]:
    """The model in a file, built anew, and its configuration.

    Raises ModelFileError where the file is damaged, holds values that are not finite or was not written by `save_model`,
    StateError where it does not fit the architecture that it names.
    """
    tensors, metadata = load_tensors(path)
    if _KEY not in metadata:
        raise ModelFileError(
            f"{path} is a safetensors file, but not one of gradcore's models: its metadata has no {_KEY!r}, only "
            f"{', '.join(metadata) or 'nothing'}. Build the model yourself and use load_state_dict"
        )
    config = _config(path, metadata[_KEY])
    model = build(config["model"], config["input_shape"], len(config["classes"]))
    model.load_state_dict(tensors, source=path)
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            wrong = np.argwhere(~np.isfinite(tensor))[0].tolist()
            raise ModelFileError(
                f"{path}: {name} of shape {tensor.shape} is not finite, first at index {wrong}: the file is damaged, or "
                "its training went too far. Train the model again"
            )
    return model, config


def _config(path: str | os.PathLike[str], text: str) -> dict[str, Any]:
    try:
        config = json.loads(text)
        shape = tuple(config["input_shape"])
        sound = (
            config["model"] in MODELS
            and all(type(n) is int and 0 < n <= 65_536 for n in shape)
            and len(shape) in (1, 3)
            and math.prod(shape) <= _MOST_FEATURES
            and 0 < float(config.get("scale", 1.0)) < 1e9
            and isinstance(config["classes"], list)
            and 0 < len(config["classes"]) <= 65_536
            and all(isinstance(name, str) for name in config["classes"])
        )
    except (ValueError, TypeError, KeyError) as error:
        raise ModelFileError(f"{path}: its configuration can't be read ({error!r}): {text!r:.200}") from error
    if not sound:
        raise ModelFileError(
            f"{path}: its configuration is not one that this version builds (models: {', '.join(MODELS)}): {text!r:.200}"
        )
    config["input_shape"] = shape
    return dict(config)

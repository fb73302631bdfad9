"""Saving a model of one's own, and loading its parameters and buffers again."""

from __future__ import annotations

import os
from typing import Any

from gradcore.errors import ArgumentError
from gradcore.io import load_tensors, save_tensors
from gradcore.nn.module import Module

_Path = str | os.PathLike[str]


def save(path: _Path, model: Module) -> None:
    """Write the parameters and buffers of any Module as a safetensors file, whole or not at all.

    Raises ArgumentError for other arguments, ModelFileError for what the format can't hold, OutputError where the file
    can't be written, MissingExtraError without the library safetensors.
    """
    _check("save", path, model)
    save_tensors(path, model.state_dict())


def load_into(path: _Path, model: Module) -> Module:
    """Load what `save` wrote into a model that is built already, with the same arguments; returns the model.

    Raises ModelFileError where the file is missing or damaged, StateError, with every difference, where it does not fit;
    the model is unchanged then.
    """
    _check("load_into", path, model)
    model.load_state_dict(load_tensors(path)[0], source=path)
    return model


def _check(name: str, path: Any, model: Any) -> None:
    if not isinstance(path, str | os.PathLike) or not isinstance(model, Module):
        raise ArgumentError(
            f"{name} got {type(path).__name__} and {type(model).__name__}: expected a path and a model, as in "
            f'{name}("model.safetensors", model)'
        )

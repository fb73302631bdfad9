"""Libraries that only some tasks need: imported when used, with an error that names what to install."""

from __future__ import annotations

import importlib
from types import ModuleType

from gradcore.errors import MissingExtraError

__all__ = ["load_extra"]


def load_extra(module: str, purpose: str, extra: str = "train") -> ModuleType:
    """Import `module`; raises MissingExtraError, which names the `purpose` and the `extra` to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f'{purpose} needs {module.partition(".")[0]}: pip install "gradcore[{extra}]" ({error})'
        ) from error

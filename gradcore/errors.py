"""Errors that state what was passed, what was expected, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class GradcoreError(Exception):
    """Base of every error that gradcore raises on purpose."""


class ShapeError(GradcoreError, ValueError):
    """Shapes that do not fit: the message states them and what would fit."""


class DtypeError(GradcoreError, TypeError):
    """A dtype that the operation does not take."""


class GraphError(GradcoreError, RuntimeError):
    """A backward pass that the recorded graph cannot give."""


class DomainError(GradcoreError, ValueError):
    """A value outside what the operation is defined for, such as a label out of range."""


class ArgumentError(GradcoreError, TypeError):
    """An argument of a kind that the call does not take: the message says what to write."""


class SpecError(GradcoreError, TypeError):
    """A registration without a usable spec: the message shows what to write."""


class DataError(GradcoreError, ValueError):
    """A data set that is missing, truncated, mislabelled or empty."""


class ModelFileError(GradcoreError, ValueError):
    """A model file that is damaged, or was not written by gradcore."""


class StateError(GradcoreError, ValueError):
    """A saved state that does not fit what it is loaded into: the message lists every difference in names, shapes and dtypes."""


class OutputError(GradcoreError, OSError):
    """A file or folder that can't be written."""


class MissingExtraError(GradcoreError, ImportError):
    """A library that is not installed, or can't be imported: the message names the command that installs it."""


class DivergenceError(GradcoreError, ArithmeticError):
    """A training loss that is no longer finite: the message names the first op whose output was not."""


class NonFiniteError(GradcoreError, ArithmeticError):
    """NaN or infinity under `anomaly()`: the message names the op that first made it, its source line and the values."""


class CheckpointError(GradcoreError, ValueError):
    """A checkpoint or a run's folder that is damaged, or is not what was asked for."""


class Interrupted(KeyboardInterrupt):
    """A signal that asked the process to end, raised once what was reached is saved. signal: its number."""

    def __init__(self, signal: int, message: str = "") -> None:
        super().__init__(message or f"ended by signal {signal}")
        self.signal = signal


def require_file(path: Path, kind: str, error: type[GradcoreError]) -> None:
    """Raise `error` where no regular file stands at `path`, with what does; a FIFO would otherwise be waited for."""
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing" if not path.exists() else "no regular file"
        raise error(f"{path}: expected {kind}, found {found} there")

"""Whether a saved state fits what it is to be loaded into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from gradcore.errors import StateError

if TYPE_CHECKING:
    import numpy as np


class HasShapeAndDtype(Protocol):
    """What `check_state` needs to know of a tensor; every array has it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its dtype."""


def check_state(
    expected: Mapping[str, HasShapeAndDtype],
    found: Mapping[str, HasShapeAndDtype],
    subject: str,
) -> None:
    """Compare named arrays with those expected: same names, shapes and dtypes.

    Raises StateError, which starts with `subject` and lists every difference, not only the first.
    """
    if not isinstance(found, Mapping):
        raise StateError(f"{subject}: expected arrays by name, as state_dict() gives them, got {found!r:.80}")
    lines = [
        f"missing: {name}, {_describe(tensor)}" for name, tensor in expected.items() if name not in found
    ]
    lines += [
        f"unexpected: {name}, {_describe(tensor)}" for name, tensor in found.items() if name not in expected
    ]
    for name, wanted in expected.items():
        if name not in found:
            continue
        got = found[name]
        if not _is_array(got) or tuple(wanted.shape) != tuple(got.shape) or wanted.dtype != got.dtype:
            lines.append(f"different: {name}, expected {_describe(wanted)}, got {_describe(got)}")
    if lines:
        raise StateError(
            f"{subject}: {len(lines)} differences. Build it with the arguments that it was saved with, or load another:\n  "
            + "\n  ".join(lines)
        )


def _describe(tensor: Any) -> str:
    if _is_array(tensor):
        return f"{tensor.dtype} {tuple(tensor.shape)}"
    return f"{tensor!r:.80}, which is no array"


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")

"""How many threads compute: what GRADCORE_NUM_THREADS asks for, what BLAS can be set to, and the number for ops in a block."""

from __future__ import annotations

import os
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from gradcore.errors import DomainError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VARIABLE = "GRADCORE_NUM_THREADS"
BLAS_VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""What the BLAS libraries read when NumPy is imported."""
MOST = 1024

_number: ContextVar[int | None] = ContextVar("threads of gradcore's ops", default=None)


def asked() -> int | None:
    """The number in the environment variable GRADCORE_NUM_THREADS; raises DomainError for what is none."""
    text = os.environ.get(VARIABLE, "")
    if not text.strip():
        return None
    number = int(text) if text.strip().isdecimal() else 0
    if not 1 <= number <= MOST:
        raise DomainError(
            f"{VARIABLE}={text:.80}: expected a whole number of threads from 1 to {MOST}; unset it to have the number chosen"
        )
    return number


def for_ops() -> int | None:
    """How many threads ops may use here: those of the innermost `ops_use`, else what is asked for; None for neither."""
    number = _number.get()
    return asked() if number is None else number


@contextmanager
def ops_use(number: int | None) -> Iterator[Callable[[int], object]]:
    """Within the block ops may use so many threads, in this thread and task only; None: as they are. Gives what sets another."""
    token = _number.set(_number.get() if number is None else number)
    try:
        yield _number.set
    finally:
        _number.reset(token)


def cores() -> int:
    """Those that this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def blas() -> Any:
    """The controller of the BLAS libraries that are loaded; None without threadpoolctl, or where it finds none to set."""
    try:
        import threadpoolctl
    except ImportError:
        return None
    controller = threadpoolctl.ThreadpoolController().select(user_api="blas")
    return controller if controller.info() else None


def preset() -> int | None:
    """The number that the environment gave to BLAS, whichever it is, when Python started."""
    (text, *others) = {os.environ.get(name, "") for name in BLAS_VARIABLES}
    return int(text) if not others and text.isdecimal() else None

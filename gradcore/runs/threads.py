"""How many threads a command uses, of BLAS and of large ops: by the model's products, so that the same call gives the same bits.

What is asked for comes first: `--threads`, or what the run recorded, then GRADCORE_NUM_THREADS. Otherwise each of several ranks
has 1 thread, as has a model whose products are small. How large a product must be was measured on two cores: below it a second
thread gains at most half of a few milliseconds, and loses tens of them to each product where another process wants its core.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradcore.errors import GradcoreError
from gradcore.nn.embedding import Embedding
from gradcore.runs.folder import read_config
from gradcore.tensor import Tensor
from gradcore.threads import BLAS_VARIABLES, VARIABLE, asked, blas, preset
from gradcore.train.threads import AUTO

if TYPE_CHECKING:
    from gradcore.nn.module import Module

LARGE = 5e8
"""Operations in a product from which on BLAS keeps its own number of threads: about 10 ms on one core."""


def choose(threads: int | str | None, model: Module, rows: int, ranks: int = 1) -> int | str | None:
    """The number of threads, "auto" to measure it, or None where it is neither asked for nor can be set.

    threads: what the call asks for, or the run recorded. rows: examples a batch.
    """
    if threads is None or threads == AUTO:
        threads = asked() or threads
    if threads is not None:
        return 1 if threads == AUTO and ranks > 1 else threads
    controller = blas()
    if controller is None:
        return preset()
    if ranks > 1 or largest_product(model, rows) < LARGE:
        return 1
    return int(max(library["num_threads"] for library in controller.info()))


def describe(threads: int | str | None, *, recorded: bool = False) -> str:
    """The line that says how many. recorded: whether it is what the run was begun with."""
    if threads is None:
        return 'BLAS threads: as many as BLAS takes, as threadpoolctl finds none to set (pip install "gradcore[threads]")'
    if threads == AUTO:
        return "BLAS threads: by measuring, so another run of the same seed may be rounded differently"
    if recorded:
        return f"BLAS threads: {threads}, as the run recorded"
    return f"BLAS threads: {threads} (--threads or {VARIABLE} for another number)"


def largest_product(model: Module, rows: int) -> int:
    """Multiplications and additions in the largest product of a batch and a matrix of the model.

    Convolutions multiply block by block, and where a layer takes several rows of each example the product is larger: what is
    not counted leaves a model at 1 thread, which is the safe side.
    """
    sizes = [
        value.size
        for _, module in model.named_modules()
        if not isinstance(module, Embedding)  # which looks rows up
        for _, value in module._members()
        if isinstance(value, Tensor) and value.ndim == 2
    ]
    return 2 * rows * max(sizes, default=0)


def restart(options: Any) -> None:
    """Without threadpoolctl, start this very command again with the number in BLAS's environment variables.

    They are read when NumPy is imported, which gradcore itself does. The number is what is asked for, and otherwise 1 to train
    with. Nothing happens where they are set so already, and where a process can't replace itself, as on Windows.
    """
    if os.name != "posix" or find_spec("threadpoolctl") is not None:
        return
    try:
        number = getattr(options, "threads", None)
        if getattr(options, "resume", None) is not None:
            number = read_config(Path(options.resume))[1].get("threads")
        if number is None or number == AUTO:
            number = asked() or number
    except GradcoreError:
        return  # the command itself reports it
    if number is None and options.command == "train":
        number = 1
    if number is None or number == AUTO or preset() == number:
        return
    os.environ.update(dict.fromkeys(BLAS_VARIABLES, str(number)))
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606

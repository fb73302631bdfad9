"""The rows of a batch that one rank takes, and what layers have to know of it while the model runs on them."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gradcore.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gradcore.distributed.group import Group


class Shard(NamedTuple):
    """Rows `start` to `start + rows` of a batch of `total`.

    counts: False where there are fewer rows than ranks, and this rank computes others' rows again, with weight 0.
    group: the ranks over which BatchNorm takes its statistics; None for those of the rank's own rows.
    """

    start: int
    rows: int
    total: int
    counts: bool
    group: Group | None

    @property
    def weight(self) -> float:
        """The part of the batch's average that is this shard's."""
        return self.rows / self.total if self.counts else 0.0

    def of(self, array: Any) -> Any:
        """The rows of `array`, whose first axis is the batch."""
        return array[self.start : self.start + self.rows]

    def drawn(self, draw: Callable[[Any], Any], shape: tuple[int, ...]) -> Any:
        """This shard's part of the random numbers that one process draws for the whole batch.

        So the generators of all ranks stay at the same place. Where the first axis are not the rows (or so many each),
        the numbers are as good, but not those of one process.
        """
        size = int(np.prod(shape))
        if size % self.rows:
            return draw(shape)
        each = size // self.rows
        return draw(self.total * each)[self.start * each : (self.start + self.rows) * each].reshape(shape)


_current: ContextVar[Shard | None] = ContextVar("gradcore's shard of a batch", default=None)
current_shard = _current.get


@contextmanager
def on_shard(shard: Shard) -> Iterator[None]:
    """Layers inside belong to this shard."""
    token = _current.set(shard)
    try:
        yield
    finally:
        _current.reset(token)


def split(total: int, rank: int, size: int, least: int, group: Group | None) -> Shard:
    """The shard of a rank: parts of nearly the same number of rows, each at least `least`, on as many ranks as that allows."""
    parts = max(1, min(size, total // least))
    if rank >= parts:
        return Shard(0, min(least, total), total, False, group)
    start, stop = total * rank // parts, total * (rank + 1) // parts
    return Shard(start, stop - start, total, True, group)


def count_rows(inputs: Any, targets: Any) -> int:
    """How many examples a batch has; raises ArgumentError where its parts have no rows to take."""
    shapes = [getattr(part, "shape", None) for part in (inputs, targets)]
    if not shapes[0] or not shapes[1] or shapes[0][0] != shapes[1][0] or shapes[0][0] < 1:
        found = " and ".join(
            type(part).__name__ if shape is None else f"shape {shape}"
            for part, shape in zip((inputs, targets), shapes, strict=True)
        )
        raise ArgumentError(
            f"a batch that ranks share must be inputs (n, ...) and targets (n, ...), arrays or Tensors of one length, and "
            f"this one is {found}"
        )
    return int(shapes[0][0])


@contextmanager
def own_numbers(generators: Iterable[np.random.Generator], rank: int) -> Iterator[None]:
    """Let the generators, which are at the same place on all ranks, draw other numbers on each; afterwards they are so again."""
    after = []
    for generator in generators:
        words = generator.integers(2**32, size=4).tolist()
        source = generator.bit_generator
        after.append((source, source.state))
        source.state = type(source)(np.random.SeedSequence([*words, rank])).state
    try:
        yield
    finally:
        for source, state in after:
            source.state = state

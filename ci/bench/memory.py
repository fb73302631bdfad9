"""Peak memory of a training step: the most that is held at a time beyond weights and batch, beside the same step by hand.

Counted by tracemalloc, to which NumPy reports the data of its arrays. Buffers that are kept from step to step count too.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass

import convnet
import mlp
from contest import CAPTURED, FLOOR, OURS, agree
from training import Step, Work

WARM = 4  # steps before the one that counts: a captured one is recorded twice


@dataclass(frozen=True)
class Peak:
    """Bytes, by contender, in one step of a workload."""

    name: str
    bytes: dict[str, int]

    def of_floor(self, contender: str) -> float:
        """As a multiple of what the step by hand takes."""
        return self.bytes[contender] / self.bytes[FLOOR]


def bench() -> Iterator[Peak]:
    """The workloads; large batches too, of which activations take more than gradients and the optimizer's scratch."""
    layers = "-".join(map(str, mlp.REFERENCE))
    for size in (32, 256, 4096):
        yield _peak(f"MLP {layers}, batch {size}", mlp.CONTENDERS, mlp.work(mlp.REFERENCE), size)
    for size in (64, 256):
        yield _peak(f"convnet, batch {size}", convnet.CONTENDERS, convnet.WORK, size)


def _peak(name: str, contenders: dict[str, type[Step]], work: Work, size: int) -> Peak:
    made = {who: contenders[who] for who in (FLOOR, OURS, CAPTURED) if who in contenders}
    steps = {who: kind(work, size) for who, kind in made.items()}
    for step in steps.values():
        step.run()  # also loads what is loaded late
    agree({who: step.values() for who, step in steps.items()}, 1e-4)
    del steps, step
    return Peak(name, {who: most_held(kind, work, size) for who, kind in made.items()})


def most_held(kind: type[Step], work: Work, size: int) -> int:
    """The most that a step of this kind holds at a time, with what it keeps for the next one, and without weights and batch."""
    gc.collect()
    tracemalloc.start()
    try:
        step = kind(work, size)
        for _ in range(WARM):
            step.run()
        gc.collect()
        tracemalloc.reset_peak()
        step.run()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    own = [*work.weights(), step.images, step.labels]
    return most - sum(array.nbytes for array in own)

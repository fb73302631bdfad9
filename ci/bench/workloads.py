"""The workloads of the table: each with its race, its aims, and gradcore's contender alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import activations
import adam
import chain
import convnet
import images
import mlp
import rows
import single
from contest import OURS, Contender
from timing import Race


@dataclass(frozen=True)
class Workload:
    """A line of the table. bench: the name that `--only` takes. aim, captured: as ratios to PyTorch, the latter of a replay."""

    bench: str
    name: str
    title: str
    rounds: int
    race: Callable[[int], Race]
    ours: Callable[[], Contender]
    aim: float | None = None
    captured: float | None = None


def _all() -> Iterator[Workload]:
    yield Workload(
        "chain", "chain of 100 ops on (4,)",
        f"100 elementwise ops on shape (4,), forward and backward ({chain.OPS})",
        200, chain.bench, chain.CONTENDERS[OURS], 0.4, 0.2,
    )  # fmt: skip
    for widths, size, aim, captured in (
        (mlp.TINY, 8, 0.42, 0.28),
        (mlp.REFERENCE, 32, 0.57, 0.53),
        (mlp.REFERENCE, 256, 0.82, None),
    ):
        layers = "-".join(map(str, widths))
        yield Workload(
            "mlp", f"MLP {layers}, batch {size}",
            f"training step of {layers}, batch {size}, cross-entropy, SGD",
            120, partial(mlp.bench, widths, size), partial(mlp.CONTENDERS[OURS], mlp.work(widths), size), aim, captured,
        )  # fmt: skip
    for size, aim in ((32, None), (64, 0.65)):
        yield Workload(
            "convnet", f"convnet, batch {size}",
            f"training step of conv16-relu-pool-conv32-relu-pool-linear on 1x28x28, batch {size}, SGD",
            60, partial(convnet.bench, size), partial(convnet.CONTENDERS[OURS], convnet.WORK, size), aim,
        )  # fmt: skip
    for bench, name, title, rounds, work, aim in (
        (
            "conv", "conv2d 32->64, 28x28, batch 32",
            "conv2d 32->64, 3x3, padding 1, on 28x28, batch 32: forward and backward",
            30, images.CONV, 1.3,
        ),
        ("gelu", "gelu (tanh), (512, 1024)", "gelu with tanh on (512, 1024): forward and backward", 60, activations.GELU, 0.75),
        ("rows", "softmax, (512, 1024)", "softmax over the rows of (512, 1024): forward and backward", 60, rows.SOFTMAX, 1.8),
        (
            "rows", "layer norm, (512, 1024)",
            "layer norm over the rows of (512, 1024): forward and backward",
            60, rows.LAYER_NORM, 2.4,
        ),
        (
            "norm", "batch norm (64, 32, 28, 28)",
            "batch norm in training on (64, 32, 28, 28), running averages included: forward and backward",
            40, images.NORM, 1.1,
        ),
    ):  # fmt: skip
        yield Workload(
            bench,
            name,
            title,
            rounds,
            partial(single.bench, work),
            partial(single.CONTENDERS[OURS], work),
            aim,
        )
    for layout, aim in zip(adam.LAYOUTS, (0.33, None), strict=True):
        yield Workload(
            "adam", f"Adam, {layout}",
            f"step of Adam over {layout} parameters",
            80, partial(adam.bench, layout), partial(adam.CONTENDERS[OURS], layout), aim,
        )  # fmt: skip


WORKLOADS = tuple(_all())

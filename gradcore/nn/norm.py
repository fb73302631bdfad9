"""Normalisation: by the batch, or by fixed numbers."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from gradcore.convert import plain
from gradcore.distributed.shard import Shard, current_shard
from gradcore.errors import DomainError, ShapeError
from gradcore.modes import callback, repeated
from gradcore.nn.module import Module
from gradcore.ops.normalize import batch_norm, channel_moments
from gradcore.ops.shape import reshape
from gradcore.registry import layer
from gradcore.sizes import size
from gradcore.spec import LayerSpec, OneOf, Size, case, reals
from gradcore.tensor import Tensor


def _reference(
    state: Any, training: bool, x: Any, *, features: int, eps: float = 1e-5, momentum: float = 0.1
) -> Any:
    """Each channel on its own, by NumPy's mean and var."""
    y = np.empty_like(x)
    for c in range(features):
        channel = x[:, c]
        mean = channel.mean() if training else state["running_mean"][c]
        variance = channel.var() if training else state["running_var"][c]
        y[:, c] = (channel - mean) / np.sqrt(variance + eps) * state["weight"][c] + state["bias"][c]
    return y


def _initial(_rng: Any, *, features: int, **_: Any) -> Any:
    zeros, ones = [0.0] * features, [1.0] * features
    return {"weight": ones, "bias": zeros, "running_mean": zeros, "running_var": ones}


def _running(state: Any, x: Any, *, features: int, eps: float = 1e-5, momentum: float = 0.1) -> Any:
    """Each channel on its own; its variance as half the mean square of the differences of all pairs."""
    means, variances = [], []
    for c in range(features):
        channel = x[:, c].ravel()
        pairs = channel[:, None] - channel
        means.append(channel.sum() / np.float64(channel.size))
        variances.append((pairs**2).sum() / 2 / np.float64(channel.size * (channel.size - 1)))
    now = {"running_mean": np.array(means), "running_var": np.array(variances)}
    return {name: (1 - momentum) * state[name] + momentum * value for name, value in now.items()}


_REFERENCES: dict[str, Any] = {"reference": _reference, "initial": _initial, "state_after": _running}
_CONFIG = {"features": Size("c"), "eps": OneOf(1e-5, 1e-2), "momentum": OneOf(0.1, 0.5)}


def _axes(x: Any) -> tuple[int, ...]:
    """All but the channels'."""
    return (0, *range(2, len(x.shape)))


class _BatchNorm(Module):
    ndims: ClassVar[tuple[int, ...]]
    layout: ClassVar[str]

    def __init__(self, features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.features = features = size(type(self).__name__, "features", features)
        self.eps = float(eps)  # a float64 of NumPy would turn float32 into float64
        self.momentum = float(momentum)
        self.weight = Tensor(np.ones(features, np.float32), True)
        self.bias = Tensor(np.zeros(features, np.float32), True)
        self.running_mean = np.zeros(features, np.float32)
        self.running_var = np.ones(features, np.float32)

    def forward(self, x: Any) -> Any:
        """X normalised by channel: by the batch in training, by the running averages in evaluation."""
        if len(x.shape) not in self.ndims or x.shape[1] != self.features:
            raise ShapeError(
                f"{type(self).__name__}({self.features}) takes x of shape {self.layout} with c = {self.features}, and "
                f"got {x.shape}"
            )
        if self.training:
            shard = current_shard()
            if shard is not None and shard.group is not None:
                return self._over_all_ranks(x, shard)
            moments = callback(self._follow_batch, x.data if type(x) is Tensor else x)
            return batch_norm(x, self.weight, self.bias, self.eps, moments)
        scale = self.weight / repeated(self._deviation)
        shift = self.bias - scale * self.running_mean
        by_channel = (1, -1, *(1,) * (len(x.shape) - 2))
        return x * reshape(scale, by_channel) + reshape(shift, by_channel)

    def _deviation(self) -> Any:
        return np.sqrt(self.running_var + self.eps)

    def _follow_batch(self, x: Any) -> Any:
        count = self._count(x.shape, x.shape[0])
        moments = channel_moments(x)
        self._follow(*moments, count)
        return moments

    def _over_all_ranks(self, x: Any, shard: Shard) -> Any:
        """By the whole batch, of which this rank has a shard. Two sums over the ranks, and two in the backward pass."""
        from gradcore.distributed.sums import all_sum

        count = self._count(x.shape, shard.total * (x.shape[0] // shard.rows))
        axes, by_channel = _axes(x), (1, -1, *(1,) * (len(x.shape) - 2))
        share = float(shard.counts) / count
        mean = all_sum(np.sum(x, axis=axes) * share, group=shard.group)
        centred = x - np.reshape(mean, by_channel)
        variance = all_sum(np.sum(centred * centred, axis=axes) * share, group=shard.group)
        self._follow(plain(mean), plain(variance), count)
        scale = self.weight / np.sqrt(variance + self.eps)
        return centred * reshape(scale, by_channel) + reshape(self.bias, by_channel)

    def _count(self, shape: tuple[int, ...], rows: int) -> int:
        """How many values a channel has in `rows` rows of this shape; ShapeError where there is one."""
        count = rows * int(np.prod(shape[2:]))
        if count < 2:
            raise ShapeError(
                f"{type(self).__name__} in training got x of shape {shape}: one value per channel has no variance. "
                "Use a batch of two or more (drop_last=True in the loader), or model.eval()"
            )
        return count

    def _follow(self, mean: Any, variance: Any, count: int) -> None:
        for name, now in (("running_mean", mean), ("running_var", variance * (count / (count - 1)))):
            running = getattr(self, name)
            # Not in place: a graph recorded in evaluation holds the array, and its gradient may be computed later.
            setattr(self, name, running + self.momentum * (now - running).astype(running.dtype))

    def extra_repr(self) -> str:
        return f"{self.features}"


@layer(
    spec=LayerSpec(
        case(reals("n c"), params=_CONFIG, sizes={"n": (2, 6), "c": (1, 4)}),
        case(
            reals("n c l"),
            params=_CONFIG,
            sizes={"n": (1, 4), "c": (1, 3), "l": (1, 4)},
            where=lambda e: e["n"] * e["l"] > 1,
        ),
        **_REFERENCES,
    )
)
class BatchNorm1d(_BatchNorm):
    """Normalises each channel of (n, c) or (n, c, l): (x - mean) / sqrt(variance + eps) * weight + bias.

    In training, mean and (biased) variance are the batch's, and the running averages move towards them by `momentum`
    (towards the unbiased variance, as in PyTorch); in evaluation the running averages are used. Where ranks share a batch,
    mean and variance are those of each rank's own rows, or with `Trainer(..., sync_batch_norm=True)` of the whole batch.
    Ioffe and Szegedy 2015, algorithms 1 and 2. Raises ShapeError for another shape, and in training for a single value
    per channel.
    """

    ndims = (2, 3)
    layout = "(n, c) or (n, c, l)"


@layer(
    spec=LayerSpec(
        case(
            reals("n c h w"),
            params=_CONFIG,
            sizes={"n": (1, 3), "c": (1, 3), "h": (1, 3), "w": (1, 3)},
            where=lambda e: e["n"] * e["h"] * e["w"] > 1,
        ),
        **_REFERENCES,
    )
)
class BatchNorm2d(_BatchNorm):
    """Normalises each channel of (n, c, h, w); all else as in `BatchNorm1d`."""

    ndims = (4,)
    layout = "(n, c, h, w)"


@layer(
    spec=LayerSpec(
        case(reals(), params={"mean": OneOf(0.0, -1.5, 0.25), "std": OneOf(1.0, 0.1, 3.0)}),
        reference=lambda s, _t, x, mean=0.0, std=1.0: x / s["std"] - s["mean"] / s["std"],
        initial=lambda _rng, mean=0.0, std=1.0: {"mean": mean, "std": std},
    )
)
class Standardize(Module):
    """(x - mean) / std with two fixed numbers, such as those of the training data; they are saved with the model.

    Raises DomainError unless std is above zero.
    """

    def __init__(self, mean: float = 0.0, std: float = 1.0) -> None:
        super().__init__()
        if not std > 0:
            raise DomainError(
                f"Standardize got std={std}: a standard deviation above zero was expected (constant data?)"
            )
        self.mean = np.array(mean, np.float32)
        self.std = np.array(std, np.float32)

    def forward(self, x: Any) -> Any:
        """X standardised."""
        return (x - self.mean) / self.std

    def extra_repr(self) -> str:  # noqa: D102
        return f"mean={float(self.mean):.4g}, std={float(self.std):.4g}"

"""Normalisation within each example: no batch, no running averages, the same in training and in evaluation."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from gradcore.errors import DomainError, ShapeError
from gradcore.nn.module import Module
from gradcore.ops.row_norms import group_norm, layer_norm, rms_norm
from gradcore.registry import layer
from gradcore.sizes import size
from gradcore.spec import Derived, LayerSpec, OneOf, Size, case, reals
from gradcore.tensor import Tensor

_EPS = OneOf(1e-5, 1e-2)


def _shape_of(owner: str, value: Any) -> tuple[int, ...]:
    """A size, or several, as a shape."""
    sizes = value if isinstance(value, tuple | list) else (value,)
    return tuple([size(owner, "normalized_shape", n) for n in sizes])


class _OverLastAxes(Module):
    def __init__(self, normalized_shape: int | tuple[int, ...], eps: float = 1e-5) -> None:
        super().__init__()
        self.normalized_shape = _shape_of(type(self).__name__, normalized_shape)
        self.eps = float(eps)
        self.weight = Tensor(np.ones(self.normalized_shape, np.float32), True)

    def _fit(self, x: Any) -> None:
        if tuple(x.shape[-len(self.normalized_shape) :]) != self.normalized_shape:
            raise ShapeError(
                f"{type(self).__name__}({self.normalized_shape}) takes x whose shape ends in {self.normalized_shape}, and got "
                f"{x.shape}"
            )

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}"


def _standardised(rows: Any, eps: float) -> Any:
    return (rows - rows.mean(-1, keepdims=True)) / np.sqrt(rows.var(-1, keepdims=True) + eps)


def _layer_norm(state: Any, _training: bool, x: Any, normalized_shape: Any, eps: float = 1e-5) -> Any:
    weight = state["weight"]
    rows = _standardised(x.reshape((*x.shape[: x.ndim - weight.ndim], weight.size)), eps)
    return rows.reshape(x.shape) * weight + state["bias"]


def _ones(normalized_shape: Any) -> Any:
    return np.ones(normalized_shape)


@layer(
    spec=LayerSpec(
        case(reals("n c"), params={"normalized_shape": Size("c"), "eps": _EPS}, sizes={"c": (2, 5)}),
        case(
            reals("n t c"),
            params={"normalized_shape": Derived(lambda e: [(e["t"], e["c"])]), "eps": _EPS},
            sizes={"c": (2, 4), "t": (1, 3)},
        ),
        reference=_layer_norm,
        initial=lambda _rng, normalized_shape, **_: {
            "weight": _ones(normalized_shape),
            "bias": 0 * _ones(normalized_shape),
        },
    )
)
class LayerNorm(_OverLastAxes):
    """(x - mean) / sqrt(variance + eps) * weight + bias, over the last axes: Ba et al. 2016.

    normalized_shape: the size of the last axis, or the sizes of the last axes. Raises ShapeError where x does not end in it.
    """

    def __init__(self, normalized_shape: int | tuple[int, ...], eps: float = 1e-5) -> None:
        super().__init__(normalized_shape, eps)
        self.bias = Tensor(np.zeros(self.normalized_shape, np.float32), True)

    def forward(self, x: Any) -> Any:
        """X normalised."""
        self._fit(x)
        return layer_norm(x, self.weight, self.bias, self.eps)


@layer(
    spec=LayerSpec(
        case(reals("n c"), params={"normalized_shape": Size("c"), "eps": _EPS}, sizes={"c": (1, 5)}),
        case(reals("n t c"), params={"normalized_shape": Size("c"), "eps": _EPS}, sizes={"c": (1, 4)}),
        reference=lambda s, _t, x, normalized_shape, eps=1e-5: (
            x * s["weight"] * ((x**2).sum(-1, keepdims=True) / x.shape[-1] + eps) ** -0.5
        ),
        initial=lambda _rng, normalized_shape, **_: {"weight": _ones(normalized_shape)},
    )
)
class RMSNorm(_OverLastAxes):
    """x / sqrt(mean of x^2 + eps) * weight, over the last axes: Zhang and Sennrich 2019, equation 4.

    normalized_shape: the size of the last axis, or the sizes of the last axes. Raises ShapeError where x does not end in it.
    """

    def forward(self, x: Any) -> Any:
        """X normalised."""
        self._fit(x)
        return rms_norm(x, self.weight, self.eps)


class _OverChannels(Module):
    num_channels: int

    def _parameters(self, channels: int, eps: float) -> None:
        self.num_channels = channels
        self.eps = float(eps)
        self.weight = Tensor(np.ones(channels, np.float32), True)
        self.bias = Tensor(np.zeros(channels, np.float32), True)

    def _normalised(self, x: Any, groups: int, layout: str, fits: bool) -> Any:
        if not fits or x.shape[1] != self.num_channels:
            raise ShapeError(
                f"{type(self).__name__}({self.extra_repr()}) takes x of shape {layout} with c = {self.num_channels}, and got "
                f"{x.shape}"
            )
        return group_norm(x, self.weight, self.bias, groups, self.eps)


def _group_norm(
    state: Any, _training: bool, x: Any, num_groups: int, num_channels: int, eps: float = 1e-5
) -> Any:
    rows = _standardised(x.reshape((x.shape[0], num_groups, -1)), eps) if x.size else x
    by_channel = (-1, *(1,) * (x.ndim - 2))
    return rows.reshape(x.shape) * state["weight"].reshape(by_channel) + state["bias"].reshape(by_channel)


def _affine(_rng: Any, channels: int) -> Any:
    return {"weight": [1.0] * channels, "bias": [0.0] * channels}


@layer(
    spec=LayerSpec(
        case(
            reals("n c h w"),
            params={
                "num_groups": Derived(lambda e: [g for g in (1, 2, e["c"]) if e["c"] % g == 0]),
                "num_channels": Size("c"),
                "eps": _EPS,
            },
            sizes={"n": (0, 3), "c": (1, 4), "h": (2, 3), "w": (1, 3)},
        ),
        case(
            reals("n c"),
            params={"num_groups": OneOf(1), "num_channels": Size("c"), "eps": _EPS},
            sizes={"c": (2, 5)},
        ),
        reference=_group_norm,
        initial=lambda rng, num_channels, **_: _affine(rng, num_channels),
    )
)
class GroupNorm(_OverChannels):
    """(x - mean) / sqrt(variance + eps) * weight + bias for each group of channels of each example: Wu and He 2018.

    x: (n, num_channels, ...). Raises ShapeError for another shape, DomainError where the groups do not divide the channels.
    """

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.num_groups = size("GroupNorm", "num_groups", num_groups)
        self._parameters(size("GroupNorm", "num_channels", num_channels), eps)
        if self.num_channels % self.num_groups:
            raise DomainError(
                f"GroupNorm got {num_groups} groups for {num_channels} channels: they must divide them"
            )

    def forward(self, x: Any) -> Any:
        """X normalised."""
        return self._normalised(x, self.num_groups, "(n, c, ...)", len(x.shape) > 1)

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.num_groups}, {self.num_channels}"


class _InstanceNorm(_OverChannels):
    ndim: ClassVar[int]
    layout: ClassVar[str]

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__()
        self._parameters(size(type(self).__name__, "num_features", num_features), eps)

    def forward(self, x: Any) -> Any:
        """X normalised."""
        return self._normalised(x, self.num_channels, self.layout, len(x.shape) == self.ndim)

    def extra_repr(self) -> str:
        return f"{self.num_channels}"


def _instance_norm(state: Any, training: bool, x: Any, num_features: int, eps: float = 1e-5) -> Any:
    return _group_norm(state, training, x, num_features, num_features, eps)


@layer(
    spec=LayerSpec(
        case(
            reals("n c l"),
            params={"num_features": Size("c"), "eps": _EPS},
            sizes={"c": (1, 3), "l": (2, 4)},
        ),
        reference=_instance_norm,
        initial=lambda rng, num_features, **_: _affine(rng, num_features),
    )
)
class InstanceNorm1d(_InstanceNorm):
    """(x - mean) / sqrt(variance + eps) * weight + bias for each channel of each example: Ulyanov et al. 2016.

    x: (n, num_features, l). It learns weight and bias, which PyTorch's does with affine=True. Raises ShapeError for
    another shape.
    """

    ndim = 3
    layout = "(n, c, l)"


@layer(
    spec=LayerSpec(
        case(
            reals("n c h w"),
            params={"num_features": Size("c"), "eps": _EPS},
            sizes={"n": (0, 3), "c": (1, 3), "h": (2, 3), "w": (1, 3)},
        ),
        reference=_instance_norm,
        initial=lambda rng, num_features, **_: _affine(rng, num_features),
    )
)
class InstanceNorm2d(_InstanceNorm):
    """The same for images: x of shape (n, num_features, h, w); all else as in `InstanceNorm1d`."""

    ndim = 4
    layout = "(n, c, h, w)"

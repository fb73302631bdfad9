"""Mistakes in layers of images and products, each detected by the very check that the suite runs."""

import numpy as np
import pytest
from hypothesis import strategies as st
from layer_calls import calls

from gradcheck.strategies import examples
from gradcheck.verification import check_layer_start, check_layer_value
from gradcheck.verification.planted import detected
from gradcore import nn
from gradcore.ops import conv_transpose2d, interpolate, swapaxes


class CornersAnyway(nn.Upsample):
    def forward(self, x):
        if self.mode == "nearest":
            return super().forward(x)
        return interpolate(x, self.size, self.scale_factor, self.mode, True)


class WidthFirst(nn.Upsample):
    def forward(self, x):
        turned = self.size[::-1] if isinstance(self.size, tuple) else self.size
        return interpolate(x, turned, self.scale_factor, self.mode, self.align_corners)


class WindowsApart(nn.AdaptiveAvgPool2d):
    """Windows that do not overlap: what the sizes leave over is left out."""

    def forward(self, x):
        n, k = x.shape[2], self.output_size
        k = k[0] if isinstance(k, tuple) else k
        return super().forward(x[:, :, : n // k * k] if n >= k else x)


class CountsOnce(nn.Fold):
    """Where patches overlap, their mean."""

    def forward(self, x):
        return super().forward(x) / np.maximum(super().forward(x * 0 + 1), 1)


class PatchBeforeChannel(nn.Unfold):
    def forward(self, x):
        y = super().forward(x)
        n, rows, count = y.shape
        c = x.shape[1]
        return swapaxes(y.reshape(n, c, rows // c, count), 1, 2).reshape(n, rows, count)


class Turned(nn.Bilinear):
    def forward(self, x1, x2):
        if self.in1_features != self.in2_features:
            return super().forward(x1, x2)
        return super().forward(x2, x1)


class NoOutputPadding(nn.ConvTranspose2d):
    def forward(self, x):
        return conv_transpose2d(
            x, self.weight, self.bias, self.stride, self.padding, 0, self.dilation, self.groups
        )


class NoBias(nn.Conv1d):
    def forward(self, x):
        y = super().forward(x)
        return y if self.bias is None else y - self.bias.reshape(1, -1, 1)


WRONG = [
    CornersAnyway,
    WidthFirst,
    WindowsApart,
    CountsOnce,
    PatchBeforeChannel,
    Turned,
    NoOutputPadding,
    NoBias,
]


@pytest.mark.parametrize("layer", WRONG)
def test_a_wrong_layer_is_detected(layer):
    assert layer.__name__ in detected(calls(layer, False), lambda drawn: check_layer_value(*drawn))


class FanOfTheOutputs(nn.ConvTranspose2d):
    """PyTorch's fan_in of a transposed convolution is the number of outputs of an input."""

    def __init__(self, in_channels, out_channels, kernel_size, **more):
        super().__init__(in_channels, out_channels, kernel_size, **more)
        self.weight.data *= (in_channels / out_channels) ** 0.5


def test_a_layer_with_another_start_is_detected():
    drawn = st.tuples(st.sampled_from(FanOfTheOutputs.spec.cases).flatmap(examples), st.integers(0, 99))
    assert "FanOfTheOutputs" in detected(
        drawn, lambda d: check_layer_start(FanOfTheOutputs, d[0].params, d[1])
    )

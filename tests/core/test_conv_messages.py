"""Convolutions that do not fit: what is refused, with the shapes and what would fit."""

from __future__ import annotations

import numpy as np
import pytest

from gradcore import conv1d, conv2d, conv2d_input, conv2d_weight, conv_transpose2d
from gradcore.errors import DomainError, ShapeError
from gradcore.nn.conv2d import Conv2d


def shaped(*shapes):
    return [np.ones(s) for s in shapes]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: conv2d(*shaped((3, 8, 8), (1, 3, 2, 2))), ShapeError, ["(3, 8, 8)", "(1, 3, 2, 2)", "(n, channels, height, width)", "x[None]"]),
        (lambda: conv2d(*shaped((2, 3, 8, 8), (4, 2, 3, 3))), ShapeError, ["(2, 3, 8, 8)", "(4, 2, 3, 3)", "2 x 1 = 2 channels", "(4, 3, 3, 3) would fit"]),
        (lambda: conv2d(*shaped((2, 3, 8, 8), (1, 3, 2))), ShapeError, ["(2, 3, 8, 8)", "(1, 3, 2):", "kernel height"]),
        (lambda: conv2d(*shaped((3, 6, 7, 8), (4, 1, 3, 3)), groups=2), ShapeError, ["1 x 2 = 2", "(4, 3, 3, 3) would fit"]),
        (lambda: conv2d(*shaped((2, 6, 8, 8), (4, 2, 3, 3)), groups=2), ShapeError, ["groups=2", "2 x 2 = 4", "(4, 3, 3, 3) would fit"]),
        (lambda: conv2d(*shaped((2, 4, 8, 8), (3, 2, 3, 3)), groups=2), ShapeError, ["(3, 2, 3, 3)", "multiple of groups", "4"]),
        (lambda: conv2d(*shaped((2, 1, 2, 8), (1, 1, 3, 3))), ShapeError, ["2 x 8", "(3, 3)", "at least 3 x 3", "padding"]),
        (lambda: conv2d(*shaped((2, 1, 4, 4), (1, 1, 3, 3)), dilation=2), ShapeError, ["spread to (5, 5) by dilation=(2, 2)", "at least 5 x 5"]),
        (lambda: conv2d(*shaped((2, 1, 4, 4), (1, 1, 7, 3)), padding=1), ShapeError, ["6 x 6 with their padding", "at least 5 x 1"]),
        (lambda: conv2d(*shaped((2, 1, 4, 4), (3, 1, 2, 2), (1, 3))), ShapeError, ["bias of shape (1, 3)", "weight of shape (3, 1, 2, 2)", "(3,)"]),
        (lambda: conv2d(*shaped((2, 1, 4, 4), (3, 1, 0, 2))), ShapeError, ["(3, 1, 0, 2)", "at least 1 x 1"]),
        (lambda: conv2d(*shaped((2, 1, 4, 4), (3, 1, 2, 2)), stride=0), DomainError, ["stride=0", "at least 1"]),
        (lambda: conv2d(*shaped((2, 1, 4, 4), (3, 1, 2, 2)), stride=(1, 2, 3)), DomainError, ["stride=(1, 2, 3)", "(height, width)"]),
        (lambda: conv2d(*shaped((2, 1, 4, 4), (3, 1, 2, 2)), padding=-1), DomainError, ["padding=-1", "at least 0"]),
        (lambda: conv2d(*shaped((2, 1, 4, 4), (3, 1, 2, 2)), padding="full"), DomainError, ["'full'", '"same" or "valid"']),
        (lambda: conv2d(*shaped((2, 1, 4, 4), (3, 1, 2, 2)), padding="same", stride=2), DomainError, ["stride 1 only", "(2, 2)"]),
        (lambda: conv2d(*shaped((2, 1, 4, 4), (3, 1, 2, 2)), groups=0), DomainError, ["groups=0"]),
        (lambda: conv2d(*shaped((2, 1, 4, 4), (3, 1, 2, 2)), groups=1.0), DomainError, ["groups=1.0", "whole number"]),
        (lambda: conv2d_input(*shaped((2, 3, 4, 4), (3, 1, 2, 2)), size=(4, 4)), ShapeError, ["gy of shape (2, 3, 4, 4)", "gives (2, 3, 3, 3)"]),
        (lambda: conv2d_weight(*shaped((2, 3, 4, 4), (2, 1, 4, 4)), kernel_size=2), ShapeError, ["gy of shape (2, 3, 4, 4)", "gives (2, 3, 3, 3)"]),
        (lambda: conv2d_weight(*shaped((1, 3, 3, 3), (2, 1, 4, 4)), kernel_size=2), ShapeError, ["gy of shape (1, 3, 3, 3)", "gives (2, 3, 3, 3)"]),
        (lambda: conv2d_weight(*shaped((2, 3, 3, 3), (2, 1, 4, 4)), kernel_size=2, groups=0), DomainError, ["groups=0"]),
        (lambda: conv2d_weight(*shaped((2, 3, 3, 3), (2, 1, 4, 4)), kernel_size=0), DomainError, ["kernel_size=0", "at least 1"]),
        (lambda: conv2d_weight(*shaped((2, 3, 3), (2, 1, 4, 4)), kernel_size=2), ShapeError, ["gy of shape (2, 3, 3)"]),
        (lambda: conv_transpose2d(*shaped((2, 3, 4, 4), (2, 1, 2, 2))), ShapeError, ["(2, 3, 4, 4)", "(2, 1, 2, 2)", "channels being equal"]),
        (lambda: conv_transpose2d(*shaped((2, 3, 4, 4), (3, 1, 2, 2)), output_padding=1), DomainError, ["output_padding=1", "below stride=1"]),
        (lambda: conv_transpose2d(*shaped((2, 3, 4), (3, 1, 2, 2))), ShapeError, ["(2, 3, 4) and", "(n, channels"]),
        (lambda: conv_transpose2d(*shaped((2, 3, 4, 4), (3, 1, 2))), ShapeError, ["weight of shape (3, 1, 2):", "(channels, out"]),
        (lambda: conv_transpose2d(*shaped((2, 3, 4, 4), (3, 1, 2, 2)), stride=0), DomainError, ["stride=0", "at least 1"]),
        (lambda: conv_transpose2d(*shaped((2, 3, 1, 1), (3, 1, 3, 3)), dilation=0, padding=1), DomainError, ["dilation=0", "at least 1"]),
        (lambda: conv_transpose2d(*shaped((2, 3, 4, 4), (3, 1, 2, 2)), stride=(2, 1), output_padding=(0, 1)), DomainError, ["output_padding=(0, 1)"]),
        (lambda: conv_transpose2d(*shaped((2, 3, 4, 4), (3, 1, 2, 2)), stride=(1, 2), output_padding=(1, 0)), DomainError, ["output_padding=(1, 0)"]),
        (lambda: conv_transpose2d(*shaped((2, 3, 4, 4), (3, 1, 2, 2)), stride=2, output_padding=(2, 0)), DomainError, ["output_padding=(2, 0)"]),
        (lambda: conv_transpose2d(*shaped((2, 3, 4, 4), (3, 1, 2, 2)), stride=2, output_padding=(0, 2)), DomainError, ["output_padding=(0, 2)"]),
        (lambda: conv_transpose2d(*shaped((2, 3, 1, 4), (3, 1, 2, 2)), padding=1), ShapeError, ["0 x 3", "less padding"]),
        (lambda: conv_transpose2d(*shaped((2, 3, 4, 1), (3, 1, 2, 2)), padding=1), ShapeError, ["3 x 0", "less padding"]),
        (lambda: conv_transpose2d(*shaped((2, 3, 4, 4), (3, 2, 2, 2), (3,))), ShapeError, ["bias of shape (3,)", "weight of shape (3, 2, 2, 2)", "(2,)"]),
        (lambda: conv1d(*shaped((3, 8), (1, 3, 2))), ShapeError, ["sequences of shape (3, 8)", "(1, 3, 2)", "x[None]"]),
        (lambda: conv1d(*shaped((2, 3, 8), (1, 3))), ShapeError, ["sequences of shape (2, 3, 8)", "weight of shape (1, 3)"]),
        (lambda: conv1d(*shaped((2, 3, 8, 1), (1, 3, 2))), ShapeError, ["sequences of shape (2, 3, 8, 1)"]),
        (lambda: conv1d(*shaped((2, 3, 8), (1, 3, 2, 1))), ShapeError, ["weight of shape (1, 3, 2, 1)"]),
        (lambda: conv1d(*shaped((3, 8), (1, 8))), ShapeError, ["sequences of shape (3, 8)", "weight of shape (1, 8)"]),
        (lambda: conv1d(*shaped((2, 6, 8), (4, 3, 2)), dilation=2), ShapeError, ["groups=1", "sequences of shape (2, 6, 8)"]),
        (lambda: conv1d(*shaped((2, 3, 8), (4, 3, 2), (3,))), ShapeError, ["bias of shape (3,)", "weight of shape (4, 3, 2)", "(4,)"]),
        (lambda: Conv2d(3, 4, 2, groups=2), ShapeError, ["in_channels=3", "groups=2", "such as 1"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_the_shapes_and_what_would(call, error, words):
    with pytest.raises(error) as caught:
        call()
    assert [w for w in words if w not in str(caught.value)] == []


def test_where_no_number_of_channels_in_a_weight_would_fit_none_is_named():
    with pytest.raises(ShapeError, match=r"and have 5$"):
        conv2d(*shaped((2, 5, 8, 8), (4, 2, 3, 3)), groups=2)

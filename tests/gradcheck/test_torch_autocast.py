"""The gradient under torch.autocast: what breaks there, and what rounding to bfloat16 does to right functions."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from tensors import drawn, function, saving  # noqa: E402
from torch import nn  # noqa: E402

from gradcheck import gradcheck  # noqa: E402

DTYPES = torch.float32, torch.float64
custom_fwd, custom_bwd = torch.amp.custom_fwd, torch.amp.custom_bwd


def single(*shape, seed=0):
    return drawn(*shape, dtype=torch.float32, seed=seed)


def causes(f, inputs):
    return gradcheck(f, inputs, contracts="+autocast", raise_exception=False).causes


def tried(f, inputs):
    (found,) = gradcheck(f, inputs, contracts=["autocast"], raise_exception=False).contracts
    return found


def backward(ctx, gy):
    x, w = ctx.saved_tensors
    return gy @ w.T, x.T @ gy


forward = saving(torch.matmul)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_backward_that_mixes_dtypes_under_autocast_is_detected_on_request(dtype):
    f, inputs = function(forward, backward), (drawn(4, 3, dtype=dtype), drawn(3, 2, dtype=dtype, seed=1))
    assert gradcheck(f, inputs)
    report = gradcheck(f, inputs, contracts="+autocast", raise_exception=False)
    assert report.causes == ("autocast",)
    text = report.faults[0].text
    assert "under autocast the rule raises RuntimeError: expected m1 and m2 to have the same dtype" in text
    assert "Decorate forward of the Function with torch.amp.custom_fwd(device_type=" in text


@pytest.mark.parametrize("options", [{}, {"cast_inputs": torch.float32}])
def test_the_decorators_of_torch_amp_mend_it(options):
    f = function(custom_fwd(forward, device_type="cpu", **options), custom_bwd(backward, device_type="cpu"))
    assert gradcheck(f, (single(4, 3), single(3, 2, seed=1)), contracts="+autocast")


def in_bfloat16(factor):
    """Right in single precision, and with a factor where the cotangent is in bfloat16."""

    def rule(ctx, gy):
        x, w = ctx.saved_tensors
        gy = gy.float() * (factor if gy.dtype == torch.bfloat16 else 1.0)
        return gy @ w.T, x.T @ gy

    return function(forward, rule)


@pytest.mark.parametrize(("factor", "expected"), [(1.0, ()), (1.15, ("autocast",)), (-1.0, ("autocast",))])
def test_values_that_are_wrong_under_autocast_alone_are_detected(factor, expected):
    assert causes(in_bfloat16(factor), (single(40, 30), single(30, 20, seed=1))) == expected


def test_values_that_are_not_finite_under_autocast_are_detected():
    assert causes(in_bfloat16(float("nan")), (single(4, 3), single(3, 2, seed=1))) == ("autocast",)


def test_a_forward_that_raises_under_autocast_is_a_fault_of_a_function_only():
    def raises(x):
        if torch.is_autocast_enabled("cpu"):
            raise TypeError("not here")
        return x.sin()

    f = function(saving(raises), lambda ctx, gy: gy * ctx.saved_tensors[0].cos())
    assert "under autocast forward raises TypeError: not here" in tried(f, single(3)).text
    composed = tried(raises, single(3))
    assert composed.status == "skipped"
    assert composed.text == "forward cannot be run under autocast (TypeError: not here)"


def test_what_takes_double_precision_only_is_left_out():
    w = torch.ones(3, 2, dtype=torch.float64)
    left_out = tried(lambda x: x @ w, drawn(4, 3))
    assert left_out.status == "skipped"
    assert "it cannot be run in single precision (RuntimeError" in left_out.text


class Attention(nn.MultiheadAttention):
    def forward(self, x):
        return super().forward(x, x, x)[0]


RIGHT = {
    "linear": lambda: (nn.Linear(4, 3), single(5, 4)),
    "layers": lambda: (
        nn.Sequential(*[nn.Sequential(nn.Linear(8, 8), nn.ReLU()) for _ in range(8)]),
        single(3, 8),
    ),
    "convolution": lambda: (
        nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.MaxPool2d(2)),
        single(2, 2, 6, 6),
    ),
    "attention": lambda: (Attention(8, 2, batch_first=True), single(2, 3, 8)),
    "layer norm": lambda: (nn.LayerNorm(6), single(4, 6)),
    # the gradient of the bias is zero, and rounding before batch norm is all that it is under autocast
    "batch norm": lambda: (nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), single(6, 4)),
    "softmax": lambda: (lambda x: torch.softmax(30 * x @ x.T, 1), single(5, 4)),
    "complex": lambda: (lambda x: torch.view_as_real(x * x), drawn(3, dtype=torch.complex64)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_functions_keep_it(name):
    torch.manual_seed(0)
    f, inputs = RIGHT[name]()
    assert tried(f, inputs).status == "held"

"""Kernels of PyTorch in low precision, and every kernel of the catalogue."""

import numpy as np
import pytest
from programs import module

from gradcheck import CallError, assert_close, gradcheck, verify

torch = pytest.importorskip("torch")

KERNELS = module("ci.catalogue.kernels").KERNELS
ALL = module("ci.catalogue.kernels.base").ALL
Draw = module("ci.catalogue.kernels.base").Draw

RMS = next(k for k in KERNELS if k.name == "rms_norm")
DEFECTS = [(k, d) for k in KERNELS for d in k.defects]


@pytest.mark.nightly(each_time=8)
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.name)
def test_a_right_kernel_passes_in_three_dtypes(kernel):
    for i, dtype in enumerate(ALL):
        inputs = kernel.inputs(Draw(dtype, i))
        report = gradcheck(kernel.function(), inputs, reference=kernel.reference, **kernel.claims)
        assert report.ratio < 0.9
        assert report.evaluations <= 60


@pytest.mark.nightly(each_time=25)
@pytest.mark.parametrize(("kernel", "defect"), DEFECTS, ids=lambda x: x.name)
def test_a_wrong_kernel_fails_with_its_cause(kernel, defect):
    for i in range(6):  # a remainder is not in every size
        inputs = kernel.inputs(Draw(defect.dtypes[i % len(defect.dtypes)], i))
        report = gradcheck(
            kernel.function(defect.name),
            inputs,
            reference=kernel.reference,
            raise_exception=False,
            **kernel.claims,
        )
        if not report:
            break
    assert report.verdict.value == "fail"
    assert set(report.causes) & set(defect.causes)
    assert report.evaluations <= 60


@pytest.mark.nightly(each_time=3)
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.name)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32], ids=str)
def test_a_right_kernel_passes_over_the_domain_around_an_example(kernel, dtype):
    options = {"max_examples": 16, "max_seconds": 120, "reference": kernel.reference, **kernel.claims}
    assert verify(kernel.function(), like=kernel.inputs(Draw(dtype, 0)), **options)


def test_a_reference_in_numpy_does_as_well():
    def reference(x, w):
        return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + 1e-5) * w

    inputs = RMS.inputs(Draw(torch.bfloat16, 0))
    assert gradcheck(RMS.function(), inputs, reference=reference)
    report = gradcheck(RMS.function("no projection"), inputs, reference=reference, raise_exception=False)
    assert report.causes == ("value",)


def test_a_kernel_that_is_its_reference_in_eager_mode_passes_as_stored():
    def f(x, w):
        return torch.softmax(x @ w, -1)

    x, w = torch.randn(20, 30).bfloat16(), torch.randn(30, 40).bfloat16()
    assert gradcheck(f, (x, w), reference=f, intermediates="stored")


@pytest.mark.parametrize(
    "f",
    [
        lambda x: torch.nn.functional.layer_norm(x, x.shape[-1:]),
        lambda x: torch.nn.functional.gelu(x),
        lambda x: torch.nn.functional.silu(x),
        lambda x: torch.log_softmax(x, -1),
        lambda x: torch.nn.functional.scaled_dot_product_attention(x, x, x),
        lambda x: torch.nn.functional.cross_entropy(x, torch.arange(len(x)) % x.shape[1]),
        lambda x: x.cumsum(0),
        lambda x: x.std(-1),
        lambda x: (
            torch.nn.functional.conv1d(x[None], x[:8, None, :5], groups=1)[0]
            if len(x) == 1
            else x.logsumexp(-1)
        ),
    ],
)
def test_torchs_own_kernels_in_float32_are_right(f):
    x = torch.randn(24, 48)
    assert gradcheck(f, (x,), reference=f).ratio < 0.9


def test_a_reference_that_works_in_float32_is_refused():
    inputs = RMS.inputs(Draw(torch.bfloat16, 0))
    with pytest.raises(CallError, match=r"works in float32 .the result of _to_copy"):
        gradcheck(RMS.function(), inputs, reference=lambda x, w: RMS.reference(x.float(), w.float()).double())


def test_a_reference_of_another_shape_is_refused():
    inputs = RMS.inputs(Draw(torch.bfloat16, 0))
    with pytest.raises(CallError, match="the reference has to return arrays of the kernel's shapes"):
        gradcheck(RMS.function(), inputs, reference=lambda x, w: x[0])


def test_a_reference_whose_derivative_is_another_is_refused():
    inputs = RMS.inputs(Draw(torch.bfloat16, 0))
    with pytest.raises(CallError, match="is not its own"):
        gradcheck(RMS.function(), inputs, reference=lambda x, w: RMS.reference(x, w.detach()) + 0 * w)


def test_a_maximum_that_is_subtracted_takes_nothing_from_what_is_allowed():
    def shifted(x):
        e = torch.exp(x - x.amax(-1, keepdim=True))
        return e / e.sum(-1, keepdim=True)

    x = 4 * torch.randn(64, 131)
    assert gradcheck(lambda x: torch.softmax(x, -1), (x,), reference=shifted).ratio < 0.9


def test_a_backward_that_reads_what_forward_stored_needs_a_reference_that_does_as_well():
    class Softmax(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = torch.softmax(x.float(), -1).to(x.dtype)
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, gy):
            p, g = ctx.saved_tensors[0].float(), gy.float()
            return (p * (g - (g * p).sum(-1, keepdim=True))).to(gy.dtype)

    def by_hand(x):
        e = torch.exp(x)
        return e / e.sum(-1, keepdim=True)

    x = torch.randn(33, 65, generator=torch.manual_seed(0)).bfloat16()
    assert gradcheck(Softmax.apply, (x,), reference=lambda x: torch.softmax(x, -1)).ratio < 0.9
    report = gradcheck(Softmax.apply, (x,), reference=by_hand, raise_exception=False)
    assert report.causes in (("rounded twice",), ("accumulated",))


def test_a_maximum_that_counts_is_differentiated():
    x = torch.randn(16, 8)

    def f(x):
        return x * x.amax(-1, keepdim=True)

    assert gradcheck(f, (x,), reference=f)
    assert not gradcheck(
        f, (x,), reference=lambda x: x * x.amax(-1, keepdim=True) * 1.0001, raise_exception=False
    )


def test_sixteen_bits_without_a_reference_say_what_to_do():
    with pytest.raises(CallError, match="pass reference=g, the same mathematics in float64"):
        gradcheck(torch.exp, (torch.randn(3).half().requires_grad_(),))


def test_a_kernel_that_refuses_strides_is_noted():
    class Strict(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, gy):
            if not gy.is_contiguous():
                raise RuntimeError("contiguous only")
            return gy * 2

    report = gradcheck(Strict.apply, (torch.randn(4, 5).half(),), reference=lambda x: x * 2)
    assert "call gy.contiguous()" in report.note


def test_tensors_that_require_no_gradient_are_constants():
    x, w = torch.randn(4, 5).half().requires_grad_(), torch.randn(5).half()
    report = gradcheck(lambda x, w: x * w, (x, w), reference=lambda x, w: x * w)
    assert [i.path for i in report.inputs] == ["output", "inputs[0]"]


def test_assert_close_takes_tensors():
    x = torch.randn(33, 65).bfloat16()

    def reference(x):
        return torch.softmax(x, -1)

    assert assert_close(torch.softmax(x.float(), -1).bfloat16(), reference, (x,))
    with pytest.raises(AssertionError, match="the forward values are wrong"):
        assert_close(torch.softmax(x, -1) * 1.02, reference, (x,))

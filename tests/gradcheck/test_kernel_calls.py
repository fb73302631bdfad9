"""Calls with a reference that can't be judged say what to do."""

import numpy as np
import pytest

from gradcheck import CallError, assert_close, gradcheck
from gradcheck.errors import ForwardError
from gradcore.tensor import Tensor

X = np.linspace(-1, 1, 12, dtype=np.float16).reshape(3, 4)


def double(x):
    return x + x


def rule(gy, y, x):
    return gy + gy


def check(**options):
    return gradcheck(double, (X,), **{"vjp": rule, "reference": double, **options})


def test_the_call_itself_is_right():
    assert check()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"reference": lambda x: x.sum()}, r"returns \(\), and double returns \(3, 4\)"),
        ({"reference": lambda x: (x + x).astype(np.float32)}, "works in float32"),
        ({"reference": 3}, "reference= is the number 3: pass the same mathematics"),
        ({"reference": lambda x: np.linalg.inv(x)}, "could not be differentiated.*or in PyTorch"),
        ({"reference": lambda x, y: x}, "raised TypeError on the kernel's inputs in float64"),
        ({"reference": lambda x: Tensor(x.data) + x}, "derivative of the reference .* is not its own"),
        ({"reference": lambda x: "text"}, "returned the text 'text'"),
        ({"accumulate": "float31"}, "accumulate='float31': it is one of .*'float32'"),
        ({"intermediates": "rounded"}, "intermediates='rounded': it is one of 'stored'"),
        ({"vjp": None}, "without vjp=: pass vjp=rule.*assert_close"),
        ({"order": 2}, "order=2 came together with reference="),
        ({"straight_through": double}, "straight_through= came together with reference="),
        ({"wrt": 1}, "wrt= names input 1, and there are 1 inputs"),
        ({"gy": X[0]}, r"gy= is .*, and double returned output of float16 \(3, 4\): pass a cotangent"),
        ({"gy": X.astype(np.float32)}, "pass a cotangent of each output's shape and dtype"),
        ({"gy": X * np.float16("inf")}, "gy= holds NaN or infinity"),
        ({"backend": "torch"}, "backend= came together with reference="),
        ({"contracts": False}, "contracts= came together with reference="),
        ({"reference": None, "accumulate": "float32"}, "pass reference=g"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_a_wrong_call_says_what_to_do(options, words):
    with pytest.raises(CallError, match=words):
        check(**options)


def test_an_unknown_keyword_is_refused():
    with pytest.raises(TypeError, match="unexpected keyword argument 'tolerance'"):
        check(tolerance=1)


def test_a_kernel_that_raises_is_named_with_its_inputs():
    def raises(x):
        raise KeyError("block")

    with pytest.raises(
        ForwardError, match=r"raises raised KeyError on these inputs \(inputs\[0\] is float16 \(3, 4\)\)"
    ):
        gradcheck(raises, (X,), vjp=rule, reference=double)


def test_no_floating_input():
    with pytest.raises(CallError, match="got no floating array"):
        assert_close(np.arange(3), double, (np.arange(3),))


def test_bfloat16_without_a_reference():
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    with pytest.raises(CallError, match=r"bfloat16, in which .* pass reference=g"):
        gradcheck(double, (X.astype(bfloat16),), vjp=rule)


def test_a_rule_that_refuses_strided_cotangents_is_noted():
    def strict(gy, y, x):
        if not gy.flags.c_contiguous:
            raise ValueError("gy must be contiguous")
        return gy + gy

    report = check(vjp=strict)
    assert report
    assert (
        "refuses a cotangent with gaps between its entries (ValueError: gy must be contiguous)" in report.note
    )
    assert "ascontiguousarray" in report.note


def test_a_rule_that_always_raises_fails():
    def raises(gy, y, x):
        raise ValueError("no")

    assert check(vjp=raises, raise_exception=False).causes == ("raises",)


def test_a_cotangent_of_another_shape_fails():
    report = check(vjp=lambda gy, y, x: gy[0], raise_exception=False)
    assert report.causes == ("cotangent_shape",)
    assert "has shape (4,), and inputs[0] has (3, 4)" in str(report)


def test_a_kernel_of_autograd_is_refused_with_what_is_taken():
    autograd = pytest.importorskip("autograd")
    with pytest.raises(CallError, match="reference= takes kernels of NumPy, PyTorch and JAX"):
        gradcheck(autograd.numpy.exp, (X,), reference=double)


def product(x, w):
    return x * w


def half_right(gy, y, x, w):
    return gy * w, gy


W = X + np.float16(2)


def test_wrt_leaves_the_other_inputs_out():
    report = gradcheck(product, (X, W), vjp=half_right, reference=product, wrt=0)
    assert [i.path for i in report.inputs] == ["output", "inputs[0]"]
    report = gradcheck(
        product, (X, W), vjp=half_right, reference=product, wrt="inputs[1]", raise_exception=False
    )
    assert [f.input for f in report.faults] == ["inputs[1]"]


def test_a_given_cotangent_is_tried_as_it_is():
    seen = []

    def watched(gy, y, x):
        seen.append(gy.strides)
        return gy + gy if abs(float(gy.flat[0])) < 100 else gy

    gy = np.full((4, 3), 200, np.float16).T
    assert check(vjp=watched)
    report = check(vjp=watched, gy=gy, raise_exception=False)
    assert gy.strides in seen
    assert "(cotangent: given)" in report.faults[0].text


def test_a_given_cotangent_whose_strides_are_not_read():
    def flat(gy, y, x):
        if gy.strides == (0, 0):
            return np.zeros_like(x)
        return gy + gy

    report = check(vjp=flat, gy=np.broadcast_to(np.float16(1), (3, 4)), raise_exception=False)
    assert report.causes == ("contiguous",)
    assert "with the strides of gy= it is wrong" in str(report)


def test_inputs_keep_their_strides():
    seen = set()

    def forward(x):
        seen.add(x.strides)
        return x + x

    gapped = np.zeros((3, 8), np.float16)[:, ::2]
    turned = np.zeros((4, 3), np.float16).T
    for x in (gapped, turned):
        x[...] = X
        assert gradcheck(forward, (x,), vjp=rule, reference=double)
    assert seen == {gapped.strides, turned.strides}

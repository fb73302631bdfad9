"""What PyTorch asks of a Function beside its gradient's values, the keywords of torch's own checkers, and wrong calls."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from tensors import drawn, function, saving  # noqa: E402
from torch.autograd.function import once_differentiable  # noqa: E402

from gradcheck import CallError, gradcheck, gradgradcheck  # noqa: E402


def causes(f, inputs, **options):
    return gradcheck(f, inputs, raise_exception=False, **options).causes


def status(f, inputs, name, **options):
    return {c.name: c.status for c in gradcheck(f, inputs, **options).contracts}[name]


def pair(right):
    """A product whose backward looks at needs_input_grad, rightly or by position."""

    def backward(ctx, gy):
        (x, y), (first, second) = ctx.saved_tensors, ctx.needs_input_grad
        if right:
            return gy * y if first else None, gy * x if second else None
        found = [gy * y] * first + [gy * x] * second
        return (*found, *[None] * (2 - len(found)))

    return function(saving(torch.mul), backward)


def test_gradients_out_of_order_for_one_input_alone_are_detected():
    inputs = drawn(3), drawn(3, seed=1)
    assert status(pair(True), inputs, "partial_gradients") == "held"
    report = gradcheck(pair(False), inputs, raise_exception=False)
    assert report.causes == ("partial_gradients",)
    assert "whatever ctx.needs_input_grad says of the others" in report.faults[0].text


def two_outputs(right):
    def forward(ctx, x, y):
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, y)
        return x * y, x + y

    def backward(ctx, g, h):
        x, y = ctx.saved_tensors
        if right:
            g = torch.zeros_like(x) if g is None else g
            h = torch.zeros_like(x) if h is None else h
        return g * y + h, g * x + h

    return function(forward, backward)


def test_a_cotangent_that_is_none_is_tried():
    inputs = drawn(3), drawn(3, seed=1)
    assert status(two_outputs(True), inputs, "undefined_cotangents") == "held"
    assert causes(two_outputs(False), inputs) == ("undefined_cotangents",)
    assert causes(two_outputs(False), inputs, check_undefined_grad=False) == ()


def sine(backward, **methods):
    return function(saving(torch.sin), backward, **methods)


def right(ctx, gy):
    return gy * ctx.saved_tensors[0].cos()


def with_a_loop(ctx, gy):
    return gy * ctx.saved_tensors[0].cos() if gy.sum().item() else gy * 0


def test_batches_of_cotangents_are_tried_on_request():
    assert status(sine(right), drawn(3), "batched_cotangents", check_batched_grad=True) == "held"
    assert causes(sine(with_a_loop), drawn(3)) == ()
    assert causes(sine(with_a_loop), drawn(3), check_batched_grad=True) == ("batched_cotangents",)


def as_attribute(ctx, x):
    ctx.x = x
    return x.sin()


def test_an_input_saved_without_a_guard_is_detected():
    unguarded = function(as_attribute, lambda ctx, gy: gy * ctx.x.cos())
    assert causes(unguarded, drawn(3)) == ("saved_values",)
    assert status(sine(right), drawn(3), "saved_values") == "held"


def with_jvp(factor):
    def forward(ctx, x):
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)
        return x.sin()

    return function(forward, right, jvp=lambda ctx, t: factor * t * ctx.saved_tensors[0].cos())


def test_a_wrong_jvp_is_a_fault_of_its_own():
    assert status(with_jvp(1.0), drawn(3), "forward_mode") == "held"
    report = gradcheck(with_jvp(1.001), drawn(3), raise_exception=False)
    assert report.causes == ("forward_mode",)
    assert "reverse mode is right" in report.faults[0].text
    assert status(sine(right), drawn(3), "forward_mode") == "skipped"


def assumes_contiguous(ctx, gy):
    flat = gy.as_strided((gy.numel(),), (1,)).reshape(gy.shape)
    return flat * ctx.saved_tensors[0].cos()


def test_a_cotangent_in_another_layout_is_tried():
    assert causes(sine(assumes_contiguous), drawn(3, 4)) in (
        ("any_layout",),
        ("any_layout", "broadcast_views"),
    )


def contiguous_images(ctx, gy):
    flat = gy if gy.is_contiguous() or gy.stride(-1) != gy.shape[1] else gy * 2
    return flat * ctx.saved_tensors[0].cos()


def test_channels_last_is_one_of_them():
    report = gradcheck(sine(contiguous_images), drawn(2, 3, 4, 5), raise_exception=False)
    assert report.causes == ("any_layout",)
    assert "channels-last" in report.faults[0].text


def test_a_cotangent_written_into_is_detected():
    assert "vjp_keeps_cotangent" in causes(
        sine(lambda ctx, gy: gy.mul_(ctx.saved_tensors[0].cos())), drawn(3)
    )


# --- torch's keywords ---------------------------------------------------------------------------------------------------


def test_keywords_without_a_meaning_are_named_once():
    options = {"eps": 1e-6, "atol": 1e-5, "rtol": 1e-3, "nondet_tol": 0.0, "fast_mode": True, "masked": True}
    note = gradcheck(torch.sin, drawn(3), **options).note
    assert note == (
        "eps, atol, rtol are not needed: the error bound is measured; fast_mode is not needed: that is part of every check; "
        "masked is left out: there is no such check here"
    )
    assert gradgradcheck(torch.sin, drawn(3), None, atol=1e-5).note.startswith("atol is not needed")


def test_cotangents_can_be_given_as_tensors():
    assert gradcheck(torch.sin, drawn(3), gy=torch.ones(3, dtype=torch.float64))
    assert gradgradcheck(torch.sin, drawn(3), torch.ones(3, dtype=torch.float64))


def test_an_unknown_keyword_is_refused():
    with pytest.raises(TypeError, match="unexpected keyword argument 'atoll'"):
        gradcheck(torch.sin, drawn(3), atoll=1.0)


def test_forward_mode_that_is_not_there_cannot_be_requested():
    assert gradcheck(torch.sin, drawn(3), check_forward_ad=True)
    with pytest.raises(CallError, match="Made has no forward-mode derivative: give its Function a jvp"):
        gradcheck(sine(right), drawn(3), check_forward_ad=True)


def test_reverse_mode_cannot_be_left_out():
    with pytest.raises(CallError, match="it is the reverse mode that is judged"):
        gradcheck(torch.sin, drawn(3), check_backward_ad=False)


# --- wrong calls --------------------------------------------------------------------------------------------------------

HALF = torch.ones(3, dtype=torch.half, requires_grad=True)
FLOAT_LAYER = torch.nn.Linear(3, 2)
WRONG = {
    "none requires a gradient": (
        torch.sin,
        drawn(3).detach(),
        r"request one, such as with x.requires_grad_\(\)",
    ),
    "half": (torch.sin, HALF, "is torch.float16, in which a derivative cannot be told from rounding"),
    "bfloat16": (
        torch.sin,
        HALF.detach().bfloat16().requires_grad_(),
        r"pass reference=g, .* x.float\(\) or x.double\(\)",
    ),
    "meta": (torch.sin, torch.ones(3, device="meta", requires_grad=True), "is on the meta device"),
    "sparse": (torch.sin, torch.eye(3).to_sparse().requires_grad_(), r"pass x.to_dense\(\)"),
    "dropout": (
        torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Dropout()),
        drawn(2, 3),
        r"1 \(Dropout\) draws new random numbers .* call module.eval\(\) first",
    ),
    "no tensor": (lambda x: 3.0, drawn(3), "returned the number 3.0 .* return a tensor"),
    "nothing": (lambda x: None, drawn(3), "return at least one floating"),
    "16 bits out": (lambda x: x.half(), drawn(3), "output is torch.float16"),
    "integers": (torch.sin, torch.arange(3), "there is no floating tensor among the inputs"),
    "arrays": (torch.sin, np.ones(3), "there is no floating tensor among the inputs"),
    "a module inside": (
        lambda x: FLOAT_LAYER(x),
        drawn(2, 3, dtype=torch.float32),
        r"pass what holds them \(a module\) in its place",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_call_says_what_to_do(name):
    f, inputs, words = WRONG[name]
    with pytest.raises(CallError, match=words):
        gradcheck(f, inputs)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_quantised_tensors_are_refused():
    x = torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8)
    with pytest.raises(CallError, match=r"is quantised, and its values move in steps: pass x.dequantize\(\)"):
        gradcheck(torch.mul, (drawn(3), x))


def test_a_rule_beside_tensors_is_refused():
    with pytest.raises(CallError, match="vjp= came together with PyTorch tensors"):
        gradcheck(torch.sin, drawn(3), vjp=lambda gy, y, x: gy)


def test_once_differentiable_has_no_second_order():
    once = sine(once_differentiable(right))
    assert gradcheck(once, drawn(3))
    with pytest.raises(CallError, match="marked once_differentiable, so that it has no second derivative"):
        gradgradcheck(once, drawn(3))


def test_a_module_draws_nothing_after_eval():
    module = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Dropout()).double()
    assert gradcheck(module.eval(), drawn(2, 3))

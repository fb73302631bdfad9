"""explain in PyTorch: custom Functions and custom ops, values changed in place, lost derivatives, NaN, hooks."""

import numpy as np
import pytest

from gradcheck import CallError, Verdict, explain, gradcheck

torch = pytest.importorskip("torch")

from tensors import Sine  # noqa: E402


class Wrong(torch.autograd.Function):
    """With its context set up apart, and a right cotangent of w."""

    @staticmethod
    def forward(x, w, scale):
        return x * w * scale

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:2])
        ctx.scale = inputs[2]

    @staticmethod
    def backward(ctx, gy):
        x, w = ctx.saved_tensors
        return gy * w, (gy * x * ctx.scale).sum_to_size(w.shape), None


class Attribute(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.x = x.detach()
        return x * x

    @staticmethod
    def backward(ctx, gy):
        return 2 * gy * ctx.x


def leaf(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype).requires_grad_()


def blamed(f, *inputs):
    return [(b.kind, b.op) for b in explain(f, inputs).blamed]


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(3, 4)
        self.w = torch.nn.Parameter(torch.ones(4))

    def forward(self, x):
        y = Sine.apply(self.first(x))
        return Wrong.apply(y, self.w, 2.0).tanh().sum()


def test_the_wrong_function_of_a_module_is_named_with_its_line_and_the_right_one_is_not():
    model = Model()
    found = explain(model, leaf(2, 3, dtype=torch.float32).detach())
    assert [(b.kind, b.op, b.cause, b.place) for b in found.blamed] == [("rule", "Wrong", "factor", 3)]
    assert "in forward: return Wrong.apply(y, self.w, 2.0).tanh().sum()" in found.blamed[0].source
    assert found.blamed[0].shapes == "float32 (2, 4), float32 (4,) -> float32 (2, 4)"
    assert (found.ops, found.trusted, found.verified) == (5, 3, 1)
    assert "forward" in vars(Sine)
    assert Sine.forward.__qualname__ == "Sine.forward"
    assert Wrong.setup_context.__qualname__ == "Wrong.setup_context"
    assert all(p.grad is None for p in model.parameters())
    assert not model.first._forward_hooks


def test_a_bound_apply_and_several_calls_of_one_function_are_seen():
    apply = Wrong.apply

    def f(x, w):
        y = apply(x, w, 1.0)  # right with this scale
        return apply(Sine.apply(y), w, 3.0).sum()

    found = explain(f, (leaf(3), leaf(3, seed=1)))
    assert [(b.op, b.place) for b in found.blamed] == [("Wrong", 3)]
    assert found.verified == 2


def test_right_functions_pass_and_the_whole_is_verified():
    found = explain(lambda x: Sine.apply(x.exp()).sum(), (leaf(4),))
    assert found.verdict is Verdict.PASS
    assert found.whole_right
    assert "2 of the framework's own were taken for right; the gradient of the whole is right" in str(found)


def test_what_a_function_saved_and_was_changed_after_forward_is_named():
    def f(x):
        z = x.sin()
        y = Attribute.apply(z)
        z.data.mul_(3)
        return (y * y).sum()

    found = explain(f, (leaf(3),))
    assert [(b.kind, b.op) for b in found.blamed] == [("changed", "Attribute")]
    assert "save_for_backward" in found.blamed[0].text
    assert blamed(lambda x: Attribute.apply(x.sin()).sum(), leaf(3)) == []


def detached(x):
    y = x.sin()
    return (y * y.detach()).sum()


def through_data(x):
    y = x.sin()
    return (x + y.data).sum()


def through_numpy(x):
    y = x.detach().numpy() * 2
    return (x * torch.from_numpy(y)).sum()


def through_item(x):
    scale = x.abs().max().item()
    return (x / scale).pow(3).sum()


def without_grad(x):
    with torch.no_grad():
        norm = (x * x).sum()
    return (x / norm).sum()


@pytest.mark.parametrize(
    ("f", "place", "line"),
    [
        (detached, "between detach() and mul()", "return (y * y.detach()).sum()"),
        (through_data, "between .data and add()", "return (x + y.data).sum()"),
        (through_numpy, "between detach() and mul()", "y = x.detach().numpy() * 2"),
        (through_item, "between item() and div()", "scale = x.abs().max().item()"),
        (without_grad, "between mul() and div()", "norm = (x * x).sum()"),
    ],
)
def test_where_the_derivative_is_lost_is_named_with_both_lines(f, place, line):
    found = explain(f, (leaf(4),))
    assert [(b.kind, b.op) for b in found.blamed] == [("lost", place)]
    assert line in found.blamed[0].source
    assert "It is used by" in found.blamed[0].text


def test_a_maximum_that_is_detached_on_purpose_is_not_blamed_beside_a_loss():
    def logsumexp(x):
        top = x.detach().max()
        return (x - top).exp().sum().log() + top

    def with_a_loss(x):
        return logsumexp(x) * x.sin().detach().sum()

    assert explain(logsumexp, (leaf(3),))
    assert blamed(logsumexp, leaf(3)) == []
    found = explain(with_a_loss, (leaf(3),)).blamed
    assert any(".sin().detach()" in b.source for b in found)


def test_a_change_through_data_is_named():
    def f(x):
        y = x.sin()
        y.data.mul_(2)
        return (y + 1).pow(2).sum()

    found = explain(f, (leaf(3),))
    assert [(b.kind, b.op) for b in found.blamed] == [("changed", "sin()")]
    assert "y.data.mul_(2)" in found.blamed[0].source
    assert "by mul_() under no_grad() or through .data" in found.blamed[0].text


def test_recorded_changes_in_place_are_right():
    def f(x):
        y = x * 2
        y.mul_(3)
        y[0] = 1.0
        return (y.sin_() * y).sum()

    assert explain(f, (leaf(3),))


def test_the_first_call_that_makes_nan_is_named_forward_and_backward():
    found = explain(lambda x: (x * 0 - 1).sqrt().exp().sum(), (leaf(3),))
    assert [(b.kind, b.op) for b in found.blamed] == [("nonfinite", "sqrt()")]
    assert "all that went in is finite (from -1 to -1), and it makes nan at [0]" in found.blamed[0].text
    found = explain(lambda x: ((x * 0).sqrt() * 2).sum(), (leaf(3),))
    assert [(b.kind, b.op) for b in found.blamed] == [("nonfinite", "sqrt()")]
    assert (
        "its backward gets a finite cotangent (from 2 to 2), and it makes inf at [0]" in found.blamed[0].text
    )


def test_the_module_that_made_a_call_is_named():
    class Rooted(torch.nn.Module):
        def forward(self, x):
            return (x * 0 - 1).sqrt()

    model = torch.nn.Sequential(torch.nn.Linear(3, 3), Rooted())
    assert "(in module '1')" in explain(model, leaf(2, 3, dtype=torch.float32)).blamed[0].source


def test_masks_of_minus_infinity_are_no_fault():
    def f(x):
        return x.masked_fill(torch.tensor([True, False, False]), float("-inf")).softmax(0).pow(2).sum()

    assert explain(f, (leaf(3),)), str(explain(f, (leaf(3),)))


def test_a_hook_that_changes_the_gradient_is_named():
    def f(x):
        y = x.sin()
        y.register_hook(lambda g: g * 2)
        return (y * y).sum()

    assert blamed(f, leaf(3)) == [("hook", "sin()")]


def test_a_wrong_custom_op_is_named_by_its_name():
    @torch.library.custom_op("explained::square", mutates_args=())
    def square(x: torch.Tensor) -> torch.Tensor:
        return x * x

    def keep(ctx, inputs, output):
        ctx.save_for_backward(inputs[0])

    square.register_autograd(lambda ctx, gy: gy * ctx.saved_tensors[0], setup_context=keep)
    assert blamed(lambda x: square(x.sin()).sum(), leaf(3)) == [("rule", "square.default")]


def test_a_backward_that_raises_is_named():
    class Raises(Sine):
        @staticmethod
        def backward(ctx, gy):
            raise ZeroDivisionError("no such rule")

    found = explain(lambda x: Raises.apply(x.exp()).sum(), (leaf(3),))
    assert [(b.op, b.cause) for b in found.blamed] == [("Raises", "raises")]


def test_a_loss_alone_says_what_to_pass():
    with pytest.raises(CallError, match="pass the function and its inputs"):
        explain((leaf(3) * 2).sum())


def test_other_threads_are_left_alone_while_a_function_is_watched():
    from threading import Thread

    from gradcheck.blame.torch_calls import Recorder

    recorder, results = Recorder(), []
    with recorder.watching([Sine]), recorder:
        thread = Thread(target=lambda: results.append(Sine.apply(leaf(2))))
        thread.start()
        thread.join()
        Sine.apply(leaf(2))
    assert [e.name for e in recorder.events if e.custom is not None] == ["Sine"]
    assert np.allclose(results[0].detach(), leaf(2).detach().sin())


def test_the_rounding_of_many_ops_in_single_precision_takes_few_calls_of_the_whole():
    calls = []

    def f(x):
        calls.append(1)
        for k in range(12):
            x = Sine.apply(x * 3.0) + 0.1 * (k % 7)
        return x.sum()

    assert explain(f, (leaf(4, dtype=torch.float32),))
    assert len(calls) < 100


def test_a_check_of_a_whole_module_says_how_to_find_the_op_and_one_of_a_rule_does_not():
    class Gated(torch.nn.Module):
        def forward(self, x):
            return x * torch.sigmoid(x.detach())

    x = torch.tensor([0.5, -1.0], requires_grad=True)
    advice = "to find the op, run print(gradcheck.explain({}, inputs)): it checks each by itself"
    report = gradcheck(Gated(), (x,), raise_exception=False)
    assert report.note.endswith(advice.format("module"))
    w = torch.tensor([2.0, 3.0], requires_grad=True)
    report = gradcheck(Wrong.apply, (x, w, 2.0), raise_exception=False)
    assert (report.verdict, "explain" in report.note) == (Verdict.FAIL, False)
    assert "explain" not in gradcheck(torch.sin, (x,)).note

"""Functions of PyTorch tensors: what is judged, and the verdicts on right and wrong Functions, modules and ops."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from tensors import Product, Sine, drawn  # noqa: E402

from gradcheck import gradcheck, gradgradcheck, verify  # noqa: E402


def causes(f, inputs, check=gradcheck, **options):
    return check(f, inputs, raise_exception=False, **options).causes


class Negated(Product):
    @staticmethod
    def backward(ctx, gy):
        x, y = ctx.saved_tensors
        return gy * y, -gy * x


@pytest.mark.parametrize("f", [Product, Product.apply, torch.mul, lambda x, y: x * y])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex128])
def test_right_functions_pass_in_both_orders(f, dtype):
    inputs = drawn(3, 4, dtype=dtype), drawn(3, 4, dtype=dtype, seed=1)
    if dtype is torch.complex128 and f in (Product, Product.apply):
        assert causes(f, inputs) == ("conjugated", "conjugated")
    else:
        assert gradcheck(f, inputs, order=2)


def test_the_wrong_input_is_named_with_its_cause():
    report = gradcheck(Negated, (drawn(3), drawn(3, seed=1)), raise_exception=False)
    assert [(f.cause, f.input) for f in report.faults] == [("sign", "inputs[1]")]
    assert report.gradient == "PyTorch's derivative of Negated"


def test_a_single_tensor_is_enough():
    assert gradcheck(torch.sin, drawn(3))


def test_tensors_that_require_no_gradient_are_constants_where_others_do():
    report = gradcheck(Negated, (drawn(3), drawn(3, seed=1).detach()))
    assert [i.path for i in report.inputs] == ["inputs[0]"]


def test_wrt_chooses_where_nothing_requires_a_gradient():
    inputs = drawn(3).detach(), drawn(3, seed=1).detach()
    assert gradcheck(Negated, inputs, wrt=0)
    assert causes(Negated, inputs, wrt=1) == ("sign",)


def test_integer_inputs_dictionaries_and_none_go_in_and_out():
    def f(x, more):
        return {"picked": x[more["at"]], "nothing": None, "indices": x.max(0), "sum": more["w"].sum()}

    report = gradcheck(f, (drawn(4, 2), {"at": torch.tensor([0, 3, 3]), "w": drawn(2), "none": None}))
    assert [i.path for i in report.inputs] == ["inputs[0]", "inputs[1]['w']"]


def test_a_module_is_judged_by_its_inputs_and_parameters():
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.LayerNorm(3))
    module[0].bias.requires_grad_(False)
    report = gradcheck(module, drawn(5, 4, dtype=torch.float32), order=2)
    assert [i.path for i in report.inputs] == ["inputs[0]", "0.weight", "2.weight", "2.bias"]


class Scaled(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor([1.5, -2.0, 0.5]))

    def forward(self, x):
        return Negated.apply(x, self.scale)


def test_a_wrong_gradient_by_a_parameter_bears_its_name():
    report = gradcheck(Scaled(), drawn(3, dtype=torch.float32).detach(), raise_exception=False)
    assert [(f.cause, f.input) for f in report.faults] == [("sign", "scale")]


def test_a_check_leaves_a_module_as_it_was():
    module = torch.nn.BatchNorm1d(3)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    assert gradcheck(module, drawn(6, 3, dtype=torch.float32))
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(p.grad is None for p in module.parameters())


@pytest.mark.parametrize(
    "module",
    [torch.nn.Embedding(5, 3), torch.nn.Embedding(5, 3, sparse=True)],
    ids=["dense", "sparse gradients"],
)
def test_repeated_indices_add_up(module):
    assert gradcheck(module, torch.tensor([1, 1, 2]))


def test_outputs_that_carry_no_gradient_are_left_out_and_named():
    class Sorted(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            values = x.sort().values
            ctx.mark_non_differentiable(values)
            return values, x * 2

        @staticmethod
        def backward(ctx, _, gy):
            return gy * 2

    assert gradcheck(Sorted, drawn(3)).note == "output[0] requires no gradient, and is not judged"


@pytest.mark.parametrize("way", [lambda x: x.detach().sin(), lambda x: torch.tensor(x.tolist()).sin()])
def test_a_gradient_that_was_lost_is_reported_with_where_to_look(way):
    report = gradcheck(way, drawn(3), raise_exception=False)
    assert report.causes == ("missing",)
    assert "look for detach(), .data, numpy()" in report.faults[0].text.replace("Look", "look")


def test_a_second_derivative_lost_by_data_is_reported():
    class Lost(Sine):
        @staticmethod
        def backward(ctx, gy):
            return gy * ctx.saved_tensors[0].data.cos()

    assert gradcheck(Lost, drawn(3))
    assert causes(Lost, drawn(3), gradgradcheck) == ("missing",)


def test_functions_that_differentiate_inside_are_judged():
    assert gradcheck(torch.func.grad(lambda x: (x**3).sum()), drawn(3), order=2)
    assert gradcheck(torch.func.vmap(torch.sin), drawn(3, 2))
    assert gradcheck(lambda x: torch.autograd.grad((x**3).sum(), x, create_graph=True)[0], drawn(3), order=2)


def test_a_custom_op_is_judged():
    @torch.library.custom_op("gradcheck_tests::square", mutates_args=())
    def square(x: torch.Tensor) -> torch.Tensor:
        return x * x

    def keep(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    square.register_autograd(lambda ctx, gy: 2 * gy * ctx.saved_tensors[0], setup_context=keep)
    assert gradcheck(square, drawn(3)).name == "gradcheck_tests::square"
    square.register_autograd(lambda ctx, gy: gy * ctx.saved_tensors[0], setup_context=keep)
    assert causes(square, drawn(3)) == ("factor",)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_function_is_judged():
    compiled = torch.compile(Product.apply, backend="aot_eager")
    try:
        compiled(drawn(2), drawn(2))
    except Exception as error:  # noqa: BLE001 - whatever a missing compiler raises
        pytest.skip(f"torch.compile does not work here: {type(error).__name__}")
    assert gradcheck(compiled, (drawn(3), drawn(3, seed=1)))
    wrong = torch.compile(Negated.apply, backend="aot_eager")
    assert "sign" in causes(wrong, (drawn(3), drawn(3, seed=1)))


def test_verify_draws_tensors_around_an_example():
    seen = set()

    def softplus(x):
        seen.add((type(x).__name__, tuple(x.shape), x.requires_grad))
        return torch.nn.functional.softplus(x)

    assert verify(softplus, like=drawn(3, 2), max_examples=20, max_seconds=20)
    assert len(seen) > 3
    assert {(kind, wanted) for kind, _, wanted in seen} == {("Tensor", True)}


def test_verify_finds_what_ties_show():
    class RowMax(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x.amax(1)
            ctx.save_for_backward(x, y)
            return y

        @staticmethod
        def backward(ctx, gy):
            x, y = ctx.saved_tensors
            return gy[:, None] * (x == y[:, None])

    x = torch.tensor([[0.5, 1.5, -2.0], [3.0, 2.5, -0.5]], requires_grad=True)
    assert gradcheck(RowMax, x)
    assert not verify(RowMax, like=x, raise_exception=False, max_seconds=60)

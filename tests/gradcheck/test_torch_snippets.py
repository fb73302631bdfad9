"""The code that a failed check of PyTorch prints runs as it stands, and prints the derivative that was reported."""

from __future__ import annotations

import io
from contextlib import redirect_stdout

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from tensors import Product, drawn  # noqa: E402

from gradcheck import GradientError, gradcheck  # noqa: E402


class Doubled(Product):
    """x * y, with a factor too many."""

    @staticmethod
    def backward(ctx, gy):
        x, y = ctx.saved_tensors
        return gy * y, 2 * gy * x


class Layer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([1.5, -2.0, 0.5]))
        self.register_buffer("shift", torch.tensor([0.1, 0.2, 0.3]))

    def forward(self, x):
        return Doubled.apply(x, self.weight) + self.shift


def lambda_of_two(x, more):
    return {"y": Doubled.apply(x, more["w"]), "none": None}


CASES = {
    "a Function": (Doubled.apply, lambda d: (drawn(3, dtype=d), drawn(3, dtype=d)), {"Doubled": Doubled}),
    "its class": (Doubled, lambda d: (drawn(3, dtype=d), drawn(3, dtype=d)), {"Doubled": Doubled}),
    "a dictionary": (
        lambda_of_two,
        lambda d: (drawn(2, dtype=d).detach(), {"w": drawn(2, dtype=d)}),
        {"lambda_of_two": lambda_of_two},
    ),
    "a module": (Layer(), lambda d: (drawn(3, dtype=torch.float32),), {"module": Layer()}),
}


@pytest.mark.nightly(each_time=4)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.complex128])
@pytest.mark.parametrize("name", CASES)
def test_a_snippet_runs_and_prints_the_derivative(name, dtype):
    f, make, names = CASES[name]
    report = gradcheck(f, make(dtype), raise_exception=False)
    heard = io.StringIO()
    with redirect_stdout(heard), pytest.raises(GradientError) as caught:
        exec(compile(report.snippet, "snippet", "exec"), dict(names))
    assert caught.value.report.causes == report.causes
    fault = next(f for f in report.faults if f.index is not None)
    assert complex(heard.getvalue()) == pytest.approx(fault.numeric, rel=1e-4)
    assert complex(heard.getvalue()) != pytest.approx(fault.analytic, rel=1e-2)

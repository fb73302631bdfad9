"""A reference in PyTorch that is run again from its tape: the same values, and errors wherever it rounds."""

import numpy as np
import pytest

from gradcheck.kernels.formats import Claims

torch = pytest.importorskip("torch")

from gradcheck.kernels import torch_replay  # noqa: E402
from gradcheck.kernels.torch_reference import TorchReference  # noqa: E402

X = np.random.default_rng(0).standard_normal((5, 8)) + 3
NONE = Claims(0.0, 0.0, 0.0)
LOUD = Claims(2.0**-8, 2.0**-8, 2.0**-8)
CONSTANT = torch.linspace(0, 1, 8, dtype=torch.float64)


def scattered(x):
    total = torch.zeros(3, 8, dtype=torch.float64)
    for row, i in zip(x, (0, 2, 2, 0, 1), strict=True):
        total[i] += row
    return total.index_add(0, torch.tensor([1, 1]), x[:2])


def filled(x):
    y = torch.empty_like(x)
    for k in range(x.shape[1]):
        y[:, k] = x[:, k].exp() + (y[:, k - 1] if k else 0)
    return y


def from_constants(x):
    total = torch.tensor(1.0, dtype=torch.float64)
    total += x.sum()
    return total * x


def selected(x):
    return x[x > 3].cumsum(0)


class Cubed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, gy):
        return 3 * gy * ctx.saved_tensors[0] ** 2


FUNCTIONS = {
    "softmax": lambda x: torch.softmax(x, -1),
    "what is saved is the output": lambda x: torch.tanh(x).exp().sqrt().sigmoid(),
    "views": lambda x: x.T.reshape(2, 20)[:, ::2].unfold(1, 3, 2).sum(-1),
    "scattered": scattered,
    "filled": filled,
    "in place": lambda x: x.clone().mul_(x).clamp_(max=12).sub_(1),
    "constants": lambda x: (x * CONSTANT).cumsum(-1),
    "written constants": from_constants,
    "duplicates": lambda x: x[torch.tensor([0, 1, 1, 0])] @ x.T,
    "chosen by value": selected,
    "sorted": lambda x: x.sort(-1).values * x,
    "layer_norm": lambda x: torch.nn.functional.layer_norm(x, (8,)),
    "convolution": lambda x: torch.nn.functional.conv1d(x[None], x[:2, None, :3].expand(2, 5, 3)),
    "several": lambda x: (x.chunk(2, -1)[0] * 2, torch.stack([x, x.exp()])),
    "broadcast": lambda x: x.sum(0).expand(3, 8),
    "the input itself": lambda x: x,
    "fft": lambda x: torch.fft.rfft(x).abs(),
    "a Function": Cubed.apply,
    "inverse": lambda x: torch.linalg.inv(x @ x.T + torch.eye(5, dtype=torch.float64)),
}


def recorded(f, x=X):
    reference = TorchReference(f, lambda arrays: f(arrays[0]), [x], "cpu")
    gys = [np.random.default_rng(1).standard_normal(y.shape) for y in reference.outputs]
    reference.pull(gys)
    reference.pull([2 * gy for gy in gys])
    reference.ready()
    return reference


def plain(f, gys):
    x = torch.tensor(X, requires_grad=True)
    ys = f(x)
    ys = ys if isinstance(ys, tuple) else (ys,)
    return torch.autograd.grad(ys, x, [torch.as_tensor(gy) for gy in gys])[0].numpy()


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_without_errors_it_is_what_was_recorded(name, count):
    reference = recorded(FUNCTIONS[name])
    exact = reference.exact()
    gys = [np.random.default_rng(1).standard_normal(y.shape) for y in reference.outputs]
    np.testing.assert_allclose(exact.pulled[0][0], plain(FUNCTIONS[name], gys), rtol=1e-12)
    for _ in range(2):  # nothing is left behind by a run
        for found in reference.noisy(NONE, [0.0] * len(exact.outputs), count):
            for a, b in zip(found.outputs, exact.outputs, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-12)
            for a, b in zip(found.pulled, exact.pulled, strict=True):
                np.testing.assert_allclose(a[0], b[0], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_runs_at_once_have_the_errors_of_runs_one_by_one(name, monkeypatch, capfd):
    sizes = []
    for at_once in (1 << 16, 1):
        monkeypatch.setattr(torch_replay, "AT_ONCE", at_once)
        reference = recorded(FUNCTIONS[name])
        exact = reference.exact().pulled[0][0]
        draws = [r.pulled[0][0] for r in reference.noisy(LOUD, [0.0] * len(reference.outputs), 64)]
        assert not np.array_equal(draws[0], draws[1])
        moved = np.abs(np.array(draws) - exact)
        sizes.append(np.median(moved[moved > 0]))
    assert 0.7 < sizes[0] / sizes[1] < 1.4
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_small_runs_are_made_at_once(name, monkeypatch):
    played = []
    one = torch_replay.Replay._played
    monkeypatch.setattr(torch_replay.Replay, "_played", lambda *args: played.append(args) or one(*args))
    reference = recorded(FUNCTIONS[name])
    assert len(list(reference.noisy(NONE, [0.0] * len(reference.outputs), 4))) == 4
    assert len(played) == (
        5 if name == "chosen by value" else 1
    )  # how many are chosen differs from run to run


def test_what_backward_reads_of_an_output_is_as_it_is_stored():
    reference = recorded(torch.exp)
    exact = reference.exact()
    for found in reference.noisy(NONE, [2.0**-4], 4):
        np.testing.assert_allclose(found.outputs[0], exact.outputs[0], rtol=1e-12)
        assert not np.allclose(found.pulled[0][0], exact.pulled[0][0], rtol=1e-3)


def test_a_long_sum_has_the_errors_of_its_partial_sums():
    x = np.ones((1, 10_000))
    reference = recorded(lambda x: x.sum(-1), x)
    draws = [r.outputs[0] for r in reference.noisy(Claims(0.0, 2.0**-24, 0.0), [0.0], 100)]
    assert np.std(draws) == pytest.approx(2.0**-24 * 1e4 * (1 + np.sqrt(1e4) / 4), rel=0.3)


def test_a_tensor_from_elsewhere_is_not_changed():
    held = torch.zeros(8, dtype=torch.float64)

    def adds(x):
        return held.add_(x.detach().sum(0)) * x

    reference = recorded(adds)
    before = held.clone()
    first, second = list(reference.noisy(NONE, [0.0], 2))
    assert torch.equal(held, before)
    np.testing.assert_array_equal(first.outputs[0], second.outputs[0])
    np.testing.assert_allclose(first.outputs[0], reference.exact().outputs[0], rtol=1e-12)

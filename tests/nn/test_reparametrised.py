"""Weight norm and spectral norm: what they compute, their gradients, and PyTorch's."""

import copy

import numpy as np
import pytest

from gradcheck import gradcheck
from gradcore import Tensor, nn, optim
from gradcore.errors import ArgumentError, DomainError

X = np.random.default_rng(0).standard_normal((3, 4))


def of(layer):
    """A function of a layer's input and parameters."""

    def f(x, parameters):
        return nn.functional_call(layer, parameters, x)

    return f, (Tensor(X), {name: Tensor(p.data.astype(float)) for name, p in layer.named_parameters()})


def test_weight_norm_computes_what_the_layer_did_and_trains_length_and_direction():
    plain = nn.Linear(4, 2, rng=0)
    layer = nn.weight_norm(nn.Linear(4, 2, rng=0))
    np.testing.assert_allclose(layer(X).data, plain(X).data, rtol=1e-6)
    assert {name: p.shape for name, p in layer.named_parameters()} == {
        "bias": (1, 2),
        "weight_g": (1, 2),
        "weight_v": (4, 2),
    }
    assert repr(layer) == "Linear(4 -> 2)  12 parameters"
    layer.weight_g.data *= 2
    np.testing.assert_allclose(layer(X).data, 2 * plain(X).data, rtol=1e-6)
    layer.weight_v.data *= 5
    np.testing.assert_allclose(layer(X).data, 2 * plain(X).data, rtol=1e-6)


@pytest.mark.parametrize("norm", [nn.weight_norm, nn.spectral_norm])
def test_its_gradient_is_the_numeric_one(norm):
    layer = norm(nn.Linear(4, 2, rng=0)).astype(np.float64).eval()
    f, inputs = of(layer)
    assert gradcheck(f, inputs)


def test_a_mistake_in_the_norm_is_detected():
    """The length as a constant: the gradient along v is not taken off."""
    layer = nn.weight_norm(nn.Linear(4, 2, rng=0)).astype(np.float64)

    def constant_length(x, parameters):
        v = parameters["weight_v"]
        weight = v * (parameters["weight_g"] / np.sqrt((v.data**2).sum(0, keepdims=True)))
        return x @ weight + parameters["bias"]

    assert not gradcheck(constant_length, of(layer)[1], raise_exception=False)


def test_spectral_norm_divides_by_the_largest_singular_value():
    layer = nn.spectral_norm(nn.Conv2d(2, 3, 2, rng=0), rng=0)
    for _ in range(50):
        weight = layer.weight
    assert np.linalg.svd(weight.data.reshape(3, 8))[1][0] == pytest.approx(1, rel=1e-5)
    layer.eval()
    before = layer.state_dict()
    layer(np.ones((1, 2, 3, 3)))
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert list(before) == ["bias", "weight_orig", "weight_u", "weight_v"]


@pytest.mark.parametrize("eps", [1e-12, 10.0])  # at least that much is divided by
@pytest.mark.parametrize(
    ("make", "axis"),
    [
        (lambda: nn.Linear(4, 2, rng=0), 1),
        (lambda: nn.Conv2d(2, 3, 2, rng=0), 0),
        (lambda: nn.ConvTranspose2d(2, 3, 2, rng=0), 1),
    ],
    ids=["Linear", "Conv2d", "ConvTranspose2d"],
)
def test_its_vectors_start_with_fifteen_power_iterations_over_the_outputs(make, axis, eps):
    layer = make().astype(np.float64)
    weight = layer.weight.data
    matrix = np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1)
    generator = np.random.default_rng(5)
    u, v = (generator.standard_normal(n) for n in matrix.shape)
    for _ in range(15):
        u = matrix @ v / max(np.linalg.norm(matrix @ v), eps)
        v = matrix.T @ u / max(np.linalg.norm(matrix.T @ u), eps)
    layer = nn.spectral_norm(layer, eps=eps, rng=5).eval()
    np.testing.assert_allclose(layer.weight_u, u, rtol=1e-12)
    np.testing.assert_allclose(layer.weight_v, v, rtol=1e-12)
    np.testing.assert_allclose(layer.weight.data, weight / (u @ matrix @ v), rtol=1e-12)


def test_a_copy_and_a_loaded_state_compute_the_same():
    layer = nn.spectral_norm(nn.Linear(4, 2, rng=0), rng=1).eval()
    other = nn.spectral_norm(nn.Linear(4, 2, rng=2), rng=3).eval()
    other.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(other(X).data, layer(X).data)
    np.testing.assert_array_equal(copy.deepcopy(layer)(X).data, layer(X).data)


def test_a_layer_is_trained():
    layer = nn.weight_norm(nn.Linear(4, 1, rng=0))
    optimizer = optim.SGD(layer.parameters(), lr=0.1)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = ((layer(X) - 1.0) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_weight_norm_is_pytorchs(dim):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    ours = nn.weight_norm(nn.Conv2d(2, 3, 2, rng=0).astype(np.float64), dim=dim)
    theirs = torch.nn.Conv2d(2, 3, 2).double()
    theirs.weight.data = torch.tensor(ours.weight.data)
    theirs.bias.data = torch.tensor(ours.bias.data)
    theirs = torch.nn.utils.parametrizations.weight_norm(theirs, dim=dim)
    x = np.random.default_rng(0).standard_normal((1, 2, 3, 3))
    y, z = ours(x), theirs(torch.tensor(x))
    (y**2).sum().backward()
    (z**2).sum().backward()
    g, v = (getattr(theirs.parametrizations.weight, f"original{k}") for k in (0, 1))
    np.testing.assert_allclose(y.data, z.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(ours.weight_g.grad.ravel(), g.grad.numpy().ravel(), rtol=1e-10)
    np.testing.assert_allclose(ours.weight_v.grad, v.grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ["Conv2d", "ConvTranspose2d"])
def test_spectral_norm_is_pytorchs(kind):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    ours = nn.spectral_norm(getattr(nn, kind)(2, 3, 2, rng=0).astype(np.float64), rng=0)
    theirs = getattr(torch.nn, kind)(2, 3, 2).double()
    theirs.weight.data = torch.tensor(ours.weight_orig.data)
    theirs.bias.data = torch.tensor(ours.bias.data)
    theirs = torch.nn.utils.parametrizations.spectral_norm(theirs)
    assert theirs.parametrizations.weight[0]._u.shape == ours.weight_u.shape
    theirs.parametrizations.weight[0]._u = torch.tensor(ours.weight_u)
    theirs.parametrizations.weight[0]._v = torch.tensor(ours.weight_v)
    x = np.random.default_rng(0).standard_normal((1, 2, 3, 3))
    y, z = ours(x), theirs(torch.tensor(x))
    (y**2).sum().backward()
    (z**2).sum().backward()
    np.testing.assert_allclose(y.data, z.detach().numpy(), rtol=1e-9)
    np.testing.assert_allclose(
        ours.weight_orig.grad, theirs.parametrizations.weight.original.grad.numpy(), rtol=1e-8, atol=1e-10
    )


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.weight_norm(nn.ReLU()), ArgumentError, r"weight_norm got a ReLU, which has no parameter 'weight': its own are none"),
        (lambda: nn.spectral_norm(nn.Linear(2, 3), "scale"), ArgumentError, r"no parameter 'scale': its own are weight, bias"),
        (lambda: nn.weight_norm(nn.weight_norm(nn.Linear(2, 3))), ArgumentError, r"its own are bias, weight_g, weight_v"),
        (lambda: nn.spectral_norm(nn.Linear(2, 3), n_power_iterations=0), DomainError, r"n_power_iterations=0: expected 1 or more"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()

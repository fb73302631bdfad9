"""Muon: the Newton-Schulz steps as a function of their own, and the parameters that it takes."""

import math

import numpy as np
import pytest
from optimizers import parameter

from gradcheck import gradcheck, gradgradcheck
from gradcore import Tensor, nn
from gradcore.errors import DomainError, GraphError
from gradcore.optim import Muon
from gradcore.optim.muon import orthogonalize

RNG = np.random.default_rng(0)
CUBIC = (1.5, -0.5, 0.0)


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4), (1, 3), (3, 1), (1, 1)])
def test_the_classic_cubic_steps_converge_to_the_orthogonal_factor(shape):
    x = RNG.normal(size=shape)
    u, _, vt = np.linalg.svd(x, full_matrices=False)
    np.testing.assert_allclose(orthogonalize(x, 60, CUBIC), u @ vt, atol=1e-13)


def test_other_coefficients_do_not():
    x = RNG.normal(size=(3, 5))
    u, _, vt = np.linalg.svd(x, full_matrices=False)
    assert np.abs(orthogonalize(x, 60, (1.5, -0.49, 0.0)) - u @ vt).max() > 1e-3


def test_five_steps_bring_singular_values_near_to_one():
    values = np.linspace(0.01, 1, 1000)
    x = np.diag(values)
    x = x / np.linalg.norm(x)
    largest = values / np.linalg.norm(values) >= 0.01
    found = np.diag(orthogonalize(x))[largest]
    assert 0.68 < found.min() < found.max() < 1.16


@pytest.mark.parametrize("size", [1e30, 1.0, 1e-3])
def test_the_size_of_a_matrix_does_not_matter(size):
    x = RNG.normal(size=(3, 4)).astype(np.float32)
    np.testing.assert_allclose(orthogonalize(x * np.float32(size)), orthogonalize(x), atol=1e-4)


def test_nor_does_it_where_all_entries_are_below_zero():
    x = -np.arange(1.0, 7.0, dtype=np.float32).reshape(2, 3)
    np.testing.assert_allclose(orthogonalize(x * np.float32(1e30)), orthogonalize(x), atol=1e-4)


@pytest.mark.parametrize("size", [0.1, 1.0, 50.0])
def test_a_norm_below_eps_is_taken_as_eps(size):
    x = np.full((2, 3), size)
    start = x / 1e3
    expected = 1.5 * start - 0.5 * (start @ start.T) @ start
    np.testing.assert_allclose(orthogonalize(x, 1, CUBIC, eps=1e3), expected, rtol=1e-12)


def test_a_parameter_in_float16_is_made_orthogonal_in_float32():
    x, g = (RNG.normal(size=(3, 4)).astype(np.float16) for _ in range(2))
    p = parameter(x, np.float16)
    p.grad = g.copy()
    Muon([p], lr=1.0, momentum=0.0, weight_decay=0.0, adjust_lr_fn="columns").step()
    size = np.float16(math.sqrt(4 / 3))  # numbers are in the parameter's dtype
    step = orthogonalize(g.astype(np.float32)) * size
    np.testing.assert_array_equal(p.data, x - step.astype(np.float16))
    assert (p.data != x - orthogonalize(g) * size).any(), (
        "float16 gives the same here, and the test shows nothing"
    )


@pytest.mark.parametrize(
    "options",
    [
        {"ns_steps": 99},
        {"ns_steps": np.int64(3)},
        {"ns_coefficients": (1, 2, 3)},
        {"ns_coefficients": [1.0, 2, 3]},
    ],
)
def test_settings_at_the_end_of_their_range_are_taken(options):
    (name,) = options
    assert getattr(Muon([parameter([[1.0]])], **options), name) in (options[name], (1, 2, 3))


def test_a_matrix_of_zeros_and_one_without_entries_stay_as_they_are():
    assert not orthogonalize(np.zeros((2, 3))).any()
    assert orthogonalize(np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("shape", [(2, 3), (3, 2)])
def test_its_derivatives_are_right_to_the_second_order(shape):
    x = RNG.normal(size=shape)
    assert gradcheck(lambda x: orthogonalize(x, 2), (Tensor(x),))
    assert gradgradcheck(lambda x: orthogonalize(x, 2), (Tensor(x),))


def test_a_parameter_that_is_no_matrix_is_refused():
    layer, norm = nn.Linear(3, 2, rng=0), nn.LayerNorm(3)
    with pytest.raises(
        GraphError, match=r"Muon got a parameter of shape \(3,\) as parameter 2: it changes matrices"
    ):
        Muon([*layer.parameters(), *norm.parameters()])
    optimizer = Muon([p for name, p in layer.named_parameters() if name.endswith("weight")])
    with pytest.raises(GraphError, match=r"Muon got a parameter of shape \(3,\)"):
        optimizer.add_param_group({"params": norm.weight})
    assert optimizer.params == [layer.weight]


def test_a_layer_moves_as_pytorchs_though_its_weight_is_transposed():
    torch = pytest.importorskip("torch", minversion="2.9")
    weight, g = RNG.normal(size=(2, 6)), RNG.normal(size=(2, 6))
    ours, theirs = parameter(weight), torch.tensor(weight.T.copy(), requires_grad=True)
    ours.grad, theirs.grad = g.copy(), torch.tensor(g.T.copy())
    Muon([ours], 1.0, adjust_lr_fn="columns").step()
    torch.optim.Muon([theirs], 1.0).step()
    assert np.abs(ours.data - theirs.detach().numpy().T).max() < 0.03  # it computes in bfloat16
    other = parameter(weight)
    other.grad = g.copy()
    Muon([other], 1.0).step()
    assert np.abs(ours.data - other.data).max() > 0.3


def test_a_kernel_is_the_matrix_of_its_first_axis_by_the_others():
    x = RNG.normal(size=(3, 2, 2, 2))
    kernel, matrix = parameter(x), parameter(x.reshape(3, 8))
    kernel.grad, matrix.grad = x.copy(), x.reshape(3, 8).copy()
    for p in (kernel, matrix):
        Muon([p], lr=0.5).step()
    np.testing.assert_array_equal(kernel.data.reshape(3, 8), matrix.data)


def test_a_long_matrix_is_not_cut_in_blocks(monkeypatch):
    monkeypatch.setattr("gradcore.optim.base.BLOCK", 4)
    x = RNG.normal(size=(4, 3))
    p = parameter(x)
    p.grad = x.copy()
    Muon([p], lr=1.0, weight_decay=0.0).step()
    np.testing.assert_allclose(p.data, x - orthogonalize(x) * np.sqrt(4 / 3), atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ns_steps": 0}, "ns_steps=0 is out of range: it must be a whole number from 1 to 99"),
        ({"ns_steps": 2.0}, r"ns_steps=2\.0 is out of range"),
        ({"ns_steps": 100}, "ns_steps=100 is out of range"),
        ({"ns_steps": True}, "ns_steps=True is out of range"),
        ({"ns_coefficients": ("1", 2, 3)}, "are not three numbers"),
        ({"ns_coefficients": (1, 2)}, r"ns_coefficients=\(1, 2\) are not three numbers: pass three, such as"),
        ({"ns_coefficients": (1, 2, float("inf"))}, "are not three numbers"),
        (
            {"adjust_lr_fn": "rms"},
            "adjust_lr_fn='rms' is none: write None, 'original', 'columns', 'match_rms_adamw'",
        ),
    ],
)
def test_settings_that_can_not_be_are_refused(options, message):
    with pytest.raises(DomainError, match=message):
        Muon([parameter([[1.0]])], **options)


@pytest.mark.parametrize(
    ("shape", "longer"), [((1, 4), "columns"), ((4, 1), "original"), ((1, 2, 2), "columns")]
)
def test_a_matrix_of_one_row_or_one_column_is_moved_by_the_root_of_its_length(shape, longer):
    def step(adjust):
        p = parameter(np.zeros(shape))
        p.grad = np.arange(1.0, 5.0).reshape(shape)
        Muon([p], lr=1.0, momentum=0.0, weight_decay=0.0, adjust_lr_fn=adjust).step()
        return p.data

    other = {"columns": "original", "original": "columns"}[longer]
    np.testing.assert_allclose(step(longer), 2 * step(other), rtol=1e-14)

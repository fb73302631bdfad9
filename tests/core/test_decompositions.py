"""Functions of matrices that give several arrays, or take them in another way than their ops: they are NumPy's, with gradients."""

import numpy as np
import pytest

import gradcore
from gradcheck import gradcheck
from gradcore import Tensor
from gradcore.errors import DomainError, ShapeError

RNG = np.random.default_rng(5)
SQUARE = RNG.normal(size=(2, 3, 3))
SYMMETRIC = SQUARE + SQUARE.swapaxes(-1, -2)
TALL = RNG.normal(size=(2, 4, 3))
WIDE = TALL.swapaxes(-1, -2)


def leaf(x):
    return Tensor(x, requires_grad=True)


def checked(function, x, names, call):
    """Each named part is NumPy's; and a smooth function of all parts has the numeric gradient."""
    for of in (function, call):
        found, expected = of(leaf(x)), call(x)
        assert type(found)._fields == tuple(names)
        for name, ours, theirs in zip(names, found, expected, strict=True):
            assert getattr(found, name) is ours
            np.testing.assert_allclose(
                np.asarray(getattr(ours, "data", ours)), theirs, rtol=1e-12, atol=1e-12
            )


@pytest.mark.parametrize("x", [TALL, WIDE, SQUARE], ids=["tall", "wide", "square"])
def test_singular_values_and_vectors(x):
    checked(gradcore.svd, x, ["U", "S", "Vh"], lambda a: np.linalg.svd(a, full_matrices=False))
    np.testing.assert_allclose(gradcore.svdvals(x), np.linalg.svd(x, compute_uv=False))
    np.testing.assert_allclose(
        np.linalg.svd(leaf(x), compute_uv=False).data, np.linalg.svd(x, compute_uv=False)
    )
    gradcheck(lambda a: (lambda d: (d.U * np.tanh(d.S)[..., None, :]) @ d.Vh)(gradcore.svd(a)), (leaf(x),))


def test_eigenvalues_and_vectors():
    checked(gradcore.eigh, SYMMETRIC, ["eigenvalues", "eigenvectors"], np.linalg.eigh)
    np.testing.assert_allclose(gradcore.eigvalsh(SYMMETRIC), np.linalg.eigvalsh(SYMMETRIC))
    np.testing.assert_allclose(np.linalg.eigvalsh(leaf(SYMMETRIC)).data, np.linalg.eigvalsh(SYMMETRIC))

    def root(a):
        values, vectors = gradcore.eigh(a)
        return (vectors * np.tanh(values)[..., None, :]) @ np.swapaxes(vectors, -1, -2)

    gradcheck(root, (leaf(SYMMETRIC),))


@pytest.mark.parametrize("x", [TALL, SQUARE], ids=["tall", "square"])
def test_qr(x):
    checked(gradcore.qr, x, ["Q", "R"], np.linalg.qr)
    gradcheck(lambda a: (lambda d: np.sin(d.Q) @ (d.R * d.R))(gradcore.qr(a)), (leaf(x),))


def test_slogdet_is_numpys_and_its_sign_has_no_gradient():
    x = leaf(SQUARE)
    for found in (gradcore.slogdet(x), np.linalg.slogdet(x)):
        np.testing.assert_array_equal(found.sign, np.linalg.slogdet(SQUARE)[0])
        np.testing.assert_allclose(found.logabsdet.data, np.linalg.slogdet(SQUARE)[1])
        assert type(found.sign) is np.ndarray


def test_the_derivative_of_a_determinant_holds_where_it_is_zero():
    rank_2 = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [5.0, 7.0, 9.0]])
    with np.errstate(all="raise"):
        for x in (
            np.zeros((1, 1)),
            np.diag([0.0, 2.0, 3.0]),
            np.array([[0.0, 0.0], [0.0, 0.0]]),
            np.array([[1.0, 1.0], [1.0, 1.0]]),
        ):
            gradcheck(gradcore.det, (leaf(x),))
    x = leaf(rank_2)
    gradcore.det(x).backward()
    cofactors = [[3.0, -6.0, 3.0], [3.0, -6.0, 3.0], [-3.0, 6.0, -3.0]]
    np.testing.assert_allclose(x.grad, cofactors, atol=1e-12)
    both = leaf(np.stack([np.diag([0.0, 2.0]), np.diag([3.0, 2.0])]))
    gradcore.det(both).sum().backward()
    np.testing.assert_allclose(both.grad, [[[2.0, 0.0], [0.0, 0.0]], [[2.0, 0.0], [0.0, 3.0]]], atol=1e-12)


@pytest.mark.parametrize("optimize", [False, True, "greedy"])
def test_einsum_is_numpys_whatever_the_order(optimize):
    a, b, c = RNG.normal(size=(2, 3)), RNG.normal(size=(3, 4)), RNG.normal(size=(4, 2))
    expected = np.einsum("ij,jk,ki->i", a, b, c)
    found = np.einsum("ij,jk,ki->i", leaf(a), b, c, optimize=optimize)
    np.testing.assert_allclose(found.data, expected)
    np.testing.assert_allclose(gradcore.einsum("ij,jk,ki->i", a, b, c), expected)
    gradcheck(lambda *x: gradcore.einsum("ij,jk,ki->i", *x), (leaf(a), leaf(b), leaf(c)))


@pytest.mark.parametrize(
    "subscripts", ["...ij,jk", "ij...,jk", "i...,i...", "ij...,ji...", "...,...", "...ij,...jk", "jik,kj"]
)
def test_a_result_that_is_not_written_has_the_dots_first_and_then_the_letters_in_order(subscripts):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 3, 3, 3))
    if "..." not in subscripts.split(",")[1]:
        b = b[0] if "jk" in subscripts else b[:, 0]
    np.testing.assert_allclose(gradcore.einsum(subscripts, a, b), np.einsum(subscripts, a, b), rtol=1e-12)


def test_einsum_broadcasts_an_axis_of_one_as_numpy_does():
    for rows in (2, 3):
        a, b = RNG.normal(size=(1, 3)), RNG.normal(size=(rows, 3))
        np.testing.assert_allclose(gradcore.einsum("ij,ij->j", a, b), np.einsum("ij,ij->j", a, b))
        gradcheck(lambda *x: gradcore.einsum("ij,ij->j", *x), (leaf(a), leaf(b)))
        gradcheck(lambda *x: gradcore.einsum("ij,ij->j", *x), (leaf(b), leaf(a)))


@pytest.mark.parametrize("triangle", ["L", "U", "u"])
def test_of_a_symmetric_matrix_one_triangle_is_read_and_gets_the_gradient(triangle):
    read = np.tril if triangle == "L" else np.triu
    np.testing.assert_allclose(
        gradcore.eigvalsh(SQUARE, triangle), np.linalg.eigvalsh(SQUARE, triangle), rtol=1e-12, atol=1e-12
    )
    values, vectors = np.linalg.eigh(leaf(SQUARE), triangle)
    full = read(SQUARE) + read(SQUARE, 1 if triangle != "L" else -1).swapaxes(-1, -2)
    np.testing.assert_allclose(
        (vectors * values[..., None, :] @ vectors.swapaxes(-1, -2)).data, full, rtol=1e-11, atol=1e-11
    )
    x = leaf(SQUARE)
    sum_of_cubes = (np.linalg.eigvalsh(x, triangle) ** 3).sum()
    sum_of_cubes.backward()
    np.testing.assert_array_equal(x.grad, read(x.grad))
    gradcheck(lambda x: gradcore.eigvalsh(x, triangle), (leaf(SQUARE),))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda x: gradcore.einsum("ij", x, x),
            ShapeError,
            r"names 1 arrays, and got 2: separate them by commas",
        ),
        (
            lambda x: gradcore.einsum("ij,jk", x, x),
            ShapeError,
            r"has 'ij' for an array of 3 axes: one letter for each",
        ),
        (
            lambda x: gradcore.einsum("bij->k", x),
            ShapeError,
            r"has \['k'\] in the result, which no array has",
        ),
        (
            lambda x: gradcore.einsum("bij,bjk", x, x[..., :2, :]),
            ShapeError,
            "a letter has one size in all arrays",
        ),
        (lambda x: gradcore.einsum("i1->i", x[0]), ShapeError, "The axes are letters; a letter has one size"),
        (lambda x: gradcore.einsum("i.,j->ij", x[0], x[0, 0]), ShapeError, "The axes are letters"),
        (lambda x: gradcore.einsum("ij->ii", x[0]), ShapeError, "stands at most once in the result"),
        (
            lambda x: gradcore.einsum("...ijk->...", x[0]),
            ShapeError,
            r"has '...ijk' for an array of 2 axes: one letter for each",
        ),
        (lambda x: gradcore.einsum("ij->i", x[0], out=x), ShapeError, "no other option than optimize"),
        (lambda x: gradcore.einsum(x, [0, 1]), ShapeError, "takes the subscripts as text"),
        (lambda x: gradcore.svd(x, full_matrices=True), DomainError, "any basis and have no derivative"),
        (lambda x: gradcore.eigh(x, "A"), DomainError, "got UPLO='A': expected 'L' or 'U', the triangle"),
        (lambda x: gradcore.eigh(x[:, :2], "U"), ShapeError, "eigh takes square matrices"),
        (lambda x: gradcore.qr(x, "complete"), DomainError, "only 'reduced' has a derivative"),
        (lambda x: gradcore.qr(x[:, :2]), ShapeError, "with m >= n"),
        (lambda x: gradcore.svd(x[0, 0]), ShapeError, r"takes matrices \(..., m, n\), and got shape \(3,\)"),
        (lambda x: gradcore.inv(x[:, :2]), ShapeError, r"inv takes square matrices \(..., n, n\)"),
        (lambda x: gradcore.solve(x, np.ones(2)), ShapeError, r"b has to be \(3,\) or \(..., 3, k\)"),
        (lambda x: gradcore.norm(x, 3, (0, 1)), DomainError, "norm got ord=3 for matrices"),
        (lambda x: gradcore.tensordot(x, x, 4), ShapeError, "one has too few axes"),
        (lambda x: gradcore.tensordot(x, x, ((0,), (1,))), ShapeError, "differ in size"),
        (lambda x: gradcore.cross(x[..., :2], x[..., :2]), ShapeError, "has to have 3 entries"),
    ],
)
def test_what_can_not_be_done_is_refused_with_what_would_fit(call, error, words):
    with pytest.raises(error, match=words):
        call(leaf(SQUARE))

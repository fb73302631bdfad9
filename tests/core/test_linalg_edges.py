"""Matrices that are none, products and joins of every rank, bounds of each form: as NumPy gives them, or refused by name."""

import itertools

import numpy as np
import pytest

import gradcore
from gradcheck import gradcheck
from gradcore import Tensor
from gradcore.errors import ArgumentError, DomainError, ShapeError
from gradcore.ops.decompositions import eigh_packed


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def leaf(values):
    return Tensor(np.array(values, np.float64), requires_grad=True)


SQUARE = normal(2, 3, 3) + 4 * np.eye(3)
SQUARES = {
    "cholesky": lambda x: gradcore.cholesky(
        x @ x.swapaxes(-1, -2) if x.ndim > 1 and x.shape[-1] == x.shape[-2] else x
    ),
    "det": gradcore.det,
    "eigh": gradcore.eigh,
    "eigh of the packed form": eigh_packed,
    "eigh of the upper triangle": lambda x: gradcore.eigh(x, "U"),
    "inv": gradcore.inv,
    "logabsdet": gradcore.logabsdet,
    "matrix_power": lambda x: gradcore.matrix_power(x, 2),
    "slogdet": gradcore.slogdet,
    "solve": lambda x: gradcore.solve(x, np.ones(3)),
}


@pytest.mark.parametrize("name", SQUARES)
def test_a_matrix_that_is_not_square_is_refused_and_the_op_named(name):
    own = name.partition(" ")[0]
    for wrong in (normal(2, 3), normal(2, 3, 2), normal(3)):
        for x in (wrong, Tensor(wrong)):
            with pytest.raises(ShapeError, match=rf"{own} takes square matrices \(\.\.\., n, n\), and got"):
                SQUARES[name](x)
    SQUARES[name](SQUARE)


SINGULAR = {
    "of rank 2": [[1.0, 2.0, 0.5], [0.25, -1.0, 1.5], [1.25, 1.0, 2.0]],
    "of rank 1": [[1.0, 2.0, 4.0], [0.5, 1.0, 2.0], [-1.0, -2.0, -4.0]],
    "of rank 0": np.zeros((3, 3)),
    "two by two": [[1.0, 2.0], [2.0, 4.0]],
    "one by one": [[0.0]],
    "a stack": np.stack([np.diag([1.0, 0.0, 2.0]), np.diag([1.0, 3.0, 2.0])]),
    "a stack of stacks": np.stack([np.diag([1.0, 0.0]), np.diag([2.0, 3.0])])[:, None],
}


@pytest.mark.parametrize("name", [name for name in SINGULAR if name not in ("of rank 1", "of rank 0")])
def test_a_determinant_of_zero_has_derivatives_of_both_orders(name):
    assert gradcheck(gradcore.det, (leaf(SINGULAR[name]),), order=2)


@pytest.mark.parametrize("name", ["of rank 2", "of rank 1", "of rank 0"])
def test_the_second_derivative_of_a_determinant_is_the_sum_over_permutations(name):
    x, signs = np.array(SINGULAR[name]), np.zeros((3, 3, 3))
    for i, j, k in itertools.permutations(range(3)):
        signs[i, j, k] = np.linalg.det(np.eye(3)[[i, j, k]])
    expected = np.einsum("ikm,jlp,mp->ijkl", signs, signs, x)
    np.testing.assert_allclose(gradcore.hessian(gradcore.det)(leaf(x)).data, expected, atol=1e-12)


@pytest.mark.parametrize("shape", [(3, 3), (2, 3, 3), (2, 1, 3, 3)])
def test_stacks_of_any_depth_have_the_gradients_of_their_matrices(shape):
    x = normal(*shape)
    spd = x @ x.swapaxes(-1, -2) + np.eye(3)
    assert gradcheck(lambda x: gradcore.cholesky((x + x.swapaxes(-1, -2)) / 2), (leaf(spd),))
    for power in (-1, 0, 3):
        assert gradcheck(lambda x, power=power: gradcore.matrix_power(x, power), (leaf(spd),))
        np.testing.assert_allclose(
            gradcore.matrix_power(spd, power), np.linalg.matrix_power(spd, power), rtol=1e-9, atol=1e-12
        )


def test_a_vector_is_appended_along_any_axis():
    x, y = normal(2, 3), normal(2, 3, seed=1)
    for axis in (0, 1, -1, None):
        np.testing.assert_array_equal(gradcore.append(x, y, axis), np.append(x, y, axis))


def test_a_mode_of_padding_that_is_none_is_refused():
    with pytest.raises(
        DomainError, match=r"pad got mode='mean': it is 'constant', 'reflect', 'symmetric', 'edge', 'wrap'"
    ):
        gradcore.pad(normal(3), 1, mode="mean")


def test_a_triangle_may_be_named_in_lower_case_and_no_other_is_read():
    x = normal(3, 3)
    for name in "luLU":
        kept = np.tril(x) if name in "lL" else np.triu(x)
        np.testing.assert_allclose(
            gradcore.eigh(kept, name)[0], np.linalg.eigh(x, name.upper())[0], rtol=1e-12
        )


def test_singular_values_alone_are_of_no_basis():
    x = normal(3, 2)
    values = gradcore.svd(x, full_matrices=True, compute_uv=False)
    np.testing.assert_array_equal(values, gradcore.svd(x)[1])
    with pytest.raises(DomainError, match="svd got full_matrices=True"):
        gradcore.svd(x, full_matrices=True)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_a_qr_of_fewer_rows_than_columns_or_of_no_matrix_is_refused(shape):
    with pytest.raises(ShapeError, match=r"qr takes matrices \(\.\.\., m, n\) with m >= n, and got shape"):
        gradcore.qr(normal(*shape))


def test_a_determinant_and_its_logarithm_have_the_shape_of_the_stack():
    for f in (gradcore.det, gradcore.logabsdet):
        assert type(f(SQUARE[0])) is np.ndarray
        assert f(SQUARE).shape == (2,)
        gradcheck(f, (leaf(SQUARE),))


@pytest.mark.parametrize("power", [-2, -1, 0, 1, 2, 3, 5])
def test_a_power_of_a_stack_is_numpys(power):
    np.testing.assert_allclose(
        gradcore.matrix_power(SQUARE, power), np.linalg.matrix_power(SQUARE, power), rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize(
    ("a", "b"), [((3, 3), (3,)), ((3, 3), (3, 2)), ((2, 3, 3), (3, 1)), ((3, 3), (2, 3, 4))]
)
def test_a_system_has_a_vector_or_columns_on_its_right_side(a, b):
    matrix, right = normal(*a) + 4 * np.eye(3), normal(*b, seed=1)
    np.testing.assert_allclose(gradcore.solve(matrix, right), np.linalg.solve(matrix, right), rtol=1e-10)
    gradcheck(gradcore.solve, (leaf(matrix), leaf(right)))
    for wrong in (normal(2), normal(2, 3), normal(4, 2, 1)):
        with pytest.raises(ShapeError, match=r"solve.*b has to be \(3,\) or \(\.\.\., 3, k\)"):
            gradcore.solve(matrix, wrong)


@pytest.mark.parametrize("lower", [False, True])
def test_what_is_beside_the_triangle_is_not_read(lower):
    x = SQUARE[0]
    part = np.tril(x) if lower else np.triu(x)
    found = gradcore.solve_triangular(x, np.ones(3), lower=lower)
    np.testing.assert_allclose(found, np.linalg.solve(part, np.ones(3)), rtol=1e-12)


# --- products ---------------------------------------------------------------------------------------------------------

SHAPES = [(), (1,), (3,), (2, 3), (3, 3), (2, 1, 3), (3, 2, 3)]


@pytest.mark.parametrize("a", SHAPES)
@pytest.mark.parametrize("b", SHAPES)
def test_products_of_every_rank_are_numpys_or_refused(a, b):
    x, y = normal(*a), normal(*b, seed=1)
    for f, theirs in ((gradcore.kron, np.kron), (gradcore.outer, np.outer)):
        np.testing.assert_allclose(f(x, y), theirs(x, y), rtol=1e-13)
        np.testing.assert_allclose(f(Tensor(x), y).data, theirs(x, y), rtol=1e-13)
    try:
        expected = np.dot(x, y)
    except ValueError:
        with pytest.raises(ShapeError):
            gradcore.dot(x, y)
    else:
        np.testing.assert_allclose(gradcore.dot(x, y), expected, rtol=1e-13)


@pytest.mark.parametrize(
    "axes", [0, 1, 2, np.int64(1), ((0,), (0,)), ((1, 0), (0, 1)), (1, 0), ((-1,), (0,))]
)
def test_axes_of_a_tensordot_are_numpys(axes):
    x, y = normal(3, 3), normal(3, 3, seed=1)
    np.testing.assert_allclose(gradcore.tensordot(x, y, axes), np.tensordot(x, y, axes), rtol=1e-13)


@pytest.mark.parametrize(
    ("a", "b", "axes"), [((3,), (3, 3), 2), ((3, 3), (3,), 2), ((3, 3), (3, 3), 3), ((3, 3), (3, 3), -1)]
)
def test_more_axes_than_there_are_can_not_be_summed_over(a, b, axes):
    with pytest.raises(ShapeError, match="one has too few axes"):
        gradcore.tensordot(normal(*a), normal(*b), axes)


@pytest.mark.parametrize(("a", "b"), [((2, 3), (2, 4)), ((2, 4), (2, 3)), ((4,), (3,))])
def test_a_cross_product_is_of_three_entries_on_both_sides(a, b):
    with pytest.raises(ShapeError, match=r"cross got the shapes .*: axis -1 has to have 3 entries"):
        gradcore.cross(normal(*a), normal(*b))


def test_the_matrix_of_a_diagonal_and_the_diagonal_of_a_matrix():
    for k in (-1, 0, 2):
        np.testing.assert_array_equal(gradcore.diag(normal(3), k), np.diag(normal(3), k))
        np.testing.assert_array_equal(gradcore.diag(normal(3, 4), k), np.diag(normal(3, 4), k))
    for wrong in (normal(2, 2, 2), np.array(1.0)):
        with pytest.raises(
            ShapeError,
            match=r"diag takes a vector or a matrix, and got shape \(.*\): diagonal takes more axes",
        ):
            gradcore.diag(wrong)


# --- norms ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("order", [None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf])
@pytest.mark.parametrize("axis", [(0, 1), (1, 0), (-1, 0), (2, 1), [0, 2]])
def test_norms_of_matrices_along_any_two_axes_are_numpys(axis, order, keepdims):
    x = normal(2, 3, 1)
    expected = np.linalg.norm(x, order, tuple(axis), keepdims)
    found = gradcore.norm(x, order, axis, keepdims)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("order", ["fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf])
def test_the_norm_of_a_matrix_as_a_whole_is_numpys(order):
    x = normal(2, 3)
    assert float(gradcore.norm(x, order)) == pytest.approx(np.linalg.norm(x, order), rel=1e-12)


@pytest.mark.parametrize("order", [None, 1, 2, 3, 0.5, np.inf, -np.inf, np.float64(3)])
def test_norms_of_vectors_are_numpys(order):
    for x, axis in ((normal(4), None), (normal(2, 3), 0), (normal(2, 3), -1), (normal(2, 3), np.int64(1))):
        np.testing.assert_allclose(gradcore.norm(x, order, axis), np.linalg.norm(x, order, axis), rtol=1e-12)
    assert float(gradcore.norm(normal(2, 3))) == pytest.approx(np.linalg.norm(normal(2, 3)), rel=1e-14)
    with pytest.raises(DomainError, match="norm got ord='max' for matrices: None, 'fro'"):
        gradcore.norm(normal(2, 3), "max")


@pytest.mark.parametrize("order", [0, 0.0, "fro", "max"])
def test_an_order_of_a_vector_that_is_none_is_refused(order):
    for f in (gradcore.norm, gradcore.vector_norm):
        with pytest.raises(
            DomainError, match=rf"the norm of a vector got ord={order!r}: it is a number other than 0"
        ):
            f(normal(3), order, 0)


# --- bounds and joins -------------------------------------------------------------------------------------------------


def test_bounds_come_by_numpys_names_as_numbers_and_as_arrays():
    x, low, high = normal(5), np.full(5, -0.5), np.full(5, 0.25)
    for bounds in ({"min": -0.5}, {"max": 0.25}, {"min": -0.5, "max": 0.25}):
        expected = np.clip(x, bounds.get("min"), bounds.get("max"))
        for form in (lambda b: b, np.float64, lambda b: np.full(5, b), lambda b: Tensor(np.full(5, b))):
            given = {name: form(bound) for name, bound in bounds.items()}
            np.testing.assert_array_equal(np.asarray(gradcore.clip(x, **given)), expected)
            named = {f"a_{name}": bound for name, bound in given.items()}
            np.testing.assert_array_equal(gradcore.clip(Tensor(x), **named).data, expected)
    np.testing.assert_array_equal(gradcore.clip(x, a_max=high, a_min=low), np.clip(x, -0.5, 0.25))
    np.testing.assert_array_equal(gradcore.clip(x, -0.5, high), np.clip(x, -0.5, 0.25))
    with pytest.raises(ArgumentError, match="clip takes no a_mean: its bounds are min and max"):
        gradcore.clip(x, a_mean=1.0)


@pytest.mark.parametrize("kind", [int, float, np.float32, np.int64])
def test_the_derivative_on_a_bound_that_is_a_number_is_one(kind):
    x = leaf([0.0, 1.0, 2.0])
    gradcore.clip(x, kind(0), kind(1)).sum().backward()
    assert x.grad.tolist() == [1.0, 1.0, 0.0]


def test_a_bound_that_is_an_array_shares_the_derivative_on_it():
    x, low = leaf([0.0, 1.0]), leaf([0.0, 0.0])
    gradcore.clip(x, low).sum().backward()
    assert (x.grad.tolist(), low.grad.tolist()) == ([0.5, 1.0], [0.5, 0.0])


@pytest.mark.parametrize("name", ["concatenate", "stack", "hstack", "vstack", "dstack", "column_stack"])
def test_lists_of_numbers_are_joined_as_numpy_joins_them(name):
    for lists in ([[1.0, 2.0], [3.0, 4.0]], [[1, 2], [3, 4]], [[[1.0], [2.0]], [[3.0], [4.0]]]):
        np.testing.assert_array_equal(getattr(gradcore, name)(lists), getattr(np, name)(lists))
        np.testing.assert_array_equal(
            getattr(gradcore, name)([lists[0], np.array(lists[1])]), getattr(np, name)(lists)
        )


def test_a_new_axis_of_a_stack_has_a_name_of_each_library():
    x, y = Tensor(normal(2, 3)), normal(2, 3, seed=1)
    for axis in (0, 1, 2, -1):
        expected = np.stack([x.data, y], axis)
        for named in ({"axis": axis}, {"dim": axis}):
            np.testing.assert_array_equal(gradcore.stack([x, y], **named).data, expected)
    with pytest.raises(ShapeError, match="stack"):
        gradcore.stack([x, y], 3)
    with pytest.raises(ShapeError, match="stack"):
        gradcore.stack([x, y], -4)


@pytest.mark.parametrize("sections", [2, np.int64(2), [1], (1, 3)])
def test_parts_are_numpys(sections):
    x = normal(4, 3)
    for f, theirs in ((gradcore.split, np.split), (gradcore.array_split, np.array_split)):
        for mine, other in zip(f(Tensor(x), sections), theirs(x, sections), strict=True):
            np.testing.assert_array_equal(mine.data, other)


@pytest.mark.parametrize("wrong", [0, -1, 3, np.int64(3)])
def test_parts_of_unequal_size_are_refused(wrong):
    with pytest.raises(ShapeError, match="split"):
        gradcore.split(normal(4, 3), wrong)

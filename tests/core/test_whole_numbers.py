"""Whole numbers and booleans in an op are what they are in NumPy's function of its name: value, shape and dtype."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings

import gradcore
from gradcheck.strategies import examples
from gradcheck.verification import cases
from gradcore import Tensor
from gradcore.errors import ShapeError

KINDS = ("int64", "int32", "int8", "uint8", "bool")
ALIKE = {
    name: (getattr(gradcore, name), getattr(np, name))
    for name in sorted(gradcore.__all__)
    if callable(getattr(np, name, None)) and getattr(np, name) is not getattr(gradcore, name)
}
OTHERWISE = {
    "ones zeros full eye arange": "are float32 where no dtype is given",
    "reciprocal": "divides as / does, where NumPy's rounds to whole numbers",
    "deg2rad rad2deg": "are in float64, where NumPy's of few bits are in float16",
    "square": "keeps booleans, of which NumPy's makes int8",
    "where": "takes three arrays",
    "quantile": "takes shares beside x, and is below",
}
EXCUSED = {name for names in OTHERWISE for name in names.split()}


APART = {
    "pow": "of whole numbers has no negative exponents, as in NumPy",
    "pad": "keeps them beside a constant that is none, as in NumPy",
    "ctc_loss": "is refused them by the loss",
}


def named(unit):
    return unit.id.partition("-")[0]


def drawn(kind, shape):
    rng = np.random.default_rng(len(kind))
    return (
        rng.integers(0, 2, shape).astype(bool) if kind == "bool" else rng.integers(1, 5, shape).astype(kind)
    )


def arguments(kind):
    yield (drawn(kind, (2, 3)),)
    yield (drawn(kind, (6,)),)
    yield (drawn(kind, (3, 3)), drawn(kind, (3,)))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [name for name in ALIKE if name not in EXCUSED])
def test_it_is_as_in_numpy(name, kind):
    ours, theirs = ALIKE[name]
    for arrays in arguments(kind):
        try:
            expected = theirs(*arrays)
            found = ours(*arrays)
        except (TypeError, ValueError, IndexError):  # one of them takes no such arrays, or not so many
            continue
        if isinstance(expected, tuple | list):
            continue
        found, expected = np.asarray(found), np.asarray(expected)
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_allclose(found.astype(float), expected.astype(float), rtol=1e-6)


TAKEN = "abs cumprod cumsum cumulative_sum diff gradient mean median nan_to_num prod sum tril triu var"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [name for name in TAKEN.split() if name in ALIKE])
def test_a_matrix_of_them_is_taken_and_so_is_a_tensor_of_them(name, kind):
    ours, theirs = ALIKE[name]
    options = {"axis": 1} if name == "cumulative_sum" else {}
    x = drawn(kind, (2, 3))
    for taken in (x, Tensor(x)):
        try:
            expected = np.asarray(theirs(x, **options))
        except TypeError:  # NumPy's own gradient of booleans
            continue
        np.testing.assert_array_equal(np.asarray(ours(taken, **options)), expected)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("unit", [u for u in cases.ops() if named(u) not in APART], ids=lambda unit: unit.id)
def test_an_op_makes_of_them_what_it_makes_of_the_same_numbers_in_floats(unit):
    @settings(max_examples=5, derandomize=True, database=None, phases=[Phase.generate], deadline=None)
    @given(examples(unit.case, dtype=np.float64))
    def holds(example):
        arrays = [np.round(a) + 0.0 if is_float(a) else a for a in example.arrays]  # no -0
        try:
            expected = np.asarray(unit.entry(*arrays, **example.params))
        except (ArithmeticError, ValueError):  # np.linalg.LinAlgError, and domains that rounding leaves
            return
        whole = [a.astype(np.int64) if is_float(a) else a for a in arrays]
        if unit.id.startswith("scaled_dot") and len(whole) > 3:  # a mask of whole numbers is refused
            whole[3] = arrays[3]
        found = np.asarray(unit.entry(*whole, **example.params))
        assert found.shape == expected.shape
        np.testing.assert_allclose(found.astype(float), expected, rtol=1e-9, atol=1e-9)

    holds()


def is_float(a):
    return a is not None and a.dtype.kind == "f"


def test_a_quantile_between_whole_numbers_is_no_whole_number():
    x = np.array([1, 2, 4, 9], np.uint8)
    for q in (0.5, 0.3, [0.25, 0.75]):
        np.testing.assert_allclose(gradcore.quantile(x, q), np.quantile(x, q), rtol=1e-15)


@pytest.mark.parametrize("f", [gradcore.tril, gradcore.triu])
def test_a_triangle_of_a_vector_is_refused(f):
    for x in (np.ones(3), np.ones(())):
        with pytest.raises(
            ShapeError, match=rf"^{f.__name__} takes matrices \(\.\.\., m, n\), and got shape"
        ):
            f(x)

"""Tensors made from nothing: filled, ranges, random."""

import numpy as np
import pytest

import gradcore
from gradcore import Tensor, tensor
from gradcore.errors import DomainError, DtypeError

FILLED = {
    "zeros": (lambda **k: gradcore.zeros((2, 3), **k), np.zeros((2, 3))),
    "ones": (lambda **k: gradcore.ones((2, 3), **k), np.ones((2, 3))),
    "full": (lambda **k: gradcore.full((2, 3), 7, **k), np.full((2, 3), 7)),
    "arange": (lambda **k: gradcore.arange(1, 7, 2, **k), np.array([1, 3, 5])),
    "eye": (lambda **k: gradcore.eye(2, 3, **k), np.eye(2, 3)),
}
RANDOM = {
    "rand": lambda **k: gradcore.rand((4, 5), **k),
    "randn": lambda **k: gradcore.randn((4, 5), **k),
}
MAKERS = {name: make for name, (make, _) in FILLED.items()} | RANDOM


@pytest.mark.parametrize("name", FILLED)
def test_a_filled_tensor_holds_what_numpys_holds(name):
    make, expected = FILLED[name]
    np.testing.assert_array_equal(make().data, expected)


@pytest.mark.parametrize("name", MAKERS)
def test_a_new_tensor_is_float32_unless_told_otherwise(name):
    assert MAKERS[name]().dtype == np.float32
    assert MAKERS[name](dtype=np.float64).dtype == np.float64
    assert not MAKERS[name]().requires_grad
    assert MAKERS[name](requires_grad=True).requires_grad


@pytest.mark.parametrize("name", FILLED)
def test_whole_number_tensors_can_be_made_but_require_no_gradient(name):
    assert MAKERS[name](dtype=int).dtype == np.int64
    with pytest.raises(DtypeError):
        MAKERS[name](dtype=int, requires_grad=True)


def test_tensor_copies_what_it_is_given():
    array = np.zeros(2)
    x = tensor(array)
    y = tensor(Tensor(array), dtype=np.float64)
    array[0] = 1
    assert x.tolist() == y.tolist() == [0, 0]


def test_tensor_takes_a_dtype():
    assert tensor([1, 2], dtype=np.int64).dtype == np.int64
    assert tensor(np.zeros(2), dtype="float32").dtype == np.float32


def test_arange_takes_stop_or_start_and_stop():
    assert gradcore.arange(3).tolist() == [0, 1, 2]
    assert gradcore.arange(1, 3).tolist() == [1, 2]
    assert gradcore.arange(0, 1, 0.25).tolist() == [0, 0.25, 0.5, 0.75]


def test_eye_is_square_by_default():
    assert gradcore.eye(3).tolist() == np.eye(3).tolist()


@pytest.mark.parametrize("shape", [(), 0, 3, (0, 2), (2, 1)])
def test_shapes_of_every_sort(shape):
    expected = (shape,) if isinstance(shape, int) else shape
    for make in (gradcore.zeros, gradcore.ones, gradcore.rand, gradcore.randn):
        assert make(shape).shape == expected
        assert type(make(shape).data) is np.ndarray


LIKE = {
    "zeros_like": (gradcore.zeros_like, {}),
    "ones_like": (gradcore.ones_like, {}),
    "full_like": (gradcore.full_like, {"value": 2}),
    "rand_like": (gradcore.rand_like, {"rng": 0}),
    "randn_like": (gradcore.randn_like, {"rng": 0}),
}


@pytest.mark.parametrize("name", LIKE)
def test_like_takes_shape_and_dtype_from_another(name):
    make, more = LIKE[name]
    x = make(Tensor(np.zeros((2, 3))), **more)
    assert (x.shape, x.dtype) == ((2, 3), np.float64)
    assert make(np.zeros((2,), np.float16), **more).dtype == np.float16
    assert make([1.0, 2.0, 3.0], **more).dtype == np.float32
    assert make(np.zeros(2), dtype=np.float32, requires_grad=True, **more).requires_grad


def test_like_holds_what_its_name_says():
    x = np.zeros(2)
    assert gradcore.zeros_like(x).tolist() == [0, 0]
    assert gradcore.ones_like(x).tolist() == [1, 1]
    assert gradcore.full_like(x, 2).tolist() == [2, 2]
    assert gradcore.rand_like(x, low=5, high=6, rng=0).data.min() >= 5
    assert abs(gradcore.randn_like(x, mean=100, rng=0).data - 100).max() < 10


@pytest.mark.parametrize("name", RANDOM)
def test_a_seed_gives_the_same_numbers_and_a_generator_goes_on(name):
    make = RANDOM[name]
    np.testing.assert_array_equal(make(rng=3).data, make(rng=3).data)
    assert not np.array_equal(make(rng=3), make(rng=4))
    rng = np.random.default_rng(3)
    first, second = make(rng=rng), make(rng=rng)
    np.testing.assert_array_equal(first.data, make(rng=3).data)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("name", RANDOM)
def test_no_seed_gives_other_numbers_each_time_and_leaves_numpys_global_state_alone(name):
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    assert not np.array_equal(RANDOM[name](), RANDOM[name]())
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_rand_is_uniform_between_its_bounds():
    x = gradcore.rand((100_000,), low=-2, high=4, rng=0).data
    assert x.min() >= -2
    assert x.max() < 4
    assert abs(x.mean() - 1) < 0.02
    assert abs(x.var() - 36 / 12) < 0.03


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_rand_never_draws_its_upper_bound_even_where_rounding_would(dtype):
    class Highest(np.random.Generator):
        def uniform(self, low, high, shape):
            return np.full(shape, np.nextafter(high, low))

    x = gradcore.rand((3,), low=0.0, high=1.0, dtype=dtype, rng=Highest(np.random.PCG64(0)))
    assert (x.data < 1).all()


def test_rand_between_equal_bounds_is_that_bound():
    assert gradcore.rand((2,), low=3, high=3).tolist() == [3, 3]


def test_randn_has_the_mean_and_deviation_asked_for():
    x = gradcore.randn((100_000,), mean=3, std=2, rng=0).data
    assert abs(x.mean() - 3) < 0.03
    assert abs(x.std() - 2) < 0.02


def test_impossible_bounds_are_refused():
    with pytest.raises(DomainError, match=r"low=2 and high=1: low must not exceed high"):
        gradcore.rand((2,), low=2, high=1)
    with pytest.raises(DomainError, match=r"std=-1: a standard deviation is not negative"):
        gradcore.randn((2,), std=-1)
    with pytest.raises(DomainError, match="low=nan"):
        gradcore.rand((2,), low=float("nan"))

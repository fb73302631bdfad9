"""Optimizers: steps by hand, and what a step does and leaves alone."""

import tracemalloc

import numpy as np
import pytest
from optimizers import ALL, parameter, run

from gradcore import Tensor
from gradcore.errors import ShapeError
from gradcore.optim import SGD, Adam, AdamW, RAdam, RMSprop, base

# --- by hand ----------------------------------------------------------------------------------------------------------


def test_sgd_subtracts_lr_times_the_gradient():
    # 1 - 0.1 * 2 = 0.8; 0.8 - 0.1 * (-3) = 1.1
    np.testing.assert_allclose(run(lambda p: SGD(p, lr=0.1), [2, -3]), [0.8, 1.1], rtol=1e-15)


def test_momentum_adds_up_past_gradients():
    # v = 2, 0.5 * 2 + 2 = 3, 0.5 * 3 + 0 = 1.5: p = 1 - 0.2, - 0.3, - 0.15
    np.testing.assert_allclose(
        run(lambda p: SGD(p, lr=0.1, momentum=0.5), [2, 2, 0]), [0.8, 0.5, 0.35], rtol=1e-15
    )


def test_nesterov_looks_one_step_ahead():
    # v = 2, 3: steps of g + 0.5 v = 2 + 1 = 3 and 2 + 1.5 = 3.5
    found = run(lambda p: SGD(p, lr=0.1, momentum=0.5, nesterov=True), [2, 2])
    np.testing.assert_allclose(found, [0.7, 0.35], rtol=1e-15)


def test_weight_decay_of_sgd_is_added_to_the_gradient():
    # g = 2 + 0.5 * 1 = 2.5
    np.testing.assert_allclose(run(lambda p: SGD(p, lr=0.1, weight_decay=0.5), [2]), [0.75], rtol=1e-15)


def test_rmsprop_divides_by_the_root_of_the_mean_square():
    # s = 0.75 * 4 = 3: 1 - 0.1 * 2 / (sqrt 3 + 0.5); then s = 0.25 * 3 + 0.75 * 16 = 12.75
    first = 1 - 0.2 / (np.sqrt(3) + 0.5)
    found = run(lambda p: RMSprop(p, lr=0.1, alpha=0.25, eps=0.5), [2, 4])
    np.testing.assert_allclose(found, [first, first - 0.4 / (np.sqrt(12.75) + 0.5)], rtol=1e-15)


def test_adams_first_step_is_lr_times_the_sign():
    for g in (1e-3, 2.0, -50.0):
        np.testing.assert_allclose(
            run(lambda p: Adam(p, lr=0.1, eps=0.0), [g]), [1 - 0.1 * np.sign(g)], rtol=1e-14
        )


def test_adams_second_step_by_hand():
    # g = 2, 3. With b1 = 0.25: m1 = 0.75 * 2 = 1.5, m2 = 0.25 * 1.5 + 0.75 * 3 = 2.625, m2' = 2.625 / (1 - 0.0625)
    # With b2 = 0.75: v1 = 0.25 * 4 = 1, v2 = 0.75 * 1 + 0.25 * 9 = 3, v2' = 3 / (1 - 0.5625)
    found = run(lambda p: Adam(p, lr=0.1, betas=(0.25, 0.75), eps=0.0), [2, 3])
    np.testing.assert_allclose(found, [0.9, 0.9 - 0.1 * (2.625 / 0.9375) / np.sqrt(3 / 0.4375)], rtol=1e-14)


def test_radam_waits_while_its_mean_square_is_as_of_five_gradients():
    # With this b2 the sixth step is at 5 exactly, to the bit: like those before, it is of lr times the mean.
    found = run(lambda p: RAdam(p, lr=0.1, betas=(0.9, 0.8397685748659791), eps=0.0), [1] * 7)
    np.testing.assert_allclose(found[:6], [0.9, 0.8, 0.7, 0.6, 0.5, 0.4], rtol=1e-14)
    assert found[5] - found[6] < 0.09


def test_adamw_decays_apart_from_the_moments_and_adam_through_them():
    np.testing.assert_allclose(
        run(lambda p: AdamW(p, lr=0.1, weight_decay=0.5, eps=0.0), [2]), [0.95 - 0.1], rtol=1e-14
    )
    # In Adam the decay only changes the gradient, whose size the first step divides out.
    np.testing.assert_allclose(
        run(lambda p: Adam(p, lr=0.1, weight_decay=0.5, eps=0.0), [2]), [0.9], rtol=1e-14
    )


@pytest.mark.parametrize("name", ALL)
def test_every_optimizer_finds_the_bottom_of_a_bowl(name):
    p = parameter([3.0, -2.0])
    optimizer = ALL[name]([p])
    for step in range(400):
        optimizer.lr = 0.1 * 0.985**step
        optimizer.zero_grad()
        ((p - np.array([1.0, 0.5])) ** 2).sum().backward()
        optimizer.step()
    tolerance = 0.02 if "decay" in name or name in ("AdamW", "RMSprop with momentum") else 2e-3
    np.testing.assert_allclose(p.data, [1, 0.5], atol=tolerance)


# --- what a step does and leaves alone --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_step_keeps_the_array_its_dtype_and_the_gradient(name, dtype):
    p = parameter([[1.0, 2.0], [3.0, 4.0]], dtype)
    place = id(p.data)
    p.grad = np.full((2, 2), 0.5, dtype)
    optimizer = ALL[name]([p])
    optimizer.step()
    optimizer.step()
    assert id(p.data) == place
    assert p.dtype == dtype
    assert (p.data < [[1, 2], [3, 4]]).all()
    assert (p.grad == 0.5).all()
    assert all(a.dtype == dtype for key, a in optimizer.state_dict().items() if "." in key)


@pytest.mark.parametrize("name", ALL)
def test_parameters_without_gradient_are_left_alone(name):
    p, frozen = parameter([1.0]), parameter([1.0])
    optimizer = ALL[name]([p, frozen])
    p.grad = np.ones(1)
    optimizer.step()
    assert frozen.item() == 1
    assert p.item() < 1


@pytest.mark.parametrize("name", ALL)
def test_a_parameter_whose_first_gradient_comes_late_moves_as_one_that_starts_then(name):
    early, late, alone = parameter([1.0]), parameter([1.0]), parameter([1.0])
    both, single = ALL[name]([early, late]), ALL[name]([alone])
    for step in range(8):
        early.grad = np.ones(1)
        if step >= 5:
            late.grad = alone.grad = np.array([0.3])
            single.step()
        both.step()
    np.testing.assert_array_equal(late.data, alone.data)


@pytest.mark.parametrize("name", ALL)
def test_0d_and_empty_parameters_can_be_trained(name):
    point, empty = parameter(2.0), parameter(np.zeros((0, 3)))
    optimizer = ALL[name]([point, empty])
    point.grad, empty.grad = np.array(1.0), np.zeros((0, 3))
    optimizer.step()
    assert point.item() < 2


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", [(4,), (8,), (9,), (11,), (7, 3), (2, 2, 3)])
def test_a_long_parameter_updated_in_blocks_moves_as_if_updated_whole(name, shape, monkeypatch):
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=shape), rng.normal(size=(3, *shape))

    def trained(block):
        monkeypatch.setattr(base, "BLOCK", block)
        p = parameter(start)
        optimizer = ALL[name]([p])
        for g in gradients:
            p.grad = g.copy()
            optimizer.step()
        return p.data

    blocks = trained(4)
    np.testing.assert_array_equal(blocks, trained(10**9))
    assert not np.array_equal(blocks, start)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("orders", ["CFC", "FCC", "CCF"])
def test_a_long_parameter_is_updated_whatever_the_order_of_its_arrays(name, orders, monkeypatch):
    monkeypatch.setattr(base, "BLOCK", 4)
    start = np.random.default_rng(0).normal(size=(5, 3))
    results = []
    for of_p, of_gradient, of_state in ("CCC", orders):
        p = Tensor(np.array(start, order=of_p), requires_grad=True)
        p.grad = np.array(np.cos(start), order=of_gradient)
        optimizer = ALL[name]([p])
        for _ in range(3):
            optimizer.step()
            state = optimizer.state_dict()
            running = {k: np.array(v, order=of_state) for k, v in state.items() if "." in k}
            optimizer.load_state_dict({**state, **running})
        results.append(p.data)
    np.testing.assert_array_equal(results[0], results[1])
    assert not np.array_equal(results[0], start)


def test_a_parameter_may_get_another_dtype_or_shape_between_steps():
    p, fresh = parameter([1.0, 2.0], np.float32), parameter(np.ones((2, 3)))
    optimizer = SGD([p], lr=0.1)
    for data in (p.data, p.data.astype(np.float64), np.ones(3), fresh.data.copy()):
        p.data, p.grad = data, np.full(data.shape, 0.7, data.dtype)
        fresh.data, fresh.grad = data.copy(), p.grad
        optimizer.step()
        SGD([fresh], lr=0.1).step()
        np.testing.assert_array_equal(p.data, fresh.data)


def test_parameters_of_a_dtype_share_scratch_and_each_gets_it_in_its_shape(monkeypatch):
    class Watched(base.Optimizer):
        def _numbers(self, step):
            return (0.1,)

        def _update(self, p, g, s, numbers, state):
            assert s.shape == p.shape
            assert s.dtype == p.dtype == numbers[0].dtype
            seen.append(s)

    monkeypatch.setattr(base, "BLOCK", 6)
    seen = []
    across = np.ones((4, 3), order="F")  # can't be cut into blocks
    parameters = [
        parameter([1.0, 2.0]),
        parameter([1.0], np.float32),
        parameter(np.ones((3, 2))),
        parameter(np.ones(13)),
        Tensor(across, requires_grad=True),
        parameter(np.ones(2), np.float32),
        Tensor(across.copy(order="F"), requires_grad=True),
    ]
    for p in parameters:
        p.grad = p.data.copy(order="K")
    optimizer = Watched(parameters, lr=0.1)
    optimizer.step()
    two, narrow, six, *blocks, large, narrow_too, large_too = seen
    assert all(np.shares_memory(two, s) for s in (six, *blocks))
    assert [s.size for s in blocks] == [6, 6, 1]
    assert np.shares_memory(narrow, narrow_too)
    assert np.shares_memory(large, large_too)
    optimizer.step()
    assert all(np.shares_memory(s, t) for s, t in zip(seen, seen[len(seen) // 2 :], strict=False))


def test_little_scratch_is_kept_from_step_to_step():
    parameters = [parameter(np.ones((300, 200))), parameter(np.ones(300)), parameter(np.ones((20, 30)))]
    for p in parameters:
        p.grad = p.data.copy()
    optimizer = SGD(parameters, lr=0.1)
    tracemalloc.start()
    try:
        optimizer.step()
        kept, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < base.KEPT + 20_000
    assert most > parameters[0].data.nbytes


def test_an_optimizer_without_an_update_says_so():
    class Bare(base.Optimizer):
        pass

    class Half(base.Optimizer):
        def _numbers(self, step):
            return ()

    for cls in (Bare, Half):
        p = parameter([1.0])
        p.grad = np.ones(1)
        with pytest.raises(NotImplementedError):
            cls([p], lr=0.1).step()


def test_zero_grad_forgets_all_gradients():
    p, q = parameter([1.0]), parameter([1.0])
    p.grad = q.grad = np.ones(1)
    SGD([p, q]).zero_grad()
    assert p.grad is q.grad is None


def test_a_gradient_of_another_shape_is_refused():
    p = parameter([1.0, 2.0])
    p.grad = np.ones(3)
    with pytest.raises(ShapeError, match=r"parameter of shape \(2,\) has a gradient of shape \(3,\)"):
        SGD([p]).step()


@pytest.mark.parametrize("make", [lambda p: SGD(p, momentum=0.0), lambda p: RMSprop(p, momentum=0.0)])
def test_momentum_can_be_switched_on_and_off_between_steps(make):
    p = parameter([1.0])
    optimizer = make([p])
    for momentum in (0.0, 0.9, 0.0, 0.9):
        p.grad = np.ones(1)
        optimizer.momentum = momentum
        optimizer.step()
        fresh = make([p])
        fresh.load_state_dict(optimizer.state_dict())
        optimizer.momentum = 0.9 - momentum
        fresh.load_state_dict(optimizer.state_dict())
        assert fresh.momentum == 0.9 - momentum
    assert p.item() < 1


@pytest.mark.parametrize("make", [SGD, RMSprop])
def test_momentum_switched_on_after_a_step_begins_with_nothing_and_keeps_what_there_is(make):
    with_, without = parameter([1.0, 2.0]), parameter([1.0, 2.0])
    optimizers = [make([with_], lr=0.1), make([without], lr=0.1)]
    for _ in range(2):
        with_.grad = without.grad = np.array([1.0, 3.0])
        for optimizer in optimizers:
            optimizer.step()
        np.testing.assert_allclose(with_.data, without.data, rtol=1e-15)
        optimizers[0].momentum = 0.9


def test_momentum_switched_on_after_a_step_is_saved_as_zero():
    p = parameter([1.0, 2.0])
    p.grad = np.ones(2)
    optimizer = SGD([p])
    optimizer.step()
    optimizer.momentum = 0.9
    assert optimizer.state_dict()["0.velocity"].tolist() == [0, 0]


@pytest.mark.parametrize("name", ALL)
def test_the_state_of_a_new_optimizer_takes_another_back_to_its_start(name):
    p, twin = parameter([1.0, 2.0]), parameter([1.0, 2.0])
    optimizer, fresh = ALL[name]([p]), ALL[name]([twin])
    p.grad = twin.grad = np.ones(2)
    optimizer.step()
    optimizer.load_state_dict(fresh.state_dict())
    p.data[:] = [1.0, 2.0]
    optimizer.step()
    fresh.step()
    np.testing.assert_array_equal(p.data, twin.data)

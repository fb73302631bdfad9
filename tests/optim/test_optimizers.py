"""Optimizers: steps by hand, state, hyperparameters, blocks."""

import numpy as np
import pytest

from gradcore import Tensor, nn, registry
from gradcore.errors import DomainError, GraphError, ShapeError, StateError
from gradcore.optim import SGD, Adam, AdamW, RMSprop, base

ALL = {
    "SGD": lambda p: SGD(p, lr=0.1),
    "SGD with momentum": lambda p: SGD(p, lr=0.1, momentum=0.9),
    "SGD with Nesterov and decay": lambda p: SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "RMSprop": lambda p: RMSprop(p, lr=0.1),
    "RMSprop with momentum": lambda p: RMSprop(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "Adam": lambda p: Adam(p, lr=0.1),
    "Adam with decay": lambda p: Adam(p, lr=0.1, weight_decay=0.01),
    "AdamW": lambda p: AdamW(p, lr=0.1),
}


def parameter(values, dtype=np.float64):
    return Tensor(np.array(values, dtype), requires_grad=True)


def run(make, gradients, start=1.0, dtype=np.float64):
    """The parameter after each step along the given gradients."""
    p = parameter([start], dtype)
    optimizer = make([p])
    seen = []
    for g in gradients:
        p.grad = np.array([g], dtype)
        optimizer.step()
        seen.append(p.item())
    return seen


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
    array = p.data
    p.grad = np.full((2, 2), 0.5, dtype)
    optimizer = ALL[name]([p])
    optimizer.step()
    optimizer.step()
    assert p.data is array
    assert array.dtype == dtype
    assert (array < [[1, 2], [3, 4]]).all()
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


@pytest.mark.parametrize("steps", [(1,), np.array([1]), [np.int64(1)], [1]])
def test_steps_may_be_any_sequence_of_whole_numbers(steps):
    optimizer = Adam([parameter([1.0, 2.0])])
    optimizer.load_state_dict(adam_state(steps=steps))
    assert type(optimizer.steps) is list
    assert [type(n) for n in optimizer.steps] == [int]
    assert optimizer.steps == [1]


# --- state ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_a_state_saved_and_loaded_goes_on_to_the_bit(name):
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(6, 3))

    def trained(reload_at=None):
        p = parameter([1.0, 2.0, 3.0])
        optimizer = ALL[name]([p])
        for step, g in enumerate(gradients):
            if step == reload_at:
                state = optimizer.state_dict()
                optimizer = type(optimizer)([p])
                optimizer.load_state_dict(state)
            p.grad = g.copy()
            optimizer.step()
        return p.data

    np.testing.assert_array_equal(trained(), trained(reload_at=3))


def test_a_state_is_a_copy():
    p = parameter([1.0])
    optimizer = Adam([p])
    p.grad = np.ones(1)
    optimizer.step()
    state = optimizer.state_dict()
    before = state["0.sum"].copy()
    optimizer.step()
    np.testing.assert_array_equal(state["0.sum"], before)
    assert state["steps"] == [1]
    other = Adam([p])
    other.load_state_dict(state)
    other.step()
    np.testing.assert_array_equal(state["0.sum"], before)
    assert state["steps"] == [1]


def test_a_state_holds_hyperparameters_steps_and_running_values():
    p = parameter([1.0])
    p.grad = np.ones(1)
    optimizer = Adam([p], lr=0.25)
    assert set(optimizer.state_dict()) == {"lr", "betas", "eps", "weight_decay", "steps"}
    optimizer.step()
    assert set(optimizer.state_dict()) == {
        "lr",
        "betas",
        "eps",
        "weight_decay",
        "steps",
        "0.sum",
        "0.square_sum",
    }
    fresh = Adam([p])
    fresh.load_state_dict(optimizer.state_dict())
    assert fresh.lr == 0.25


def adam_state(**changes):
    p = parameter([1.0, 2.0])
    p.grad = np.ones(2)
    optimizer = Adam([p])
    optimizer.step()
    state = {**optimizer.state_dict(), **changes}
    return {name: value for name, value in state.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": None}, "it lacks lr"),
        ({"steps": None, "eps": None}, "it lacks eps, steps"),
        ({"0.sum": None}, r"missing: 0\.sum, float64 \(2,\)"),
        ({"1.sum": np.zeros(2)}, r"unexpected: 1\.sum, float64 \(2,\)"),
        ({"0.velocity": np.zeros(2)}, r"unexpected: 0\.velocity"),
        ({"0.sum": np.zeros(3)}, r"different: 0\.sum, expected float64 \(2,\), got float64 \(3,\)"),
        (
            {"0.sum": np.zeros(2, np.float32)},
            r"different: 0\.sum, expected float64 \(2,\), got float32 \(2,\)",
        ),
        ({"steps": [1, 1]}, "it is the state of 2 parameters, and the optimizer has 1"),
        ({"steps": 1}, "steps=1 is not a list of whole numbers of at least 0"),
        ({"steps": [[1], [1, 2]]}, "is not a list of whole numbers"),
        ({"steps": [0.5]}, "is not a list of whole numbers"),
        ({"steps": [-1]}, "is not a list of whole numbers"),
        ({"steps": [1, -1]}, "is not a list of whole numbers"),
        ({"steps": [0]}, r"unexpected: 0\.square_sum"),
        ({"0.sum": None, "0.square_sum": None}, r"missing: 0\.sum.*missing: 0\.square_sum"),
        ({"0.sum": "a word"}, r"different: 0\.sum, expected float64 \(2,\)"),
        ({"lr": -1.0, "0.sum": np.ones(2)}, r"lr=-1\.0 is out of range"),
        ({"betas": [0.9]}, r"betas=\[0\.9\] is not a pair of numbers"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(changes, message):
    p = parameter([1.0, 2.0])
    optimizer = Adam([p], lr=0.5)
    p.grad = np.ones(2)
    optimizer.step()
    before = optimizer.state_dict()
    with pytest.raises(StateError, match=r"(?s)this state does not fit Adam.*" + message):
        optimizer.load_state_dict(adam_state(**changes))
    after = optimizer.state_dict()
    assert before.keys() == after.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value)


# --- construction -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: SGD(p, lr=-0.1), r"lr=-0\.1 is out of range: it must be a number with 0\.0 <= lr < inf"),
        (lambda p: SGD(p, lr=float("nan")), "lr=nan is out of range"),
        (lambda p: SGD(p, lr=float("inf")), "lr=inf is out of range"),
        (lambda p: SGD(p, lr="0.1"), "lr='0.1' is out of range"),
        (lambda p: SGD(p, momentum=1.0), r"momentum=1\.0 is out of range.*momentum < 1\.0"),
        (lambda p: SGD(p, weight_decay=-1), "weight_decay=-1"),
        (lambda p: RMSprop(p, alpha=1.0), r"alpha=1\.0"),
        (lambda p: RMSprop(p, momentum=1.0), r"momentum=1\.0"),
        (lambda p: RMSprop(p, eps=-1), "eps=-1"),
        (lambda p: Adam(p, betas=(1.0, 0.9)), r"betas\[0\]=1\.0"),
        (lambda p: Adam(p, betas=(0.9, -0.1)), r"betas\[1\]=-0\.1"),
        (lambda p: Adam(p, betas=(0.9, 1.0)), r"betas\[1\]=1\.0"),
        (
            lambda p: Adam(p, betas=0.9),
            r"betas=0\.9 is not a pair of numbers: pass two, such as \(0\.9, 0\.999\)",
        ),
        (lambda p: SGD(p, nesterov="yes"), "nesterov='yes' is neither True nor False"),
        (lambda p: AdamW(p, weight_decay=-0.1), r"weight_decay=-0\.1"),
    ],
)
def test_a_hyperparameter_out_of_range_is_refused_by_name(make, message):
    with pytest.raises(DomainError, match=message):
        make([parameter([1.0])])


def test_hyperparameters_may_be_numbers_of_python_or_numpy_from_zero_on():
    for lr in (0, 0.0, 1, 0.5, np.float32(0.5), np.int64(1)):
        optimizer = SGD([parameter([1.0])], lr=lr)
        assert (type(optimizer.lr), optimizer.lr) == (float, lr)
    for nesterov in (True, False, np.True_, np.False_):
        optimizer = SGD([parameter([1.0])], nesterov=nesterov)
        assert optimizer.nesterov is bool(nesterov)


@pytest.mark.parametrize("cls", registry.optimizers.values(), ids=registry.optimizers)
def test_hyperparameters_nobody_passes_are_the_references(cls):
    optimizer = cls([parameter([1.0])])
    found = {name: getattr(optimizer, name) for name in cls.hyper}
    assert found == cls.spec.reference.__kwdefaults__


def test_unusable_parameters_are_refused_and_told_what_a_parameter_is():
    p = parameter([1.0])
    with pytest.raises(GraphError, match=r"SGD got no parameters: pass model\.parameters\(\)"):
        SGD([])
    with pytest.raises(
        GraphError, match="as parameter 1: a parameter is a Tensor made with requires_grad=True"
    ):
        SGD([p, Tensor([1.0])])
    with pytest.raises(GraphError, match="not the result of an operation"):
        SGD([p * 2])
    with pytest.raises(GraphError, match="as parameter 0"):
        SGD([np.zeros(2)])
    with pytest.raises(GraphError, match="as parameter 0"):
        SGD(p)
    with pytest.raises(GraphError, match="the same parameter twice"):
        SGD([p, p])


def test_the_repr_shows_the_hyperparameters():
    assert (
        repr(SGD([parameter([1.0])], lr=0.5, momentum=0.9))
        == "SGD(1 parameters, lr=0.5, momentum=0.9, nesterov=False, weight_decay=0.0)"
    )


def test_a_model_trains_a_step_with_every_registered_optimizer():
    for cls in registry.optimizers.values():
        model = nn.mlp((4, 3, 2), rng=0)
        before = model.state_dict()
        optimizer = cls(model.parameters())
        (model(np.ones((2, 4), np.float32)) ** 2).sum().backward()
        optimizer.step()
        after = model.state_dict()
        assert any(not np.array_equal(before[name], after[name]) for name in before)

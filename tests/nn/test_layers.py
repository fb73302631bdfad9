"""Layers: values by the book, modes, running statistics, errors."""

import inspect

import numpy as np
import pytest

import gradcore
from gradcore import Tensor, nn
from gradcore.errors import DomainError, ShapeError


def normal(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


# --- Linear -----------------------------------------------------------------------------------------------------------


def test_linear_is_x_times_w_plus_b():
    layer = nn.Linear(3, 2, rng=0)
    assert (layer.weight.shape, layer.bias.shape) == ((3, 2), (1, 2))
    assert layer.weight.requires_grad
    assert layer.bias.requires_grad
    layer.bias.data[:] = [[5, 7]]
    x = normal(4, 3, dtype=np.float32)
    np.testing.assert_allclose(layer(x).data, x @ layer.weight.data + [[5, 7]], rtol=1e-6)
    np.testing.assert_allclose(
        layer(normal(2, 4, 3)).data, normal(2, 4, 3) @ layer.weight.data + [5, 7], rtol=1e-6
    )


def test_linear_without_bias_has_one_parameter():
    layer = nn.Linear(3, 2, bias=False)
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    assert layer.bias is None
    assert repr(layer) == "Linear(3 -> 2, bias=False)  6 parameters"


def test_linear_takes_its_initializer():
    layer = nn.Linear(
        3, 2, initializer=lambda shape, fan_in, fan_out, rng: np.full(shape, 10.0 * fan_in + fan_out)
    )
    assert layer.weight.data.tolist() == [[32, 32]] * 3


def test_linear_refuses_another_width_and_says_which_fits():
    with pytest.raises(
        ShapeError, match=r"x of shape \(2, 4\) and a weight of shape \(3, 2\).*\(\.\.\., 3\) would fit"
    ):
        nn.Linear(3, 2)(np.ones((2, 4)))


# --- Conv2d -----------------------------------------------------------------------------------------------------------


def test_conv2d_tells_its_initializer_the_shape_both_fans_and_the_generator():
    told = []

    def initializer(shape, *rest):
        told.append((shape, *rest))
        return np.full(shape, 3.0, np.float32)

    layer = nn.Conv2d(4, 6, (2, 5), groups=2, initializer=initializer, rng=7)
    assert told == [((6, 2, 2, 5), 2 * 10, 3 * 10, 7)]  # an input feeds three outputs: those of its group
    assert [type(fan) for fan in told[0][1:3]] == [int, int]
    assert (layer.weight.data == 3).all()
    assert layer.weight.requires_grad
    assert layer.bias.requires_grad


@pytest.mark.parametrize(
    ("channels", "groups", "fits"),
    [((3, 4), 2, 1), ((4, 3), 2, 1), ((4, 6), 4, 2)],
)
def test_conv2d_refuses_groups_that_do_not_divide_its_channels(channels, groups, fits):
    with pytest.raises(ShapeError, match=rf"groups={groups}: groups must divide both, such as {fits}"):
        nn.Conv2d(*channels, 1, groups=groups)


@pytest.mark.parametrize("groups", [0, -1])
def test_conv2d_refuses_a_number_of_groups_that_is_none(groups):
    with pytest.raises(DomainError, match=rf"groups={groups}: expected a whole number of at least 1"):
        nn.Conv2d(4, 6, 1, groups=groups)


def test_conv2d_refuses_a_kernel_without_an_entry():
    with pytest.raises(DomainError, match=r"kernel_size=0: .*, of at least 1"):
        nn.Conv2d(1, 1, 0)


# --- activations and Flatten ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "function"),
    [(nn.ReLU(), gradcore.relu), (nn.Sigmoid(), gradcore.sigmoid), (nn.Tanh(), gradcore.tanh)],
)
def test_activations_are_the_functions_of_their_names(layer, function):
    x = normal(3, 2)
    np.testing.assert_array_equal(layer(x), function(x))
    assert not list(layer.parameters())
    assert layer(Tensor(x, requires_grad=True)).requires_grad


@pytest.mark.parametrize(
    ("shape", "flat"), [((2, 3, 4), (2, 12)), ((2,), (2, 1)), ((0, 3, 2), (0, 6)), ((2, 0), (2, 0))]
)
def test_flatten_keeps_the_first_axis(shape, flat):
    assert nn.Flatten()(Tensor(np.zeros(shape))).shape == flat


# --- BatchNorm --------------------------------------------------------------------------------------------------------

BATCHES = [(nn.BatchNorm1d, (6, 3)), (nn.BatchNorm1d, (4, 3, 5)), (nn.BatchNorm2d, (4, 3, 2, 5))]


def by_channel(x):
    """x as (channels, values)."""
    return np.moveaxis(x, 1, 0).reshape(x.shape[1], -1)


@pytest.mark.parametrize(("make", "shape"), BATCHES)
def test_batch_norm_in_training_gives_each_channel_the_weight_and_bias_as_deviation_and_mean(make, shape):
    layer = make(3, eps=1e-12).astype(np.float64)
    layer.weight.data[:] = [1, 2, 3]
    layer.bias.data[:] = [-1, 0, 5]
    y = by_channel(layer(normal(*shape) * 7 + 4).data)
    np.testing.assert_allclose(y.mean(1), [-1, 0, 5], atol=1e-12)
    np.testing.assert_allclose(y.std(1), [1, 2, 3], rtol=1e-9)


@pytest.mark.parametrize(("make", "shape"), BATCHES)
def test_running_statistics_follow_the_formula_over_several_batches(make, shape):
    layer = make(3, momentum=0.25).astype(np.float64)
    mean, var = np.zeros(3), np.ones(3)
    for seed in range(4):
        x = normal(*shape, seed=seed) * (seed + 1) + seed
        layer(x)
        values = by_channel(x)
        mean = 0.75 * mean + 0.25 * values.mean(1)
        var = 0.75 * var + 0.25 * values.var(1, ddof=1)  # the unbiased variance
    np.testing.assert_allclose(layer.running_mean, mean, rtol=1e-13)
    np.testing.assert_allclose(layer.running_var, var, rtol=1e-13)


@pytest.mark.parametrize(("make", "shape"), BATCHES)
def test_batch_norm_in_evaluation_uses_the_running_statistics_and_changes_nothing(make, shape):
    layer = make(3, eps=0.5).astype(np.float64).eval()
    layer.running_mean[:] = [1, 2, 3]
    layer.running_var[:] = [3.5, 8.5, 0.0]
    layer.weight.data[:] = [2, 3, 1]
    layer.bias.data[:] = [0, 1, -1]
    state = layer.state_dict()
    x = normal(*shape)
    column = (1, 3) + (1,) * (len(shape) - 2)
    expected = (x - np.reshape([1, 2, 3], column)) / np.sqrt(np.reshape([4, 9, 0.5], column))
    expected = expected * np.reshape([2, 3, 1], column) + np.reshape([0, 1, -1], column)
    np.testing.assert_allclose(layer(x).data, expected, rtol=1e-12, atol=1e-12)
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, state[name])
    assert layer(x[:1]).shape == (1, *shape[1:])


def test_the_gradient_of_an_evaluation_is_its_own_whatever_is_trained_in_between():
    def gradients(train_in_between):
        layer = nn.BatchNorm1d(2).astype(np.float64)
        layer(normal(5, 2) + 3)
        y = layer.eval()(normal(4, 2, seed=1))
        if train_in_between:
            layer.train()(normal(5, 2, seed=2) * 9)
        y.backward(normal(4, 2, seed=3))
        return layer.weight.grad

    np.testing.assert_array_equal(gradients(True), gradients(False))


def test_running_statistics_are_saved_but_not_trained():
    layer = nn.BatchNorm1d(2)
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    assert set(layer.state_dict()) == {"weight", "bias", "running_mean", "running_var"}
    fresh = nn.BatchNorm1d(2)
    layer(normal(5, 2))
    fresh.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(fresh.eval()(normal(1, 2)).data, layer.eval()(normal(1, 2)).data)


def test_batch_norm_keeps_float32():
    layer = nn.BatchNorm1d(2)
    x = Tensor(normal(4, 2, dtype=np.float32), requires_grad=True)
    y = layer(x)
    (y * y * y).sum().backward()
    assert y.dtype == x.grad.dtype == layer.weight.grad.dtype == layer.running_mean.dtype == np.float32
    assert layer.eval()(x).dtype == np.float32


def test_the_gradient_of_batch_norm_ignores_shifts_and_scalings_of_its_input():
    # y does not change when x is shifted or scaled, so its gradient is at right angles to both.
    layer = nn.BatchNorm1d(2, eps=0.0).astype(np.float64)
    x = Tensor(normal(5, 2), requires_grad=True)
    layer(x).backward(normal(5, 2, seed=1))
    np.testing.assert_allclose(x.grad.sum(0), 0, atol=1e-14)
    np.testing.assert_allclose((x.grad * x.data).sum(0), 0, atol=1e-13)
    assert np.abs(x.grad).max() > 0.1


@pytest.mark.parametrize(
    ("make", "shape", "message"),
    [
        (
            lambda: nn.BatchNorm1d(3),
            (2, 4),
            r"BatchNorm1d\(3\) takes x of shape \(n, c\) or \(n, c, l\) with c = 3, and got \(2, 4\)",
        ),
        (lambda: nn.BatchNorm1d(3), (2, 3, 4, 5), r"got \(2, 3, 4, 5\)"),
        (lambda: nn.BatchNorm1d(3), (3,), r"got \(3,\)"),
        (lambda: nn.BatchNorm2d(3), (2, 3), r"BatchNorm2d\(3\) takes x of shape \(n, c, h, w\)"),
        (
            lambda: nn.BatchNorm1d(3),
            (1, 3),
            r"one value per channel has no variance.*drop_last=True.*model\.eval\(\)",
        ),
        (lambda: nn.BatchNorm2d(3), (0, 3, 2, 2), "has no variance"),
    ],
)
def test_batch_norm_refuses_what_it_can_not_normalise_and_keeps_its_statistics(make, shape, message):
    layer = make()
    before = layer.state_dict()
    with pytest.raises(ShapeError, match=message):
        layer(np.ones(shape))
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_batch_norm_keeps_float32_with_numbers_of_numpy():
    layer = nn.BatchNorm1d(2, eps=np.float64(1e-3), momentum=np.float64(0.25))
    x = normal(4, 2, dtype=np.float32)
    assert layer(x).dtype == np.float32
    layer(x.astype(np.float64))  # what is seen does not change what is kept
    assert layer.running_mean.dtype == layer.running_var.dtype == np.float32
    assert layer.eval()(x).dtype == np.float32


# --- Dropout ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_drops_the_fraction_p_and_keeps_the_expectation(p):
    y = nn.Dropout(p, rng=0)(np.ones(200_000))
    assert abs((y == 0).mean() - p) < 0.005
    np.testing.assert_allclose(np.unique(y), [0, 1 / (1 - p)], rtol=1e-15)
    assert abs(y.mean() - 1) < 0.03


def test_dropout_in_evaluation_and_with_p_0_is_the_identity():
    x = Tensor(normal(5))
    assert nn.Dropout(0.9, rng=0).eval()(x) is x
    assert nn.Dropout(0.0)(x) is x


def test_dropout_replays_from_its_seed_and_draws_anew_each_time():
    first, second = nn.Dropout(0.5, rng=3), nn.Dropout(0.5, rng=3)
    x = np.ones(100)
    a, b = first(x), first(x)
    assert not np.array_equal(a, b)
    np.testing.assert_array_equal(second(x), a)
    np.testing.assert_array_equal(second(x), b)
    assert not np.array_equal(nn.Dropout(0.5, rng=4)(x), a)


def test_dropout_keeps_what_draws_exactly_p():
    class Draws:
        def random(self, shape):
            return np.resize([0.0, np.nextafter(0.25, 0), 0.25, 0.5], shape)

    layer = nn.Dropout(0.25)
    layer.rng = Draws()
    assert layer(np.full(4, 3.0)).tolist() == [0, 0, 4, 4]


def test_the_gradient_of_dropout_goes_where_the_values_went():
    x = Tensor(np.ones(50, np.float32), requires_grad=True)
    y = nn.Dropout(0.5, rng=0)(x)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, y.data)
    assert y.dtype == x.grad.dtype == np.float32


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5, float("nan")])
def test_an_impossible_probability_is_refused(p):
    with pytest.raises(DomainError, match=r"Dropout got p=.*0 <= p < 1"):
        nn.Dropout(p)


# --- Standardize, models ----------------------------------------------------------------------------------------------


def test_standardize_subtracts_the_mean_and_divides_by_the_deviation():
    layer = gradcore.registry.layers["Standardize"](mean=2, std=4)
    assert layer(np.float32([2, 6])).tolist() == [0, 1]
    assert layer(np.float32([2, 6])).dtype == np.float32
    assert set(layer.state_dict()) == {"mean", "std"}
    assert type(layer)()(np.float32([1, 3])).tolist() == [1, 3]
    for std in (0.0, -1.0, float("nan")):
        with pytest.raises(DomainError, match="a standard deviation above zero was expected"):
            type(layer)(std=std)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: nn.Linear(3, 2), "Linear(3 -> 2)  8 parameters"),
        (lambda: nn.Conv2d(4, 6, (3, 5)), "Conv2d(4 -> 6, 3 x 5)  366 parameters"),
        (
            lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1, dilation=(1, 2), groups=2, bias=False),
            "Conv2d(4 -> 6, 3 x 3, stride=2, padding=1, dilation=(1, 2), groups=2, bias=False)  108 parameters",
        ),
        (lambda: nn.MaxPool2d(2), "MaxPool2d(2)"),
        (lambda: nn.MaxPool2d(3, padding=1), "MaxPool2d(3, padding=1)"),
        (lambda: nn.AvgPool2d((3, 2), 1), "AvgPool2d((3, 2), stride=1)"),
        (lambda: nn.BatchNorm1d(3), "BatchNorm1d(3)  6 parameters"),
        (lambda: nn.Dropout(0.25), "Dropout(p=0.25)"),
        (lambda: gradcore.registry.layers["Standardize"](0.1307, 2), "Standardize(mean=0.1307, std=2)"),
    ],
)
def test_a_new_layer_is_in_training_and_its_repr_shows_what_is_not_usual(make, expected):
    layer = make()
    assert layer.training
    assert repr(layer) == expected


@pytest.mark.parametrize(
    ("cls", "sizes"),
    [
        (nn.BatchNorm1d, (3,)),
        (nn.BatchNorm2d, (3,)),
        (nn.Dropout, ()),
        (nn.Conv2d, (1, 1, 1)),
        (nn.AvgPool2d, (2,)),
    ],
)
def test_numbers_nobody_passes_are_the_references(cls, sizes):
    layer = cls(*sizes)
    parameters = inspect.signature(cls.spec.reference).parameters.values()
    found = {p.name: getattr(layer, p.name, None) for p in parameters if p.default is not p.empty}
    numbers = {name: value for name, value in found.items() if isinstance(value, int | float)}
    assert numbers
    assert numbers == {p.name: p.default for p in parameters if p.name in numbers}


def test_a_model_of_all_layers_trains_a_step_in_float32_throughout():
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, rng=0),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 8, rng=0),
        nn.BatchNorm1d(8),
        nn.Tanh(),
        nn.Dropout(0.2, rng=0),
        nn.Linear(8, 3, rng=0),
    )
    x = Tensor(normal(5, 1, 8, 8, dtype=np.float32), requires_grad=True)
    loss = gradcore.cross_entropy(model(x), np.array([0, 1, 2, 0, 1]))
    loss.backward()
    assert loss.dtype == x.grad.dtype == np.float32
    for name, p in model.named_parameters():
        assert p.grad.dtype == np.float32, name
        assert p.grad.shape == p.shape, name

"""What someone new writes: it does what it says, or the error says what to write."""

import asyncio
import subprocess
import sys

import numpy as np
import pytest

import gradcore
from gradcore import Tensor, nn, optim
from gradcore.data import DataLoader, load
from gradcore.errors import ArgumentError, DomainError, DtypeError, GraphError, ShapeError

X = Tensor(np.ones(3, np.float32), requires_grad=True)
FILL = {"zeros": gradcore.zeros, "ones": gradcore.ones, "rand": gradcore.rand, "randn": gradcore.randn}


@pytest.mark.parametrize("name", FILL)
def test_sizes_come_side_by_side_or_as_one_sequence(name):
    make = FILL[name]
    for made in (
        make(2, 3),
        make((2, 3)),
        make([2, 3]),
        make(np.int64(2), 3),
        make(shape=(2, 3)),
        make(np.array([2, 3])),
    ):
        assert (made.shape, made.dtype) == ((2, 3), np.float32)
    assert make(4).shape == make((4,)).shape == make(shape=4).shape == (4,)
    assert make(()).shape == ()
    assert make(2, 0, 1, dtype=np.float64, requires_grad=True).requires_grad


@pytest.mark.parametrize("name", FILL)
@pytest.mark.parametrize(
    "sizes",
    [(), (2, np.float64), ((2, 3), 4), (2.0,), (-1,), (2, -3), (3, True), ("a",), ((2, 3), None), ((2, -1),)],
)
def test_other_sizes_are_refused(name, sizes):
    with pytest.raises(
        ShapeError, match=rf"^{name}\(.*has no shape of sizes.*write {name}\(2, 3\).*dtype=np\.float64"
    ):
        FILL[name](*sizes)


def test_a_shape_twice_is_refused_and_mean_goes_by_name():
    with pytest.raises(ShapeError, match=r"ones\(2shape=3\)|ones\(2, shape=3\)"):
        gradcore.ones(2, shape=3)
    assert gradcore.randn(2, 3, mean=50.0, rng=0).data.min() > 40
    assert gradcore.rand(2, 3, low=5.0, high=6.0, rng=0).data.min() >= 5
    assert gradcore.full(2, 7.0).tolist() == gradcore.full((2,), 7.0).tolist() == [7, 7]


class Forgets(nn.Module):
    def forward(self, x):
        x * 2


SGD = optim.SGD


def model():
    return nn.Sequential(nn.Linear(3, 2, rng=0))


CALLS = {
    "SGD(model)": (lambda: SGD(model()), ArgumentError, r"SGD got a model, Sequential: pass its parameters, SGD\(model\.parameters\(\)\)"),
    "SGD(Linear)": (lambda: optim.Adam(nn.Linear(2, 2)), ArgumentError, r"Adam got a model, Linear.*Adam\(model\.parameters\(\)\)"),
    "SGD(class)": (lambda: SGD(nn.Linear), ArgumentError, r"SGD got the class Linear: make a model of it"),
    "SGD(m.parameters)": (lambda: SGD(model().parameters), ArgumentError, r"SGD got a function.*call it, as in SGD\(model\.parameters\(\)\)"),
    "SGD(named)": (lambda: SGD(model().named_parameters()), ArgumentError, "SGD got pairs of names and Tensors"),
    "SGD(groups)": (lambda: SGD([{"params": []}]), GraphError, "SGD got no parameters in group 0: leave it out, or fill it"),
    "SGD(3)": (lambda: SGD(3), ArgumentError, r"SGD got 3: pass model\.parameters\(\), or a list of Tensors"),
    "nesterov": (lambda: SGD([X], nesterov=True), DomainError, "nesterov=True changes nothing without momentum: pass momentum=0.9"),
    "Linear('a', 3)": (lambda: nn.Linear("a", 3), DomainError, "Linear got in_features='a': expected a whole number of at least 1"),
    "Linear(-1, 3)": (lambda: nn.Linear(-1, 3), DomainError, "Linear got in_features=-1: expected a whole number of at least 1"),
    "Linear(3, 0)": (lambda: nn.Linear(3, 0), DomainError, "Linear got out_features=0"),
    "Linear(3, 2.0)": (lambda: nn.Linear(3, 2.0), DomainError, "Linear got out_features=2.0"),
    "Linear(3, True)": (lambda: nn.Linear(3, True), DomainError, "Linear got out_features=True"),
    "Conv2d in": (lambda: nn.Conv2d("a", 3, 3), DomainError, "Conv2d got in_channels='a'"),
    "Conv2d out": (lambda: nn.Conv2d(3, 0, 3), DomainError, "Conv2d got out_channels=0"),
    "Conv2d groups": (lambda: nn.Conv2d(3, 3, 3, groups=0), DomainError, "Conv2d got groups=0"),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(0), DomainError, "BatchNorm1d got features=0"),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(None), DomainError, "BatchNorm2d got features=None"),
    "MaxPool2d": (lambda: nn.MaxPool2d("a"), DomainError, "kernel_size='a': expected a whole number, or a pair"),
    "MaxPool2d stride": (lambda: nn.MaxPool2d(2, 0), DomainError, "stride=0: expected"),
    "AvgPool2d padding": (lambda: nn.AvgPool2d(2, 2, -1), DomainError, "padding=-1: expected"),
    "mlp(64, 10)": (lambda: nn.mlp(64, 10), ArgumentError, r"mlp got features=64: expected the widths as one sequence.*mlp\(\(64, 10\)\)"),
    "mlp((64,))": (lambda: nn.mlp((64,)), ArgumentError, r"mlp got features=\(64,\): expected the widths.*two or more"),
    "no return": (lambda: Forgets()(X), ArgumentError, r"Forgets\.forward returned None: end it with `return"),
    "ragged": (lambda: gradcore.tensor([[1.0, 2.0], [3.0]]), ShapeError, r"lists in \[\[1\.0, 2\.0\], \[3\.0\]\] are of unequal lengths"),
    "ragged with dtype": (lambda: gradcore.tensor([[1], [2, 3]], np.float32), ShapeError, "are of unequal lengths"),
    "x * ragged": (lambda: X * [[1.0], [2.0, 3.0]], ShapeError, "are of unequal lengths"),
    "x * None": (lambda: X * None, DtypeError, "holds real numbers, and NoneType None gives the dtype object"),
    "None * x": (lambda: None * X, DtypeError, "NoneType None"),
    "x + 'a'": (lambda: X + "a", DtypeError, "holds real numbers, and str 'a'"),
    "x @ function": (lambda: X @ np.ones, DtypeError, "expected numbers, and got ones: call it"),
    "x * model": (lambda: X * model(), DtypeError, "expected numbers, and got .*call it"),
    "add(x, None)": (lambda: gradcore.add(X, [None]), DtypeError, "list \\[None\\] gives the dtype object"),
    "save(model, path)": (lambda: gradcore.save(model(), "x"), ArgumentError, r'save got Sequential and str.*save\("model\.safetensors", model\)'),
    "load_into(path)": (lambda: gradcore.load_into("x", {}), ArgumentError, r'load_into got str and dict.*load_into\("'),
    "check_model": (lambda: gradcore.check_model(model(), nn.MSELoss, X, X), ArgumentError, r"check_model\(model, gradcore\.cross_entropy, x, y\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_a_wrong_call_is_answered_with_what_to_write(name):
    call, error, message = CALLS[name]
    with pytest.raises(error, match=message):
        call()


# --- hyperparameters --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [float("nan"), "x", -1.0, None, float("inf")])
def test_a_hyperparameter_is_checked_when_it_is_changed(bad):
    optimizer = SGD([X], lr=0.5)
    with pytest.raises(DomainError, match=r"lr=.* is out of range"):
        optimizer.lr = bad
    assert optimizer.lr == 0.5
    optimizer.lr = np.float32(0.25)
    assert (optimizer.lr, type(optimizer.lr)) == (0.25, float)


def test_hyperparameters_that_contradict_are_refused_when_one_is_changed():
    optimizer = SGD([X], momentum=0.9, nesterov=True)
    with pytest.raises(DomainError, match="nesterov=True changes nothing without momentum"):
        optimizer.momentum = 0.0
    assert optimizer.momentum == 0.9
    optimizer.nesterov = False
    optimizer.momentum = 0.0


def test_an_attribute_that_an_optimizer_does_not_have_is_refused():
    optimizer = SGD([X])
    for name, meant in (("learning_rate", "lr"), ("momentun", "momentum"), ("Weight_Decay", "weight_decay")):
        with pytest.raises(
            AttributeError,
            match=f"SGD has no attribute '{name}': did you mean {meant}\\? Its hyperparameters are lr, mom",
        ):
            setattr(optimizer, name, 0.2)
    optimizer.steps = [3]
    optimizer._own = 1


def test_an_optimizer_of_ones_own_may_have_attributes_of_its_own():
    class Mine(SGD):
        def __init__(self, params):
            super().__init__(params)
            self.moment = 3  # near a hyperparameter's name, and declared

    mine = Mine([X])
    mine.moment = 4
    mine.first = 1  # kept by a step, say
    with pytest.raises(AttributeError, match="Mine has no attribute 'momentim': did you mean momentum"):
        mine.momentim = 1


# --- grad modes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [gradcore.no_grad, gradcore.enable_grad])
def test_a_grad_mode_without_parentheses_is_refused(mode):
    with (
        pytest.raises(
            ArgumentError,
            match=f"{mode.__name__} was used without parentheses: write `with {mode.__name__}\\(\\):`",
        ),
        mode,
    ):
        pass
    with pytest.raises(
        ArgumentError, match=f"{mode.__name__} takes no arguments.*write `@{mode.__name__}\\(\\)`"
    ):
        mode(lambda: 1)
    assert gradcore.is_grad_enabled()


def test_asyncio_tasks_have_grad_modes_of_their_own():
    seen = {}

    async def quiet():
        with gradcore.no_grad():
            await asyncio.sleep(0.01)
            seen["quiet"] = gradcore.is_grad_enabled()

    async def loud():
        await asyncio.sleep(0.001)
        seen["loud"] = gradcore.is_grad_enabled()

    async def both():
        await asyncio.gather(quiet(), loud())

    asyncio.run(both())
    assert seen == {"quiet": False, "loud": True}


def test_a_decorated_coroutine_runs_in_the_mode():
    @gradcore.no_grad()
    async def quiet():
        await asyncio.sleep(0)
        return gradcore.is_grad_enabled()

    assert asyncio.run(quiet()) is False


def test_a_decorated_generator_has_its_mode_only_while_it_runs():
    ended = []

    @gradcore.no_grad()
    def numbers(n):
        try:
            sent = None
            for i in range(n):
                try:
                    sent = yield i, sent, gradcore.is_grad_enabled()
                except KeyError as error:
                    sent = error.args[0]
            return "end"
        finally:
            ended.append(gradcore.is_grad_enabled())

    made = numbers(3)
    assert next(made) == (0, None, False)
    assert gradcore.is_grad_enabled()
    assert made.send(5) == (1, 5, False)
    assert made.throw(KeyError(6)) == (2, 6, False)
    with pytest.raises(StopIteration, match="end"):
        next(made)
    other = numbers(2)
    next(other)
    other.close()
    assert ended == [False, False]
    assert gradcore.is_grad_enabled()


# --- dtypes -----------------------------------------------------------------------------------------------------------


def test_dtypes_mix_as_numpys_do_and_gradients_keep_their_own():
    x = Tensor(np.ones(3, np.float32), requires_grad=True)
    y = x * np.ones(3)
    assert y.dtype == np.float64
    y.sum().backward()
    assert x.grad.dtype == np.float32
    assert (
        (x * 2.0).dtype == (x * 2).dtype == (x * [1.0, 2.0, 3.0]).dtype == (x * [1, 2, 3]).dtype == np.float32
    )
    assert (x * Tensor([1, 2, 3])).dtype == np.float64
    assert (x * Tensor([1.0, 2.0, 3.0])).dtype == np.float32


def test_a_float64_data_set_leaves_a_float32_model_and_its_gradients_in_float32():
    model = nn.mlp((3, 4, 2), rng=0)
    loss = gradcore.cross_entropy(model(np.ones((5, 3))), np.zeros(5, int))
    assert loss.dtype == np.float64
    loss.backward()
    optimizer = optim.Adam(model.parameters())
    optimizer.step()
    assert (
        {p.dtype for p in model.parameters()}
        == {p.grad.dtype for p in model.parameters()}
        == {np.dtype(np.float32)}
    )


# --- data, files, help ------------------------------------------------------------------------------------------------


def test_a_data_set_can_be_indexed_and_a_split_unpacked():
    train, test = load("digits")
    split = load("digits")
    assert (len(train), len(test)) == (len(split.train), len(split.test))
    image, label = train[3]
    assert image.shape == (1, 8, 8)
    assert label == train.labels[3]
    images, labels = train[:4]
    np.testing.assert_array_equal(images, train.images[:4])
    np.testing.assert_array_equal(labels, train.labels[:4])
    assert sum(1 for _ in test) == len(test)


class Mine(nn.Module):
    def __init__(self, seed):
        super().__init__()
        self.first = nn.Linear(3, 2, rng=seed)
        self.norm = nn.BatchNorm1d(2)
        self.norm.running_mean = self.norm.running_mean + np.float32(seed)

    def forward(self, x):
        return self.norm(self.first(x))


def test_a_model_of_ones_own_is_saved_and_loaded_by_one_call(tmp_path):
    pytest.importorskip("safetensors")
    path = tmp_path / "mine.safetensors"
    first, second = Mine(1), Mine(2)
    gradcore.save(path, first)
    assert gradcore.load_into(str(path), second) is second
    for name, array in first.state_dict().items():
        np.testing.assert_array_equal(second.state_dict()[name], array)
    with pytest.raises(ValueError, match=r"mine\.safetensors does not fit Linear"):
        gradcore.load_into(path, nn.Linear(3, 2))


def test_what_loads_late_is_there_after_the_import_and_listed():
    code = (
        "import sys, gradcore\n"
        "late = [m for m in ('data', 'io', 'train', 'saving', 'preflight') if 'gradcore.' + m in sys.modules]\n"
        "assert not late, late\n"
        "assert {'data', 'io', 'train', 'save', 'load_into', 'check_model'} <= set(dir(gradcore)) & set(gradcore.__all__)\n"
        "assert 'gradcheck' not in sys.modules\n"
        "gradcore.data.load, gradcore.train.Trainer, gradcore.io.save_tensors, gradcore.save, gradcore.nn.functional.relu\n"
        "assert gradcore.check_model.__module__ == 'gradcore.preflight' and 'check_model' in vars(gradcore)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_docstrings_list_what_there_is():
    for name in (
        "data",
        "train",
        "io",
        "save",
        "load_into",
        "check_model",
        "no_grad",
        "randn",
        "gradcore.nn",
        "gradcore.optim",
    ):
        assert name in gradcore.__doc__
    for name in gradcore.registry.layers:
        assert name in nn.__doc__


def test_a_model_can_be_checked_before_training():
    model = nn.mlp((3, 4, 2), rng=0)
    x, y = np.random.default_rng(0).normal(size=(6, 3)), np.array([0, 1, 0, 1, 1, 0])
    assert gradcore.check_model(model, gradcore.cross_entropy, x, y).startswith(
        "Verified the gradients of all 4 parameters"
    )
    loader = DataLoader(x, y, batch_size=2)
    assert len(list(loader)) == 3


def test_assigning_into_a_tensor_is_refused_without_the_unsafe_way():
    with pytest.raises(GraphError) as caught:
        X[0] = 2.0
    assert "x.data" not in str(caught.value)

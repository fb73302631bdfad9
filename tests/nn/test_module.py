"""Module: what it holds, its state, its modes, how it reads."""

import copy
import pickle
import re

import numpy as np
import pytest

import gradcore
from gradcore import Tensor, nn
from gradcore.errors import StateError


class Scale(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.weight = gradcore.ones((features,), requires_grad=True)
        self.seen = np.zeros(1)

    def forward(self, x, power=1):
        return x * self.weight**power


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 3, rng=0)
        self.blocks = [Scale(3), nn.ReLU(), Scale(3)]
        self.sizes = (2, 3)
        self.name = "net"

    def forward(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return x


# --- what it holds ----------------------------------------------------------------------------------------------------


def test_parameters_are_found_by_dotted_names_in_order():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == [
        "first.weight",
        "first.bias",
        "blocks.0.weight",
        "blocks.2.weight",
    ]
    assert [id(p) for p in net.parameters()] == [id(p) for _, p in net.named_parameters()]
    assert [name for name, _ in net.named_modules()] == ["", "first", "blocks.0", "blocks.1", "blocks.2"]
    assert [name for name, _ in net.named_children()] == ["first", "blocks.0", "blocks.1", "blocks.2"]


def test_a_shared_parameter_comes_once_and_gets_the_gradient_of_all_its_uses():
    net = nn.Sequential(Scale(2), Scale(2))
    net[1].weight = net[0].weight
    assert [name for name, _ in net.named_parameters()] == ["0.weight"]
    net(Tensor([[3.0, 5.0]])).sum().backward()
    assert net[0].weight.grad.tolist() == [6, 10]
    assert set(net.state_dict()) == {"0.weight", "0.seen", "1.weight", "1.seen"}


def test_a_module_used_twice_counts_once():
    block = Scale(2)
    assert len(list(nn.Sequential(block, block).parameters())) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("table", {"a": Scale(2)}),
        ("table", {"a": gradcore.ones((2,))}),
        ("rows", [[Scale(2)]]),
        ("rows", [(Scale(2),)]),
        ("rows", ([Scale(2)],)),
        ("rows", [{Scale(2)}]),
        ("rows", [frozenset([Scale(2)])]),
        ("rows", [{"a": Scale(2)}]),
        ("group", {Scale(2)}),
        ("group", frozenset([gradcore.ones((2,))])),
        ("weights", (gradcore.ones((2,)),)),
        ("weights", [gradcore.ones((2,))]),
    ],
)
def test_parameters_where_they_would_not_be_found_are_refused_rather_than_forgotten(name, value):
    net = Net()
    setattr(net, name, value)
    for call in (lambda: list(net.parameters()), net.state_dict, net.train, lambda: repr(net)):
        with pytest.raises(
            TypeError, match=rf"Net\.{name}.* is a .* with a (Scale|Tensor|Module) in it.*attribute"
        ):
            call()


def test_names_are_dotted_at_every_depth():
    net = nn.Sequential(nn.Sequential(Scale(2)), Net())
    assert [name for name, _ in net.named_parameters()][:2] == ["0.0.weight", "1.first.weight"]
    assert [name for name, _ in net.named_modules()][:4] == ["", "0", "0.0", "1"]
    assert list(net.state_dict())[:2] == ["0.0.weight", "0.0.seen"]
    assert repr(net).splitlines()[1:3] == [
        "  (0): Sequential()  2 parameters",
        "    (0): Scale()  2 parameters",
    ]
    assert [name for name, _ in Net().named_modules("net")][:3] == ["net", "net.first", "net.blocks.0"]


def test_arrays_in_a_list_are_saved():
    net = Net()
    net.tables = [np.arange(2), np.zeros(3)]
    assert list(net.state_dict())[:2] == ["tables.0", "tables.1"]


def test_dicts_and_lists_of_other_things_are_fine():
    net = Net()
    net.options = {"depth": 3, "names": ["a"]}
    net.sizes = [[1, 2], [3]]
    assert len(list(net.parameters())) == 4


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match=r"Empty has no forward\(self, \.\.\.\): write one"):
        type("Empty", (nn.Module,), {})()(1)


def test_keyword_arguments_reach_forward():
    scale = Scale(1)
    scale.weight.data[:] = 3
    assert scale(Tensor([2.0]), power=2).tolist() == [18]


# --- state ------------------------------------------------------------------------------------------------------------


def test_a_state_goes_round_and_is_a_copy():
    source, target = Net(), Net()
    for p in source.parameters():
        p.data += 1
    state = source.state_dict()
    assert list(state) == [
        "first.weight",
        "first.bias",
        "blocks.0.weight",
        "blocks.0.seen",
        "blocks.2.weight",
        "blocks.2.seen",
    ]
    place = id(target.first.weight.data)
    target.load_state_dict(state)
    assert id(target.first.weight.data) == place
    for name, array in target.state_dict().items():
        np.testing.assert_array_equal(array, state[name])
        assert array is not state[name]
    target.first.weight.data += 1
    assert not np.shares_memory(target.first.weight.data, state["first.weight"])
    assert not np.array_equal(target.first.weight.data, source.first.weight.data)
    x = np.ones((1, 2), np.float32)
    source.load_state_dict(target.state_dict())
    np.testing.assert_array_equal(source(x).data, target(x).data)


def test_a_state_that_does_not_fit_is_refused_with_every_difference_and_nothing_is_changed():
    net = Net()
    state = net.state_dict()
    before = net.state_dict()
    del state["first.bias"]
    state["second.weight"] = np.zeros(2)
    state["first.weight"] = np.zeros((3, 2), np.float32)
    state["blocks.0.weight"] = np.zeros(3)
    state["blocks.2.weight"] = np.full(3, 7, np.float32)
    with pytest.raises(StateError) as caught:
        net.load_state_dict(state)
    message = str(caught.value)
    for part in (
        "this state does not fit Net: 4 differences",
        "missing: first.bias, float32 (1, 3)",
        "unexpected: second.weight, float64 (2,)",
        "different: first.weight, expected float32 (2, 3), got float32 (3, 2)",
        "different: blocks.0.weight, expected float32 (3,), got float64 (3,)",
    ):
        assert part in message
    assert "blocks.2" not in message
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_the_error_names_where_a_state_came_from():
    with pytest.raises(StateError, match=re.escape("run/model.safetensors does not fit Net")):
        Net().load_state_dict({}, source="run/model.safetensors")


# --- modes ------------------------------------------------------------------------------------------------------------


def test_train_and_eval_reach_every_module_and_return_the_model():
    net = Net()
    assert net.training
    assert net.eval() is net
    assert [m.training for _, m in net.named_modules()] == [False] * 5
    assert net.train() is net
    assert [m.training for _, m in net.named_modules()] == [True] * 5


def test_zero_grad_forgets_all_gradients():
    net = Net()
    net(np.ones((1, 2), np.float32)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_astype_leaves_whole_numbers_alone():
    net = Scale(2)
    net.seen = np.arange(2)
    net.astype(np.float64)
    assert net.seen.dtype == np.arange(2).dtype


def test_astype_turns_parameters_and_buffers():
    net = nn.Sequential(nn.Linear(2, 3, rng=0), nn.BatchNorm1d(3))
    net(np.ones((2, 2), np.float32) * [[1], [2]]).sum().backward()
    ids = [id(p) for p in net.parameters()]
    assert net.astype(np.float64) is net
    assert {a.dtype for a in net.state_dict().values()} == {np.dtype(np.float64)}
    assert [id(p) for p in net.parameters()] == ids
    assert all(p.grad is None for p in net.parameters())
    assert net(np.ones((2, 2)) * [[1], [2]]).dtype == np.float64


# --- copies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copied_model_is_trained_apart_from_the_original(how):
    net = nn.Sequential(nn.Linear(2, 2, rng=0), nn.BatchNorm1d(2), nn.Dropout(0.5, rng=0))
    twin = how(net)
    x = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    np.testing.assert_array_equal(
        net(x).data, twin(x).data
    )  # the generators too are copies in the same state
    (net[0](x).sum() + twin[0](x).sum() * 5).backward()
    np.testing.assert_allclose(twin[0].weight.grad, 5 * net[0].weight.grad, rtol=1e-6)
    twin[0].weight.data += 1
    assert not np.array_equal(net[0].weight.data, twin[0].weight.data)


# --- how it reads -----------------------------------------------------------------------------------------------------


def test_the_repr_is_a_tree_with_parameter_counts():
    assert repr(Net()).splitlines() == [
        "Net()  15 parameters",
        "  (first): Linear(2 -> 3)  9 parameters",
        "  (blocks.0): Scale()  3 parameters",
        "  (blocks.1): ReLU()",
        "  (blocks.2): Scale()  3 parameters",
    ]


def test_the_reference_network_has_its_layers_and_109386_parameters():
    # 784 * 128 + 128 + 128 * 64 + 64 + 64 * 10 + 10
    model = nn.mlp()
    assert repr(model).splitlines()[0] == "Sequential()  109,386 parameters"
    assert [p.shape for p in model.parameters()] == [
        (784, 128),
        (1, 128),
        (128, 64),
        (1, 64),
        (64, 10),
        (1, 10),
    ]
    assert [type(m).__name__ for m in model] == ["Flatten", "Linear", "ReLU", "Linear", "ReLU", "Linear"]
    assert model(np.zeros((2, 1, 28, 28), np.float32)).shape == (2, 10)


def test_one_seed_gives_the_same_model():
    a, b, c = (nn.mlp((4, 3, 2), rng=seed).state_dict() for seed in (1, 1, 2))
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])
    assert not np.array_equal(a["1.weight"], c["1.weight"])


# --- Sequential -------------------------------------------------------------------------------------------------------


def test_sequential_applies_its_modules_in_order_and_can_be_looked_into():
    net = nn.Sequential(Scale(1), nn.ReLU(), nn.Sigmoid())
    assert len(net) == 3
    assert isinstance(net[0], Scale)
    assert isinstance(net[-1], nn.Sigmoid)
    assert [type(m).__name__ for m in net] == ["Scale", "ReLU", "Sigmoid"]
    assert net(Tensor([-3.0])).tolist() == [0.5]
    x = Tensor([1.0])
    assert nn.Sequential()(x) is x


def test_sequential_refuses_what_is_no_module():
    with pytest.raises(TypeError, match=r"takes modules, and argument 1 is .*wrap a function in a Module"):
        nn.Sequential(nn.ReLU(), np.tanh)
    with pytest.raises(TypeError, match="argument 0 is"):
        nn.Sequential([nn.ReLU()])


# --- functional_call --------------------------------------------------------------------------------------------------


def test_functional_call_uses_other_tensors_and_leaves_the_module_as_it_was():
    net = nn.Sequential(Scale(2), Scale(2))
    before = net[0].weight
    other = Tensor(np.array([2.0, 3.0]), requires_grad=True)
    y = nn.functional_call(net, {"0.weight": other * 2}, Tensor(np.array([1.0, 1.0])))
    assert y.tolist() == [4, 6]
    y.sum().backward()
    assert other.grad.tolist() == [2, 2]
    assert net[0].weight is before
    assert list(vars(net[0])) == ["training", "weight", "seen"]


def test_functional_call_hands_on_all_inputs_and_restores_at_every_depth():
    net = nn.Sequential(nn.Sequential(Scale(2)), Net())
    before = net.state_dict()
    x = Tensor(np.array([1.0, 1.0], np.float32))
    expected = nn.functional_call(net, {}, x).data
    other = {"0.0.weight": Tensor(np.full(2, 3.0, np.float32)), "1.first.bias": Tensor(np.ones((1, 3)))}
    assert not np.array_equal(nn.functional_call(net, other, x).data, expected)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert nn.functional_call(Scale(2), {"weight": Tensor([2.0, 3.0])}, x, 2).tolist() == [4, 9]


def test_functional_call_restores_the_module_when_forward_fails():
    net = Scale(2)
    before = net.weight
    with pytest.raises(ValueError):
        nn.functional_call(net, {"weight": Tensor([1.0, 2.0, 3.0])}, np.ones(2))
    assert net.weight is before


def test_functional_call_names_parameters_that_are_not_there():
    with pytest.raises(KeyError, match=r"no parameters bias .*there are weight"):
        nn.functional_call(Scale(2), {"bias": Tensor([1.0])}, np.ones(2))

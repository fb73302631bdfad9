"""Lists and dicts of modules: their parameters are the owner's, and they read like the list or dict."""

import numpy as np
import pytest

import gradcore
from gradcore import nn


class Deep(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(3, 3, rng=k) for k in range(3))
        self.heads = nn.ModuleDict({"a": nn.Linear(3, 1, rng=7), "b": nn.Linear(3, 2, rng=8)})

    def forward(self, x, head):
        for layer in self.layers:
            x = gradcore.tanh(layer(x))
        return self.heads[head](x)


def test_their_parameters_are_the_owners_by_dotted_name():
    names = [name for name, _ in Deep().named_parameters()]
    assert names[:2] == ["layers.0.weight", "layers.0.bias"]
    assert names[-4:] == ["heads.a.weight", "heads.a.bias", "heads.b.weight", "heads.b.bias"]
    assert len(names) == 10


def test_what_is_not_used_gets_no_gradient():
    model = Deep()
    model(gradcore.ones(2, 3), "a").sum().backward()
    assert all((p.grad is None) == name.startswith("heads.b") for name, p in model.named_parameters())


def test_a_state_goes_from_one_to_another():
    first, second = Deep(), Deep()
    for p in first.parameters():
        p.data = p.data + 1
    second.load_state_dict(first.state_dict())
    x = gradcore.ones(2, 3)
    np.testing.assert_array_equal(first(x, "b").data, second(x, "b").data)


def test_a_list_is_indexed_sliced_grown_and_changed():
    layers = nn.ModuleList([nn.ReLU(), nn.Tanh()])
    assert layers.append(nn.Sigmoid()) is layers
    layers.extend([nn.Identity(), nn.SiLU()])
    assert [type(m).__name__ for m in layers] == ["ReLU", "Tanh", "Sigmoid", "Identity", "SiLU"]
    assert len(layers) == 5
    assert type(layers[-1]) is nn.SiLU
    assert [type(m) for m in layers[1:3]] == [nn.Tanh, nn.Sigmoid]
    layers[-1] = nn.ReLU()
    assert type(layers[4]) is nn.ReLU
    with pytest.raises(IndexError):
        layers[5]
    with pytest.raises(IndexError):
        layers[5] = nn.ReLU()


def test_a_dict_reads_like_one():
    heads = Deep().heads
    assert list(heads) == list(heads.keys()) == ["a", "b"]
    assert "a" in heads
    assert "c" not in heads
    assert len(heads) == len(heads.values()) == 2
    assert dict(heads.items())["b"] is heads["b"]
    heads["a"] = nn.Identity()
    assert type(heads["a"]) is nn.Identity
    del heads["a"]
    assert list(heads) == ["b"]
    with pytest.raises(KeyError, match="ModuleDict has no module 'a': it has b"):
        heads["a"]
    with pytest.raises(KeyError, match="ModuleDict has no module 'a': it has b"):
        del heads["a"]


@pytest.mark.parametrize("name", ["", "a.b", "training", "forward", 3])
def test_a_name_that_can_not_be_one_is_refused(name):
    with pytest.raises(KeyError, match="ModuleDict can't name a module"):
        nn.ModuleDict({name: nn.ReLU()})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.ModuleList([gradcore.relu]), "ModuleList takes modules, and entry 0 is"),
        (
            lambda: nn.ModuleDict({"a": 3}),
            "ModuleDict takes modules, and entry 'a' is 3: wrap a function in a Module",
        ),
        (lambda: nn.Sequential(nn.ReLU(), abs), "Sequential takes modules, and argument 1 is"),
    ],
)
def test_what_is_no_module_is_refused(make, words):
    with pytest.raises(TypeError, match=words):
        make()


def test_neither_can_be_called():
    for container in (nn.ModuleList([nn.ReLU()]), nn.ModuleDict({"a": nn.ReLU()})):
        with pytest.raises(NotImplementedError, match=r"has no forward\(self, ...\)"):
            container(1.0)


def test_what_is_put_into_a_list_is_named_by_its_place():
    layers = nn.ModuleList([nn.ReLU(), nn.ReLU()])
    for index in (0, -1):
        with pytest.raises(TypeError, match=rf"^ModuleList takes modules, and entry {index} is 3\.0"):
            layers[index] = 3.0

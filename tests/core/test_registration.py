"""Registering is enrolling: ops, layers, losses and optimizers come with a spec, under a name of their own."""

import numpy as np
import pytest

import gradcore
from gradcore import Tensor, nn, optim, registry
from gradcore.errors import SpecError
from gradcore.registry import layer, loss, optimizer
from gradcore.spec import Case, LayerSpec, OpSpec, OptimizerSpec, case, reals
from gradcore.tensor import FUNCTIONS, UFUNCS


@pytest.fixture(autouse=True)
def _registries_as_before():
    tables = (registry.ops, registry.layers, registry.losses, registry.optimizers, UFUNCS, FUNCTIONS)
    before = [dict(table) for table in tables]
    names = set(vars(Tensor))
    yield
    for table, entries in zip(tables, before, strict=True):
        table.clear()
        table.update(entries)
    for name in set(vars(Tensor)) - names:
        delattr(Tensor, name)


SPEC = OpSpec(case(reals()), reference=lambda x: x * 3)


def test_an_op_of_ones_own_works_as_function_method_and_numpy_function():
    @gradcore.op(vjp=lambda gy, _y, x: gy * 3, spec=SPEC, numpy=(np.cbrt,), methods=("triple",))
    def triple(x, /):
        """Three times x."""
        return x * 3

    for call in (triple, lambda x: x.triple(), np.cbrt):
        x = Tensor(np.array([1.0, 2.0]), requires_grad=True)
        call(x).backward([1, 10])
        assert x.grad.tolist() == [3, 30]
    assert registry.ops["triple"] is triple
    assert triple.spec is SPEC
    assert triple(np.ones(2)).tolist() == [3, 3]
    assert repr(triple) == "<op triple(x, /)>"


def test_an_op_is_a_pair_of_functions():
    y = gradcore.mul.forward(np.array(2.0), np.array(5.0))
    assert y == 10
    assert gradcore.mul.vjp(np.array(1.0), y, np.array(2.0), np.array(5.0)) == (5, 2)
    condition, ones = np.array([True, False]), np.ones(2)
    none, gx, gy = gradcore.where.vjp(ones, ones, condition, ones, ones)
    assert none is None
    assert (gx.tolist(), gy.tolist()) == ([1, 0], [0, 1])


def test_static_parameters_come_by_position_or_by_name():
    @gradcore.op(vjp=lambda gy, _y, x, factor=2.0: gy * factor, spec=SPEC)
    def scale(x, /, factor=2.0):
        return x * factor

    for args, more, expected in (((), {}, 2), ((5.0,), {}, 5), ((), {"factor": 7.0}, 7)):
        x = Tensor(np.array(1.0), requires_grad=True)
        y = scale(x, *args, **more)
        y.backward()
        assert y.item() == x.grad == expected


def test_an_optional_array_may_be_left_out():
    x, w = Tensor(np.ones((1, 2)), requires_grad=True), Tensor(np.ones((2, 1)))
    for call in (lambda: gradcore.linear(x, w), lambda: gradcore.linear(x, w, None)):
        assert call().tolist() == [[2]]


def test_one_function_for_all_cotangents_is_told_which_are_needed():
    asked = []

    def rule(gy, _y, a, b, *, needs):
        asked.append(needs)
        return (gy * b if needs[0] else None, gy * a if needs[1] else None)

    product = gradcore.Op(lambda a, b, /: a * b, rule, SPEC, name="product", broadcasts=True)
    x, y = Tensor(np.array(2.0), requires_grad=True), Tensor(np.array(5.0))
    product(x, y).backward()
    assert asked == [(True, False)]
    assert x.grad == 5
    assert product.vjp(np.array(1.0), np.array(10.0), np.array(2.0), np.array(5.0)) == (5, 2)


@pytest.mark.parametrize("spec", [None, "a spec", LayerSpec(case(reals()), reference=lambda x: x)])
def test_an_op_without_a_spec_is_refused_and_shown_what_to_write(spec):
    with pytest.raises(SpecError, match=r"op 'nameless' came with spec=.*Write spec=OpSpec\(case\(reals"):

        @gradcore.op(vjp=lambda gy, _y, x: gy, spec=spec)
        def nameless(x, /):
            return x

    assert "nameless" not in registry.ops


def test_layers_losses_optimizers_and_compositions_need_a_spec_too():
    with pytest.raises(SpecError, match=r"layer 'Mine' came with spec=None.*Write spec=LayerSpec"):
        layer(spec=None)(type("Mine", (nn.Module,), {}))
    with pytest.raises(SpecError, match=r"loss 'mine' came with"):

        @loss(spec=None)
        def mine(x):
            return x

    with pytest.raises(SpecError, match=r"optimizer 'Mine' .*Write spec=OptimizerSpec"):
        optimizer(spec=None)(type("Mine", (optim.Optimizer,), {}))
    with pytest.raises(SpecError, match=r"op 'half' came with"):

        @gradcore.composed(spec=None)
        def half(x):
            return x / 2


def test_a_name_that_is_taken_is_refused():
    with pytest.raises(SpecError, match="named 'relu' already: choose another name"):

        @gradcore.op(vjp=lambda gy, _y, x: gy, spec=SPEC)
        def relu(x, /):
            return x

    assert registry.ops["relu"] is gradcore.relu


def test_the_number_of_rules_must_be_that_of_the_arrays():
    with pytest.raises(SpecError, match=r"'pair' has 2 array arguments and 1 rules: give one per array"):

        @gradcore.op(vjp=(lambda gy, _y, a, b: gy,), spec=SPEC)
        def pair(a, b, /):
            return a + b


def test_an_op_stands_for_its_ufunc_and_its_methods_call_that():
    called = []

    @gradcore.op(vjp=lambda gy, y, _x: gy / (y * y * 3), spec=SPEC, ufunc=np.cbrt, methods=("root",))
    def root(x, /):
        called.append(x)
        return np.cbrt(x)

    x = Tensor(np.array([1.0, 8.0]), requires_grad=True)
    for call in (lambda x: x.root(), root, np.cbrt):
        assert call(x).tolist() == [1, 2]
        assert call(x)._op is root
    assert called == []
    assert root(x.data).tolist() == [1, 2]
    assert len(called) == 1


@pytest.mark.parametrize(
    "forward",
    [lambda x, y, /: x, lambda x, /, factor=2.0: x, lambda *arrays: arrays[0]],
    ids=["two arrays", "a parameter", "any number of arrays"],
)
def test_a_ufunc_that_takes_something_else_than_forward_is_refused(forward):
    with pytest.raises(
        SpecError, match=r"op 'mine'\(.*\) came with ufunc=np\.cbrt, which takes 1 arrays and nothing else"
    ):
        gradcore.op(vjp=lambda gy, *_, **__: gy, spec=SPEC, name="mine", ufunc=np.cbrt)(forward)


def test_a_forward_without_arrays_is_refused_and_shown_how_they_are_written():
    with pytest.raises(
        SpecError, match=r"takes no arrays: write them as positional-only.*def scale\(x, /, factor=2\.0\)"
    ):

        @gradcore.op(vjp=lambda gy, _y: gy, spec=SPEC)
        def nothing(x):
            return x


def test_a_spec_without_cases_or_with_something_else_is_refused():
    with pytest.raises(SpecError, match="OpSpec has no case"):
        OpSpec(reference=lambda x: x)
    with pytest.raises(
        SpecError, match=r"LayerSpec takes cases, made by gradcore\.spec\.case\(\.\.\.\): 'n k' is not a case"
    ):
        LayerSpec("n k", reference=lambda x: x)


def test_a_layer_a_loss_and_an_optimizer_enroll_under_their_names():
    spec = LayerSpec(case(reals()), reference=lambda _s, _t, x: x)

    @layer(spec=spec)
    class Same(nn.Module):
        def forward(self, x):
            return x

    @loss(spec=SPEC)
    def nothing_lost(x):
        return x

    @optimizer(spec=OptimizerSpec({}, reference=lambda p, g: p))
    class Lazy(optim.Optimizer):
        pass

    assert registry.layers["Same"] is Same
    assert Same.spec is spec
    assert registry.losses["nothing_lost"] is nothing_lost
    assert registry.optimizers["Lazy"] is Lazy


def test_everything_registered_has_a_spec_with_cases_and_a_reference():
    for table in (registry.ops, registry.losses, registry.layers):
        assert table
        for name, entry in table.items():
            assert entry.spec.cases, name
            assert all(isinstance(c, Case) for c in entry.spec.cases), name
            assert callable(entry.spec.reference), name
    for name, entry in registry.optimizers.items():
        assert set(entry.hyper) == set(entry.spec.params), name


def test_every_public_layer_loss_and_optimizer_is_registered():
    containers = {"Module", "Sequential", "ModuleList", "ModuleDict", "ParameterList"}
    classes = {n for n in nn.__all__ if isinstance(getattr(nn, n), type)}
    losses = {n for n in classes if n.endswith("Loss")}
    assert classes - losses - containers == set(registry.layers)
    assert {getattr(nn, n).function for n in losses} == set(registry.losses.values())
    classes = {n for n in optim.__all__ if isinstance(getattr(optim, n), type)}
    assert classes - {"Optimizer", "LBFGS", "EMA", "SWA"} == set(registry.optimizers)

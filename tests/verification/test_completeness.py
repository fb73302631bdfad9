"""Nothing differentiable is left out: what is public is enrolled, what is enrolled has its rules run, by every name."""

import inspect
import operator

import numpy as np
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

import gradcore
from gradcheck.strategies import examples
from gradcheck.verification import cases, check_gradient, check_tensor_method, positions
from gradcore import Op, Tensor, names, nn, op, optim, registry
from gradcore.errors import SpecError
from gradcore.op import composed
from gradcore.tensor import FUNCTIONS, UFUNCS

OPS = [entry for entry in registry.ops.values() if isinstance(entry, Op)]
FEW = settings(phases=[Phase.generate], derandomize=True, database=None)

NOT_ENROLLED = {
    "tensor arange eye full full_like ones ones_like rand rand_like randn randn_like zeros zeros_like": "made from no Tensor",
    "Op Tensor op composed Module Optimizer": "what ops, layers and optimizers are made of",
    "no_grad enable_grad is_grad_enabled anomaly": "modes",
    "concatenate stack hstack vstack dstack column_stack": "take a list of arrays, and call the op of their name; see test_numpy_functions",
    "split array_split hsplit vsplit dsplit": "give a list of slices; see tests/core/test_split.py",
    "atleast_1d atleast_2d atleast_3d rollaxis": "call reshape and transpose; see tests/core/test_axes.py",
    "gradient": "calls the op of its name for each axis; see tests/core/test_gradient.py",
    "average cumulative_sum": "call mean, weighted_average and cumsum; see tests/core/test_averages.py",
    "einsum": "takes the subscripts first; see test_decompositions.py in tests/core",
    "eigh eigvalsh svd svdvals qr slogdet": "give parts of an op that holds several arrays; see tests/core/test_decompositions.py",
    "BCELoss BCEWithLogitsLoss CTCLoss CosineEmbeddingLoss CrossEntropyLoss HingeLoss HuberLoss KLDivLoss L1Loss MSELoss MarginRankingLoss MultiMarginLoss NLLLoss SmoothL1Loss TripletMarginLoss": "call the losses; see test_its_module_is_the_loss",
    "Sequential ModuleList ModuleDict ParameterList functional_call mlp cnn": "hold or call the layers that they are given, or are made of",
    "weight_norm spectral_norm": "change a layer that is verified; tests/nn/test_reparametrised.py measures them",
    "summary": "a text",
    "check_model": "verifies the model that it is given",
    "save load_into": "write and read files",
    "grad value_and_grad vjp jvp jacobian hessian hvp checkpoint": "of functions; tests/core/test_transforms.py measures them",
    "capture callback": "replay a step; tests/replay compares every op, layer and loss, replayed and eager, to the bit",
    "vmap": "of functions; tests/core/test_vmap.py holds it beside the loop",
    "clip_grad_norm clip_grad_value": "change gradients, and have none",
    "LBFGS": "takes a closure, and moves all parameters as one vector; see tests/optim/test_lbfgs.py",
    "EMA SWA": "average values, and have no gradient; tests/optim/test_averages.py holds them beside explicit sums",
}


KINDS = ("ops", "layers", "losses", "optimizers")


def named(entry):
    return getattr(entry, "name", None) or entry.__name__


def defaults(function):
    """The arguments of a function or a class that may be left out, with what they are then."""
    parameters = inspect.signature(function).parameters.items()
    return {name: p.default for name, p in parameters if p.default is not p.empty}


def cases_of(entry):
    return st.sampled_from(entry.spec.cases).flatmap(examples)


def each_example(strategy, check, count=8):
    @settings(FEW, max_examples=count)
    @given(strategy)
    def holds(example):
        check(example)

    holds()


# --- what is public is enrolled ---------------------------------------------------------------------------------------


def test_every_public_callable_is_enrolled_or_there_is_a_reason_why_not():
    enrolled = [
        *registry.ops.values(),
        *registry.layers.values(),
        *registry.losses.values(),
        *registry.optimizers.values(),
    ]
    excused = {name for names in NOT_ENROLLED for name in names.split()}
    public = {
        name: getattr(module, name)
        for module in (gradcore, nn, optim)
        for name in module.__all__
        if callable(getattr(module, name))
    }
    missing = {
        name
        for name, value in public.items()
        if not any(value is entry for entry in enrolled) and name not in excused
    }
    assert not missing, (
        f"enroll {missing} with a spec, or state in NOT_ENROLLED why there is nothing to verify"
    )
    assert excused <= set(public), "an excuse for what is not there"


def test_every_layer_loss_and_optimizer_that_is_defined_is_enrolled():
    def below(cls):
        for sub in cls.__subclasses__():
            yield from [sub, *below(sub)]

    known = {
        *registry.layers.values(),
        *registry.optimizers.values(),
        optim.LBFGS,
        nn.Sequential,
        nn.ModuleList,
        nn.ModuleDict,
        nn.ParameterList,
        *below(nn.losses._Loss),
    }
    defined = {
        c
        for base in (nn.Module, optim.Optimizer)
        for c in below(base)
        if c.__module__.startswith("gradcore.")
        and not c.__module__.startswith("gradcore.examples.")
        and "made_of" not in vars(c)
    }
    assert {c.__name__ for c in defined - known if not c.__name__.startswith("_")} == set()


# --- what is enrolled has a spec --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "enroll", "write"),
    [
        ("op", lambda: op(vjp=lambda gy, y, x: gy, spec=None)(lambda x, /: x), r"spec=OpSpec\(case\("),
        ("op", lambda: composed(spec=None)(lambda x: x), r"spec=OpSpec\(case\("),
        ("loss", lambda: registry.loss(spec=None)(lambda x: x), r"spec=LossSpec\(case\("),
        ("layer", lambda: registry.layer(spec=None)(nn.Module), r"spec=LayerSpec\(case\("),
        ("optimizer", lambda: registry.optimizer(spec=None)(optim.Optimizer), r"spec=OptimizerSpec\("),
    ],
)
def test_registering_without_a_spec_is_refused_with_what_to_write(kind, enroll, write):
    before = {name: dict(getattr(registry, name)) for name in KINDS}
    with pytest.raises(SpecError, match=rf"{kind} .* every {kind} is verified from its spec.*Write {write}"):
        enroll()
    assert before == {name: dict(getattr(registry, name)) for name in before}


def test_a_spec_without_a_case_is_refused():
    with pytest.raises(SpecError, match="has no case: describe what may be passed"):
        gradcore.spec.OpSpec(reference=abs)


@pytest.mark.parametrize(
    "entry", [e for kind in KINDS for e in getattr(registry, kind).values()], ids=lambda entry: named(entry)
)
def test_a_reference_states_the_same_defaults(entry):
    """So that what no caller passes is verified too: the defaults are written twice, and must be the same."""
    described = getattr(entry.spec, "params", None)
    names = set(described) if described else {n for c in entry.spec.cases for n in c.params}
    own = defaults(getattr(entry, "forward", entry) if isinstance(entry, Op) else entry)
    its = defaults(entry.spec.reference)
    assert {n: its.get(n, "none") for n in names & set(own)} == {n: own[n] for n in names & set(own)}


# --- every rule runs --------------------------------------------------------------------------------------------------


@pytest.mark.nightly(each_time=33)  # that each gradient is seen is a part of each op's own check
@pytest.mark.parametrize("entry", OPS, ids=lambda entry: entry.name)
def test_the_suites_checks_run_every_rule_and_see_its_gradient(entry, monkeypatch):
    ran, seen = set(), set()

    def counted(i, rule):
        def run(*args, **params):
            ran.add(i)
            return rule(*args, **params)

        return run

    if entry.rules is not None:
        monkeypatch.setattr(entry, "rules", tuple(counted(i, rule) for i, rule in enumerate(entry.rules)))
    else:
        whole = entry._whole
        monkeypatch.setattr(entry, "_whole", counted("whole", whole))

    def check(example):
        report = check_gradient(entry, example)
        seen.update(i.path for i in report.inputs if report and not i.vacuous)

    for unit in cases.ops():
        if unit.entry is entry:
            each_example(examples(unit.case), check)
    needed = positions(entry)
    assert ran >= ({"whole"} if entry.rules is None else set(needed))
    assert seen >= {f"inputs[{i}]" for i in needed}


@pytest.mark.parametrize("entry", OPS, ids=lambda entry: entry.name)
def test_a_rules_parameters_default_to_what_forwards_do(entry):
    def defaults(function):
        kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        parameters = inspect.signature(function).parameters.values()
        return {p.name: p.default for p in parameters if p.kind in kinds and p.default is not p.empty}

    expected = defaults(entry.forward)
    for rule in entry.rules or [entry._whole]:
        if not any(p.kind is p.VAR_KEYWORD for p in inspect.signature(rule).parameters.values()):
            assert defaults(rule) == expected


# --- by every name ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in registry.ops if hasattr(Tensor, n) and n not in names.TENSOR])
def test_a_method_is_its_op(name):
    entry = registry.ops[name]
    takes_tensor_first = st.sampled_from(
        [c for c in entry.spec.cases if c.arrays[0].dtype == "float"]
    ).flatmap(examples)

    def call(x, *others, **params):
        positional = [params.pop(k) for k in ("shape", "axes") if k in params]
        return getattr(x, name)(*others, *positional, **params)

    def check(example):
        assume(example.params.get("axes") != ())  # to a method, no axes are all axes
        check_tensor_method(call, entry, example, f"Tensor.{name}")

    each_example(takes_tensor_first, check)


OF_LISTS = (np.concatenate, np.stack, np.hstack, np.vstack, np.dstack, np.column_stack)
SEVERAL = (np.split, np.array_split, np.linalg.eigh, np.linalg.svd, np.linalg.qr, np.linalg.slogdet)
"""Those that give several arrays."""
OTHERWISE = (
    *SEVERAL, np.hsplit, np.vsplit, np.dsplit, np.atleast_1d, np.atleast_2d, np.atleast_3d, np.rollaxis, np.gradient, np.einsum, np.linalg.eigvalsh, np.average, getattr(np, "cumulative_sum", None),
)  # fmt: skip
"""Those that are called in another way than their ops; tests/core has them, in test_split.py, test_axes.py, test_gradient.py, test_averages.py and test_decompositions.py."""


@pytest.mark.parametrize(
    "function",
    [f for f in [*UFUNCS, *FUNCTIONS] if f not in OTHERWISE],
    ids=lambda f: f"np.{f.__name__}",
)
def test_numpy_functions_on_tensors_are_their_ops(function):
    entry = {**UFUNCS, **FUNCTIONS}[function]
    call = function
    if function in OF_LISTS:
        entry, call = registry.ops[function.__name__], lambda *arrays, **params: function(arrays, **params)
    each_example(cases_of(entry), lambda e: check_tensor_method(call, entry, e, f"np.{function.__name__}"))


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("add", "add"),
        ("sub", "sub"),
        ("mul", "mul"),
        ("truediv", "div"),
        ("pow", "pow"),
        ("matmul",) * 2,
        ("mod", "remainder"),
    ],
)
def test_operators_are_their_ops_from_either_side(symbol, name):
    entry, infix = registry.ops[name], getattr(operator, symbol)
    each_example(cases_of(entry), lambda e: check_tensor_method(infix, entry, e, symbol))

    def array_first(x, y):
        return infix(x.data, y)

    def reference(x, y):
        return entry(x.data, y)

    each_example(
        cases_of(entry), lambda e: check_tensor_method(array_first, reference, e, f"array {symbol} Tensor")
    )


@pytest.mark.parametrize(("symbol", "name"), [("neg", "neg"), ("abs", "abs")])
def test_signs_are_their_ops(symbol, name):
    entry = registry.ops[name]
    each_example(cases_of(entry), lambda e: check_tensor_method(getattr(operator, symbol), entry, e, symbol))


def test_indexing_is_its_op():
    entry = registry.ops["getitem"]
    each_example(
        cases_of(entry), lambda e: check_tensor_method(lambda x, index: x[index], entry, e, "x[index]")
    )


def test_a_constant_times_a_tensor_is_a_product():
    each_example(
        examples(gradcore.spec.case(gradcore.spec.reals())),
        lambda e: check_tensor_method(lambda x: x.mul_scalar(2.5), lambda x: x * 2.5, e, "mul_scalar"),
    )

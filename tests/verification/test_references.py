"""A reference computes by itself: what it shares with what it is held against would be wrong in both, and be seen in none."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import gradcore
from gradcheck.strategies import parameters
from gradcheck.verification import cases
from gradcheck.verification.drawing import inputs, layer_calls, problems
from gradcheck.verification.optimizers import run
from gradcore import Tensor, registry

ROOT = str(Path(gradcore.__file__).parent)
FEW = settings(phases=[Phase.generate], derandomize=True, database=None, max_examples=5, deadline=None)


def functions_of(call):
    """The functions of gradcore that a call runs, as (file, name)."""
    seen = set()

    def look(frame, event, _argument):
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(ROOT):
            seen.add((code.co_filename.removeprefix(ROOT), code.co_qualname))

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        with np.errstate(all="ignore"):
            call()
    finally:
        sys.setprofile(before)
    return seen


def shared(strategy, ours, reference):
    found = set()

    @settings(FEW)
    @given(strategy)
    def look(drawn):
        found.update(functions_of(lambda: ours(drawn)) & functions_of(lambda: reference(drawn)))

    look()
    return found


@pytest.mark.parametrize("unit", [*cases.ops(), *cases.losses()], ids=lambda unit: unit.id)
def test_of_an_op_or_a_loss(unit):
    forward = getattr(unit.entry, "forward", unit.entry)
    assert not shared(
        inputs(unit),
        lambda example: forward(*example.arrays, **example.params),
        lambda example: unit.entry.spec.reference(*example.arrays, **example.params),
    )


@pytest.mark.parametrize("unit", cases.layers(), ids=lambda unit: unit.id)
def test_of_a_layer(unit):
    assert not shared(
        layer_calls(unit, True),
        lambda drawn: drawn[0](*drawn[1].arrays, {n: Tensor(p) for n, p in drawn[0].parameters.items()}),
        lambda drawn: drawn[0].reference(*drawn[1].arrays, *drawn[0].parameters.values()),
    )


@pytest.mark.parametrize("cls", registry.optimizers.values(), ids=registry.optimizers)
def test_of_an_optimizer(cls):
    def reference(drawn):
        problem, params = drawn
        for i, start in enumerate(problem.start):
            gradients = [lambda x, t=t, i=i: problem.gradient(t, i, x) for t in range(problem.steps)]
            list(cls.spec.reference(start, gradients, problem.factors, **params))

    assert not shared(
        st.tuples(problems(st.integers(1, 4), least_ndim=cls.spec.least_ndim), parameters(cls.spec.params)),
        lambda drawn: run(cls, drawn[0].start, drawn[0].gradient, drawn[0].factors, drawn[1]),
        reference,
    )

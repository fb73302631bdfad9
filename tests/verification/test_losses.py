"""Every loss, with every reduction: value, gradient, second order, as a module, and what is refused."""

import numpy as np
import pytest
from hypothesis import strategies as st

from gradcheck.strategies import cotangents, examples
from gradcheck.verification import (
    cases,
    check_gradient,
    check_recording,
    check_second_order,
    check_tensor_method,
    check_value,
)
from gradcheck.verification.drawing import inputs
from gradcore import nn, registry
from gradcore.errors import DomainError, ShapeError

MODULES = {
    "mse_loss": nn.MSELoss,
    "l1_loss": nn.L1Loss,
    "huber_loss": nn.HuberLoss,
    "smooth_l1_loss": nn.SmoothL1Loss,
    "cross_entropy": nn.CrossEntropyLoss,
    "nll_loss": nn.NLLLoss,
    "binary_cross_entropy": nn.BCELoss,
    "binary_cross_entropy_with_logits": nn.BCEWithLogitsLoss,
    "kl_div": nn.KLDivLoss,
    "ctc_loss": nn.CTCLoss,
    "hinge_loss": nn.HingeLoss,
    "cosine_embedding_loss": nn.CosineEmbeddingLoss,
    "triplet_margin_loss": nn.TripletMarginLoss,
    "margin_ranking_loss": nn.MarginRankingLoss,
    "multi_margin_loss": nn.MultiMarginLoss,
}
LOSSES = cases.losses()
EACH = pytest.mark.parametrize("unit", LOSSES, ids=lambda unit: unit.id)


@pytest.mark.checks("value")
@EACH
def test_the_value_is_the_references(unit, verify):
    verify(inputs(unit), lambda example: check_value(unit.entry, example, unit.name))


@pytest.mark.checks("gradient")
@EACH
def test_the_gradient_is_the_numeric_one(unit, verify):
    verify(inputs(unit), lambda example: check_gradient(unit.entry, example)).conclude()


@pytest.mark.checks("recording")
@EACH
def test_tensors_give_what_arrays_give(unit, verify):
    def check(pair):
        example, data = pair
        y = unit.entry(*example.arrays, **example.params)
        check_recording(unit.entry, example, data.draw(cotangents(np.shape(y), y.dtype)), unit.name)

    verify(st.tuples(inputs(unit), st.data()), check, share=0.5)


@pytest.mark.checks("2nd order")
@pytest.mark.nightly(each_time=20)  # a loss is composed of ops, which are verified to second order each time
@pytest.mark.parametrize("unit", [u for u in LOSSES if u.entry.spec.second_order], ids=lambda unit: unit.id)
def test_the_gradient_is_itself_differentiable(unit, verify):
    found = verify(examples(unit.case), lambda e: check_second_order(unit.entry, e), share=0.5)
    found.conclude(everything=False)


@pytest.mark.checks("modules")
@EACH
def test_its_module_is_the_loss(unit, verify):
    def call(*tensors, **params):
        module = MODULES[unit.name](**params)
        assert not module.state_dict()
        return module(*tensors)

    verify(
        inputs(unit),
        lambda e: check_tensor_method(call, unit.entry, e, MODULES[unit.name].__name__),
        share=0.5,
    )


@pytest.mark.checks("modules", kind="loss")
@pytest.mark.parametrize("name", registry.losses)
def test_every_loss_has_a_module_of_the_same_default(name, verify):
    entry = registry.losses[name]

    def check(example):
        default = np.asarray(entry(*example.arrays))
        np.testing.assert_array_equal(default, entry(*example.arrays, reduction="mean"))
        np.testing.assert_array_equal(default, np.asarray(MODULES[name]()(*example.arrays)))

    mean = next(unit.case for unit in LOSSES if unit.name == name and unit.id.endswith("-mean"))
    verify(examples(mean), check, share=0.5)


@pytest.mark.checks("misfits")
@pytest.mark.parametrize("unit", [u for u in LOSSES if u.id.endswith("-mean")], ids=lambda unit: unit.id)
def test_the_mean_of_nothing_and_other_words_are_refused(unit, verify):
    def none(array, domain):
        return np.take(array, np.zeros(0, int), domain.shape.split().index("n"))

    def check(example):
        with pytest.raises(ShapeError, match=r"the mean .* is one of no entries"):
            unit.entry(*map(none, example.arrays, unit.case.arrays), reduction="mean")
        with pytest.raises(DomainError, match=r"reduction='average' must be 'mean', 'sum' or 'none'"):
            unit.entry(*example.arrays, **{**example.params, "reduction": "average"})

    verify(examples(unit.case), check, share=0.25)

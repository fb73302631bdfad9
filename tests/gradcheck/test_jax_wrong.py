"""Wrong custom_vjp and custom_jvp functions of the kinds that bug reports are about are found, with their cause."""

from __future__ import annotations

import pytest
from programs import module

pytest.importorskip("jax", reason="JAX is not installed")

from gradcheck import gradcheck, gradgradcheck

WRONG = module("ci.catalogue.frameworks.jax_wrong").WRONG


@pytest.mark.nightly(each_time=3)
@pytest.mark.parametrize("wrong", WRONG, ids=[w.name for w in WRONG])
def test_a_wrong_function_is_found(wrong):
    if wrong.order == 2:
        assert gradcheck(wrong.function, wrong.inputs)
    check = gradgradcheck if wrong.order == 2 else gradcheck
    assert set(check(wrong.function, wrong.inputs, raise_exception=False).causes) & set(wrong.causes)

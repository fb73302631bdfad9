"""Wrong custom_vjp and custom_jvp functions of the kinds that bug reports are about are found, with their cause."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("jax", reason="JAX is not installed")

from gradcheck import gradcheck, gradgradcheck

BEFORE = list(sys.path)
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
try:
    from ci.catalogue.frameworks.jax_wrong import WRONG
finally:
    sys.path[:] = BEFORE


@pytest.mark.parametrize("wrong", WRONG, ids=[w.name for w in WRONG])
def test_a_wrong_function_is_found(wrong):
    if wrong.order == 2:
        assert gradcheck(wrong.function, wrong.inputs)
    check = gradgradcheck if wrong.order == 2 else gradcheck
    assert set(check(wrong.function, wrong.inputs, raise_exception=False).causes) & set(wrong.causes)

"""Wrong Functions of the kinds that bug reports are about are found, with their cause."""

from __future__ import annotations

import pytest
from programs import module

pytest.importorskip("torch", reason="PyTorch is not installed")

from gradcheck import CallError, gradcheck, gradgradcheck, verify

WRONG = module("ci.catalogue.frameworks.torch_wrong").WRONG


@pytest.mark.nightly(each_time=6)
@pytest.mark.parametrize("wrong", WRONG, ids=[w.name for w in WRONG])
def test_a_wrong_function_is_found(wrong):
    f = wrong.function()
    if wrong.by == "verify":
        assert gradcheck(f, wrong.inputs)
        failures = verify(f, like=wrong.inputs, max_seconds=60, raise_exception=False).failures
        assert {cause for report in failures for cause in report.causes} & set(wrong.causes)
        return
    if wrong.order == 2:
        assert gradcheck(f, wrong.inputs)
    check = gradgradcheck if wrong.order == 2 else gradcheck
    if wrong.refused:
        with pytest.raises(CallError, match=wrong.refused):
            check(f, wrong.inputs)
    else:
        assert set(check(f, wrong.inputs, raise_exception=False).causes) & set(wrong.causes)

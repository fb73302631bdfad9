"""Frameworks are loaded only where one of their values is handed in."""

import subprocess
import sys

import pytest

LOADED = """
import sys
import numpy as np
import gradcheck
from gradcheck import gradcheck as check
report = check(np.sin, (np.ones(3),), vjp=lambda gy, y, x: gy * np.cos(x))
found = [name for name in ("torch", "jax", "autograd") if name in sys.modules]
assert report and not found, found
"""

HANDED_IN = """
import torch
from gradcheck import gradcheck
print(gradcheck(torch.sin, torch.ones(3, requires_grad=True)).gradient)
"""


def run(code):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_check_of_numpy_functions_loads_no_framework():
    run(LOADED)


def test_a_tensor_is_enough_for_its_framework_to_be_found():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    assert "PyTorch's derivative of sin" in run(HANDED_IN)

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
found = [name for name in ("torch", "jax", "autograd", "mygrad") if name in sys.modules]
assert report and not found, found
"""

HANDED_IN = {
    "torch": """
import torch
from gradcheck import gradcheck
print(gradcheck(torch.sin, torch.ones(3, requires_grad=True)).gradient)
""",
    "jax": """
import jax.numpy as jnp
from gradcheck import gradcheck
print(gradcheck(jnp.sin, jnp.ones(3)).gradient)
""",
    "mygrad": """
import mygrad as mg
from gradcheck import gradcheck
print(gradcheck(mg.sin, mg.ones(3)).gradient)
""",
    "autograd": """
import autograd.numpy as np
from gradcheck import gradcheck
print(gradcheck(np.sin, np.ones(3)).gradient)
""",
}

SAME_NAME = """
import sys, types
import numpy as np
sys.modules["autograd"] = types.ModuleType("autograd")
made = type("Value", (), {"__module__": "autograd.values"})()
from gradcheck import CallError, gradcheck
try:
    gradcheck(lambda x, value: x, (np.ones(3), made))
except CallError as error:
    print(error)
"""


def run(code):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_check_of_numpy_functions_loads_no_framework():
    run(LOADED)


CALLED = [("torch", "PyTorch"), ("jax", "JAX"), ("autograd", "autograd"), ("mygrad", "MyGrad")]


@pytest.mark.nightly(each_time=2)
@pytest.mark.parametrize(("name", "called"), CALLED)
def test_a_value_or_a_function_is_enough_for_its_framework_to_be_found(name, called):
    pytest.importorskip(name, reason=f"{name} is not installed")
    assert run(HANDED_IN[name]).strip() == f"{called}'s derivative of sin"


def test_a_module_of_the_same_name_is_no_framework():
    assert "came with plain arrays and without vjp=" in run(SAME_NAME)

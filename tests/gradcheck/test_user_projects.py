"""A project of someone else's, with a test file of three lines: pytest shows which gradient is wrong, where and why.

`ci/package` runs this file beside the installed wheel as well, away from the checkout.
"""

import importlib.util
import re
import subprocess
import sys

import pytest

NUMPY = (
    """
import numpy as np

def softplus(x):
    return np.log1p(np.exp(x))

def rule(gy, y, x):
    return gy / (1 + np.exp(SIGNx))
""",
    """import numpy as np, mine, gradcheck
def test_softplus():
    gradcheck.gradcheck(mine.softplus, (np.array([0.5, -1.0]),), vjp=mine.rule)
""",
)
TORCH = (
    """
import torch

class Softplus(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.log1p(torch.exp(x))

    @staticmethod
    def backward(ctx, gy):
        x, = ctx.saved_tensors
        return gy / (1 + torch.exp(SIGNx))
""",
    """import torch, mine, gradcheck
def test_softplus():
    gradcheck.gradcheck(mine.Softplus.apply, (torch.tensor([0.5, -1.0], requires_grad=True),))
""",
)
JAX = (
    """
import jax

@jax.custom_vjp
def softplus(x):
    return jax.numpy.logaddexp(x, 0.0)

softplus.defvjp(lambda x: (softplus(x), x), lambda x, gy: (gy / (1 + jax.numpy.exp(SIGNx)),))
""",
    """import jax, mine, gradcheck
def test_softplus():
    gradcheck.gradcheck(mine.softplus, (jax.numpy.array([0.5, -1.0]),))
""",
)
PROJECTS = {"numpy": NUMPY, "torch": TORCH, "jax": JAX}


def run(folder, source, test):
    """pytest in a folder that holds the two files and nothing else; bytecode of a second ago would pass for that of now."""
    (folder / "mine.py").write_text(source, encoding="utf-8")
    (folder / "test_mine.py").write_text(test, encoding="utf-8")
    command = [sys.executable, "-B", "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", "."]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.nightly(each_time=1)
@pytest.mark.parametrize("framework", PROJECTS)
def test_three_lines_and_pytest_explain_a_wrong_gradient(framework, tmp_path):
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")
    source, test = PROJECTS[framework]
    assert len(test.splitlines()) == 3
    done = run(tmp_path, source.replace("SIGN", "+"), test)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    text = done.stdout
    assert re.search(r"GradientError: FAIL  [Ss]oftplus: the gradient is wrong", text)
    found = re.search(
        r"mirrored: at inputs\[0\]\[(\d)\] the rule gives (\S+), and the derivative is (\S+) ± ", text
    )
    other, value = float(found[2]), float(found[3])
    assert abs(other - value) > 0.1
    assert "The rule is right with -inputs[0] in place of inputs[0]: a sign is lost inside." in text
    assert "to reproduce:" in text
    assert "test_mine.py:3: GradientError" in text
    assert "gradcheck/check.py" not in text  # the frames of the checker are left out
    done = run(tmp_path, source.replace("SIGN", "-"), test)
    assert done.returncode == pytest.ExitCode.OK, done.stdout + done.stderr

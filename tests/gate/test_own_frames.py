"""A failure of a check within a user's test shows the user's line and the message, not gradcheck's own source."""

import re

import pytest

import gradcheck.explore.verify  # noqa: F401 - NumPy can be loaded once in a process, not anew by each run within it

HEAD = """
import numpy as np, gradcore
from gradcheck import gradcheck, gradgradcheck, verify
from gradcore.spec import case, reals
X = np.array([0.5, -1.0])
wrong = lambda gy, y, x: gy * np.cos(x) * 1.5
right = lambda gy, y, x: gy * np.cos(x)
broken = lambda gy, y, x: gy.nothing

def lossy(gy, y, x):
    return gy * np.array([float(np.cos(v)) for v in x])

def refused(x):
    raise RuntimeError("not this")

def test_it():
    """
CALLS = {
    "a wrong gradient": "gradcheck(np.sin, X, vjp=wrong)",
    "a wrong second order": "gradcheck(np.sin, X, vjp=wrong, order=2)",
    "a rule that raises": "gradcheck(np.sin, X, vjp=broken)",
    "a wrong gradient over a domain": "verify(np.sin, case(reals('n')), vjp=wrong, max_examples=5)",
    "a wrong gradient around an example": "verify(np.sin, like=X, vjp=wrong, max_examples=5)",
    "a wrong order": "gradcheck(np.sin, X, vjp=right, order=3)",
    "a seed that is none": "gradcheck(np.sin, X, vjp=right, seed='a')",
    "nothing to differentiate by": "gradcheck(np.sin, 3, vjp=right)",
    "a place that is none": "gradcheck(np.sin, X, vjp=right, wrt=5)",
    "a cotangent that does not fit": "gradcheck(np.sin, X, vjp=right, gy=np.ones(7))",
    "a contract that is none": "gradcheck(np.sin, X, vjp=right, contracts=['nothing'])",
    "a history that is lost": "gradgradcheck(np.sin, X, vjp=lossy)",
    "no Tensor": "gradcheck(lambda x: 3, (gradcore.tensor(X, requires_grad=True),))",
    "a function that raises": "gradcheck(refused, X, vjp=right)",
    "an example that it raises for": "verify(refused, like=X, vjp=right)",
    "no domain": "verify(np.sin, vjp=right)",
    "two domains": "verify(np.sin, case(reals('n')), like=X, vjp=right)",
    "no examples": "verify(np.sin, like=X, vjp=right, max_examples=0)",
}
OWN = re.compile(r"^\S*gradcheck/\S+\.py:\d+: ", re.MULTILINE)


@pytest.mark.parametrize("call", CALLS)
def test_only_the_users_line_and_the_message_are_shown(project, call):
    project.write("test_it.py", HEAD + CALLS[call] + "\n")
    text = project.run().text
    assert f">       {CALLS[call]}\n" in text
    assert re.search(r"^E +\S*(GradientError|CallError|ForwardError): ", text, re.MULTILINE)
    assert OWN.findall(text) == []
    assert re.search(r"^\S*gradcheck/\S+\.py", text, re.MULTILINE) is None


def test_the_whole_traceback_is_there_on_request(project):
    project.write("test_it.py", HEAD + CALLS["a wrong gradient"] + "\n")
    assert OWN.findall(project.run("--full-trace").text)


def test_an_error_of_another_kind_shows_where_it_was_raised(project):
    project.write("test_it.py", HEAD + "gradcheck(np.sin, X, vjp=right, params=3)\n")
    text = project.run().text
    assert "TypeError" not in text or OWN.findall(text)

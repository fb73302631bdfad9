"""Marks and targets: what is found, and the result of one check."""

import inspect
import json
import sys

import numpy as np
import pytest

from gradcheck import CallError, checked, verify
from gradcheck.campaigns import child, registered
from gradcheck.campaigns.check import Check, seed_of
from gradcheck.campaigns.judge import judged
from gradcheck.campaigns.marks import REGISTER, Options, marks_of
from gradcheck.campaigns.target import collected

SOURCE = """
import numpy as np
from gradcheck import checked

x = np.array([0.5, 2.0])

@checked(like=(x,), vjp=lambda gy, y, x: gy * np.cos(x), max_examples=5)
def sine(x):
    return np.sin(x)

@checked(like=lambda: (x,), vjp=lambda gy, y, x: 2 * gy * np.cos(x), max_examples=5)
def wrong(x):
    return np.sin(x)

@checked(like=(x,))
def without_a_rule(x):
    return np.sin(x)

@checked(like=(x,), vjp=lambda gy, y, x: gy)
def leaves(x):
    raise SystemExit(0)

def unmarked(x):
    return x
"""


@pytest.fixture(autouse=True)
def _modules_as_before():
    before, path = set(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("marked_"):
            del sys.modules[name]
    sys.path[:] = path


@pytest.fixture
def target(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "marked_here.py").write_text(SOURCE)
    return str(tmp_path / "marked_here.py")


@pytest.fixture
def marks():
    found = globals().setdefault(REGISTER, {})
    found.clear()
    yield found
    found.clear()


def test_a_mark_returns_what_it_marks_and_stays_in_the_module_that_made_it(marks):
    def f(x):
        return x

    assert checked(like=(1.0,), vjp=len)(f) is f
    assert checked()(np.sin) is np.sin  # which takes no attribute
    assert checked(like=(2.0,))(f) is f
    first = "test_a_mark_returns_what_it_marks_and_stays_in_the_module_that_made_it.f"
    assert [*marks] == [first, "sin", f"{first}-2"]
    assert marks_of(sys.modules[__name__]) is marks
    assert (marks["sin"].function, marks[first].options) == (np.sin, {"vjp": len})
    assert marks_of(np) == {}


def test_a_mark_takes_the_options_of_verify_and_no_others(marks):
    names = {*inspect.signature(verify).parameters} - {
        "f",
        "like",
        "vjp",
        "reference",
        "seed",
        "raise_exception",
    }
    assert set(Options.__annotations__) == names
    with pytest.raises(
        CallError, match=r"came with tolerance=: pass like=, vjp=, reference=, name= or one of domain="
    ):
        checked(like=(1.0,), tolerance=1e-3)
    with pytest.raises(CallError, match=r"came above a int: put it above a function, a class or an op"):
        checked(like=(1.0,))(3)
    assert not marks


def test_a_file_a_module_and_a_function_are_targets(target):
    found = collected(target)
    assert [c.id for c in found.checks] == [
        "marked_here:sine", "marked_here:wrong", "marked_here:without_a_rule", "marked_here:leaves"
    ]  # fmt: skip
    assert {c.file for c in found.checks} == {target}
    assert {"python", "gradcheck", "numpy", "hypothesis", "source"} <= set(found.versions)
    assert [c.id for c in collected(f"{target}:sine", 7).checks] == ["marked_here:sine"]
    sys.path.insert(0, "")
    (module,) = collected("marked_here:wrong").checks
    assert (module.file, module.kind) == ("", "marked")


def test_one_entry_is_found_without_going_through_all_for_each_of_their_checks(monkeypatch):
    genuine, calls = registered.entries, []
    monkeypatch.setattr(registered, "entries", lambda: (calls.append(1), genuine())[1])
    assert len(collected("gradcore:relu").checks) == 6
    assert len(calls) == 2


def test_every_entry_of_gradcore_is_a_check():
    found = collected("gradcore").checks
    assert {c.kind for c in found} == {"op", "layer", "loss", "optimizer"}
    assert len({c.id for c in found}) == len(found) > 800
    assert {c.what for c in collected("gradcore:relu").checks} == {
        "value", "gradient", "kinks", "recording", "2nd order", "methods"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("marked_here.py:unmarked", "names a function that is not marked, and no op.*put @gradcheck.checked"),
        ("marked_here.py:sinn", "did you mean marked_here:sine?"),
        ("marked_empty.py", "declares nothing to check: mark a function with its rule by @gradcheck.checked"),
        ("marked_raises.py", "can't be loaded: ZeroDivisionError: division by zero"),
        ("marked_needs.py", "can't be loaded: No module named 'nowhere_to_be_found'"),
        ("nowhere.py", r"there is no file .*nowhere\.py"),
        ("chekc", "there is no command, file or module 'chekc': did you mean check?"),
        (":sine", "names no target: write FILE.py, a module, or module:function"),
        ("json.py", "can't be loaded as 'json', which is the name of another module.*: rename the file"),
    ],
)
def test_a_wrong_target_is_a_sentence(text, words, target, tmp_path):
    (tmp_path / "marked_empty.py").write_text("x = 1")
    (tmp_path / "marked_raises.py").write_text("1 / 0")
    (tmp_path / "marked_needs.py").write_text("import nowhere_to_be_found")
    (tmp_path / "json.py").write_text("x = 1")
    with pytest.raises(CallError, match=words):
        collected(text)


def test_a_rule_by_hand_without_an_example_is_listed_with_what_to_write(tmp_path):
    pytest.importorskip("torch")
    (tmp_path / "marked_torch.py").write_text(
        "import torch\n"
        "from torch.autograd import Function\n"
        "from gradcheck import checked\n"
        "class Alone(Function):\n    pass\n"
        "@checked(like=lambda: (torch.ones(2, requires_grad=True),))\n"
        "class Marked(Function):\n    pass\n"
    )
    found = collected(str(tmp_path / "marked_torch.py"))
    assert [c.id for c in found.checks] == ["marked_torch:Marked"]
    (unchecked,) = found.unchecked
    assert unchecked.name == "marked_torch:Alone"
    assert "no example: put @gradcheck.checked(like=(x, ...)) above it" in unchecked.words
    assert not collected(f"{tmp_path / 'marked_torch.py'}:Alone").checks


def test_a_file_in_a_package_is_its_submodule(tmp_path):
    package = tmp_path / "marked_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "values.py").write_text("x = 1.0")
    (package / "ops.py").write_text(
        "from .values import x\nfrom gradcheck import checked\nchecked(like=(x,))(abs)"
    )
    assert [c.id for c in collected(str(package / "ops.py")).checks] == ["marked_package.ops:abs"]


def test_a_check_gives_a_result_whatever_its_code_does(target):
    found = {c.name: judged(c, 0) for c in collected(target).checks}
    assert {name: r["verdict"] for name, r in found.items()} == {
        "sine": "pass", "wrong": "fail", "without_a_rule": "error", "leaves": "error"
    }  # fmt: skip
    assert found["wrong"]["report"]["failures"][0]["faults"][0]["cause"] == "factor"
    assert "the mark does not say whose gradient is to be checked" in found["without_a_rule"]["text"]
    assert "ended the program (SystemExit: 0)" in found["leaves"]["text"]
    assert json.loads(json.dumps(found)) == found
    gone = judged(Check("op", "gradcore.ops.activations", "relu", "no property"), 0)
    assert gone["verdict"] == "error"
    assert (
        "registers no op 'relu' with the property 'no property' here: is it the same version?" in gone["text"]
    )


@pytest.mark.parametrize(
    ("name", "what", "change"),
    [
        ("exp", "gradient", {"rules": (lambda gy, y, x: 2 * gy * y,)}),
        ("exp", "value", {"forward": lambda x: np.exp(x) + 1e-3}),
    ],
)
def test_a_wrong_op_fails(name, what, change, monkeypatch):
    from gradcore import registry

    check = Check("op", "gradcore.ops.exponential", name, what, examples=5)
    assert judged(check, 0)["verdict"] == "pass"
    for key, value in change.items():
        if key == "forward":
            value.__module__ = "gradcore.ops.exponential"
        monkeypatch.setattr(registry.ops[name], key, value)
    found = judged(check, 0)
    assert found["verdict"] == "fail"
    assert found["text"]


def test_the_seed_of_a_check_comes_from_its_name_and_the_campaigns_seed():
    assert seed_of("a:f", 0) == 2989990221
    assert len({seed_of(name, seed) for name in ("a:f", "a:g") for seed in (0, 1)}) == 4


def test_what_is_drawn_depends_on_no_module_that_happens_to_be_loaded(monkeypatch, tmp_path):
    from hypothesis.configuration import set_hypothesis_home_dir
    from hypothesis.internal.conjecture import providers

    monkeypatch.setattr(
        providers, "_get_local_constants", providers._get_local_constants
    )  # it has to be there
    try:
        child.prepare(str(tmp_path))
        assert len(providers._get_local_constants()) == 0
        provider = providers.HypothesisProvider(None)
        assert len(provider._local_constants) == 0
    finally:
        set_hypothesis_home_dir(None)

"""What a failure of stage 1 prints runs the same example again, in every profile."""

import json
import os
import re
import shlex
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import settings
from hypothesis.core import encode_failure

TESTS = Path(__file__).parents[1]

# What was drawn is kept, the example that fails last.
CHECKS = """
import json, os, pytest
from gradcheck.strategies import examples
from gradcore.spec import case, reals

@pytest.fixture
def shrinking(shrinking):
    if "HURRIED" in os.environ:
        shrinking.left = shrinking.LEAST = 0.0
    return shrinking

def kept(name, verify, check):
    drawn = []
    def run(example):
        drawn.append(repr(example.arrays))
        check(*example.arrays)
    try:
        verify(examples(case(reals("m n"))), run, share=0.05)
    finally:
        with open(f"{name}.json", "w") as file:
            json.dump(drawn, file)

@pytest.mark.parametrize("name", ["one", "two"])
def test_wrong(name, verify):
    def check(x):
        assert x.size < 3 or os.environ.get("MENDED")
    kept(f"{name}-wrong", verify, check)

@pytest.mark.parametrize("name", ["one", "two"])
def test_right(name, verify):
    kept(name, verify, lambda x: None)
"""


def blob_of(choices):
    """The decorator that Hypothesis prints for an example of these choices."""
    return f"reproduce_failure({hypothesis.__version__!r}, {encode_failure(choices)!r})"


@pytest.fixture
def suite(pytester, monkeypatch):
    """Runs the tests above with the settings and the fixtures of our own suite; -> (what it printed, what was drawn by name)."""
    for name in [*os.environ]:
        if name.startswith(("PYTEST_XDIST", "PYTEST_ADDOPTS")):
            monkeypatch.delenv(name)
    (pytester.path / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers --import-mode=importlib")
    (pytester.path / "conftest.py").write_text((TESTS / "conftest.py").read_text())
    folder = pytester.path / "v"
    folder.mkdir()
    (folder / "conftest.py").write_text((TESTS / "verification" / "conftest.py").read_text())
    (folder / "test_v.py").write_text(CHECKS)

    def run(*options, process=False):
        for old in pytester.path.glob("*.json"):
            old.unlink()
        alone = not process and ("-n" not in options or options[options.index("-n") + 1] == "0")
        profile = settings.get_current_profile_name()
        try:
            result = (pytester.runpytest_inprocess if alone else pytester.runpytest_subprocess)(*options)
        finally:
            settings.load_profile(profile)
        drawn = {path.stem: json.loads(path.read_text()) for path in pytester.path.glob("*.json")}
        return result.stdout.str() + result.stderr.str(), drawn

    return run


@pytest.mark.nightly(each_time=1)
@pytest.mark.parametrize("profile", ["ci", "dev", "nightly"])
def test_a_failure_prints_a_command_that_replays_its_example(suite, profile):
    text, drawn = suite("-n", "1", f"--hypothesis-profile={profile}", "-k", "wrong and one")
    (command,) = dict.fromkeys(re.findall("Replay it: pytest (.*)", text))
    text, again = suite(*shlex.split(command))
    assert "1 failed" in text
    assert again == {"one-wrong": [drawn["one-wrong"][-1]]}


def test_once_the_time_to_shrink_is_over_the_example_that_failed_last_is_reported(suite, monkeypatch):
    monkeypatch.setenv("HURRIED", "1")
    text, drawn = suite("-n", "0", "-k", "wrong and one")
    first = next(i for i, x in enumerate(drawn["one-wrong"]) if np.array(eval(x, vars(np))[0]).size > 2)
    assert len(set(drawn["one-wrong"][first:])) == 1
    (command,) = dict.fromkeys(re.findall("Replay it: pytest (.*)", text))
    assert suite(*shlex.split(command))[1] == {"one-wrong": [drawn["one-wrong"][-1]]}
    assert "Flaky" not in text


def test_an_example_that_holds_by_now_passes(suite, monkeypatch):
    text, drawn = suite("-n", "0", "-k", "wrong and one")
    (command,) = dict.fromkeys(re.findall("Replay it: pytest (.*)", text))
    monkeypatch.setenv("MENDED", "1")
    text, again = suite(*shlex.split(command))
    assert "1 passed" in text
    assert again == {"one-wrong": [drawn["one-wrong"][-1]]}


def test_an_example_of_another_domain_is_reported(suite):
    text, drawn = suite("-n", "0", "-k", "wrong and one", "--replay", blob_of([]))
    assert "1 failed" in text
    assert "DidNotReproduce: The shape of the test data has changed" in text
    assert drawn == {"one-wrong": []}


@pytest.mark.nightly(each_time=1)
@pytest.mark.parametrize("blob", ["AAEA", "reproduce_failure('6', 'x') and more"])
def test_what_is_no_blob_is_refused(suite, blob):
    text, _ = suite("-n", "0", "--replay", blob)
    assert (
        f"error: argument --replay: expected \"reproduce_failure('...', b'...')\" as Hypothesis prints it, got {blob!r}"
        in text
    )


def test_ci_draws_the_same_each_time_and_each_test_its_own(suite):
    first = suite("-n", "0", "-k", "right")[1]
    assert first["one"] != first["two"]
    assert first == suite("-n", "2", "-k", "right")[1]


def test_nightly_draws_what_the_seed_determines(suite):
    def drawn(*options):
        return suite("--hypothesis-profile=nightly", "-k", "right and one", *options)[1]["one"]

    seeded = drawn("-n", "0", "--hypothesis-seed=7")
    assert seeded == drawn("-n", "1", "--hypothesis-seed=7")
    assert seeded != drawn("-n", "0", "--hypothesis-seed=8")
    assert len(seeded) == 15  # a twentieth of its 300


def test_what_failed_is_tried_next_time_by_its_own_test(suite):
    options = ("-n", "0", "--hypothesis-profile=dev", "-k", "one")
    smallest = suite(*options, process=True)[1]["one-wrong"][-1]
    again = suite(*options, process=True)[1]  # of another process, which reads what that one has kept
    assert again["one-wrong"][0] == smallest
    assert again["one"][0] != smallest


def test_what_runs_in_part_is_listed(suite, pytester):
    (pytester.path / "v" / "test_v.py").write_text(
        "import pytest\n"
        "@pytest.mark.nightly(each_time=3)\n"
        "@pytest.mark.parametrize('i', range(10))\n"
        "def test_ten(i): assert 0\n"
        "@pytest.mark.nightly(each_time=5)\n"
        "def test_whole(): assert 0\n"
    )
    text, _ = suite("-n", "0", "--list-nightly")
    assert re.findall(r".* of .*", text) == [
        "   3 of   10  v/test_v.py::test_ten",
        "4 of 11 tests run each time; all with --hypothesis-profile=nightly",
    ]
    assert "failed" not in text
    assert "test_whole" not in text


@pytest.mark.nightly(each_time=2)
@pytest.mark.parametrize(
    ("profile", "run"), [("ci", [0, 3, 6]), ("nightly", [*range(10)]), ("dev", [0, 3, 6])]
)
def test_of_parameters_marked_nightly_some_are_run_each_time(suite, pytester, profile, run):
    (pytester.path / "v" / "test_v.py").write_text(
        "import pytest\n"
        "@pytest.mark.nightly(each_time=3)\n"
        "@pytest.mark.parametrize('i', range(10))\n"
        "def test_ten(i): print(f'ran {i}.')\n"
        "@pytest.mark.nightly(each_time=0)\n"
        "def test_rare(): print('rare')\n"
    )
    text, _ = suite("-n", "0", "-s", f"--hypothesis-profile={profile}")
    assert [int(i) for i in re.findall(r"ran (\d)\.", text)] == run
    assert ("rare" in text) == (profile == "nightly")
    text, _ = suite("-n", "0", "-s", f"--hypothesis-profile={profile}", "-k", "ten and 7")
    assert re.findall(r"ran (\d)\.", text) == ["7"]

"""What CI systems read: properties in JUnit's XML, and GitHub's annotations."""

import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

import pytest

import gradcheck.verification  # noqa: F401 - NumPy can be loaded once in a process, not anew by each run within it
from gradcheck.summary import ci, failures
from gradcheck.summary.results import Check, Summary

PROJECT = """
import numpy as np
from gradcheck import gradcheck

def test_good(gradcheck_record):
    gradcheck_record("sine", "gradient", gradcheck(np.sin, np.ones(2), vjp=lambda gy, y, x: gy * np.cos(x), contracts=False))

def test_bad(gradcheck_record):
    gradcheck_record("sinus", "gradient")
    raise ValueError("100% wrong,\\nand: more")
"""


def failing(count, text="wrong", place="test_it.py::test_a"):
    failure = failures.in_words("ValueError", text)
    return Summary(
        [
            Check("op", f"f{k}", "gradient", place, Counter(), None, "failed", 0.1, (failure,))
            for k in range(count)
        ]
    )


@pytest.fixture
def run(pytester, monkeypatch):
    """Runs pytest over the project within a folder of a repository."""
    for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "GITHUB_ACTIONS", "GITHUB_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)

    def go(*options, **environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        (pytester.path / "test_it.py").write_text(PROJECT)
        (pytester.path / "pytest.ini").write_text("[pytest]")
        made = pytester.runpytest_subprocess if "-n" in options else pytester.runpytest_inprocess
        return made("-p", "no:cacheprovider", "-p", "no:hypothesispytest", *options).stdout.str()

    return go


@pytest.mark.parametrize("how", [("-n", "1"), ("-p", "no:xdist")], ids=["worker", "no xdist"])
def test_junit_properties_can_be_read_and_the_record_itself_is_not_among_them(run, pytester, how):
    run(*how, "--junitxml", "j.xml")
    suite = ElementTree.parse(pytester.path / "j.xml").getroot()
    named = {
        case.get("name"): {p.get("name"): p.get("value") for p in case.iter("property")}
        for case in suite.iter("testcase")
    }
    good, bad = named["test_good"], named["test_bad"]
    assert good["gradcheck.sine.gradient.verdict"] == "pass"
    assert good["gradcheck.sine.gradient.examples"] == "1"
    assert good["gradcheck.sine.gradient.counts"] == "pass 1"
    assert float(good["gradcheck.sine.gradient.detects"]) < 1e-6
    assert bad["gradcheck.sinus.gradient.verdict"] == "fail"
    assert bad["gradcheck.sinus.gradient.cause"] == "ValueError"
    assert all(name.startswith("gradcheck.") for name in {**good, **bad})
    whole = {p.get("name"): p.get("value") for p in suite.findall("testsuite/properties/property")}
    assert whole == {
        "gradcheck.verdict": "fail",
        "gradcheck.entries": "2",
        "gradcheck.failed": "1",
        "gradcheck.examples": "1",
    }


def test_on_github_a_failure_is_shown_at_the_line_of_its_test(run, pytester):
    text = run("-p", "no:xdist", GITHUB_ACTIONS="true", GITHUB_WORKSPACE=str(pytester.path.parent))
    line = PROJECT.splitlines().index("def test_bad(gradcheck_record):") + 1
    place = f"file={pytester.path.name}/test_it.py,line={line},"
    title = "title=gradcheck%3A sinus%2C gradient%3A ValueError::"
    assert f"::error {place}{title}100%25 wrong,%0Aand: more" in text.splitlines()
    assert text.count("::error ") == 1


def test_elsewhere_there_are_no_annotations(run):
    assert "::error" not in run("-p", "no:xdist")


@pytest.mark.parametrize(("count", "lines"), [(1, 1), (10, 10), (11, 10), (500, 10)])
def test_no_more_annotations_than_github_shows_and_the_rest_is_counted(count, lines):
    found = ci.errors(failing(count), {}, Path("/r"), {})
    assert len(found) == lines
    assert (f"::{count - 9} more failures: the summary lists them" in found[-1]) is (count > 10)


def test_no_text_ends_an_annotation_or_starts_a_command():
    hostile = "a\r\n::set-env name=PATH::x\n::error::y, b: 5%0A"
    (line,) = ci.errors(failing(1, hostile, "t"), {"t": (f"{hostile}.py", 3)}, Path("/r"), {})
    assert "\n" not in line
    assert "\r" not in line
    head, message = line.removeprefix("::error ").split("::", 1)
    assert message == "a%0D%0A::set-env name=PATH::x%0A::error::y, b: 5%250A"
    assert [part.partition("=")[0] for part in head.split(",")] == ["file", "line", "title"]


@pytest.mark.parametrize(
    ("workspace", "file"),
    [("/repo", "sub/test_it.py"), ("/repo/sub", "test_it.py"), ("/other", "test_it.py"), ("", "test_it.py")],
)
def test_files_are_named_from_the_repository_where_it_holds_them(workspace, file):
    (line,) = ci.errors(
        failing(1),
        {"test_it.py::test_a": ("test_it.py", 7)},
        Path("/repo/sub"),
        {"GITHUB_WORKSPACE": workspace},
    )
    assert line.startswith(f"::error file={file},line=7,")


def test_properties_of_long_messages_are_cut():
    values = [value for check in failing(1, "x" * 3_000).checks for _, value in ci.properties([check])]
    assert max(map(len, values)) == ci.LONGEST

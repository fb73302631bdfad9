"""The summary of a verification run: what a pytest run of a small project prints and writes."""

import json
import os
import re
from collections import Counter
from html.parser import HTMLParser

import pytest

import gradcheck.verification  # noqa: F401 - NumPy can be loaded once in a process, not anew by each run within it
import gradcore.io  # noqa: F401
from gradcheck.summary.page import html_page
from gradcheck.summary.results import VERDICTS, Check, Summary
from gradcheck.summary.table import lines

HOWS = pytest.mark.parametrize(
    "how", [("-n", "2"), ("-n", "0"), ("-p", "no:xdist")], ids=["two workers", "no workers", "no xdist"]
)
EITHER = pytest.mark.parametrize("how", [("-n", "1"), ("-n", "0")], ids=["worker", "no workers"])

PROJECT = """
import numpy as np, os, pytest
from gradcheck import gradcheck, verify

X = np.array([0.5, -1.0])

def right(gy, y, x):
    return gy * np.cos(x)

def wrong(gy, y, x):
    return gy * np.cos(x) * 1.001

@pytest.mark.verification
@pytest.mark.parametrize("name", ["sine", "sinus"])
def test_good(name, gradcheck_record):
    gradcheck_record(name, "gradient", *[gradcheck(np.sin, X + i, vjp=right) for i in range(3)])
    gradcheck_record(name, "kinks", gradcheck(np.abs, X * 0, vjp=lambda gy, y, x: 0 * gy))

@pytest.mark.verification
def test_bad(gradcheck_record):
    tally = gradcheck_record("sine", "2nd order")
    tally.add(gradcheck(np.sin, X, vjp=right))
    gradcheck(np.sin, X, vjp=wrong)

def test_domain(gradcheck_record):
    gradcheck_record("sin", "domain", verify(np.sin, like=X, vjp=right, max_examples=1), kind="op")
"""


class Run:
    """A run's exit code and what it printed, less the names of its own files."""

    def __init__(self, result, path):
        self.code = int(result.ret)
        self.text = (result.stdout.str() + result.stderr.str()).replace(str(path), "ROOT")

    def shows(self, pattern):
        return re.search(f"^{pattern}$", self.text, re.MULTILINE)


@pytest.fixture
def run(pytester, monkeypatch):
    """Runs pytest over one file, in a process of its own if there are workers."""
    for name in [*os.environ]:
        if name.startswith(("PYTEST_XDIST", "PYTEST_ADDOPTS")):
            monkeypatch.delenv(name)

    def go(text, *options, conftest="", alone=False):
        (pytester.path / "test_it.py").write_text(text)
        (pytester.path / "conftest.py").write_text(conftest)
        (pytester.path / "pytest.ini").write_text("[pytest]")
        workers = alone or ("-n" in options and "0" not in options)
        made = pytester.runpytest_subprocess if workers else pytester.runpytest_inprocess
        return Run(
            made("-p", "no:cacheprovider", "-p", "no:hypothesispytest", *options),
            pytester.path,
        )

    return go


class Page(HTMLParser):
    """Tags that are open and all that were, the texts of all cells, and what would be fetched; rows need no end tags."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.cells, self.fetched = [], set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        ended = {"td": ("td", "th"), "th": ("td", "th"), "tr": ("td", "th", "tr")}.get(tag, ())
        while self.open and self.open[-1] in ended:
            self.open.pop()
        if tag not in ("meta", "br", "input"):
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")
        self.fetched += [
            value for name, value in attrs if name in ("src", "href") and not value.startswith("#")
        ]

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        while self.open[-1] in ("td", "th", "tr") and tag not in self.open[-1:]:
            self.open.pop()
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data.strip()


def holds_what_is_documented(written):
    documented = Summary.to_json.__doc__
    assert all(key in documented for key in written)
    assert written["schema"] == 1
    assert written["failed"] is True
    assert [(e["kind"], e["name"], e["failed"]) for e in written["entries"]] == [
        ("op", "sin", False),
        ("function", "sine", True),
        ("function", "sinus", False),
    ]
    sine = written["entries"][1]
    assert set(sine) == {"kind", "name", "failed", "sensitivity", "properties"}
    assert 0 < sine["sensitivity"] < 1e-3
    cell = sine["properties"]["2nd order"]
    assert [*cell] == [*VERDICTS, "sensitivity", "seconds"]
    assert all(key in documented for key in cell)
    assert (cell["pass"], cell["fail"]) == (1, 1)
    assert sine["properties"]["gradient"]["pass"] == 3
    assert sine["properties"]["kinks"]["subgradient"] == 1
    assert sine["properties"]["kinks"]["sensitivity"] is None
    checks = written["checks"]
    assert len(checks) == 6
    assert all(key in documented for key in checks[0])
    assert [c["seconds"] for c in checks] == sorted([c["seconds"] for c in checks], reverse=True)
    assert {c["test"]: c["outcome"] for c in checks} == {
        "test_it.py::test_good[sine]": "passed",
        "test_it.py::test_good[sinus]": "passed",
        "test_it.py::test_bad": "failed",
        "test_it.py::test_domain": "passed",
    }


def is_complete_and_needs_nothing_else(text):
    page = Page(text)
    assert page.open == []
    assert page.fetched == []
    assert text.startswith("<!DOCTYPE html>")
    assert text.endswith("</html>\n")
    assert {"sin", "sine", "sinus", "FAIL", "gradient", "2nd order", "1 1k"} <= set(page.cells)
    assert sum("::test_" in cell for cell in page.cells) == 4


# --- the table --------------------------------------------------------------------------------------------------------


@HOWS
def test_a_run_shows_every_entry_and_a_planted_failure_and_writes_both_files(run, pytester, how):
    seen = run(PROJECT, *how, "--gradcheck-json", "out/s.json", "--gradcheck-html", "s.html")
    assert seen.shows(r"FUNCTION +gradient +kinks +2nd order +detects")
    assert seen.shows(r"sinus +3 +1 1k +\de-\d\d")
    assert seen.shows(r"sine +3 +1 1k +FAIL +\de-\d\d")
    assert seen.shows(r"OP +domain +detects")
    assert seen.shows(r"sin +\d( \d+v)? +\S+")
    assert seen.shows(r"1 op, 2 functions verified on \d+ examples: function sine FAILED")
    assert seen.shows(r" +\d\.\d\d s +4 examples  test_it.py::test_good\[\w+\]")
    assert seen.shows(r"written: ROOT/out/s.json")
    holds_what_is_documented(json.loads((pytester.path / "out" / "s.json").read_text()))
    is_complete_and_needs_nothing_else((pytester.path / "s.html").read_text())


def test_without_the_planted_failure_all_is_right(run):
    seen = run(PROJECT.replace("* 1.001", ""))
    assert "FAIL" not in seen.text
    assert seen.shows(r"sine +3 +1 1k +2 +\de-\d\d") is None  # only what is recorded counts
    assert seen.shows(r"sine +3 +1 1k +1 +\de-\d\d")
    assert "examples: all right" in seen.text


@EITHER
def test_where_nothing_was_verified_nothing_is_printed(run, how):
    seen = run("def test_a(): pass\ndef test_b(gradcheck_record): pass", *how)
    assert seen.code == 0
    assert "verified" not in seen.text


def test_only_what_was_selected_is_shown(run):
    seen = run(PROJECT, "-k", "sinus")
    assert "1 function verified on 4 examples: all right" in seen.text
    assert "sine " not in seen.text


def test_a_selection_that_only_collects_prints_and_writes_nothing(run, pytester):
    seen = run(PROJECT, "--collect-only", "--gradcheck-json", "s.json")
    assert "detects" not in seen.text
    assert not (pytester.path / "s.json").exists()


def test_quiet_shows_what_failed_and_one_line(run):
    seen = run(PROJECT, "-q")
    assert seen.shows(r"sine .*FAIL.*")
    assert "sinus" not in seen.text
    assert "slowest" not in seen.text


@EITHER
def test_the_failure_that_ends_a_run_is_shown_however_long_its_end_takes(run, how):
    text = (
        "import pytest, time\n@pytest.fixture\ndef slow(gradcheck_record):\n    yield gradcheck_record('f', 'p')\n"
        "    time.sleep(1)\ndef test_a(slow): assert 0\ndef test_b(): pass"
    )
    assert run(text, *how, "-x").shows("f +FAIL +-")


def test_a_check_in_which_a_worker_dies_is_shown_as_failed(run):
    text = (
        "import os, pytest\n@pytest.fixture\ndef tally(gradcheck_record):\n    return gradcheck_record('f', 'p')\n"
        "def test_known(tally): os._exit(3)\ndef test_early(gradcheck_record): os._exit(3)\n"
    )
    seen = run(text, "-n", "1")
    assert seen.shows("f +FAIL +-")
    assert seen.shows("test_early +FAIL +-")
    assert "1 function, 1 test verified on 0 examples: function f, test test_early FAILED" in seen.text


@pytest.mark.parametrize(
    ("how", "row"),
    [
        ("tally.passed()", "1"),
        ("pytest.skip()", ""),
        ("pytest.xfail()", "FAIL"),
        ("request.addfinalizer(lambda: 1 / 0)", "FAIL"),
        ("assert tally.examples", "FAIL"),
        ("pass", "0"),
    ],
)
def test_a_test_that_ends_otherwise(run, how, row):
    seen = run(
        f"import pytest\ndef test_a(gradcheck_record, request):\n tally = gradcheck_record('f', 'p')\n {how}"
    )
    assert re.findall(r"^f +(\S+) +-$", seen.text, re.MULTILINE) == ([row] if row else [])


def test_a_test_that_fails_before_it_records_is_shown_by_its_name(run):
    assert run("def test_a(gradcheck_record): assert 0").shows("test_a +FAIL +-")


def test_a_fixture_that_records_and_fails_is_a_failure(run):
    seen = run(
        "import pytest\n@pytest.fixture\ndef broken(gradcheck_record):\n gradcheck_record('f', 'p')\n assert 0\n"
        "def test_a(broken): pass"
    )
    assert seen.shows("f +FAIL +-")


def test_more_vacuous_or_unclear_examples_than_others_are_distinguished():
    def made(**counts):
        return Check("op", "f", "value", "t", Counter(counts), 1e-9, "passed", 1.0)

    (_, row, *_) = lines(Summary([made(**{"pass": 12}), made(subgradient=3, inconclusive=2, vacuous=1)]), 80)
    assert row.text.split() == ["f", "18", "3k", "2?", "1v", "1e-09"]
    assert row.markup == {}
    (_, undecided, *_) = lines(Summary([made(inconclusive=3)]), 80)
    assert undecided.markup == {"yellow": True}


def test_the_time_of_a_test_with_two_records_counts_once(run, pytester):
    seen = run(
        "import time\ndef test_a(gradcheck_record):\n"
        "    for name in 'fg':\n        gradcheck_record(name, 'p').passed()\n"
        "    gradcheck_record('f', 'q').passed()\n    time.sleep(0.6)",
        *("--gradcheck-json", "s.json"),
    )
    written = json.loads((pytester.path / "s.json").read_text())
    times = [cell["seconds"] for entry in written["entries"] for cell in entry["properties"].values()]
    assert len(times) == 3
    assert 0.6 <= sum(times) < 1.2
    assert 0.6 <= sum([check["seconds"] for check in written["checks"]]) < 1.2
    assert seen.shows("1 s of checks: .*")
    assert len(re.findall(r"^ +0\.\d\d s +3 examples  test_it.py::test_a$", seen.text, re.MULTILINE)) == 1


def test_a_hundred_rows_fit_eighty_columns():
    checks = [
        Check(
            kind,
            f"conv_transp{i}d",
            column,
            f"tests/t.py::{'x' * 90}",
            Counter({"pass": 2000}),
            1e-9,
            "passed",
            2.0,
        )
        for kind, names in (("op", 70), ("layer", 30))
        for i in range(names)
        for column in ("value", "gradient", "kinks", "2nd order", "recording", "methods")
    ]
    found = [line.text for line in lines(Summary(checks), 80)]
    assert len(found) < 115
    assert max(map(len, found)) <= 80


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("('', 'p')", "ValueError: gradcheck_record: entry has to be one line of text; got ''"),
        ("('f', 'a\\nb')", "checked has to be one line of text"),
        ("('f', 'p', kind=None)", "kind has to be one line of text; got None"),
        ("('f', 'p', True)", "TypeError: f: expected a gradcheck Report or Verification, got bool"),
    ],
)
def test_what_cannot_be_recorded_is_refused(run, call, message):
    assert message in run(f"def test_a(gradcheck_record):\n    gradcheck_record{call}").text


def test_starting_and_ending_a_run_without_verification_loads_no_numpy(run):
    seen = run(
        "def test_a(gradcheck_record): pass",
        alone=True,
        conftest="import sys\ndef pytest_unconfigure():\n print('LOADED', {'numpy', 'hypothesis'} & set(sys.modules))",
    )
    assert "LOADED set()" in seen.text


# --- the files --------------------------------------------------------------------------------------------------------


def test_the_page_escapes_names():
    odd = "<script>alert('1')</script> & \"more\""
    text = html_page(Summary([Check(odd, odd, odd, odd, Counter({"pass": 1}), None, "failed", 1.0)]))
    page = Page(text)
    assert text.count("<script") == 1  # its own
    assert "alert('1')" not in text
    assert page.open == []
    assert page.cells.count(odd) == 4


@EITHER
def test_where_no_check_was_collected_no_file_is_written_and_no_folder_made(run, pytester, how):
    (pytester.path / "s.json").write_text("of the last run")
    seen = run("def test_a(): pass", *how, "--gradcheck-json", "s.json", "--gradcheck-html", "new/er/s.html")
    assert seen.code == 0
    assert (pytester.path / "s.json").read_text() == "of the last run"
    assert not (pytester.path / "new").exists()
    assert seen.shows(
        "not written: ROOT/new/er/s.html: no collected test has the fixture gradcheck_record, .*"
    )
    assert not seen.shows("written: .*")


@pytest.mark.nightly(each_time=3)
@EITHER
@pytest.mark.parametrize("body", ["pass", "pytest.skip()"])
@pytest.mark.parametrize("mark", ["", "@pytest.mark.skip"])
def test_a_run_whose_checks_verified_nothing_writes_that_into_the_files(run, pytester, how, body, mark):
    for name in ("s.json", "s.html"):
        (pytester.path / name).write_text("of the last run")
    text = f"import pytest\n{mark}\ndef test_a(gradcheck_record): {body}"
    assert run(text, *how, "--gradcheck-json", "s.json", "--gradcheck-html", "s.html").code == 0
    assert json.loads((pytester.path / "s.json").read_text())["entries"] == []
    assert "nothing was verified" in (pytester.path / "s.html").read_text()


@EITHER
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("file/s", "{option}: ROOT/file: no files can be written there: it exists and is not a folder"),
        ("folder", "{option}: ROOT/folder is a folder: name a file"),
    ],
)
@pytest.mark.parametrize("option", ["--gradcheck-json", "--gradcheck-html"])
def test_a_file_that_cannot_be_written_is_reported_before_the_run(run, pytester, option, path, message, how):
    (pytester.path / "file").write_text("")
    (pytester.path / "folder").mkdir()
    seen = run("def test_a():\n    open('ran', 'w').close()", *how, option, path)
    assert seen.code == pytest.ExitCode.USAGE_ERROR
    assert message.format(option=option) in seen.text
    assert not (pytester.path / "ran").exists()


def test_a_file_that_can_no_longer_be_written_fails_the_run_and_the_table_is_shown(run, pytester):
    text = (
        "def test_a(gradcheck_record):\n    gradcheck_record('f', 'p').passed()\n    open('out', 'w').close()"
    )
    seen = run(text, "--gradcheck-json", "out/s.json")
    assert seen.code == pytest.ExitCode.INTERNAL_ERROR
    assert "--gradcheck-json: " in seen.text
    assert "can't be written: " in seen.text
    assert "1 function verified on 1 example: all right" in seen.text
    assert not seen.shows("written: .*")


def test_a_summary_that_cannot_be_formatted_leaves_the_old_file(run, pytester, monkeypatch):
    def broken(summary):
        raise MemoryError

    monkeypatch.setattr(Summary, "to_json", broken)
    (pytester.path / "s.json").write_text("old")
    assert "MemoryError" in run("def test_a(gradcheck_record): pass", "--gradcheck-json", "s.json").text
    assert (pytester.path / "s.json").read_text() == "old"
    assert [path.name for path in pytester.path.iterdir() if path.name.endswith(".tmp")] == []

"""A failed result that a test has recorded fails the test, and what is known of a failure is in the files."""

import json

import pytest

import gradcheck.verification  # noqa: F401 - NumPy can be loaded once in a process, not anew by each run within it
import gradcore.io  # noqa: F401
from gradcheck import GradientError, Report, Verdict
from gradcheck.diagnosis.faults import Fault

BRIEFLY = pytest.mark.parametrize("how", [(), ("-n", "1")], ids=["alone", "xdist"])
FOUR = "".join(f"def test_{n}(): pass\n" for n in range(4))

HEAD = """
import numpy as np, pytest
from gradcheck import gradcheck, gradgradcheck, verify

X = np.array([0.5, -1.0])
QUIET = {"raise_exception": False}

def wrong(gy, y, x):
    return gy * np.cos(x) * 1.5

def right(gy, y, x):
    return gy * np.cos(x)

"""
FAIL = "gradcheck(np.sin, X, vjp=wrong, raise_exception=False)"
PASS = "gradcheck(np.sin, X, vjp=right)"


@pytest.fixture
def train(project):
    project.write("t/test_t.py", FOUR)
    return project


@BRIEFLY
def test_a_recorded_fail_fails_its_test_with_the_reports_message_and_closes_the_gate(train, how):
    train.write(
        "v/test_v.py", HEAD + f"def test_v(gradcheck_record):\n    gradcheck_record('f', 'g').add({FAIL})\n"
    )
    run = train.run(*how)
    assert run.code == pytest.ExitCode.TESTS_FAILED
    assert run.started("t/") == []
    assert run.line == "gate: closed by v/test_v.py::test_v, 4 training tests skipped"
    assert "FAIL  np.sin: the gradient is wrong" in run.text
    assert "the rule gives" in run.text
    assert "to reproduce:" in run.text
    assert "recording.py" not in run.text
    assert "Traceback" not in run.text


RECORDED = {
    "at once": f"gradcheck_record('f', 'g', {FAIL})",
    "among passes": f"tally = gradcheck_record('f', 'g')\n    for r in [{PASS}, {FAIL}, {PASS}]: tally.add(r)",
    "of verify": "gradcheck_record('f', 'g').add(verify(np.sin, like=X, vjp=wrong, max_examples=5, **QUIET))",
    "then skipped": f"gradcheck_record('f', 'g', {FAIL})\n    pytest.skip()",
    "in the first of two records": f"gradcheck_record('f', 'g', {FAIL})\n    gradcheck_record('f', 'h', {PASS})",
    "while it is torn down": f"tally = gradcheck_record('f', 'g')\n    request.addfinalizer(lambda: tally.add({FAIL}))",
}


@pytest.mark.parametrize("how", RECORDED)
def test_however_it_is_recorded(train, how):
    train.write("v/test_v.py", HEAD + f"def test_v(request, gradcheck_record):\n    {RECORDED[how]}\n")
    run = train.run()
    assert run.code == pytest.ExitCode.TESTS_FAILED
    assert run.line == "gate: closed by v/test_v.py::test_v, 4 training tests skipped"
    assert "FAIL  np.sin: the gradient is wrong" in run.text
    assert "function f FAILED" in run.text


def test_a_fixture_may_record_it(train):
    train.write(
        "v/test_v.py",
        HEAD
        + f"@pytest.fixture\ndef made(gradcheck_record): gradcheck_record('f', 'g', {FAIL})\ndef test_v(made): pass\n",
    )
    assert train.run().line.startswith("gate: closed by v/test_v.py::test_v")


def test_all_results_are_recorded_before_the_test_fails(train):
    train.write(
        "v/test_v.py",
        HEAD + f"def test_v(gradcheck_record):\n    gradcheck_record('f', 'g', {FAIL}, {FAIL}, {PASS})\n",
    )
    run = train.run("--gradcheck-json", "s.json")
    assert "1 more recorded results failed" in run.text
    (entry,) = json.loads((train.path / "s.json").read_text())["entries"]
    assert (entry["properties"]["g"]["fail"], entry["properties"]["g"]["pass"]) == (2, 1)


def test_an_expected_failure_stays_one(train):
    train.write(
        "v/test_v.py",
        HEAD
        + f"@pytest.mark.xfail(strict=True)\ndef test_v(gradcheck_record): gradcheck_record('f', 'g', {FAIL})\n"
        + "def test_w(): pass\n",
    )
    run = train.run()
    assert run.code == 0
    assert run.line == "gate: 1 verification test passed, 1 skipped or xfailed, training open"


def test_an_inconclusive_result_fails_nothing(train):
    train.write(
        "v/test_v.py",
        "from gradcheck import Report, Verdict\ndef test_v(gradcheck_record):\n"
        "    gradcheck_record('f', 'g', Report('f', Verdict.INCONCLUSIVE, ()))\n",
    )
    assert train.run().code == 0


def test_a_test_that_has_failed_already_reports_it_once(train):
    train.write(
        "v/test_v.py",
        HEAD
        + f"def test_v(gradcheck_record):\n    gradcheck_record('f', 'g', {FAIL})\n    raise RuntimeError('own')\n",
    )
    run = train.run()
    assert run.reports["v/test_v.py::test_v"] == ["passed", "failed", "passed"]
    assert "RuntimeError: own" in run.text


# --- what the files hold ----------------------------------------------------------------------------------------------

FAILURES = f"""
@pytest.mark.parametrize("way", ["recorded", "raised"])
def test_one(way, gradcheck_record):
    tally = gradcheck_record("sine", "gradient")
    tally.add(gradcheck(np.sin, X, vjp=wrong, raise_exception=way == "raised"))

def test_many(gradcheck_record):
    gradcheck_record("sine", "domain").add(verify(np.sin, like=X, vjp=wrong, max_examples=9, **QUIET))

def test_words(gradcheck_record):
    gradcheck_record("words", "value")
    raise ValueError("what is <wrong>")

def test_early(gradcheck_record):
    raise ValueError("before anything was recorded")

def test_end(gradcheck_record, request):
    gradcheck_record("end", "value", {PASS})
    request.addfinalizer(lambda: 1 / 0)

def test_good(gradcheck_record):
    gradcheck_record("good", "gradient", {PASS})
"""
KEYS = [
    "test",
    "kind",
    "entry",
    "property",
    "function",
    "cause",
    "text",
    "faults",
    "inputs",
    "smallest",
    "snippet",
    "examples",
    "seed",
]


@BRIEFLY
def test_the_files_of_a_failing_run_hold_cause_numbers_smallest_example_and_snippet(project, how):
    project.write("v/test_v.py", HEAD + FAILURES)
    run = project.run(*how, "--gradcheck-json", "s.json", "--gradcheck-html", "s.html")
    assert run.code == pytest.ExitCode.TESTS_FAILED
    written = json.loads((project.path / "s.json").read_text())
    assert written["failed"] is True
    assert written["more_failures"] == 0
    found = {failure["test"].partition("::test_")[2]: failure for failure in written["failures"]}
    assert len(found) == len(written["failures"]) == 6
    assert all(list(failure) == KEYS for failure in written["failures"])
    for name, checked in {"one[recorded]": "gradient", "one[raised]": "gradient", "many": "domain"}.items():
        failure = found[name]
        assert (failure["entry"], failure["property"], failure["function"]) == ("sine", checked, "np.sin")
        assert failure["cause"] == failure["faults"][0]["cause"] == "factor"
        fault = failure["faults"][0]
        assert fault["analytic"] == pytest.approx(1.5 * fault["numeric"], rel=1e-6)
        assert 0 < fault["bound"] < 1e-6
        assert "the rule gives" in fault["text"]
        assert failure["inputs"] == [
            {"path": "inputs[0]", "dtype": "float64", "shape": [1 if name == "many" else 2]}
        ]
        assert "gradcheck(" in failure["snippet"]
    assert [found[name]["smallest"] for name in ("one[raised]", "many", "words")] == [False, True, False]
    assert found["words"] == {
        **found["words"],
        "cause": "ValueError",
        "text": "what is <wrong>",
        "entry": "words",
    }
    assert found["early"]["text"] == "before anything was recorded"
    assert (found["end"]["entry"], found["end"]["cause"]) == ("end", "ZeroDivisionError")
    page = (project.path / "s.html").read_text()
    assert "<title>Failed: " in page
    assert "Failed: </" not in page
    for text in (
        "factor",
        "what is &lt;wrong&gt;",
        "inputs[0]",
        "gradcheck(",
        "the rule gives",
        "float64",
        "The smallest failing example",
    ):
        assert text in page
    for name, number in found["one[raised]"]["faults"][0].items():
        if name in ("analytic", "numeric"):
            assert f"{number:.10g}" in page
        if name == "bound":
            assert f"± {number:.1g}" in page


def test_a_passing_run_has_no_failures_and_its_title_does_not_say_so(project):
    project.write("v/test_v.py", HEAD + f"def test_v(gradcheck_record): gradcheck_record('f', 'g', {PASS})\n")
    project.run("--gradcheck-json", "s.json", "--gradcheck-html", "s.html")
    assert json.loads((project.path / "s.json").read_text())["failures"] == []
    page = (project.path / "s.html").read_text()
    assert "<title>Passed: 1 entry verified" in page
    assert "Failed: " not in page


def test_a_crash_is_a_failure_with_a_cause(project):
    project.write("v/test_v.py", "import os\ndef test_v(gradcheck_record): os._exit(3)\n")
    project.run("-n", "1", "--gradcheck-json", "s.json", "--gradcheck-html", "s.html")
    (failure,) = json.loads((project.path / "s.json").read_text())["failures"]
    assert (failure["cause"], failure["test"]) == ("crash", "v/test_v.py::test_v")


def test_records_are_of_bounded_size(project):
    project.write(
        "v/test_v.py",
        HEAD + f"def test_v(gradcheck_record):\n    tally = gradcheck_record('f', 'g')\n"
        f"    for _ in range(30): tally.add({FAIL})\n"
        "def test_w(gradcheck_record):\n    raise ValueError('w' * 100_000)\n",
    )
    project.run("--gradcheck-json", "s.json", "--gradcheck-html", "s.html")
    written = json.loads((project.path / "s.json").read_text())
    assert len(written["failures"]) == 6
    assert written["more_failures"] == 25
    assert all(len(json.dumps(failure)) < 20_000 for failure in written["failures"])
    assert "25 more failures" in (project.path / "s.html").read_text()


def test_the_faults_of_a_second_order_are_those_of_its_own_report():
    from gradcheck.summary.failures import of_result

    second = Report(
        "f", Verdict.FAIL, (), faults=(Fault("zero", "it is zero", "gy", (1,), 0.0, 1.0, 1e-9),), order=2
    )
    (fault,) = of_result(Report("f", Verdict.PASS, ()).with_second(second))["faults"]
    assert (fault["cause"], fault["index"], fault["numeric"]) == ("zero", [1], 1.0)


def test_each_error_of_a_group_is_a_failure_and_notes_are_kept():
    from gradcheck.summary.failures import of_error

    noted = ValueError("one")
    noted.add_note("try again")
    found = of_error(ExceptionGroup("two", [noted, KeyError("two")]))
    assert [f["cause"] for f in found] == ["ValueError", "KeyError"]
    assert found[0]["text"] == "one\ntry again"
    wrong = GradientError(Report("f", Verdict.FAIL, ()))
    wrong.add_note("run it again")
    assert of_error(wrong)[0]["text"] == "FAIL  f: the gradient is wrong\nrun it again"

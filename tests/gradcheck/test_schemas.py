"""What is written as JSON fits the schemas that ship with the package, and the schemas refuse what does not."""

import copy
import json

import campaigns
import numpy as np
import pytest

from gradcheck import explain, gradcheck, verify
from gradcheck.campaigns.check import Unchecked
from gradcheck.report.report import Fault, Report
from gradcheck.report.schema import NAMES, schema
from gradcheck.summary import failures
from gradcheck.summary.results import Summary, gathered
from gradcheck.verdict.compare import Verdict

jsonschema = pytest.importorskip("jsonschema")

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])


def wrong(gy, y, x):
    return -gy * np.cos(x)


def right(gy, y, x):
    return gy * np.cos(x)


FAILED = gradcheck(np.sin, (X,), vjp=wrong, raise_exception=False)
VERIFIED = verify(np.sin, like=(X,), vjp=wrong, max_examples=3, raise_exception=False)


CAMPAIGN = campaigns.of(
    [
        campaigns.result(
            "m:f", "fail", report=json.loads(FAILED.to_json()), pictures=FAILED.drawn(), cpu=0.1
        ),
        campaigns.result("m:g", "fail", report=json.loads(VERIFIED.to_json())),
        campaigns.result("m:h", "crashed", seed=None),
    ],
    [Unchecked("m:k", "no example")],
)
EXPLAINED = explain(np.sin, (X,), vjp=wrong)


def fits(name, text):
    written = json.loads(text)
    jsonschema.Draft202012Validator(schema(name)).validate(written)
    return written


def summary():
    row = {
        "kind": "op",
        "entry": "sin",
        "property": "gradient",
        "counts": {"fail": 1},
        "sensitivity": None,
        "failures": [failures.of_result(FAILED, drawn=True), failures.in_words("ValueError", "no")],
        "hidden": 1,
        "unseen": ["inputs[0]"],
    }
    return Summary(gathered([row], "test_it.py::test_sin", "failed", 0.5), {"date": "2026-01-01"})


@pytest.mark.parametrize("name", NAMES)
def test_each_schema_is_one(name):
    jsonschema.Draft202012Validator.check_schema(schema(name))


def test_a_schema_that_is_not_there_is_named():
    with pytest.raises(
        ValueError,
        match="there is no schema 'page': pass one of report, verification, explanation, campaign, summary",
    ):
        schema("page")


@pytest.mark.parametrize(
    "report",
    [
        FAILED,
        gradcheck(np.sin, (X,), vjp=right),
        gradcheck(np.abs, (0 * X,), vjp=lambda gy, y, x: 0 * gy, raise_exception=False),
        Report("f", Verdict.PASS, ()).with_second(
            Report("g", Verdict.INCONCLUSIVE, (), reason="why", order=2)
        ),
        Report(
            "f",
            Verdict.FAIL,
            (),
            faults=(Fault("a", "b", "c", (0,), complex(1, float("inf")), float("nan"), 0.5),),
        ),
    ],
    ids=["fail", "pass", "kinks", "second order", "odd numbers"],
)
def test_a_report_fits(report):
    fits("report", report.to_json())


def test_a_verification_fits():
    assert fits("verification", VERIFIED.to_json())["tried"]


def test_a_summary_fits_and_has_no_pictures():
    written = fits("summary", summary().to_json())
    assert len(written["failures"]) == 2
    assert "pictures" not in written["failures"][0]


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("report", FAILED.to_json),
        ("verification", VERIFIED.to_json),
        ("explanation", EXPLAINED.to_json),
        ("campaign", CAMPAIGN.to_json),
        ("summary", lambda: summary().to_json()),
    ],
)
def test_a_schema_refuses_a_key_too_many_one_too_few_and_another_type(name, made):
    written = fits(name, made())
    check = jsonschema.Draft202012Validator(schema(name))
    for key in written:
        less = {k: v for k, v in written.items() if k != key}
        assert not check.is_valid(less), key
        odd = copy.deepcopy(written)
        odd[key] = object if written[key] is None else [{"no": 1}]
        assert not check.is_valid(odd), key
    assert not check.is_valid({**written, "more": 1})

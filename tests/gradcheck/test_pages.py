"""The pages of a run and of a report: what stands where, that nothing is let through unescaped, and how large they grow."""

import json
import re

import pages
import pytest
from pages import ODD

from gradcheck.report.page import report_page, verification_page
from gradcheck.report.report import Fault, InputResult, Report
from gradcheck.report.verification import Edge, Sample, Verification
from gradcheck.summary import failures
from gradcheck.verdict.compare import Verdict
from gradcore.errors import OutputError

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def report():
    return pages.report()


def order(text, *parts):
    places = [text.index(part) for part in parts]
    assert places == sorted(places), parts


def test_the_verdict_comes_first_then_what_is_weak_then_the_failures():
    text = pages.html_page(pages.failing())
    order(
        text,
        "<title>Failed: 3 of 8 entries",
        "<h1>",
        'id="weak"',
        'id="tools"',
        'id="failures"',
        'id="entries"',
    )
    order(
        text,
        "sign</b>: at inputs[0]",
        "the rule gives",
        "The failing example: inputs[0]",
        "<svg",
        "Copy code",
    )
    assert 'role="status" aria-live="polite"' in text
    for landmark in ("<header>", '<main id="main">', "<footer>", 'role="search"', '<html lang="en">'):
        assert text.count(landmark) == 1


def test_a_passing_run_says_what_makes_the_pass_weak():
    text = pages.html_page(pages.passing())
    assert "<title>Passed: 5 entries verified - mine</title>" in text
    assert "Inconclusive: 1 example decided nothing: in abs. The first: the values scatter." in text
    assert "Vacuous: 3 examples had a gradient of zero, so that nothing else was compared: in relu." in text
    assert "Out of sight: 7 entries of gradients, too small to be judged: in exp." in text
    assert "Never seen" not in text  # relu is named already
    assert 'id="failures"' not in text
    for fact in ("2026-01-01 12:00 UTC", "mine", "3.12.0", "2.1.0"):
        assert f"<dd>{fact}</dd>" in text


def test_an_input_that_no_check_of_its_entry_showed_is_named():
    unseen = pages.check("f", unseen=("inputs[1]",), seen=("inputs[0]",))
    other = pages.check("f", checked="2nd order", seen=("inputs[1]",))
    assert "Never seen" in pages.html_page(pages.Summary([unseen]))
    assert "Never seen" not in pages.html_page(pages.Summary([unseen, other]))


def without_own_script(text):
    return re.sub(r"<script>.*?</script>", "", text, count=1, flags=re.DOTALL)


def is_clean(text):
    assert ODD not in without_own_script(text)
    assert "<img" not in text
    assert text.count("<script") == text.count("</script>") == 1
    assert not re.search(
        r"\son\w+=",
        re.sub(r"&quot;.*?&quot;", "", without_own_script(text))
        .split("<body>")[1]
        .replace("onerror=alert(1)", ""),
    )


def test_no_name_of_a_run_becomes_markup():
    is_clean(pages.html_page(pages.failing()))


def test_no_name_of_a_report_or_a_verification_becomes_markup():
    r = Report(
        ODD, Verdict.FAIL, (InputResult(ODD, (2,), ODD, Verdict.FAIL, 1.0, False, hidden=1),),
        faults=(Fault(ODD, ODD, ODD, (0,), 1.0, 2.0, 0.5),), reason=ODD, note=ODD, snippet=ODD, judged=ODD,
        excuses={ODD: ODD}, gradient=ODD,
    )  # fmt: skip
    v = Verification(
        ODD, Verdict.FAIL, 1, 1, {ODD: 1}, {ODD: 1}, 1.0, 1.0, (ODD,), {ODD: 1}, (r,), ODD, 0, ODD,
        edges=(Edge(ODD, r),), undecided=(Sample(ODD, ODD),), worst=Sample(ODD, ODD), left_out=(ODD,), gradient=ODD,
    )  # fmt: skip
    for text in (r.to_html(), v.to_html(), f"<body>{r._repr_html_()}{v._repr_html_()}<script></script>"):
        is_clean(text)


def test_the_page_runs_no_script_but_its_own_and_loads_nothing():
    text = pages.html_page(pages.failing())
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text).group(1)
    assert re.fullmatch(r"default-src 'none'; style-src 'sha256-[^']+'; script-src 'sha256-[^']+'", policy)
    assert not re.search(r"(src|href)=\"?(?!#)\S*:", text)
    assert " style=" not in text


def test_ten_thousand_entries_stay_below_a_megabyte():
    text = pages.html_page(pages.many(10_000))
    assert len(text.encode()) < MEGABYTE
    shown = text.count("<th scope=row>")
    assert shown == 10_000


def test_ten_thousand_failures_stay_below_a_megabyte_and_those_left_out_are_counted(report):
    failure = failures.of_result(report, drawn=True)
    text = pages.html_page(pages.many(10_000, 10_000, {**failure, "text": "é" * 900, "snippet": "x" * 4_000}))
    full, brief = text.count("<article"), text.count("<li data-find>")
    assert 300_000 < len(text.encode()) < MEGABYTE
    assert full > 10
    assert brief > 100
    assert f"and {10_000 - full - brief:,} more failures" in text


def test_what_failed_has_room_before_what_is_right():
    checks = [pages.check(f"right_{k:05}_" + "x" * 150) for k in range(6_000)]
    text = pages.html_page(pages.Summary([*checks, pages.check("wrong", "zoo", outcome="failed")]))
    assert "<th scope=row>wrong" in text
    assert "right_00000" in text
    assert "right_05999" not in text


def test_the_page_of_a_report_has_its_parts_and_is_written_whole(report, tmp_path):
    path = tmp_path / "r.html"
    report.save_html(path)
    text = path.read_text(encoding="utf-8")
    order(
        text,
        "Failed: softplus</title>",
        "softplus: the gradient is wrong</h1>",
        "What is wrong",
        "Inputs",
        "Contracts",
    )
    assert text.count("<figure>") == 2
    with pytest.raises(OutputError, match="can't be written"):
        report.save_html(tmp_path / "missing" / "r.html")
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]


def test_weak_points_of_a_report_are_named():
    r = Report(
        "f", Verdict.PASS,
        (InputResult("x", (4,), "float64", Verdict.PASS, 1e-9, False, hidden=2), InputResult("w", (), "float64", Verdict.PASS, 1.0, True)),
        judged="3 of 4 output entries", excuses={"rounding": "too coarse"}, note="a note",
    )  # fmt: skip
    text = r.to_html()
    for words in (
        "Out of sight: 2 of 4 entries of x are too small to be judged.",
        "Vacuous: the gradient by w and its truth are zero at this point. Try another one.",
        "In part: the verdict covers 3 of 4 output entries.",
        "Excused (rounding): too coarse.",
        "Note: a note.",
    ):
        assert words in text
    assert "<title>Passed: f</title>" in text


def test_the_headline_of_a_report_names_the_second_order_where_that_is_wrong():
    first = Report("f", Verdict.PASS, ())
    second = Report("g", Verdict.FAIL, (), faults=(Fault("sign", "text"),), order=2)
    written = json.loads(first.with_second(second).to_json())
    assert written["headline"] == "the gradient is right, and the gradient of the gradient is wrong"
    assert "The second order" in report_page(written, None, {})


def test_the_page_of_a_verification_shows_what_was_tried():
    v = Verification(
        "f",
        Verdict.PASS,
        0,
        2,
        {},
        {"forward raised ValueError": 2},
        1.0,
        1.0,
        ("x",),
        {},
        (),
        "",
        0,
        hidden=3,
    )
    text = verification_page(json.loads(v.to_json()), {}, [])
    assert "Set aside: 2 examples outside of the domain of forward: 2 x forward raised ValueError." in text
    assert "Vacuous: the gradient by x was zero at every example." in text
    assert "Out of sight: 3 entries" in text

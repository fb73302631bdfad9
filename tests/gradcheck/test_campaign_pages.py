"""The page of a campaign, by --html: what stands where, that it is written whole or not at all, and how large it grows."""

import json
import re
from collections import Counter

import pytest
from campaigns import page_of, result
from commands import command, folder_with_modules  # noqa: F401
from pages import ODD, of_a_fail

from gradcheck import campaign
from gradcheck.campaigns.check import Unchecked
from gradcheck.campaigns.judge import _weak_of, judged
from gradcheck.campaigns.page import weak
from gradcheck.campaigns.plan import collect
from gradcheck.cli import MISCALLED, WRONG
from gradcheck.verification.tally import Tally

MARKED = """
import numpy as np
from gradcheck import checked

X = (np.array([[0.5, 2.0]]),)

@checked(like=X, vjp=lambda gy, y, x: gy / (1 + np.exp(-x)), max_examples=2)
def right(x):
    return np.log1p(np.exp(x))

@checked(like=X, vjp=lambda gy, y, x: -gy / (1 + np.exp(-x)), max_examples=2)
def wrong(x):
    return np.log1p(np.exp(x))

@checked(like=X, vjp=lambda gy, y, x: gy * 0, max_examples=2)
def floored(x):
    return np.floor(x)
"""


def failed(name="m:f"):
    """The result of a fail with everything that belongs to it."""
    return result(name, "fail", **of_a_fail())


def order(text, *parts):
    places = [text.index(part) for part in parts]
    assert places == sorted(places), parts


def test_the_verdict_comes_first_then_what_is_weak_then_the_failures_then_every_check():
    shaky = result("m:g", weak=["Vacuous: 2 of 3 examples had a gradient of zero."])
    text = page_of(
        [
            result("m:e"),
            shaky,
            failed(),
            result("m:h", "crashed", text="m:h: the process ended", output="Fatal\nx"),
        ]
    )
    order(
        text,
        "<title>Failed: 2 of 4 checks - mine.py",
        "<h1>",
        'id="weak"',
        "Vacuous: m:g: 2 of 3",
        'id="tools"',
    )
    order(
        text,
        'id="failures"',
        "<b>sign</b>: at inputs[0]",
        "the rule gives",
        "<svg",
        "Copy code",
        "Fatal\nx",
        'id="entries"',
    )
    for fact in ("2026-01-01 12:00 UTC", "2.1.0", "7"):
        assert f"<dd>{fact}</dd>" in text
    assert text.count("<figure>") == 2
    rows = re.findall(r"<tr(?: class=\"(\w)\")?><th scope=row>(\S+?)<td", text)
    assert rows == [("", "m:e"), ("w", "m:g"), ("f", "m:f"), ("f", "m:h")]


@pytest.mark.parametrize(
    ("verdicts", "title", "badge"),
    [
        (["pass", "subgradient"], "Passed: 2 checks", "pass"),
        (["pass", "inconclusive"], "Inconclusive: 1 of 2 checks", "inconclusive"),
        (["pass", "hung"], "Without a verdict: 1 of 2 checks", "no verdict"),
        ([], "Without a verdict: there was nothing to check", "no verdict"),
    ],
)
def test_each_verdict_has_its_title(verdicts, title, badge):
    text = page_of([result(f"m:{k}", v) for k, v in enumerate(verdicts)])
    assert f"<title>{title} - mine.py</title>" in text
    assert re.search(rf'<h1><span class="badge [^"]*">{badge}</span>', text)


def test_a_weakness_of_many_checks_is_one_sentence():
    many = [result(f"m:{k}", weak=["Out of sight: 3 entries.", "Vacuous: all."]) for k in range(9)]
    assert weak([*many, result("m:z", "inconclusive", text="m:z: too noisy\nmore")]) == [
        "Out of sight: 9 checks: m:0, m:1, m:2, m:3, m:4, m:5 and 3 more. The first one: 3 entries.",
        "Vacuous: 9 checks: m:0, m:1, m:2, m:3, m:4, m:5 and 3 more. The first one: all.",
        "Inconclusive checks: m:z: too noisy",
    ]
    assert weak([result("m:f", "fail", weak=["Vacuous: all."])]) == []


def test_no_name_becomes_markup():
    bad = {**failed(ODD), "text": ODD, "output": ODD, "kind": ODD}
    bad["report"] = {**bad["report"], "snippet": ODD}
    text = page_of([bad, result(ODD, weak=[f"Vacuous: {ODD}"])], [Unchecked(ODD, ODD)], ODD)
    body = re.sub(r"<script>.*?</script>", "", text, count=1, flags=re.DOTALL)
    assert ODD not in body
    assert "<img" not in text
    assert text.count("<script") == 1


def test_ten_thousand_checks_and_failures_stay_near_a_megabyte_and_those_left_out_are_counted():
    text = page_of(
        [*[failed(f"m:bad_{k}") for k in range(5_000)], *[result(f"m:right_{k}") for k in range(5_000)]]
    )
    assert len(text.encode()) < 1_000_000
    full, brief = text.count("<article"), text.count("<li data-find>")
    assert full > 10
    assert brief > 100
    assert f"and {5_000 - full - brief:,} more, of which --json has what is known." in text


def test_pictures_are_measured_only_where_they_are_requested(tmp_path):
    path = tmp_path / "marked_ones.py"
    path.write_text(MARKED)
    checks = {check.name: check for check in collect(str(path)).checks}
    drawn, bare = judged(checks["wrong"], 0, drawn=True), judged(checks["wrong"], 0)
    assert drawn["pictures"][0]["curve"]["wrong"] is True
    assert "pictures" not in bare
    assert {k: v for k, v in drawn.items() if k != "pictures"} == bare
    assert "pictures" not in judged(checks["right"], 0, drawn=True)
    assert judged(checks["right"], 0)["weak"] == []
    assert judged(checks["floored"], 0)["weak"][0].startswith("Vacuous: the gradient by inputs[0] was zero")


def test_an_op_whose_examples_show_little_is_weak():
    tally = Tally(
        "f", Counter({"vacuous": 3, "pass": 4}), inconclusive=1, reasons=["the first\nmore"], hidden=2
    )
    assert _weak_of(tally) == [
        "Vacuous: 3 of 7 examples had a gradient of zero.",
        "Inconclusive: 1 of 7 examples. The first one: the first.",
        "Out of sight: 2 entries, over all examples that passed, are too small to be judged.",
    ]
    assert _weak_of(Tally("f", Counter({"pass": 4}))) == []


def test_a_campaign_is_resumed_into_a_page_though_what_was_there_has_no_pictures(tmp_path):
    path = tmp_path / "marked_ones.py"
    path.write_text(MARKED)
    lines = tmp_path / "r.jsonl"
    first = campaign(str(path), jobs=1, results=lines)
    again = campaign(str(path), jobs=1, results=lines, resume=True, pictures=True)
    assert again.resumed == 3
    assert first.to_json() == again.to_json()
    assert "<figure>" not in again.to_html()
    assert "mirrored" not in again.to_html()
    assert "<b>sign</b>" in again.to_html()


@pytest.mark.usefixtures("folder_with_modules")
def test_the_command_writes_the_page_beside_what_it_prints(tmp_path):
    (tmp_path / "marked_ones.py").write_text(MARKED)
    done = command("marked_ones.py", "--html", "new/page.html", "--json", timeout=300)
    assert done.returncode == WRONG
    text = (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "<title>Failed: 1 of 3 checks - marked_ones.py</title>" in text
    assert "<figure>" in text
    assert "pictures" not in json.loads(done.stdout)["results"][1]
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["page.html"]


@pytest.mark.usefixtures("folder_with_modules")
def test_a_page_that_can_not_be_written_is_refused_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    done = command("mine_to_check.py", "--html", "file/page.html")
    assert (done.returncode, done.stdout) == (MISCALLED, "")
    assert re.search(r"gradcheck: --html: file: no files can be written there: \S", done.stderr)
    done = command("mine_to_check.py", "--html", "folder")
    assert done.returncode == MISCALLED
    assert "gradcheck: --html folder is a folder: name a file in it, as folder/gradients.html" in done.stderr


def test_a_page_that_can_not_be_written_after_all_leaves_the_results_and_the_old_page(
    tmp_path, monkeypatch, capsys
):
    from gradcheck.cli import pages
    from gradcore.errors import OutputError

    page = tmp_path / "page.html"
    page.write_text("old")

    class Full:
        def save_html(self, path):
            raise OutputError(f"{path}: no space left on the device")

    assert pages.written(Full(), str(page), "gradcheck check") is False
    assert "gradcheck check: --html: " in capsys.readouterr().err
    assert page.read_text() == "old"
    assert pages.written(Full(), None, "gradcheck check") is True

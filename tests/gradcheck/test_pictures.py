"""The pictures of a check: what they show is what was measured, and they are drawn without a window."""

import json
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest

from gradcheck import gradcheck
from gradcheck.diagnosis.pictures import Pictures, error_map, of_errors
from gradcheck.numeric.curve import curve
from gradcheck.report import svg
from gradcheck.report.report import Report
from gradcheck.report.verification import Tried, Verification
from gradcheck.verdict.compare import Verdict

X = np.random.default_rng(0).normal(size=(3, 4))


def softplus(x):
    return np.log1p(np.exp(x))


def right(gy, y, x):
    return gy / (1 + np.exp(-x))


def wrong_in_row_1(gy, y, x):
    g = right(gy, y, x).copy()
    g[1] *= 1.01
    return g


@pytest.fixture(scope="module")
def failed():
    return gradcheck(softplus, (X,), vjp=wrong_in_row_1, raise_exception=False, contracts=False)


@pytest.fixture(scope="module")
def passed():
    return gradcheck(softplus, (X,), vjp=right, contracts=False)


def test_differences_have_the_shape_of_a_v_and_the_chosen_step_is_on_the_ladder():
    c = curve(np.exp, np.array([1.0, 2.0]), np.array([1.0, 0.5]), (np.array([1.0, -2.0]),))
    best = int(np.argmin(c.errors))
    assert abs(c.value - (np.e - np.exp(2.0))) <= c.bound
    assert c.errors[0] > 1e4 * c.errors[best] < c.errors[-1]
    assert 0 < best < len(c.errors) - 1
    assert list(c.steps) == sorted(c.steps, reverse=True)
    low, middle, high = c.chosen
    assert low <= middle <= high
    assert {low, high} <= set(c.steps)


def test_the_curve_of_a_fail_is_along_the_entry_that_is_named_and_the_rule_is_beyond_the_bound(failed):
    c, fault = failed.pictures.plain()["curve"], failed.faults[0]
    assert c["along"] == f"inputs[0][{fault.index[0]}, {fault.index[1]}]"
    assert c["rule"] == pytest.approx(fault.analytic, rel=1e-12)
    assert c["derivative"] == pytest.approx(fault.numeric, rel=1e-9)
    assert c["wrong"] is True
    assert c["off"] > 1e6 * c["bound"] > 0


def test_the_map_of_a_fail_marks_the_wrong_entries_and_no_other(failed):
    (m,) = failed.pictures.plain()["maps"]
    assert m["wrong"] == [[False] * 4, [True] * 4, [False] * 4]
    assert m["entry"] == list(failed.faults[0].index)
    assert (np.array(m["ratios"]) > 1).tolist() == m["wrong"]


def test_a_pass_marks_nothing_and_the_rule_is_within_the_bound(passed):
    plain = passed.pictures.plain()
    assert plain["curve"]["off"] <= plain["curve"]["bound"]
    assert plain["curve"]["along"] == "a random direction"
    assert not np.any(plain["maps"][0]["wrong"])
    assert plain["maps"][0]["entry"] is None


def test_pictures_are_measured_once_at_the_values_of_the_check_and_only_when_they_are_wanted():
    calls, x = [], X.copy()

    def counted(x):
        calls.append(1)
        return softplus(x)

    report = gradcheck(counted, (x,), vjp=wrong_in_row_1, raise_exception=False, contracts=False)
    before = len(calls)
    x[:] = 100.0  # where the rule's mistake would be another
    first = report.pictures.plain()
    assert first["maps"][0]["wrong"][1] == [True] * 4
    assert len(calls) > before
    after = len(calls)
    assert report.pictures.plain() is first
    assert len(calls) == after


def test_a_pickled_report_has_the_pictures_that_were_measured(failed):
    kept = pickle.loads(pickle.dumps(failed))
    assert kept.pictures.plain() == failed.pictures.plain()
    fresh = Report("f", Verdict.PASS, (), pictures=Pictures(lambda: {"curve": 1, "maps": []}))
    assert pickle.loads(pickle.dumps(fresh)).pictures.plain() == {"curve": None, "maps": []}


def test_a_function_that_raises_when_it_is_called_again_has_no_picture():
    over = []

    def f(x):
        if over:
            raise RuntimeError
        return softplus(x)

    report = gradcheck(f, (X,), vjp=right, contracts=False)
    over.append(1)
    assert report.pictures.plain() == {"curve": None, "maps": []}


def test_a_large_array_is_drawn_in_blocks_and_the_named_entry_lies_in_its_block():
    seen = []

    def measured(at):
        seen.append(at)
        return float(at.max()), bool((at == 7 * 300 + 299).any())

    m = error_map("x", (10, 10, 300), measured, (0, 7, 299))
    assert (len(m["ratios"]), len(m["ratios"][0])) == (12, 16)
    assert np.sort(np.concatenate(seen)).tolist() == list(range(30_000))
    assert np.argwhere(m["wrong"]).tolist() == [m["entry"]]
    fewer = error_map("x", (10, 10, 300), measured, None, cells=8)
    assert len(fewer["ratios"]) * len(fewer["ratios"][0]) <= 8


@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 0, 3), (0,)])
def test_every_shape_has_a_map(shape):
    ratios = np.full(shape, 2.0)
    m = of_errors("x", ratios, ratios > 1).plain()["maps"][0]
    assert np.size(m["ratios"]) == ratios.size
    assert np.all(m["wrong"])
    svg.heat(m)


def test_pictures_are_of_plain_numbers(failed, passed):
    for report in (failed, passed):
        assert json.loads(json.dumps(report.pictures.plain(), allow_nan=False)) == report.pictures.plain()


def test_an_svg_has_a_description_and_no_mark_by_colour_alone(failed):
    plain = failed.pictures.plain()
    drawn = svg.heat(plain["maps"][0])
    assert (
        'role="img" aria-label="Error of the gradient by inputs[0], of shape (3, 4): wrong in 4 of 12 entries."'
        in drawn
    )
    assert len(re.findall('class="cross', drawn)) == 4
    assert len(re.findall('class="named"', drawn)) == 1
    line = svg.curve(plain["curve"])
    assert 'class="rule bad"' in line
    assert 'class="chosen"' in line
    assert "style=" not in line + drawn


def test_what_is_not_finite_or_zero_is_left_out_of_a_curve():
    c = {
        "along": "x", "derivative": None, "rule": None, "off": None, "bound": None, "chosen": None, "wrong": True,
        "steps": [1.0, 0.1], "errors": [None, 0.0], "bounds": [[1.0, None]],
    }  # fmt: skip
    assert svg.curve(c) == ""
    assert "an unknown size" in svg.curve_words(c)
    assert svg.curve({**c, "errors": [1e-3, 1e-5], "bound": 1e-9}).count('class="dot"') == 2


VERIFIED = Verification(
    "f", Verdict.FAIL, 4, 0, {"pass": 2}, {}, 1e-9, 0.5, (), {}, (), "", 0,
    tried=(Tried(0, 0.0, "pass"), Tried(6, 1e8, "fail"), Tried(6, 1.0, "inconclusive", True), Tried(9, 1.0, "subgradient")),
)  # fmt: skip


def test_the_examples_of_a_verification_have_a_mark_each():
    drawn = svg.examples(json.loads(VERIFIED.to_json())["tried"])
    assert [len(re.findall(f'"v-{v}', drawn)) for v in svg.VERDICTS] == [1, 1, 1, 1]
    assert "1 pass, 1 subgradient, 1 inconclusive, 1 fail" in drawn
    assert svg.examples([]) == ""


def test_a_figure_shows_the_curve_and_the_map_and_is_saved_without_a_window(failed, tmp_path):
    pytest.importorskip("matplotlib")
    figure = failed.plot()
    left, right_ = figure.axes
    labels = [text.get_text() for text in left.get_legend().get_texts()]
    assert any(text.startswith("chosen step, ") for text in labels)
    assert any(text.startswith("error of the rule, ") for text in labels)
    assert sum(line.get_marker() == "x" for line in right_.lines) == 4
    figure.savefig(tmp_path / "f.png")
    examples = VERIFIED.plot().axes[0]
    assert len(examples.get_legend().get_texts()) == 4
    Report("f", Verdict.PASS, ()).plot().savefig(tmp_path / "nothing.svg")


def test_plotting_loads_no_pyplot_and_names_the_extra_where_matplotlib_is_missing():
    code = (
        "import sys, numpy as np; from gradcheck import gradcheck; from gradcore.errors import MissingExtraError\n"
        "r = gradcheck(np.sin, (np.ones(2),), vjp=lambda gy, y, x: gy * np.cos(x), contracts=False)\n"
        "assert 'matplotlib' not in sys.modules\n"
        "sys.modules['matplotlib.figure'] = None\n"
        "try: r.plot()\n"
        "except MissingExtraError as error: print(error)\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'report.plot() needs matplotlib: pip install "gradcore[plot]"' in done.stdout

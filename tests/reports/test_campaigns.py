"""The reports on campaigns detect what they look for; the figures in the guide are those that the report prints."""

import json

import numpy as np
import pytest
from campaigns import result
from programs import load

from gradcheck.campaigns.campaign import Campaign
from gradcheck.campaigns.check import Check
from gradcheck.campaigns.plan import Plan


@pytest.fixture(scope="module")
def report():
    return load("reports/campaigns")


@pytest.fixture(scope="module")
def costs():
    return load("reports/campaign_cost")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lines: lines, []),
        (lambda lines: lines[:-1], ["m:b: 0 results"]),
        (lambda lines: [*lines, lines[0]], ["m:a: 2 results"]),
        (lambda lines: [lines[0], lines[1] | {"verdict": "fail"}], ["m:b: verdict was 'pass' and is 'fail'"]),
        (lambda lines: [*lines, result("m:c")], ["m:c: nobody asked for it"]),
        (
            lambda lines: [lines[0] | {"seconds": 9.0, "worker": "there:2"}, {"started": ["m:b"]}, lines[1]],
            [],
        ),
    ],
)
def test_a_result_that_is_lost_twice_there_or_another_is_found(change, words, report, tmp_path):
    plan = Plan("m.py", (Check("marked", "m", "a"), Check("marked", "m", "b")), (), {})
    results = [result("m:a"), result("m:b")]
    path = tmp_path / "r.jsonl"
    path.write_text("\n".join(map(json.dumps, [{"campaign": 1}, *change(results)])))
    assert report.wrong(plan, Campaign(plan, 0, tuple(results)), path) == words


def test_the_simulation_agrees_with_arithmetic_on_both_sides_of_the_bend(costs):
    times = np.full(2000, 1.0)
    seconds, busy = costs.simulated(times, 10, 1, 1e-6, 5.0)
    assert seconds == pytest.approx(5.0 + 200.0, rel=1e-3)
    assert busy < 1e-4
    seconds, busy = costs.simulated(times, 1000, 1, 0.5, 0.0)  # 2 workers keep it busy
    assert seconds == pytest.approx(2000 * 0.5, rel=0.01)
    assert busy > 0.98
    assert costs.simulated(times, 1000, 100, 0.5, 0.0)[0] < 200.0  # of which 20 have a task
    random = costs.np.random.default_rng(0).random(500)
    assert costs.simulated(random, 1, 7, 0.0, 0.0)[0] == pytest.approx(random.sum())


def test_the_figures_of_the_guide_are_those_of_the_report(costs):
    constants = json.loads(costs.CONSTANTS.read_text())
    page = costs.PAGE.read_text(encoding="utf-8")
    assert "<!-- constants -->\n```\n" + "\n".join(costs.arithmetic(constants, 1_000_000)) + "\n```" in page
    line = next(costs.simulation(constants, 1))
    assert f"<!-- simulation -->\n```\n{line}\ndask" in page

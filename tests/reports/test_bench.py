"""The bench: growth and its exponents, where the time goes by op, numbers of threads, tables, figures and the chart."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gradcore
from gradcore import Tensor
from gradcore.op import Op
from gradcore.optim import SGD

BENCH = Path(__file__).resolve().parents[2] / "ci" / "bench"


class Clock:
    """Time that goes by where a test says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def waits(self, seconds):
        def function(*_):
            self.now += seconds

        return function


# --- growth -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.7])
def test_a_power_law_is_fitted_exactly(bench, exponent):
    fit = bench("growth").fitted({n: 3e-9 * n**exponent for n in (100, 10_000, 1_000_000)})
    assert fit.exponent == pytest.approx(exponent)
    assert fit.residual == pytest.approx(1)


def test_the_residual_is_the_factor_by_which_times_are_off(bench):
    fit = bench("growth").fitted({10: 10 * 2.0, 100: 100 / 2.0, 1000: 1000 / 2.0, 10_000: 10_000 * 2.0})
    assert fit.exponent == pytest.approx(1)
    assert fit.residual == pytest.approx(2)


def test_the_exponent_of_the_larger_sizes_leaves_out_what_a_call_costs(bench):
    growth = bench("growth").Growth({10**k: 1e-5 + 1e-9 * 10**k for k in range(2, 8)})
    assert growth.middle == 10**5
    assert growth.range == "1e2 to 1e7"
    assert growth.fit.exponent < 0.7
    assert growth.large.exponent == pytest.approx(1, abs=0.03)
    assert growth.large.residual < 1.02 < 1.5 < growth.fit.residual


def test_two_sizes_are_enough_to_fit(bench):
    growth = bench("growth").Growth({100: 1e-4, 1000: 1e-3})
    assert growth.large.exponent == growth.fit.exponent == pytest.approx(1)


def test_growth_is_raced_at_each_size_by_gradcore_and_by_hand(bench):
    found = bench("growth").bench((10, 300), rounds=2)
    assert {"numpy by hand", "gradcore"} <= set(found)
    for growth in found.values():
        assert list(growth.seconds) == [10, 300]
        assert all(s > 0 for s in growth.seconds.values())


def test_a_floor_that_computes_something_else_is_not_timed(bench, monkeypatch):
    growth, contest = bench("growth"), bench("contest")
    by_hand = growth.by_hand

    def planted(*arrays):
        return lambda: [*by_hand(*arrays)()[:3], np.ones(10, np.float32)]

    monkeypatch.setattr(growth, "by_hand", planted)
    with pytest.raises(contest.DisagreementError, match="gradient 2: gradcore and numpy by hand differ"):
        growth.bench((10,), rounds=2)


def test_chains_of_several_lengths_are_timed_by_hand_too(bench):
    found = bench("depth").measure("numpy by hand", (10, 20), 1)
    assert set(found.seconds) == {10, 20}
    assert min(found.seconds.values()) > 0


# --- by op --------------------------------------------------------------------------------------------------------------


def test_a_functions_own_time_leaves_out_the_timed_functions_in_it(bench, monkeypatch):
    by_op, clock = bench("by_op"), Clock()
    monkeypatch.setattr(by_op, "perf_counter", clock)
    timers = by_op.Timers()
    inner = timers.timed(clock.waits(3), "inner", "forward")

    def outer():
        clock.now += 1
        inner()
        inner()
        clock.now += 10

    timers.timed(outer, "outer", "wrapper")()
    assert timers.parts() == {("inner", "forward"): 6, ("outer", "wrapper"): 11}
    assert timers.spans["outer", "wrapper"].inner == timers.spans["inner", "forward"].calls == 2


def test_what_the_timers_cost_is_taken_off(bench, monkeypatch):
    by_op, clock = bench("by_op"), Clock()
    monkeypatch.setattr(by_op, "perf_counter", clock)
    timers = by_op.Timers(cost=(0.5, 0.25))
    inner = timers.timed(clock.waits(3), "inner", "forward")
    timers.timed(lambda: [inner(), inner(), clock.waits(8)()], "outer", "wrapper")()
    assert timers.parts() == {("inner", "forward"): 6 - 2 * 0.5, ("outer", "wrapper"): 8 - 0.5 - 2 * 0.25}


def test_an_error_leaves_the_timers_right(bench, monkeypatch):
    by_op, clock = bench("by_op"), Clock()
    monkeypatch.setattr(by_op, "perf_counter", clock)
    timers = by_op.Timers()

    def fails():
        clock.now += 2
        raise ValueError

    timed = timers.timed(fails, "fails", "forward")

    def outer():
        with pytest.raises(ValueError):
            timed()
        clock.now += 1

    timers.timed(outer, "outer", "wrapper")()
    assert timers.parts() == {("fails", "forward"): 2, ("outer", "wrapper"): 1}


def test_the_cost_of_timers_is_that_of_calls_that_do_nothing(bench):
    inside, outside = bench("by_op").cost_of_timers()
    assert 0 < inside < 1e-4
    assert 0 < outside < 1e-4


def step():
    """Ops by method, by function and inside of rules; a loss; an optimizer."""
    x = Tensor(np.ones((2, 1, 4, 4), np.float32))
    weight = Tensor(np.ones((1, 1, 3, 3), np.float32), requires_grad=True)
    optimizer = SGD([weight], lr=0.1)

    def run():
        y = gradcore.ops.conv2d(x, weight, padding=1)
        y = (y * 0.5 + y).tanh()
        gradcore.mse_loss(y, np.zeros(y.shape, np.float32)).backward()
        optimizer.step()
        optimizer.zero_grad()

    return run


def test_ops_are_counted_by_what_they_are_and_when(bench):
    by_op = bench("by_op")
    timers = by_op.Timers()
    run = step()
    with by_op.timing_ops(timers):
        run()
    calls = {key: span.calls for key, span in timers.spans.items()}
    assert calls["conv2d", "wrapper"] == calls["conv2d", "forward"] == calls["conv2d", "backward"] == 1
    assert calls["conv2d_weight", "backward"] == 1  # an op that the rule calls
    assert ("conv2d_weight", "forward") not in calls
    for name in ("add", "tanh"):  # which are methods
        assert calls[name, "wrapper"] == calls[name, "forward"] == 1
    assert calls["add", "backward"] == 2  # a rule for each of its arrays
    assert calls["the backward pass", "engine"] == 1
    assert calls["SGD", "wrapper"] == calls["SGD", "forward"] == 1


def test_nothing_stays_timed(bench):
    by_op = bench("by_op")
    conv2d, tanh = gradcore.ops.conv2d, gradcore.ops.tanh

    methods = (Tensor.tanh, Tensor.__mul__, tanh._unary)

    def now():
        forwards = [
            cell.cell_contents
            for method in methods
            for name, cell in zip(method.__code__.co_freevars, method.__closure__, strict=True)
            if name == "forward"
        ]
        assert len(forwards) == 3
        return [Op.__call__, Tensor.backward, Tensor.__mul__, Tensor.tanh, SGD.step, SGD._update, conv2d.forward,
                conv2d.rules, gradcore.ops.layer_norm._whole, *forwards]  # fmt: skip

    before = now()
    with by_op.timing_ops(by_op.Timers()):
        assert all(a is not b for a, b in zip(now(), before, strict=True))
    assert all(a is b for a, b in zip(now(), before, strict=True))


@pytest.mark.parametrize("part", ["forward", "backward", "engine", "rest"])
def test_a_delay_is_found_where_it_was_planted(bench, part, monkeypatch):
    by_op, clock = bench("by_op"), Clock()
    monkeypatch.setattr(by_op, "perf_counter", clock)
    monkeypatch.setattr(by_op, "cost_of_timers", lambda: (0.0, 0.0))
    run, conv2d = step(), gradcore.ops.conv2d

    def late(function):
        return lambda *a, **k: (clock.waits(2)(), function(*a, **k))[1]

    if part == "forward":
        monkeypatch.setattr(conv2d, "forward", late(conv2d.forward))
    elif part == "backward":
        monkeypatch.setattr(conv2d, "rules", tuple(late(rule) for rule in conv2d.rules))
    elif part == "engine":
        monkeypatch.setattr(Tensor, "backward", late(Tensor.backward))
    else:
        run = late(run)
    found = by_op.profile(run, 3)
    assert (found.total, found.seconds, found.share(part)) == (2, 2, 1)
    if part in ("forward", "backward"):
        assert found.dearest() == ["conv2d"]
        assert found.share(part, "conv2d") == 1
        head, line = by_op.rows(found)
        cells = ("100 %", "0 %") if part == "forward" else ("0 %", "100 %")
        assert line == ("conv2d", "1", *cells, "0 %", "", "")
        assert head == ("all", str(sum(found.calls.values())), *cells, "0 %", "0 %", "0 %")
    else:
        assert found.dearest() == []


def test_each_workload_has_a_line_of_its_own_and_a_step_that_can_be_profiled(bench):
    workloads, run = bench("workloads").WORKLOADS, bench("run")
    names = [w.name for w in workloads]
    assert len(set(names)) == len(names)
    assert {w.bench for w in workloads} == set(run.RACES)
    for workload in workloads[:2]:  # the chain and the tiny network
        found = bench("by_op").profile(workload.ours().run, 2)
        assert 0 < found.share("forward") < 1
        assert math.fsum(found.share(part) for part in bench("by_op").PARTS) == pytest.approx(1)


# --- the command --------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(bench, monkeypatch, torch):
    """The command, in this process, of tiny sizes."""
    run = bench("run")
    monkeypatch.setattr(run, "in_a_process_of_its_own", lambda _threads, function, *args: function(*args))
    monkeypatch.setattr(bench("growth"), "SIZES", (10, 100, 1000))
    return run


@pytest.fixture
def torch():
    """PyTorch on one thread, where it is installed."""
    try:
        import torch
    except ImportError:
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_growth_with_one_thread_and_two_is_in_the_table_the_figures_and_the_chart(run, tmp_path, capsys):
    figures, chart = tmp_path / "figures.json", tmp_path / "chart.svg"
    options = [
        "--only",
        "growth",
        "--quick",
        "--threads",
        "1",
        "2",
        "--json",
        str(figures),
        "--chart",
        str(chart),
    ]
    assert run.main(options) == 0
    printed = capsys.readouterr().out
    lines = [cells(line) for line in printed.splitlines() if line.startswith("| elements, 1e1 to 1e3 ")]
    assert [line[1:3] for line in lines if line[2] == "gradcore"] == [["1", "gradcore"], ["2", "gradcore"]]
    found = json.loads(figures.read_text())["threads"]
    assert list(found) == ["1", "2"]
    ours = found["2"]["growth in elements"]["gradcore"]
    assert list(ours["seconds"]) == ["10", "100", "1000"]
    assert f"{ours['fit']['exponent']:.2f}" == next(
        line[3] for line in lines if line[1:3] == ["2", "gradcore"]
    )
    drawn = chart.read_text()
    assert "<svg" in drawn
    assert f"wrote {chart}" in printed


def test_a_chart_without_matplotlib_is_left_out_and_said_so(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    chart = tmp_path / "chart.svg"
    assert run.main(["--only", "growth", "--quick", "--chart", str(chart)]) == 0
    assert not chart.exists()
    assert "no chart: matplotlib is not installed" in capsys.readouterr().out


def test_the_chart_has_a_panel_for_what_was_measured_and_a_line_for_each_number_of_threads(bench):
    chart = bench("chart")
    growth = {"seconds": {"10": 1.0}, "large": {"exponent": 1.0}}
    figures = {
        1: {"growth in ops": {"gradcore": growth, "mygrad": growth}},
        2: {"growth in ops": {"gradcore": growth}},
    }
    assert list(chart.curves(figures, "ops")) == [("gradcore", 1), ("gradcore", 2)]
    assert chart.curves(figures, "elements") == {}


def test_aims_are_for_one_thread_and_a_missed_one_fails_where_that_is_asked_for(
    run, bench, monkeypatch, capsys
):
    depth = bench("depth")
    monkeypatch.setattr(
        depth,
        "bench",
        lambda name, sizes, rounds: depth.Depth(
            dict.fromkeys(sizes, 9e-6), dict.fromkeys(sizes, 1.0), 8e-6, 1, [2, 2]
        ),
    )
    assert run.main(["--only", "depth"]) == 0
    assert run.main(["--only", "depth", "--check"]) == 1
    assert "missed: depth: 9e-06 s an op of the dearest length, aim 3e-06" in capsys.readouterr().out
    assert run.main(["--only", "depth", "--check", "--threads", "2"]) == 0
    printed = capsys.readouterr().out
    assert "MISSED" not in printed
    assert ["an op of the dearest chain", "2", "-", "-", "9.0 us", "-"] in [
        cells(line) for line in printed.splitlines()
    ]
    assert "ops, 1e2 to 1e6" in printed


def test_what_does_not_depend_on_threads_is_measured_once(run, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(
        run, "in_a_process_of_its_own",
        lambda threads, _function, name, rounds, _: (asked.append((name, threads)), bench_report(run, threads))[1],
    )  # fmt: skip
    run.main(["--only", "import", "--only", "growth", "--threads", "1", "2", "1"])
    assert asked == [("import", 1), ("growth", 1), ("growth", 2)]


def bench_report(run, threads):
    return run.Report(1.0, threads)


PROBE = """
import os, sys
sys.path.insert(0, {bench!r})
sys.path.insert(0, {here!r})
import run, probe
for threads in (2, 1):
    print(threads, *run.in_a_process_of_its_own(threads, probe.threads, "answer"))
print(os.environ.get("GRADCORE_NUM_THREADS"))
"""


def test_each_number_of_threads_holds_in_a_process_of_its_own(tmp_path):
    (tmp_path / "probe.py").write_text(
        "import os, numpy, threadpoolctl\n"
        "def threads(answer):\n"
        "    blas = [library['num_threads'] for library in threadpoolctl.threadpool_info() if library['user_api'] == 'blas']\n"
        "    return max(blas), os.environ['GRADCORE_NUM_THREADS'], os.environ['OMP_NUM_THREADS'], answer\n"
    )
    for missing in ("torch", "jax"):  # which take seconds to load
        (tmp_path / f"{missing}.py").write_text("raise ImportError\n")
    code = PROBE.format(bench=str(BENCH), here=str(tmp_path))
    env = {k: v for k, v in os.environ.items() if k != "GRADCORE_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=env)
    most = min(2, os.cpu_count())
    assert done.stdout.splitlines() == [f"2 {most} 2 2 answer", "1 1 1 1 answer", "None"]

"""Every report refuses names and numbers that leave it nothing to do: one sentence about it, and exit status 2."""

import subprocess
import sys
from pathlib import Path

import pytest
from programs import load

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("program", "options", "sentence"),
    [
        ("reports/false_alarms.py", ["--only", "tan"], "invalid choice: 'tan' (choose from"),
        ("reports/false_alarms.py", ["--checks", "0"], "0 leaves nothing to do: give 1 or more"),
        ("reports/mistakes.py", ["sign", "keys not scald"], "nothing is called 'sign', 'keys not scald': there are"),
        ("reports/broken_rules.py", ["tanhh"], "the nearest called 'tanh'"),
        ("reports/side_by_side.py", ["tanhh"], "the nearest called 'tanh'"),
        ("reports/blame.py", ["--models", "0"], "0 leaves nothing to do: give 1 or more"),
        ("reports/scale.py", ["--only", "tan"], "invalid choice: 'tan' (choose from"),
        ("reports/scale.py", ["--most", "0"], "0 leaves nothing to do: give 1 or more"),
        ("reports/cost.py", ["--most", "5"], "--most 5 leaves no size to time: the smallest is 10"),
        ("reports/nightly.py", ["--seeds", "1", "-n", "0", "--collect-only", "-k", "nosuch", __file__], "no test matches"),
        ("reports/gate_stress.py", ["--runs", "0"], "0 leaves nothing to do: give 1 or more"),
        ("reports/killed_runs.py", ["--kills", "0", "--signals", "0", "--trouble", "0"], "that leaves nothing to do"),
        ("reports/mpi_training.py", ["--kills", "-1"], "that leaves nothing to do"),
        ("reports/fuzz_files.py", ["--files", "0"], "0 leaves nothing to do: give 1 or more"),
        ("reports/fuzz_files.py", ["--reader", "index"], "nothing is called 'index': there are 13 readers"),
        ("bench/run.py", ["--only", "tan"], "invalid choice: 'tan' (choose from"),
        ("bench/run.py", ["--threads", "1", "0"], "0 threads can do nothing: give 1 or more"),
        ("bench/run.py", ["--only", "mlp", "--chart", "c.svg"], "--chart draws what growth and depth measure"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.endswith(".py") else "",
)  # fmt: skip
def test_nothing_to_do_is_an_error(program, options, sentence, monkeypatch, capfd):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", [program, *options])
    try:
        status = load(program.removesuffix(".py")).main()
    except SystemExit as error:
        status = error.code
    out, err = capfd.readouterr()
    assert (status, out) == (2, "")
    assert sentence in err


def test_a_program_exits_with_what_it_comes_to():
    command = [sys.executable, "ci/reports/fuzz_files.py", "--reader", "index"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (2, "")
    assert "nothing is called 'index'" in done.stderr
    assert "Traceback" not in done.stderr

"""The command: what it prints and the status it leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from gradcheck.cli import MISCALLED, RIGHT, UNDECIDED, WRONG
from gradcheck.cli.judging import judged as main

MODULE = """
import ctypes
import os
import signal
import sys

import numpy as np

inputs = (np.array([0.5, 2.0]),)

def drawn():
    return inputs

def rule(gy, y, x):
    return gy * np.cos(x)

def wrong(gy, y, x):
    return 2 * gy * np.cos(x)

def step(x):
    return np.floor(x)

def flat(gy, y, x):
    return gy * 0

whole = (np.array([1.0, 2.0]),)

def leaves(gy, y, x):
    raise SystemExit(0)

def spread(gy, y, x, *, axis=None):
    if axis == 0:
        return np.broadcast_to(gy, x.shape)
    return np.broadcast_to(np.expand_dims(gy, axis), x.shape)

def first_only(gy, y, a, b):
    return gy * b, None

def softplus(x):
    return np.log1p(np.exp(x))

def raises():
    return 1 / 0

def quits_with_0(x):
    os._exit(0)

def quits_with_1(x):
    os._exit(1)

def killed(x):
    os.kill(os.getpid(), signal.SIGKILL)

def reads_no_memory(x):
    ctypes.string_at(0)

def overflows(x):
    sys.setrecursionlimit(10**9)
    return next(map(overflows, [x]))

def replaced(x):
    os.execv(sys.executable, [sys.executable, "-c", ""])

forked = []

def forks(x):
    if not forked:
        forked.append(os.getpid())
        if os.fork() == 0:
            return np.sin(x)
    return np.sin(x)

def rule_quits(gy, y, x):
    os._exit(0)

def closes_the_output(gy, y, x):
    sys.stdout.close()
    return 2 * gy * np.cos(x)

def hangs(x):
    import time
    print("hanging", os.getpid(), flush=True)
    time.sleep(60)
"""

OPS_OF_MINE = """
import numpy as np
import gradcore
from gradcore.spec import OpSpec, case, interval, reals

ANY = OpSpec(case(reals("...")), reference=np.sin)

@gradcore.op(vjp=lambda gy, y, x: gy * np.cos(x), spec=ANY)
def my_sine(x, /):
    return np.sin(x)

@gradcore.op(vjp=lambda gy, y, x: 2 * gy * np.cos(x), spec=ANY)
def my_wrong_sine(x, /):
    return np.sin(x)

@gradcore.op(
    vjp=lambda gy, y, x: gy * (2 if x.ndim == 2 else 0),
    spec=OpSpec(case(reals("n 2")), case(interval(1.0, 2.0, "n", specials=()), sizes={"n": (2, 3)}), reference=np.sin),
)
def wrong_or_unclear(x, /):
    return np.sin(x) if x.ndim == 2 else np.sin(1e200 * x)
"""


@pytest.fixture(autouse=True)
def _folder_with_a_module(tmp_path, monkeypatch):
    (tmp_path / "mine_to_check.py").write_text(MODULE)
    (tmp_path / "ops_of_mine.py").write_text(OPS_OF_MINE)  # loaded in processes of their own only
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize("inputs", ["mine_to_check:inputs", "mine_to_check:drawn"])
def test_a_right_pair_passes_with_status_0(inputs, capsys):
    assert main(["check", "numpy:sin", "--vjp", "mine_to_check:rule", "--inputs", inputs]) == RIGHT
    assert capsys.readouterr().out.startswith("PASS  np.sin: the gradient is right")


def test_a_wrong_pair_leaves_status_1_and_the_cause(capsys):
    assert (
        main(["check", "numpy:sin", "--vjp", "mine_to_check:wrong", "--shapes", "4,3", "--seed", "2"])
        == WRONG
    )
    assert "Multiplied by 1/2 every entry is right." in capsys.readouterr().out


def test_a_check_that_cannot_decide_leaves_status_3(capsys):
    call = ["check", "mine_to_check:step", "--vjp", "mine_to_check:flat", "--inputs", "mine_to_check:whole"]
    assert main(call) == UNDECIDED
    assert capsys.readouterr().out.startswith("INCONCLUSIVE")


def test_the_report_comes_as_json_on_request(capsys):
    assert (
        main(
            [
                "check",
                "gradcore:matmul",
                "--shapes",
                "4,3",
                "3,2",
                "--dtype",
                "float32",
                "--order",
                "2",
                "--json",
            ]
        )
        == RIGHT
    )
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"] == "pass"
    assert [i["dtype"] for i in report["inputs"]] == ["float32", "float32"]
    assert report["second"]["order"] == 2


def test_a_wrong_gradient_keeps_its_status_where_the_reader_has_gone():
    call = [sys.executable, "-m", "gradcheck", "check", "numpy:sin", "--vjp", "mine_to_check:wrong"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*call, "--shapes", "3"], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert done.returncode == WRONG
    assert done.stderr == ""


def test_a_rule_that_ends_the_program_is_reported_and_never_right(capsys):
    assert main(["check", "numpy:sin", "--vjp", "mine_to_check:leaves", "--shapes", "3"]) == MISCALLED
    assert "the code under check ended the program (SystemExit: 0)" in capsys.readouterr().err


def test_static_parameters_and_the_inputs_to_differentiate_by_are_options():
    summed = ["check", "numpy:sum", "--vjp", "mine_to_check:spread", "--shapes", "4,3,2", "--params"]
    assert main([*summed, '{"axis": 1}']) == RIGHT
    assert main([*summed, '{"axis": [0, 2]}']) == RIGHT
    product = ["check", "numpy:multiply", "--vjp", "mine_to_check:first_only", "--shapes", "3", "3"]
    assert main([*product, "--wrt", "0"]) == RIGHT
    assert main([*product, "--wrt", "inputs[0]"]) == RIGHT
    assert main([*product, "--wrt", "0", "1"]) == WRONG


def test_a_function_is_verified_over_the_domain_around_an_example(capsys):
    call = ["verify", "numpy:sin", "--vjp", "mine_to_check:rule", "--examples", "20"]
    assert main([*call, "--like", "mine_to_check:inputs"]) == RIGHT
    assert "PASS  np.sin: no example shows a wrong gradient" in capsys.readouterr().out
    assert main([*call, "--shapes", "2,2", "--json"]) == RIGHT
    assert json.loads(capsys.readouterr().out)["verdict"] == "pass"
    wrong = ["verify", "numpy:sin", "--vjp", "mine_to_check:wrong", "--examples", "20", "--shapes", "3"]
    assert main(wrong) == WRONG
    assert "the smallest failing example" in capsys.readouterr().out


def test_the_command_leaves_nothing_in_the_folder_that_it_is_called_from(tmp_path):
    call = [sys.executable, "-B", "-m", "gradcheck", "verify", "numpy:sin", "--vjp", "mine_to_check:rule"]
    done = subprocess.run([*call, "--shapes", "3", "--examples", "5"], stdout=subprocess.DEVNULL)
    assert done.returncode == RIGHT
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine_to_check.py", "ops_of_mine.py"]


def test_the_version_is_that_of_the_distribution(capsys):
    from importlib.metadata import version

    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"gradcheck {version('gradcore')}\n"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (["check", "numpy.sin", "--shapes", "3"], "write module:name, such as numpy:sin"),
        (["check", "nowhere_to_be_found:sin", "--shapes", "3"], "can't be loaded: No module named"),
        (["check", "numpy:no_such", "--shapes", "3"], "can't be loaded: module 'numpy' has no attribute"),
        (["check", "numpy:sin", "--shapes", "a"], "'a' is no shape: write sizes from 0 up with commas"),
        (["check", "numpy:sin", "--shapes", "-3"], "'-3' is no shape"),
        (["check", "numpy:sin", "--shapes", "3", "--params", "[1]"], "has no names: write an object"),
        (["check", "numpy:sin", "--shapes", "3", "--params", "{a"], "is no JSON"),
        (["op", "no such op"], "there is no differentiable op named 'no such op': choose among abs, add"),
    ],
)
def test_a_wrong_call_leaves_status_2_and_names_what_to_write(call, words, capsys):
    assert main(call) == MISCALLED
    assert words in capsys.readouterr().err


def test_a_registered_op_is_checked_at_drawn_points(capsys):
    assert main(["op", "mul", "--examples", "5"]) == RIGHT
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["mul-0", "mul-1"]
    assert all("pass" in line for line in lines)


def test_a_registered_op_with_a_wrong_rule_is_reported_on_its_smallest_example(capsys, monkeypatch):
    from gradcore import registry

    monkeypatch.setattr(registry.ops["exp"], "rules", (lambda gy, y, x: 2 * gy * y,))
    assert main(["op", "exp", "--examples", "10"]) == WRONG
    out = capsys.readouterr().out
    assert out.startswith("FAIL  exp: the gradient is wrong")
    assert "Multiplied by 1/2 every entry is right." in out


def test_a_scalar_shape_is_written_as_nothing():
    from gradcheck.cli.loading import shape_of

    assert [shape_of(text) for text in ("", "3", "4,3")] == [(), (3,), (4, 3)]
    assert np.zeros(shape_of("")).ndim == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["op", "relu", "--examples", "0"], "0 is below 1"),
        (["check", "numpy:sin", "--shapes", "3", "--seed", "-1"], "-1 is below 0"),
        (["check", "numpy:sin", "--shapes", "3", "--dtype", "foo"], "invalid choice: 'foo'"),
    ],
)
def test_an_option_out_of_range_is_a_wrong_call(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert message in capsys.readouterr().err


def test_a_module_that_raises_when_it_is_loaded_is_a_wrong_call_not_a_wrong_gradient(
    tmp_path, monkeypatch, capsys
):
    (tmp_path / "raises_on_import.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["check", "raises_on_import:f", "--shapes", "3"]) == 2
    assert "can't be loaded: ZeroDivisionError" in capsys.readouterr().err


# --- the command in a process of its own: what ends it is no verdict ----------------------------------------------------


def command(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "gradcheck", *arguments], capture_output=True, text=True, timeout=60, **options
    )


@pytest.mark.parametrize(
    "function", ["quits_with_0", "quits_with_1", "killed", "reads_no_memory", "overflows", "replaced"]
)
def test_a_function_that_ends_its_process_gets_no_verdict(function):
    done = command("check", f"mine_to_check:{function}", "--vjp", "mine_to_check:rule", "--shapes", "3")
    assert done.returncode == MISCALLED
    assert done.stdout == ""
    if function != "overflows":  # which newer Pythons make a RecursionError of
        assert done.stderr.startswith("gradcheck check: the process ended before there was a verdict")
        assert len(done.stderr.splitlines()) == 1


def test_what_ended_the_process_is_named():
    call = ["check", "mine_to_check:killed", "--vjp", "mine_to_check:rule", "--shapes", "3"]
    assert "(signal SIGKILL)" in command(*call).stderr
    call[1] = "mine_to_check:quits_with_1"
    assert "(exit status 1)" in command(*call).stderr


def test_a_check_that_cannot_be_started_is_no_verdict(monkeypatch, capsys):
    from gradcheck.cli import main as apart

    for nowhere in (None, "", "/no/python/here"):
        monkeypatch.setattr(sys, "executable", nowhere)
        assert apart(["check", "numpy:sin", "--shapes", "3"]) == MISCALLED
        assert capsys.readouterr().err.startswith("gradcheck check: the check can't be started")


@pytest.mark.parametrize("name", ["check", "verify"])
def test_a_rule_that_ends_its_process_gets_no_verdict(name):
    done = command(name, "numpy:sin", "--vjp", "mine_to_check:rule_quits", "--shapes", "3")
    assert (done.returncode, done.stdout) == (MISCALLED, "")


def test_a_function_that_forks_gets_the_verdict_of_the_first_process():
    call = ["check", "mine_to_check:forks", "--vjp", "mine_to_check:wrong", "--shapes", "2"]
    assert command(*call).returncode == WRONG


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (["check", "numpy:sin", "--vjp", "mine_to_check:rule", "--inputs", "mine_to_check:raises"],
         "mine_to_check:raises raised ZeroDivisionError: division by zero"),
        (["check", "numpy:sin", "--vjp", "mine_to_check:closes_the_output", "--shapes", "3"],
         "an error that is no verdict (ValueError: I/O operation on closed file"),
    ],
)  # fmt: skip
def test_an_error_outside_of_the_check_is_no_verdict(call, words):
    done = command(*call)
    assert done.returncode == MISCALLED
    assert words in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_check_leaves_no_process_and_no_verdict(sent, status):
    call = ["check", "mine_to_check:hangs", "--vjp", "mine_to_check:rule", "--shapes", "3"]
    started = subprocess.Popen(
        [sys.executable, "-m", "gradcheck", *call], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    pid = int(started.stdout.readline().split()[1])  # what the function prints comes at once
    started.send_signal(sent)
    _, errors = started.communicate(timeout=30)
    assert started.returncode == status
    assert errors.splitlines() == ["gradcheck check: interrupted"]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("name", [[], ["check"], ["verify"], ["op"]])
def test_the_help_of_every_command_lists_the_exit_statuses(name):
    text = " ".join(command(*name, "--help").stdout.split())
    assert "exit status: 0 the gradient is right 1 it is wrong 2 " in text
    assert " 3 inconclusive" in text


def test_the_files_of_the_folder_do_not_stand_in_for_those_of_the_command(tmp_path):
    (tmp_path / "json.py").write_text("raise ValueError('not the json that was meant')")
    script = "import sys; sys.path.pop(0); from gradcheck.cli import main; sys.exit(main(sys.argv[1:]))"
    call = ["check", "mine_to_check:softplus", "--vjp", "mine_to_check:wrong", "--shapes", "3"]
    done = subprocess.run([sys.executable, "-c", script, *call], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (WRONG, "")


# --- ops of one's own -------------------------------------------------------------------------------------------------


def test_an_op_of_ones_own_is_found_by_its_module():
    done = command("op", "ops_of_mine:my_sine", "--examples", "5")
    assert (done.returncode, done.stdout) == (RIGHT, "my_sine: 5 pass\n")
    done = command("op", "ops_of_mine:my_wrong_sine", "--examples", "5")
    assert done.returncode == WRONG
    assert done.stdout.startswith("FAIL  my_wrong_sine")


def test_an_op_of_ones_own_is_verified_over_its_spec():
    done = command("verify", "ops_of_mine:my_sine", "--examples", "10")
    assert done.returncode == RIGHT
    assert done.stdout.startswith("PASS  my_sine")
    assert command("verify", "ops_of_mine:my_wrong_sine", "--examples", "10").returncode == WRONG


def test_a_function_without_a_spec_is_not_verified_without_an_example():
    done = command("verify", "numpy:sin", "--vjp", "mine_to_check:rule")
    assert done.returncode == MISCALLED
    assert "numpy:sin has no spec to draw inputs from: give an example with --like or --shapes" in done.stderr


def test_what_is_no_op_is_not_checked_as_one():
    done = command("op", "mine_to_check:softplus")
    assert done.returncode == MISCALLED
    assert "'mine_to_check:softplus' is a function, and no gradcore op" in done.stderr


def test_a_case_that_cannot_be_judged_does_not_hide_one_that_is_wrong():
    done = command("op", "ops_of_mine:wrong_or_unclear", "--examples", "5")
    assert "wrong_or_unclear-1: 5 inconclusive" in done.stdout
    assert done.returncode == WRONG


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (["op", "sofmax"], "there is no differentiable op named 'sofmax': did you mean softmax?"),
        (["check", "mine_to_check:softplsu", "--shapes", "3"], "did you mean mine_to_check:softplus?"),
        (["check", "numpy:linalg.dett", "--shapes", "3"], "did you mean numpy:linalg.det?"),
        (["op", "ops_of_mine:mysine"], "did you mean ops_of_mine:my_sine?"),
    ],
)
def test_a_misspelt_name_gets_the_one_that_was_meant(call, words):
    done = command(*call)
    assert done.returncode == MISCALLED
    assert words in done.stderr


@pytest.mark.parametrize("call", [["verify", "numpy:sin", "--shapes", "3"], ["op", "exp"]])
def test_a_missing_hypothesis_is_one_sentence(call, tmp_path):
    (tmp_path / "hypothesis.py").write_text("raise ModuleNotFoundError('none', name='hypothesis')")
    done = command(*call)
    assert done.returncode == MISCALLED
    assert done.stderr.splitlines() == [
        f"gradcheck {call[0]}: drawing examples needs Hypothesis, which is not installed: pip install 'gradcore[test]'"
    ]


# --- whose gradient ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["check", "verify"])
def test_a_function_without_a_rule_is_checked_only_where_gradcores_derivative_is_meant(name):
    call = [name, "mine_to_check:softplus", "--shapes", "3"]
    done = command(*call)
    assert (done.returncode, done.stdout) == (MISCALLED, "")
    assert (
        "give your rule with --vjp MODULE:RULE, or --tensors to check gradcore's own derivative"
        in done.stderr
    )
    done = command(*call, "--tensors", *(["--examples", "10"] if name == "verify" else []))
    assert done.returncode == RIGHT, done.stderr
    assert "checked: gradcore's derivative of softplus" in done.stdout
    assert command(*call, "--tensors", "--vjp", "mine_to_check:rule").returncode == MISCALLED

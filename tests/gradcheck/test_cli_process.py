"""The command in a process of its own: what ends it is no verdict."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from commands import command, folder_with_modules  # noqa: F401

from gradcheck.cli import MISCALLED, WRONG

# A shell that runs the tests in the background has SIGINT ignored, and its children inherit that. A `preexec_fn` would
# fork, of which JAX warns where an earlier test has imported it.
AS_FROM_A_TERMINAL = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, "-m", "gradcheck", *sys.argv[1:]])
"""

pytestmark = pytest.mark.usefixtures("folder_with_modules")


@pytest.mark.nightly(each_time=3)
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
        [sys.executable, "-c", AS_FROM_A_TERMINAL, *call],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    pid = int(started.stdout.readline().split()[1])  # what the function prints comes at once
    started.send_signal(sent)
    _, errors = started.communicate(timeout=30)
    assert started.returncode == status
    assert errors.splitlines() == ["gradcheck check: interrupted"]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("name", [[], ["check"], ["verify"], ["op"], ["run"]])
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

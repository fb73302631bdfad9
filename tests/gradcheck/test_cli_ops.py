"""`gradcheck op` and `gradcheck verify` of gradcore's ops and of one's own."""

from __future__ import annotations

import pytest
from commands import command, folder_with_modules  # noqa: F401

from gradcheck.cli import MISCALLED, RIGHT, WRONG
from gradcheck.cli.judging import judged as main

pytestmark = pytest.mark.usefixtures("folder_with_modules")


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

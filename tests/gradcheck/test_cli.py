"""The command: what it prints and the status it leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from commands import command, folder_with_modules  # noqa: F401

from gradcheck.cli import MISCALLED, RIGHT, UNDECIDED, WRONG
from gradcheck.cli.judging import judged as main

pytestmark = pytest.mark.usefixtures("folder_with_modules")


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
        (["check", "mine_to_check.py:", "--shapes", "3"], "or FILE.py:name"),
        (["check", "none.py:f", "--shapes", "3"], "none.py: write the path from this folder"),
        (["verify", "mine_to_check:softplus"], "vjp=rule) and run: gradcheck mine_to_check:softplus"),
        (["op", "no such op"], "there is no differentiable op named 'no such op': choose among abs, ada"),
    ],
)
def test_a_wrong_call_leaves_status_2_and_names_what_to_write(call, words, capsys):
    assert main(call) == MISCALLED
    assert words in capsys.readouterr().err


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
        (
            ["verify", "numpy:sin", "--inputs", "m:x"],
            "--inputs m:x: `gradcheck verify --help` lists what it takes",
        ),
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


def test_functions_rules_and_inputs_are_taken_from_a_file_as_from_a_module(tmp_path, capsys):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "in_a_file.py").write_text(
        "import numpy as np\ninputs = (np.ones(2),)\n"
        "def f(x):\n    return x * x\ndef rule(gy, y, x):\n    return gy * x\n"
    )
    place = "sub/in_a_file.py"
    try:
        call = ["check", f"{place}:f", "--vjp", f"{place}:rule", "--inputs", f"{place}:inputs"]
        assert main(call) == WRONG
        assert "Multiplied by 2 every entry is right." in capsys.readouterr().out
        assert main(["check", f"{place}:rul", "--shapes", "3"]) == MISCALLED
        assert f": did you mean {place}:rule?" in capsys.readouterr().err
    finally:
        sys.modules.pop("in_a_file", None)
        sys.path[:] = [p for p in sys.path if p != str(tmp_path / "sub")]


def test_no_imported_module_is_offered_for_a_function_that_is_not_there(capsys):
    assert main(["check", "mine_to_check:o", "--shapes", "3"]) == MISCALLED
    assert "did you mean" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["check", "verify"])
def test_the_page_is_written_beside_what_is_printed(name, tmp_path, capsys):
    call = [name, "numpy:sin", "--vjp", "mine_to_check:wrong", "--shapes", "3", "--html", "new/page.html"]
    assert main(call) == WRONG
    assert capsys.readouterr().out.startswith("FAIL")
    text = (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "<figure>" in text
    assert "Multiplied by 1/2" in text
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["page.html"]


@pytest.mark.parametrize("name", ["check", "verify"])
def test_a_page_that_cannot_be_written_is_refused_before_the_function_is_loaded(name, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for page, words in [
        ("file/p.html", "--html: file: no files can be"),
        (".", "--html . is a folder: name"),
    ]:
        assert main([name, "nowhere_to_be_found:f", "--shapes", "3", "--html", page]) == MISCALLED
        seen = capsys.readouterr()
        assert f"gradcheck {name}: {words}" in seen.err
        assert "can't be loaded" not in seen.err


def test_a_page_that_fails_after_the_work_leaves_the_report_and_status_2(monkeypatch, capsys):
    from gradcheck.report.report import Report
    from gradcore.errors import OutputError

    def full(_report, path):
        raise OutputError(f"{path}: no space left on the device")

    monkeypatch.setattr(Report, "save_html", full)
    call = ["check", "numpy:sin", "--vjp", "mine_to_check:wrong", "--shapes", "3", "--html", "page.html"]
    assert main(call) == MISCALLED
    seen = capsys.readouterr()
    assert seen.out.startswith("FAIL")
    assert "gradcheck check: --html: page.html: no space left on the device" in seen.err

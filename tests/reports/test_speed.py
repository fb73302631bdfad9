"""The figures of `ci/speed.py`, and the page that shows them."""

import json

import numpy as np
import pytest
from programs import load, module

import gradcore
from gradcore import registry
from gradcore.spec import OpSpec, case, integers

speed = load("speed")
contents = module("ci.contents")
Race = module("ci.bench.timing").Race


def test_figures_are_medians_of_the_rounds_ratios_to_numpy_and_to_the_op(monkeypatch):
    raced = {}

    def race(work, rounds):
        raced.update(work, rounds=rounds)
        return Race({"numpy": [1, 1, 2], "forward": [2, 4, 4], "gradient": [6, 6, 20]})

    monkeypatch.setattr(speed, "race", race)
    assert speed.measured(registry.ops["exp"], [np.exp], entries=100, rounds=3) == {
        "on": "10x10",
        "numpy": 2,
        "gradient": 3,
    }
    assert isinstance(raced["numpy"](), np.ndarray)
    assert not raced["forward"]().requires_grad
    assert raced["rounds"] == 3


def test_arrays_are_as_large_as_the_entries_allow_results_included():
    found = speed.measured(registry.ops["kron"], [], entries=400, rounds=1)
    shapes = [[int(n) for n in part.split("x")] for part in found["on"].split(", ")]
    total = np.prod([np.prod(shape) for shape in shapes])
    assert 100 < total <= 400


def test_a_function_that_gives_something_else_is_not_compared_with():
    op = registry.ops["exp"]
    assert speed.measured(op, [np.sin], entries=50, rounds=1)["numpy"] is None
    assert speed.measured(op, [np.sin, np.exp], entries=50, rounds=1)["numpy"] > 0


@pytest.mark.parametrize("name", ["concatenate", "einsum", "reshape", "take", "where", "det"])
def test_numpy_s_way_to_take_arrays_and_parameters_is_found(name):
    found = speed.measured(registry.ops[name], contents.called_by(name), entries=200, rounds=1)
    assert found["numpy"] > 0
    assert found["gradient"] > 0


def test_what_gets_no_gradient_has_no_figure_for_it():
    def whole(x):
        return x + x

    whole.spec = OpSpec(case(integers(0, 5)), reference=lambda x: 2 * x)
    assert speed.measured(whole, [], entries=20, rounds=1)["gradient"] is None


def test_the_file_keeps_the_ops_that_were_not_named(tmp_path, monkeypatch, capsys):
    file = tmp_path / "speed.json"
    file.write_text(json.dumps({"entries": 1, "numpy": "1", "ops": {"abs": "kept", "gone": "left out"}}))
    monkeypatch.setattr(speed, "measured", lambda entry, functions: {"on": "2"})
    monkeypatch.setattr("sys.argv", ["speed.py", "--file", str(file), "--only", "exp"])
    assert speed.main() == 0
    found = json.loads(file.read_text())
    assert found["ops"] == {"abs": "kept", "exp": {"on": "2"}}
    assert (found["entries"], found["numpy"]) == (100_000, np.__version__)
    monkeypatch.setattr("sys.argv", ["speed.py", "--file", str(file), "--only", "expp"])
    with pytest.raises(SystemExit):
        speed.main()
    assert "there is no op 'expp'" in capsys.readouterr().err


@pytest.fixture
def figures(tmp_path, monkeypatch):
    """The file that the page reads, as a dict that is written anew by calling it."""
    known = json.loads(contents.FIGURES.read_text(encoding="utf-8"))
    file = tmp_path / "speed.json"
    monkeypatch.setattr(contents, "FIGURES", file)
    file.write_text(json.dumps(known))

    def write(**ops):
        file.write_text(json.dumps({**known, "ops": ops}))

    return write


def row(name):
    return next(line for line in contents.page().splitlines() if line.startswith(f"| `{name}` |"))


def test_a_row_ends_with_what_was_measured(figures):
    figures(
        exp={"on": "9x9", "numpy": 1.234, "gradient": 12.3}, erf={"on": "9", "numpy": None, "gradient": 1.5}
    )
    assert row("exp").endswith("| any |  | float | 1.2 | 12 | 9x9 |")
    assert row("erf").endswith("| float | - | 1.5 | 9 |")
    assert row("sin").endswith("| float | - | - | - |")
    assert row("where").endswith("| bool, float, float | - | - | - |")
    assert contents.page() == contents.page()


def test_a_check_names_the_ops_that_were_not_measured(figures, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["contents.py", "--check"])
    known = json.loads(contents.FIGURES.read_text())["ops"]
    figures(**{name: entry for name, entry in known.items() if name not in ("exp", "sin")})
    assert contents.main() == 1
    assert (
        "not measured: exp, sin; python ci/contents.py --measure exp sin does it" in capsys.readouterr().out
    )


def test_every_op_was_measured_and_no_other(monkeypatch, capsys):
    known = json.loads(contents.FIGURES.read_text(encoding="utf-8"))["ops"]
    assert set(known) == set(registry.ops) - set(registry.losses)
    assert not contents.unmeasured()
    assert sum(entry["numpy"] is not None for entry in known.values()) > 100


def test_measuring_is_done_in_a_process_with_one_thread(figures, monkeypatch):
    called = []
    monkeypatch.setattr(
        contents.subprocess, "run", lambda command, env, check: called.append((command[1:], env))
    )
    monkeypatch.setattr(contents, "PAGE", contents.FIGURES.with_name("page.md"))
    monkeypatch.setattr("sys.argv", ["contents.py", "--measure", "exp"])
    assert contents.main() == 0
    assert called[0][0] == [contents.CI / "speed.py", "--only", "exp"]
    assert called[0][1]["OPENBLAS_NUM_THREADS"] == "1"
    assert gradcore.__name__ in contents.PAGE.read_text()

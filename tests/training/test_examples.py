"""Each example runs, reaches what it states, and draws its picture."""

import importlib
import sys
from pathlib import Path

import pytest

from gradcore import examples

NAMES = sorted(path.stem for path in Path(examples.__file__).parent.glob("[!_]*.py") if path.stem != "common")


@pytest.mark.parametrize("name", NAMES)
def test_an_example_reaches_what_it_states(name, tmp_path, monkeypatch, capsys):
    picture = tmp_path / "picture.png"
    monkeypatch.setattr(sys, "argv", [name, "--picture", str(picture)])
    module = importlib.import_module(f"gradcore.examples.{name}")
    module.main()
    assert "expected" in capsys.readouterr().out
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert len(Path(module.__file__).read_text(encoding="utf-8").splitlines()) <= 120
    assert f"python -m gradcore.examples.{name}" in module.__doc__

"""Each example runs, reaches what it states, and draws its picture."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from gradcore import examples

FILES = {p.stem: p for p in Path(examples.__file__).parent.glob("[!_]*.py") if p.stem != "common"}


@pytest.mark.parametrize("name", sorted(FILES))
def test_an_example_reaches_what_it_states(name, tmp_path):
    picture = tmp_path / "picture.png"
    # In a process of its own: an op that an example registers is none of gradcore's.
    command = [sys.executable, "-m", f"gradcore.examples.{name}", "--picture", str(picture)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "expected" in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    source = FILES[name].read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 120
    assert f"python -m gradcore.examples.{name}" in ast.get_docstring(ast.parse(source))

"""Each example runs, reaches what it states, and draws its picture."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gradcore import examples
from gradcore.data import encode_idx

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


def classify(*options):
    command = [sys.executable, "-m", "gradcore.examples.classify", *options]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_an_accuracy_below_what_is_expected_ends_with_status_1():
    done = classify("--epochs", "1")
    assert (done.returncode, done.stderr) == (1, "")
    assert "expected on the digits: " in done.stdout


def test_a_folder_of_pictures_is_learned_in_place_of_the_digits(tmp_path):
    rng = np.random.default_rng(0)
    for part, n in (("train", 64), ("t10k", 16)):
        pictures = rng.integers(0, 255, (n, 28, 28), dtype=np.uint8)
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(encode_idx(pictures))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(encode_idx(np.arange(n, dtype=np.uint8) % 10))
    done = classify("--data", str(tmp_path), "--epochs", "1")
    assert done.returncode == 0, done.stderr
    assert "64 x (1, 28, 28)" in done.stdout
    assert "expected" not in done.stdout

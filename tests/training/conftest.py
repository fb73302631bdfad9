"""A folder of data for the tests of runs."""

import signal

import pytest
from running import write_data

from gradcore.io import write_atomically
from gradcore.runs import training
from gradcore.train.signals import SIGNALS


@pytest.fixture
def undrawn(monkeypatch):
    """No pictures are drawn, as they take most of the time of a small run."""
    for drawn in ("save_curves", "save_mistakes"):
        monkeypatch.setattr(training, drawn, lambda path, *_a, **_k: write_atomically(path, b"a picture"))


@pytest.fixture
def data(tmp_path, monkeypatch, undrawn):
    """A folder of 24 pictures to learn, in the current folder."""
    monkeypatch.chdir(tmp_path)
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, signal.default_int_handler)
    write_data(tmp_path / "data")
    yield tmp_path / "data"
    for number, handler in before.items():
        signal.signal(number, handler)

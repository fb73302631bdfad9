"""What tests of the core share: PyTorch to compare with, where it is installed, and blocks small enough to be split over threads."""

import threading

import pytest

from gradcore.ops import _rows, _split, _windows


@pytest.fixture(scope="module")
def torch():
    """PyTorch on one thread: its own threads wait for each other where test workers share the cores."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch
    torch.set_num_threads(threads)


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of a few entries, on as many threads as are asked for, whatever the machine has."""
    monkeypatch.setattr(_rows, "_ENTRIES", 24)
    monkeypatch.setattr(_rows, "_LARGE", 1)
    monkeypatch.setattr(_windows, "_COLUMNS", 16)
    monkeypatch.setattr(_windows, "_POSITIONS", 1)
    monkeypatch.setattr(_windows, "_CHANNELS", 1)
    monkeypatch.setattr(_split, "cores", lambda: 8)
    take = _split._Shared._take

    def shared(self):
        # A caller would be through with so small tasks before a helper has woken up.
        helped = vars(self).setdefault("helped", threading.Event())
        if threading.current_thread().name.startswith("gradcore"):
            try:
                return take(self)
            finally:
                helped.set()
        assert helped.wait(20)
        return take(self)

    monkeypatch.setattr(_split._Shared, "_take", shared)


@pytest.fixture
def counts(monkeypatch):
    """The numbers of threads that were taken."""
    found = []
    these = _split._Workers.these

    def counted(self, helpers):
        found.append(helpers + 1)
        return these(self, helpers)

    monkeypatch.setattr(_split._Workers, "these", counted)
    return found

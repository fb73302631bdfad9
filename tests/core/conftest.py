"""PyTorch, where it is installed, to compare with."""

import pytest


@pytest.fixture(scope="module")
def torch():
    """PyTorch on one thread: its own threads wait for each other where test workers share the cores."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch
    torch.set_num_threads(threads)

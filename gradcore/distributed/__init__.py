"""Data-parallel training: each rank takes its rows of every batch, and the gradients are averaged by Allreduce.

`mpiexec -n 4 gradcore train ...`, or `Trainer(..., communicator=MPI.COMM_WORLD)` in a program that mpiexec starts. A thin
layer over the engine: `shard` splits batches, `buckets` sums gradients while the backward pass goes on, `group` lets ranks
agree, and `gradcore.train.together` makes steps of a Trainer of them. mpi4py is loaded by `world` alone; any communicator
with the calls of `Communicator` will do.
"""

from gradcore.distributed.communicator import Communicator, world

__all__ = ["Communicator", "world"]

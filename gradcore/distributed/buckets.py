"""Gradients in buckets, each summed over all ranks as soon as it is full, while the backward pass goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from gradcore.distributed.group import Group, Sum
    from gradcore.tensor import Tensor

BUCKET_BYTES = 1 << 20
"""A sum costs a latency and a time for its bytes: smaller buckets begin earlier, larger ones pay fewer latencies."""


class _Bucket:
    """The gradients of some parameters, one after the other, and for each of these a number: 1 where there is one."""

    def __init__(self, params: list[Tensor], dtype: np.dtype[Any]) -> None:
        self.params = params
        self.ends = np.cumsum([p.size for p in params]).tolist()
        self.values = np.zeros(self.ends[-1] + len(params), dtype)
        self.missing = len(params)
        self.sum: Sum | None = None

    def part(self, values: NDArray[Any], i: int) -> NDArray[Any]:
        """The gradient of parameter number i in `values`."""
        size = self.params[i].size
        return values[self.ends[i] - size : self.ends[i]].reshape(self.params[i].shape)


class Buckets:
    """The gradients of parameters, summed over the ranks of a group.

    Parameters are taken from the last to the first, as the backward pass comes to them. Buckets are sent off in this
    order, whatever the order in which they are filled, so that it is the same on all ranks.
    """

    def __init__(self, params: Sequence[Tensor], group: Group) -> None:
        self.group = group
        self.buckets: list[_Bucket] = []
        self.place: dict[int, tuple[_Bucket, int]] = {}
        self._next = 0
        by_dtype: dict[np.dtype[Any], list[Tensor]] = {}
        for p in reversed(params):
            dtype = np.dtype(np.float32) if p.dtype == np.float16 else p.dtype  # which MPI can't add
            held = by_dtype.setdefault(dtype, [])
            if held and (sum(q.size for q in held) + p.size) * dtype.itemsize > BUCKET_BYTES:
                self._close(held, dtype)
                held = by_dtype[dtype] = []
            held.append(p)
        for dtype, held in by_dtype.items():
            self._close(held, dtype)

    def _close(self, params: list[Tensor], dtype: np.dtype[Any]) -> None:
        bucket = _Bucket(params, dtype)
        self.buckets.append(bucket)
        self.place |= {id(p): (bucket, i) for i, p in enumerate(params)}

    def ready(self, p: Any, gradient: NDArray[Any]) -> None:
        """Take the gradient of a parameter, which is complete; of any other leaf, do nothing."""
        if id(p) not in self.place:
            return
        bucket, i = self.place[id(p)]
        np.copyto(bucket.part(bucket.values, i), gradient)
        bucket.values[bucket.ends[-1] + i] = 1
        bucket.missing -= 1
        if not bucket.missing:
            self._send()
        for sent in self.buckets[: self._next]:
            if sent.sum is not None:
                sent.sum.arrived()  # a sum goes on only while MPI is called

    def _send(self, *, all_of_them: bool = False) -> None:
        for bucket in self.buckets[self._next :]:
            if bucket.missing and not all_of_them:
                return
            bucket.sum = self.group.start(bucket.values, gradients=True)
            self._next += 1

    def finish(self) -> None:
        """Send what is left, wait for all sums, and make them the parameters' `grad`.

        A parameter without a gradient on any rank gets None, as from a backward pass that does not reach it.
        """
        self._send(all_of_them=True)
        for bucket in self.buckets:
            if bucket.sum is None:
                continue
            values = self.group.finish(bucket.sum)
            for i, p in enumerate(bucket.params):
                found = values[bucket.ends[-1] + i]
                p.grad = np.array(bucket.part(values, i), p.dtype) if found else None
            bucket.values.fill(0)
            bucket.missing, bucket.sum = len(bucket.params), None
        self._next = 0

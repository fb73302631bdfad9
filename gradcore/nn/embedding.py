"""Embedding: a vector for each of a number of things."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.errors import DomainError, DtypeError
from gradcore.modes import repeated
from gradcore.nn import init
from gradcore.nn.module import Module
from gradcore.ops.index import getitem
from gradcore.registry import layer
from gradcore.sizes import size
from gradcore.spec import LayerSpec, Size, case, indices
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _by_one_hot(state: Any, _training: bool, x: Any, num_embeddings: int, embedding_dim: int) -> Any:
    return np.eye(num_embeddings)[x] @ state["weight"]


_SIZES = {"num_embeddings": Size("v"), "embedding_dim": Size("d")}


@layer(
    spec=LayerSpec(
        case(indices("v", "n"), params=_SIZES, sizes={"v": (1, 5), "d": (1, 4)}),
        case(indices("v", "n t"), params=_SIZES, sizes={"v": (1, 5), "d": (1, 4), "t": (0, 3)}),
        reference=_by_one_hot,
        initial=lambda rng, num_embeddings, embedding_dim: {
            "weight": rng.standard_normal((num_embeddings, embedding_dim))
        },
    )
)
class Embedding(Module):
    """Row x of a table for each whole number x: (...) to (..., embedding_dim).

    x: whole numbers from 0 to num_embeddings - 1. weight: (num_embeddings, embedding_dim), normal with variance 1.
    rng: a `numpy.random.Generator` or a seed. Raises DtypeError where x holds no whole numbers, DomainError where one is
    out of range.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, *, rng: init.Rng = None) -> None:
        super().__init__()
        self.num_embeddings = size("Embedding", "num_embeddings", num_embeddings)
        self.embedding_dim = size("Embedding", "embedding_dim", embedding_dim)
        drawn = np.random.default_rng(rng).standard_normal((self.num_embeddings, self.embedding_dim))
        self.weight = Tensor(drawn.astype(np.float32), True)

    def forward(self, x: Any) -> Any:
        """The rows of the table."""
        places = np.asarray(x.data if type(x) is Tensor else x)
        if places.dtype.kind not in "iu":
            raise DtypeError(
                f"Embedding takes whole numbers, and got {places.dtype}: convert with x.astype(int)"
            )
        repeated(self._check, places)
        return getitem(self.weight, places)

    def _check(self, places: NDArray[Any]) -> None:
        if places.size and not (places.min() >= 0 and places.max() < self.num_embeddings):
            raise DomainError(
                f"Embedding({self.num_embeddings}, {self.embedding_dim}) got numbers from {places.min()} to {places.max()}: "
                f"they go from 0 to {self.num_embeddings - 1}"
            )

    def extra_repr(self) -> str:  # noqa: D102
        return f"{self.num_embeddings} -> {self.embedding_dim}"

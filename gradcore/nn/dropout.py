"""Dropout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.distributed.shard import current_shard
from gradcore.errors import DomainError
from gradcore.modes import callback
from gradcore.nn.init import Rng
from gradcore.nn.module import Module
from gradcore.registry import layer
from gradcore.spec import LayerSpec, OneOf, case, reals

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray


def _dropped(state: Any, training: bool, x: Any, *, p: float = 0.5, rng: Any = None) -> Any:
    if not training:
        return x
    draws = np.random.default_rng(rng).random(x.size)
    kept = [
        value / (1 - p) if draw >= p else 0.0 for value, draw in zip(x.ravel().tolist(), draws, strict=True)
    ]
    return np.array(kept).reshape(x.shape)


def _drawn(state: Any, x: Any, *, p: float = 0.5, rng: Any = None) -> Any:
    """A generator that is past one number for each entry."""
    bits = np.random.PCG64(rng)
    return {"rng": np.random.Generator(bits.advance(x.size if p else 0))}


@layer(
    spec=LayerSpec(
        case(reals(), params={"p": OneOf(0.5, 0.0, 0.2, 0.9), "rng": OneOf(0, 1, 2)}),
        reference=_dropped,
        state_after=_drawn,
    )
)
class Dropout(Module):
    """Zeroes each entry with probability p in training and divides the others by 1 - p; does nothing in evaluation.

    Srivastava et al. 2014, section 10 (scaling at training time). rng: a `numpy.random.Generator` or a seed; each
    forward pass in training draws from it anew. Where ranks share a batch, each draws for the whole batch and takes its
    rows, so that the same entries are dropped as in one process. Raises DomainError unless 0 <= p < 1.
    """

    def __init__(self, p: float = 0.5, *, rng: Rng = None) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise DomainError(
                f"Dropout got p={p}: the probability of dropping an entry must lie in 0 <= p < 1"
            )
        self.p = p
        self.rng = np.random.default_rng(rng)

    def forward(self, x: Any) -> Any:
        """X with entries dropped in training, x itself in evaluation."""
        if not self.training or self.p == 0:
            return x
        return x * callback(self._factors, x.shape, x.dtype)

    def _factors(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        shard = current_shard()
        drawn = self.rng.random(shape) if shard is None else shard.drawn(self.rng.random, shape)
        kept: NDArray[Any] = (drawn >= self.p) / (1 - self.p)
        return kept.astype(dtype)

    def extra_repr(self) -> str:  # noqa: D102
        return f"p={self.p}"

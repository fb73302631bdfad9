"""Averages of weights in the course of training: exponential, and of equal parts."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.errors import DomainError, GraphError, StateError
from gradcore.modes import callback
from gradcore.optim.base import check
from gradcore.optim.groups import listed
from gradcore.state import check_state
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray


class _Average:
    """What both have in common: the averages of the parameters' values, one array for each."""

    def __init__(self, params: Iterable[Tensor]) -> None:
        self.params: list[Tensor] = listed(params, type(self).__name__)
        for i, p in enumerate(self.params):
            if not isinstance(p, Tensor) or p.dtype.kind not in "fc":
                raise GraphError(
                    f"{type(self).__name__} got {p!r:.80} as parameter {i}: it averages Tensors of floating-point numbers"
                )
        if not self.params:
            raise GraphError(f"{type(self).__name__} got no parameters: pass model.parameters()")
        self.count = 0
        """How many times `update` was called."""
        self.averages: list[NDArray[Any]] = [p.data.copy() for p in self.params]
        """The averages; before the first `update` the values at construction."""

    def _weight(self) -> float:
        """The part of the new values in the average that `count` is to count."""
        raise NotImplementedError

    def update(self) -> None:
        """Take in the parameters' values, after a step of the optimizer; the first time they are the average."""
        callback(self._take_in)

    def _take_in(self) -> None:
        weight = self._weight() if self.count else 1.0
        self.count += 1
        for average, p in zip(self.averages, self.params, strict=True):
            if weight == 1.0:
                average[...] = p.data
            else:
                average += weight * (p.data - average)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the parameters have the averages as their values; afterwards those from before again."""
        before = [p.data for p in self.params]
        self.copy_to()
        try:
            yield
        finally:
            for p, values in zip(self.params, before, strict=True):
                p.data = values

    def copy_to(self) -> None:
        """Give the parameters the averages as their values; what holds their arrays keeps the old ones."""
        for p, average in zip(self.params, self.averages, strict=True):
            p.data = average.copy()

    def state_dict(self) -> dict[str, Any]:
        """The count, and copies of the averages: {"count": ..., "0": ..., "1": ...}."""
        return {"count": self.count, **{f"{i}": a.copy() for i, a in enumerate(self.averages)}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned; StateError, and nothing is changed, where it does not fit."""
        misfit = f"this state does not fit {type(self).__name__}"
        if not isinstance(state, Mapping) or "count" not in state:
            raise StateError(f"{misfit}: expected what state_dict() gives, got {state!r:.80}")
        count = state["count"]
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise StateError(f"{misfit}: count is {count!r:.40}, expected a whole number of at least 0")
        arrays = {
            name: np.array(value) if isinstance(value, np.ndarray) else value
            for name, value in state.items()
            if name != "count"
        }
        check_state({f"{i}": a for i, a in enumerate(self.averages)}, arrays, misfit)
        self.count = count
        self.averages = [arrays[f"{i}"] for i in range(len(self.params))]


class EMA(_Average):
    """The exponential moving average of weights: average += (1 - decay) (weights - average) at each `update`.

    `with ema.applied(): ...` evaluates with the averages. Recent weights count more than in the equal parts of Polyak and
    Juditsky 1992. The same values as torch.optim.swa_utils.AveragedModel with get_ema_multi_avg_fn(decay). Raises
    DomainError for a decay out of range, GraphError for no parameters.
    """

    def __init__(self, params: Iterable[Tensor], decay: float = 0.999) -> None:
        super().__init__(params)
        self.decay = check("decay", decay)
        if self.decay > 1:
            raise DomainError(
                f"decay={decay!r} is out of range: it must be a number with 0.0 <= decay <= 1.0"
            )

    def _weight(self) -> float:
        return 1 - self.decay


class SWA(_Average):
    """The average of the weights at all calls of `update`, in equal parts: stochastic weight averaging.

    Izmailov et al. 2018. Raises GraphError for no parameters.
    """

    def _weight(self) -> float:
        return 1 / (self.count + 1)

"""A training step, recorded and replayed as a flat list of NumPy calls: `gradcore.capture`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcore.errors import ArgumentError
from gradcore.replay.captured import Captured

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Captured", "capture"]


def capture(step: Callable[..., Any]) -> Captured:
    """The same step, faster: it is recorded while it runs, and later calls replay the calls of NumPy that it made.

    >>> w = gradcore.zeros((2,), requires_grad=True)
    >>> optimizer = gradcore.optim.SGD([w], lr=0.1)
    >>> @gradcore.capture
    ... def step(x, y):
    ...     optimizer.zero_grad()
    ...     loss = gradcore.mse_loss((x * w).sum(1), y)
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    >>> x, y = gradcore.ones((3, 2)), gradcore.ones((3,))
    >>> for _ in range(5):
    ...     loss = step(x, y)
    >>> step
    <captured step: 3 replays, 2 recorded, 1 program for 1 kind of arguments>

    Two calls run eagerly and are recorded. What they recorded must be the same, and must give the results, gradients and
    arguments of callbacks of both to the bit (but for the sign of a NaN); calls from the third on are replayed, and now and
    then (the 8th replay, the 16th, the 32nd, ...) one is recorded and compared again. `report()` says how many were
    replayed, and why others were not; `source()` shows the program.

    Arguments are arrays, Tensors, numbers and texts, also in tuples, lists and dicts. Looked up at each replay: arguments,
    the data of parameters and other leaves, arrays and attributes that the step reads, hyperparameters of optimizers.
    Recorded anew where they change: shapes, dtypes and memory orders, numbers and texts (in arguments, variables,
    attributes, lists and dicts of up to 256 entries), `training`, hooks, `requires_grad`, and the outcome of `if loss > 1:`
    on a Tensor. Random numbers, averages that are kept and checks of values go through `gradcore.callback`, as those of
    gradcore's layers, losses and optimizers do.

    The step runs eagerly as ever, with the reason in the report, where it changes or draws something by itself, reads a
    tensor's values (`item()`, `float(...)`, NumPy's functions of values), computes with arrays in plain NumPy between ops,
    or returns a graph. What can't be seen: values read from `x.data` that only decide how Python goes on; numbers of Python
    that are computed in the step and come out the same in both recordings; `with np.errstate(...)` in the step; printing,
    files and clocks; what is changed in objects that the step reaches by other ways than attributes, variables and those
    containers. A captured step is for one thread: while it runs, other threads run it eagerly.

    Raises ArgumentError for what can't be called.
    """
    if not callable(step):
        raise ArgumentError(f"capture is of a function, and got {step!r:.60}")
    return Captured(step)

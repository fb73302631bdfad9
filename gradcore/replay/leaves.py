"""What a recorded step reads and changes outside: leaves, callbacks, results; and the calls that stand for that in a program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from gradcore.replay.program import Value


class Effect:
    """What a callback got and gave when it was recorded, and the data and gradients of leaves before and after it."""

    def __init__(self, result: Any, given: list[Any], before: Any, after: Any) -> None:
        self.result = result
        self.given = given
        self.before = before
        self.after = after


class Leaf:
    """A tensor that the step reads or gives a gradient to; as `argument` number i another one in each call."""

    def __init__(self, tensor: Any, value: Value | None, argument: int | None = None) -> None:
        self.tensor = tensor
        self.value = value
        self.argument = argument
        self.inner = False  # whether it was made within the step
        self.cleared = False
        self.starts_without = False  # a replay needs that its grad is None at first
        self.starts_with: Any = None  # or an array like this one
        self.start = (tensor.data, tensor.grad)
        self.stale = False  # whether a callback may have changed its data since they were looked up
        self.grad: Any = None

    def strip(self) -> None:
        """Let go of the arrays of the recording."""
        self.value = self.grad = self.starts_with = None
        self.start = (None, None)


class Output:
    """A Tensor among what the step returns."""

    def __init__(self, tensor: Any, value: Any) -> None:
        self.tensor = tensor
        self.value = value


def load(leaf: Any) -> Any:
    """The array that a leaf holds now."""
    return leaf.data


def load_grad(leaf: Any) -> Any:
    """The gradient that a leaf has now."""
    return leaf.grad


def store_grad(leaf: Any, value: Any) -> None:
    """Give a leaf its gradient."""
    leaf.grad = value


def clear_grad(leaf: Any) -> None:
    """Take a leaf's gradient away."""
    leaf.grad = None


def decide(value: Any, outcome: bool) -> bool:
    """Whether a condition comes out as it was recorded."""
    return bool(value) is outcome


def constant(x: Any) -> Any:
    """The array itself."""
    return x


def copied(x: Any) -> Any:
    """A copy in C order."""
    return np.array(x, order="C")


def sum_of_gradients(total: Any, gx: Any) -> Any:
    """The sum of two gradients, in the layout of the first."""
    return np.add(total, gx, out=np.empty_like(total))


def plus(x: Any, y: Any) -> Any:
    """The sum."""
    return x + y


def part_of(values: Any, i: int) -> Any:
    """One of several results."""
    return values[i]

"""What a step returned, as what a replay is to return."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.replay.leaves import Output
from gradcore.replay.program import NotCapturable, Value
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from gradcore.replay.recorder import Recorder


def finished(recorder: Recorder, result: Any, most: int) -> Any:
    """The result of a step with Values in it; NotCapturable where there can be no replay. most: calls."""
    recorder.watch.check()
    outputs = None if recorder.failed else outputs_of(recorder, result)
    if recorder.failed:
        raise NotCapturable(recorder.failed)
    if len(recorder.calls) > most:
        raise NotCapturable(f"the step makes {len(recorder.calls):,} calls: at most {most:,} are captured")
    return outputs


def outputs_of(recorder: Recorder, tree: Any) -> Any:
    """What the step returned, with Values in it."""
    if type(tree) is tuple or type(tree) is list:
        return type(tree)([outputs_of(recorder, part) for part in tree])
    if type(tree) is dict:
        return {key: outputs_of(recorder, part) for key, part in tree.items()}
    if type(tree) is Tensor:
        if tree._op is not None and tree._first is not None:
            raise NotCapturable(
                "the step returns a tensor whose graph is still to be differentiated, which a replay does not make: return "
                "x.detach(), or run backward() inside"
            )
        if id(tree) in recorder.leaves and recorder.leaves[id(tree)].inner:
            raise NotCapturable(
                "the step returns a leaf that it has made itself: return its data or its grad"
            )
        if id(tree) in recorder.leaves:
            return Output(recorder.leaves[id(tree)], None)
        value = recorder.value_of(tree)
        if type(value) is Value:
            value.keep()
        return Output(tree, value)
    if isinstance(tree, np.ndarray):
        value = recorder.value_of(tree)
        if type(value) is Value:
            value.keep()
        return value
    if tree is None or isinstance(tree, str | bool):
        return tree
    if isinstance(tree, int | float | np.generic):
        raise NotCapturable(
            f"the step returns the number {tree!r}, which a replay would return again: return a tensor"
        )
    raise NotCapturable(
        f"the step returns {type(tree).__name__}: expected tensors, arrays, None, or tuples, lists and dicts of them"
    )

"""Calls that need not be made in each replay: of constants alone, and those that were made before on the same values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.replay.leaves import constant
from gradcore.replay.program import Call, Value, mapped, values_in

if TYPE_CHECKING:
    from collections.abc import Collection


def simplified(calls: list[Call], outputs: Any, held: Collection[int]) -> tuple[list[Call], Any]:
    """The calls without those, and the outputs; held: ids of arrays outside, which may have other entries next time.

    A function gives the same bits for the same bits, so that nothing changes. What somebody holds after the step, or a later
    call writes into, has an array of its own.
    """
    written = {id(root) for call in calls for v in values_in(call.kwargs.get("out")) for root in v.roots()}
    versions: dict[int, int] = {}  # how often a value has been written into so far
    instead: dict[int, Any] = {}  # of values whose calls are left out
    known: dict[Any, Value] = {}
    kept: list[Call] = []

    def renamed(leaf: Any) -> Any:
        return instead.get(id(leaf), leaf) if type(leaf) is Value else leaf

    for call in calls:
        call.args, call.kwargs = mapped(call.args, renamed), mapped(call.kwargs, renamed)
        out = call.out
        for value in values_in(call.kwargs.get("out")):
            for root in value.roots():
                versions[id(root)] = versions.get(id(root), 0) + 1
        if call.pure and out is not None and not any(r.kept or id(r) in written for r in out.roots()):
            if call.function is constant or _constant(call, held):
                found = call.function(*call.args, **call.kwargs)
                if isinstance(found, np.ndarray | np.generic):
                    instead[id(out)] = found
                    continue
            key = _key((call.function, call.args, call.kwargs), versions, held)
            before = None if key is None else known.setdefault(key, out)
            if before is not None and before is not out:
                instead[id(out)] = before
                continue
        if out is not None:
            out.bases = tuple([b for b in map(renamed, out.bases) if type(b) is Value])
        kept.append(call)
    return kept, mapped_outputs(outputs, renamed)


def mapped_outputs(tree: Any, renamed: Any) -> Any:
    """What the step returns, with other Values."""

    def change(leaf: Any) -> Any:
        if hasattr(leaf, "value") and hasattr(leaf, "tensor") and type(leaf.value) is Value:
            leaf.value = renamed(leaf.value)
        return renamed(leaf)

    return mapped(tree, change)


def _constant(call: Call, held: Collection[int]) -> bool:
    """Whether it is called on arrays that are the same in each replay."""
    arrays = []

    def look(leaf: Any) -> None:
        if isinstance(leaf, np.ndarray | np.generic | Value):
            arrays.append(leaf)

    mapped((call.args, call.kwargs), look)
    return bool(arrays) and not any(type(a) is Value or id(a) in held for a in arrays)


def _key(tree: Any, versions: dict[int, int], held: Collection[int]) -> Any:
    """What is equal for calls that give the same; None where that can't be said."""
    try:
        key = _hashable(tree, versions, held)
        hash(key)
    except TypeError:
        return None
    return key


def _hashable(tree: Any, versions: dict[int, int], held: Collection[int]) -> Any:
    if type(tree) is Value:
        return "value", id(tree), tuple([versions.get(id(root), 0) for root in tree.roots()])
    if isinstance(tree, np.ndarray):
        if tree.size == 1 and id(tree) not in held:
            return "number", tree.dtype, tree.shape, tree.tobytes()
        return "array", id(tree)
    if isinstance(tree, tuple | list):
        return type(tree), *[_hashable(part, versions, held) for part in tree]
    if isinstance(tree, dict):
        return dict, *[(name, _hashable(part, versions, held)) for name, part in tree.items()]
    if isinstance(tree, slice):
        return slice, _hashable((tree.start, tree.stop, tree.step), versions, held)
    if isinstance(tree, float):
        return float, tree.hex()  # -0.0 is not 0.0
    return type(tree), tree

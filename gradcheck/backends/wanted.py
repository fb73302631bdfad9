"""By which inputs to differentiate: all that can be, or those that `wrt=` names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from gradcheck.backends.protocol import Input
from gradcheck.backends.tree import described
from gradcheck.errors import CallError


def chosen(
    named: Iterable[tuple[str, Any]], found: Sequence[Input], wrt: Any, count: int
) -> tuple[Input, ...]:
    """The inputs with those wanted that `wrt` names, `found` as they are for None.

    named: all leaves of the arguments, with their names, for the message. count: of the arguments. Raises `CallError` where none is left.
    """
    inputs = tuple(found) if wrt is None else _selected(found, wrt, count)
    if not any(item.wanted for item in inputs):
        kinds = ", ".join([f"{path} is {described(leaf)}" for path, leaf in named])
        raise CallError(
            f"nothing to differentiate by: {kinds or 'there is no input at all'}. Pass at least one floating array, such as "
            "np.array([1.0, 2.0])"
        )
    return inputs


def _selected(found: Sequence[Input], wrt: Any, count: int) -> tuple[Input, ...]:
    names = tuple(wrt) if isinstance(wrt, tuple | list | set | frozenset) else (wrt,)
    prefixes = []
    for name in names:
        if isinstance(name, str):
            prefixes.append(name)
        elif isinstance(name, int) and not isinstance(name, bool) and -count <= name < count:
            prefixes.append(f"inputs[{name % count}]")
        else:
            raise CallError(
                f"wrt= names input {name!r}, and there are {count} inputs: give positions from 0 to {count - 1}, or "
                "names such as \"inputs[1]['w']\""
            )
    for prefix, name in zip(prefixes, names, strict=True):
        matching = [item for item in found if _under(item.path, prefix)]
        if not any(item.differentiable for item in matching):
            what = f"is {described(matching[0].array)}" if matching else "holds no array"
            raise CallError(
                f"wrt= requests a gradient by {name!r}, and that input {what}: name inputs that are floating arrays "
                f"(here: {', '.join(item.path for item in found if item.differentiable) or 'none'})"
            )
    return tuple(
        [
            Input(item.path, item.array, item.differentiable and any(_under(item.path, p) for p in prefixes))
            for item in found
        ]
    )


def _under(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith((prefix + "[", prefix + "."))

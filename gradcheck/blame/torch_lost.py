"""Where a derivative is lost between calls whose own rules are right: detached, made of numbers, or overwritten."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from gradcheck.backends.tree import leaves
from gradcheck.blame.torch_calls import DETACHED, LEAVES, Event, fingerprint

Found = tuple[str, str, Event, str]
"""Kind, what to call the place, the event to show, a sentence."""

CLOSE = 1e-6


def lost(made: Any, other: Any, watched: Any) -> list[Found]:
    """Where a value that depends on the inputs goes on without a gradient, and the result needs it.

    made, other: passes at the inputs and near by: what differs between them depends on the inputs.
    """
    events = made.events
    found: list[Found] = []
    harmless = _harmless(made, watched)
    for start, user, text in _uses(made, other):
        if start is None or events.index(start) not in harmless:
            between = f"between {start.title if start else 'a value from outside PyTorch'} and {user.title if user else 'the result'}"
            where = start or user
            if where is not None:
                line = (
                    f" It is used by {user.title}: {user.where}."
                    if user is not None and start is not None
                    else ""
                )
                found.append(("lost", between, where, text + line))
    return found


def _uses(made: Any, other: Any) -> Iterator[tuple[Event | None, Event | None, str]]:
    """Pairs of the call at which a gradient ends and the call that uses its value, None for the result itself."""
    events = made.events
    maker: dict[int, int] = {}
    seen: set[tuple[int | None, int | None]] = set()
    for place, (event, there) in enumerate(zip(events, other.events, strict=True)):
        if event.follows:
            for x, a, b, attached in zip(
                event.given, event.before, there.before, event.attached, strict=True
            ):
                if not attached and a != b and _floating(x):
                    start = _start(events, maker.get(id(x)), place, maker)
                    if (start, place) not in seen:
                        seen.add((start, place))
                        yield _at(events, start), event, _words(events, start)
            if _numbers(event) != _numbers(there):
                start = _start(events, None, place, maker)
                if (start, place) not in seen:
                    seen.add((start, place))
                    yield _at(events, start), event, _words(events, start)
        for x in event.made:
            maker[id(x)] = place
    for y, z in zip(made.outputs, other.outputs, strict=False):
        if _floating(y) and not y.requires_grad and not torch.equal(y, z):
            start = _start(events, maker.get(id(y)), len(events), maker)
            yield _at(events, start), None, _words(events, start)


def _numbers(event: Event) -> list[float]:
    """The numbers among the arguments, which are of no tensor."""
    return [x for _, x in leaves((event.args, dict(event.kwargs)), "") if isinstance(x, float)]


def _at(events: Sequence[Event], place: int | None) -> Event | None:
    return None if place is None else events[place]


def _floating(x: Any) -> bool:
    return bool(x.is_floating_point() or x.is_complex())


def _start(events: Sequence[Event], place: int | None, before: int, maker: dict[int, int]) -> int | None:
    """The call at which the history of a value without one ends: it got a tensor that had one.

    place: of the call that made the value, None for one that PyTorch did not see. A tensor made of none goes back to the last
    call that made numbers of one.
    """
    while place is None or not any(events[place].attached):
        earlier = (
            []
            if place is None
            else [maker[id(x)] for x in events[place].given if maker.get(id(x), place) < place]
        )
        if not earlier:
            last = before if place is None else place
            earlier = [k for k in range(last) if events[k].name in LEAVES]
            if not earlier:
                return None
        place = max(earlier)
    return place


def _words(events: Sequence[Event], place: int | None) -> str:
    if place is None:
        return "a value that changes with the inputs comes in without a gradient, from outside of what PyTorch records."
    event = events[place]
    if event.name in LEAVES:
        return f"{event.title} makes numbers of a tensor, and what is computed of them has no gradient: stay with tensors."
    if event.name in DETACHED:
        return f"{event.title} gives the values without their gradient, and the result depends on them: leave it out."
    if not event.enabled:
        return f"{event.title} is called under torch.no_grad(), and the result depends on its values: move it out of that block."
    return f"{event.title} gives values without a gradient, and the result depends on them."


def _harmless(made: Any, watched: Any) -> set[int]:
    """Numbers of calls that end a gradient on purpose: with their history kept, the gradient of the whole is the same.

    So it is with the maximum that a softmax subtracts.
    """
    found = set()
    for place, event in enumerate(made.events):
        ends = event.name in DETACHED or not event.enabled
        if not (ends and any(event.attached) and event.made and not event.follows):
            continue
        if event.name not in DETACHED and event.name.endswith("_"):
            continue
        try:
            again = watched.run(watched.arrays, {place})
        except RuntimeError:  # numbers are made of it, which takes a tensor without a gradient
            continue
        if not again.error and all(_same(a, b) for a, b in zip(made.gradients, again.gradients, strict=True)):
            found.add(place)
    return found


def _same(a: Any, b: Any) -> bool:
    if a is None or b is None:
        other = b if a is None else a
        return other is None or not bool(torch.any(other))
    return bool(torch.allclose(a, b, CLOSE, CLOSE * float(a.abs().max()) if a.numel() else 0.0))


def overwritten(made: Any, watched: Any) -> list[Found]:
    """Tensors whose values changed between two calls without a record of it, as a change through `.data` does."""
    known: dict[int, tuple[Any, int, int]] = {
        id(x): (x, fingerprint(torch.from_numpy(array.copy())), -1)
        for x, array in zip(made.leaves, watched.arrays, strict=True)
    }
    for place, event in enumerate(made.events):
        for x, now, attached in zip(event.given, event.before, event.attached, strict=True):
            if id(x) in known and attached:
                _, before, since = known[id(x)]
                writer = _writer(made.events, since, place, x)
                if now != before and not (writer is not None and writer.follows):
                    first = made.events[since].title if since >= 0 else "the input"
                    text = f"the values of {first} were changed in place before {event.title} used them, and no gradient knows of it"
                    how = (
                        f": by {writer.title} under no_grad() or through .data"
                        if writer is not None
                        else ": through .data or NumPy"
                    )
                    return [
                        (
                            "changed",
                            first,
                            writer or event,
                            f"{text}{how}. Make a new tensor instead, y = x * 2 for x *= 2",
                        )
                    ]
            known[id(x)] = (x, now, known[id(x)][2] if id(x) in known else place)
        for x, now in zip(event.made, event.after, strict=True):
            known[id(x)] = (x, now, place)
    return []


def _writer(events: Sequence[Event], since: int, place: int, x: Any) -> Event | None:
    """The last call in between that wrote into the tensor's memory."""
    for event in reversed(events[max(since, 0) : place]):
        writes = event.name == "__setitem__" or (event.name.endswith("_") and not event.name.startswith("__"))
        if writes and event.made and _memory(event.made[0]) == _memory(x):
            return event
    return None


def _memory(x: Any) -> int:
    return int(x.untyped_storage().data_ptr())


def hooked(made: Any) -> list[tuple[Event, str]]:
    """Calls whose result has a hook on its gradient, which may change it."""
    text = "a hook registered on its result gets the gradient, and what it returns takes its place"
    return [(e, text) for e in made.events if any(getattr(x, "_backward_hooks", None) for x in e.made)]

"""The ops of a computation around one of them, laid out in rows: what it took above it, what took its result below.

A picture of 200 ops, or of 10,000, would show none. So those near the one are drawn, and the others stand as "… 180 more".
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

State = Literal["wrong", "right", "unjudged", "trusted", "input"]

STEPS, WIDE = 3, 3
"""So many steps away from the one, up and down, and most ops at each."""

SMALL = 12
"""A graph of no more ops and inputs is drawn whole, as far as it leads to the one or follows from it."""

BOX, TALL, SHORT, GAP, ROW, LANE, EDGE = 212, 56, 40, 16, 44, 18, 8
"""Of a box: width and heights with three and with two lines; the gaps beside and below it; width of a line that passes by."""

LETTERS, BOLD = 28, 25
"""Most letters of a line in a box, and of its bold one."""

MARKS = {"wrong": "✗ ", "right": "✓ ", "unjudged": "? ", "trusted": "", "input": ""}


@dataclass(frozen=True, slots=True)
class GraphOp:
    """One op of a recorded computation, or one of its inputs.

    place: its number in the order of the calls, from 1; 0 for an input, and for a call without a gradient. shape: dtype and
    shape of what it made. line: file, number and code of the user's line, "" where it is unknown. takes: indices in the graph
    of the ops and inputs that it took.
    """

    name: str
    place: int
    shape: str
    line: str
    takes: tuple[int, ...]
    state: State


Link = tuple[int, int]


def neighbourhood(graph: Sequence[GraphOp], at: int, lost: Iterable[Link] = ()) -> dict[str, Any]:
    """The ops around that at index `at`, as a plan to be drawn. lost: pairs of ops between which a derivative is lost.

    Returns {width, height, ops, shown, name, boxes: list of {op: its index, x, y, w, h, lines, state, words}, links: list of {points, lost},
    groups: list of {x, y, w, h, lines}}, in pixels. A group stands for ops that are left out.
    """
    takes: dict[int, dict[int, None]] = {k: dict.fromkeys(op.takes) for k, op in enumerate(graph)}
    broken = set(lost)
    for a, b in broken:
        takes[b][a] = None
    users: dict[int, dict[int, None]] = defaultdict(dict)
    for k, taken in takes.items():
        for t in taken:
            users[t][k] = None
    far = (len(graph), len(graph)) if len(graph) <= SMALL else (STEPS, WIDE)
    above, below = _near(at, takes, *far), _near(at, users, *far)
    rows = {at: 0, **_rows(at, above, takes, -1), **_rows(at, below, users, 1)}
    layout = _Layout(rows)
    for b in rows:
        for a in takes[b]:
            if a in rows:
                layout.join(a, b, lost=(a, b) in broken)
    _left_out(graph, layout, takes, users)
    return layout.plan(graph, at)


def _near(at: int, follow: Mapping[int, Collection[int]], steps: int, wide: int) -> list[int]:
    """Those that are reached in a few steps, nearest first."""
    found: dict[int, None] = {at: None}
    edge = [at]
    for _ in range(steps):
        new = dict.fromkeys([k for e in edge for k in follow.get(e, ()) if k not in found])
        edge = list(new)[:wide]
        found.update(dict.fromkeys(edge))
    return list(found)[1:]


def _rows(at: int, chosen: Sequence[int], follow: Mapping[int, Collection[int]], way: int) -> dict[int, int]:
    """The row of each: one further away than any that it is reached from."""
    rows = dict.fromkeys(chosen, 0) | {at: 0}
    for _ in chosen:
        for k in rows:
            for n in follow.get(k, ()):
                if n in rows and n != at:
                    rows[n] = max(rows[n], rows[k] + 1)
    return {k: way * n for k, n in rows.items() if k != at}


def _left_out(
    graph: Sequence[GraphOp],
    layout: _Layout,
    takes: Mapping[int, Collection[int]],
    users: Mapping[int, Collection[int]],
) -> None:
    """Groups of what is not shown, each op in one: what is behind the inputs of a row, and what follows from its results."""
    shown = dict(layout.rows)
    group_of: dict[int, int] = {}
    low, high = min(shown.values()), max(shown.values())
    for way, follow, order in ((-1, takes, range(low, high + 1)), (1, users, range(high, -1, -1))):
        for row in order:
            ends = [k for k, r in shown.items() if r == row and (way < 0 or graph[k].state != "input")]
            pairs = [(n, k) for k in ends for n in follow.get(k, ()) if n not in shown]
            for n, k in pairs:
                if n in group_of:
                    layout.join_group(group_of[n], k, way)
            members = [n for n in _reached([n for n, _ in pairs], follow, shown) if n not in group_of]
            if members:
                name = layout.group(row + way, _many(graph, members))
                direct = [k for n, k in pairs if n not in group_of] or [k for _, k in pairs]
                group_of.update(dict.fromkeys(members, name))
                for k in dict.fromkeys(direct):
                    layout.join_group(name, k, way)


def _reached(
    start: Iterable[int], follow: Mapping[int, Collection[int]], but: Collection[int]
) -> dict[int, None]:
    found = dict.fromkeys(start)
    waiting = list(found)
    while waiting:
        for n in follow.get(waiting.pop(), ()):
            if n not in found and n not in but:
                found[n] = None
                waiting.append(n)
    return found


def _many(graph: Sequence[GraphOp], members: Collection[int]) -> str:
    ops = sum(graph[k].state != "input" for k in members)
    if ops:
        return f"… {ops:,} more op{'s' * (ops > 1)}"
    return f"… {len(members):,} more input{'s' * (len(members) > 1)}"


class _Layout:
    """Boxes in rows, and lines between them that pass by the boxes of the rows between."""

    def __init__(self, rows: Mapping[int, int]) -> None:
        self.rows = dict(rows)  # of ops by index, of groups and bends by negative numbers
        self.words: dict[int, str] = {}  # of groups
        self.links: dict[Link, bool] = {}
        self._next = -1

    def group(self, row: int, words: str) -> int:
        """A group in a row; its number."""
        name = self._new(row)
        self.words[name] = words
        return name

    def _new(self, row: int) -> int:
        name, self._next = self._next, self._next - 1
        self.rows[name] = row
        return name

    def join(self, a: int, b: int, *, lost: bool = False) -> None:
        """A line from one down to another."""
        self.links[a, b] = lost

    def join_group(self, group: int, k: int, way: int) -> None:
        """A line between a group and an op, where it leads down."""
        a, b = (group, k) if way < 0 else (k, group)
        if self.rows[a] < self.rows[b]:
            self.join(a, b)

    def plan(self, graph: Sequence[GraphOp], at: int) -> dict[str, Any]:
        """The places of all."""
        paths = {link: self._path(*link) for link in self.links}
        ordered = self._ordered(paths.values())
        size = self._sizes(graph)
        places: dict[int, tuple[float, float]] = {}
        width = max([self._width(row, size) for row in ordered.values()])
        y = float(EDGE)
        for row in sorted(ordered):
            x = EDGE + (width - self._width(ordered[row], size)) / 2
            for k in ordered[row]:
                places[k] = x, y
                x += size[k][0] + GAP
            y += max([size[k][1] for k in ordered[row]]) + ROW
        ends = self._ends(size, places)
        shown = [k for k in self.rows if k >= 0]
        return {
            "width": width + 2 * EDGE,
            "height": y - ROW + EDGE,
            "ops": sum(op.state != "input" for op in graph),
            "shown": sum(graph[k].state != "input" for k in shown),
            "name": graph[at].name,
            "boxes": [{"op": k, **_box(graph[k], places[k], size[k])} for k in shown],
            "groups": [_placed(places[k], size[k]) | {"lines": [text]} for k, text in self.words.items()],
            "links": [
                {"points": _bends(path, places, size, ends[link]), "lost": self.links[link]}
                for link, path in paths.items()
            ],
        }

    def _path(self, a: int, b: int) -> list[int]:
        """Both ends, and a bend in each row between."""
        return [a, *[self._new(row) for row in range(self.rows[a] + 1, self.rows[b])], b]

    def _ordered(self, paths: Iterable[Sequence[int]]) -> dict[int, list[int]]:
        """What stands in each row, from left to right: near to what it is joined with in the row nearer to the middle."""
        joined: dict[int, list[int]] = defaultdict(list)
        for path in paths:
            for a, b in itertools.pairwise(path):
                joined[a].append(b)
                joined[b].append(a)
        found: dict[int, list[int]] = defaultdict(list)
        for k, row in self.rows.items():
            found[row].append(k)
        place: dict[int, float] = {}
        for row in sorted(found, key=abs):
            found[row].sort(key=_middle(joined, place, found[row]))
            n = len(found[row])
            place.update({k: (i + 0.5) / n for i, k in enumerate(found[row])})
        return dict(found)

    def _sizes(self, graph: Sequence[GraphOp]) -> dict[int, tuple[int, int]]:
        def size(k: int) -> tuple[int, int]:
            if k >= 0:
                return BOX, TALL if graph[k].line else SHORT
            return (110, 24) if k in self.words else (LANE, SHORT)

        return {k: size(k) for k in self.rows}

    @staticmethod
    def _width(row: Sequence[int], size: Mapping[int, tuple[int, int]]) -> int:
        return sum([size[k][0] for k in row]) + GAP * (len(row) - 1)

    def _ends(
        self, size: Mapping[int, tuple[int, int]], places: Mapping[int, tuple[float, float]]
    ) -> dict[Link, tuple[float, float]]:
        """Where each line leaves the lower side of its first box and meets the upper side of its last, beside the others."""
        out, into = defaultdict(list), defaultdict(list)
        for a, b in self.links:
            out[a].append(b)
            into[b].append(a)

        def spread(k: int, among: Sequence[int], other: int) -> float:
            order = sorted(among, key=lambda n: places[n][0])
            return places[k][0] + size[k][0] * (order.index(other) + 1) / (len(among) + 1)

        return {(a, b): (spread(a, out[a], b), spread(b, into[b], a)) for a, b in self.links}


def _middle(
    joined: Mapping[int, Sequence[int]], place: Mapping[int, float], row: Sequence[int]
) -> Callable[[int], float]:
    known = {
        k: [place[n] for n in joined.get(k, ()) if n in place] or [0.5 + 0.01 * i] for i, k in enumerate(row)
    }
    return lambda k: sum(known[k]) / len(known[k])


def _placed(place: tuple[float, float], size: tuple[int, int]) -> dict[str, Any]:
    return {"x": round(place[0], 1), "y": round(place[1], 1), "w": size[0], "h": size[1]}


def _box(op: GraphOp, place: tuple[float, float], size: tuple[int, int]) -> dict[str, Any]:
    call = f" · call {op.place}" if op.place else ""
    first = f"{MARKS[op.state]}{cut(op.name, BOLD - len(call))}{call}"
    words = [f"{op.name}{f', call {op.place}' if op.place else ''}", op.shape, op.line]
    return _placed(place, size) | {
        "lines": [first, cut(op.shape, LETTERS), *[cut(op.line, LETTERS)] * bool(op.line)],
        "state": op.state,
        "words": "\n".join([w for w in words if w]),
    }


def cut(text: str, most: int) -> str:
    """The text in so many letters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _bends(
    path: Sequence[int],
    places: Mapping[int, tuple[float, float]],
    size: Mapping[int, tuple[int, int]],
    ends: tuple[float, float],
) -> list[list[float]]:
    """Points of a line: out of the first box, through the middle of each bend, into the last box."""
    first, *between, last = path
    points = [[ends[0], places[first][1] + size[first][1]]]
    for k in between:
        x, y = places[k][0] + size[k][0] / 2, places[k][1]
        points += [[x, y], [x, y + size[k][1]]]
    points.append([ends[1], places[last][1]])
    return [[round(x, 1), round(y, 1)] for x, y in points]

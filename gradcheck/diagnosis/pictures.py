"""What the pictures of a check show, as plain numbers, measured when they are first wanted.

A curve: the error of differences against their step, along the entry that is wrong or along a random direction. Maps: the
error of an input's gradient over its array, in units of what is allowed, a cell for each entry or block of entries.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.backends.protocol import Array, Subject
from gradcheck.diagnosis.faults import Faults
from gradcheck.numeric.curve import curve
from gradcheck.verdict.compare import Verdict
from gradcheck.verdict.evidence import Cotangents, Direction, Evidence
from gradcheck.verdict.observation import Observation

KEPT = 1_000_000
"""Of larger arrays, taken together, nothing is kept to draw them."""

ROWS, COLUMNS = 12, 16
"""Most cells of a map."""

MAPS = 2
"""Most maps of a check."""

SECONDS = 3.0
"""A map has as many cells as can be measured in about this time, and at least `FEWEST`."""

FEWEST = 8

EVALUATIONS = 11
"""Of the function, for one cell."""

Plain = dict[str, Any]


class Pictures:
    """The pictures of one check, measured once. A copy for another process holds those that were measured before."""

    def __init__(self, measure: Callable[[], Plain] | None, plain: Plain | None = None) -> None:
        self._measure, self._plain = measure, plain

    def plain(self) -> Plain:
        """`curve`: see `Curve`, or None. `maps`: see `error_map`. Both of JSON's types, with None for what is not finite."""
        if self._plain is None:
            self._plain = {"curve": None, "maps": []} if self._measure is None else self._measure()
            self._measure = None
        return self._plain

    def __reduce__(self) -> tuple[Any, ...]:
        return Pictures, (None, self._plain)


@dataclass(frozen=True, slots=True)
class _Negative:
    """What has to be kept of a check."""

    subject: Subject
    arrays: tuple[Array, ...]
    seed: int
    gys: tuple[Array, ...]
    gx: tuple[Array | None, ...]
    v: Direction
    left_out: tuple[NDArray[np.bool_] | None, ...]
    inputs: tuple[int, ...]
    entry: tuple[int, tuple[int, ...], float] | None
    where: str
    failed: bool

    def measure(self) -> Plain:
        with np.errstate(all="ignore"):
            try:
                start = time.monotonic()
                obs = Observation(self.subject, self.seed, self.arrays)
                obs.left_out = list(self.left_out)
                drawn = self._curve(obs)
                each = (time.monotonic() - start) / max(obs.forwards + CURVE, 1)
                cells = max(FEWEST, int(SECONDS / len(self.inputs) / (EVALUATIONS * max(each, 1e-9))))
                return {"curve": drawn, "maps": [self._map(obs, i, cells) for i in self.inputs]}
            except Exception:  # noqa: BLE001 - whatever the function raises when it is called once more, there is no picture
                return {"curve": None, "maps": []}

    def _curve(self, obs: Observation) -> Plain:
        v, where, size = self.v, self.where, 1.0
        if self.entry is not None:
            i, index, size = self.entry
            one = np.zeros_like(obs.wide[i])
            one[index] = size
            v = tuple([one if j == i else None for j in range(len(obs.wide))])
            where = place(obs.paths[i], index)
        moving = tuple([g if t is not None else None for g, t in zip(self.gx, v, strict=True)])
        c = curve(obs.outputs_at, obs.wide, v, self.gys)
        held = obs.held(obs.numeric(v, gys=self.gys), moving, v, self.gys)
        return {
            "along": where,
            "derivative": finite(held.numeric / size, 17),
            "rule": finite(held.analytic / size, 17),
            "off": finite(held.difference / size),
            "bound": finite(held.bound / size),
            "steps": [finite(h) for h in c.steps],
            "errors": [finite(e / size) for e in c.errors],
            "bounds": [[finite(h), finite(b / size)] for h, b in c.bounds],
            "chosen": None if c.chosen is None else [finite(h) for h in c.chosen],
            "wrong": self.failed and held.verdict is Verdict.FAIL,
        }

    def _map(self, obs: Observation, i: int, cells: int) -> Plain:
        v = obs.aim(self.gx, only=i)

        def measured(at: NDArray[np.intp]) -> tuple[float, bool] | None:
            part = np.zeros_like(v[i]).reshape(-1)
            whole = v[i]
            if whole is None or not whole.reshape(-1)[at].any():
                return None
            part[at] = whole.reshape(-1)[at]
            one = tuple([part.reshape(whole.shape) if j == i else None for j in range(len(v))])
            c = obs.held(obs.numeric(one, evaluations=EVALUATIONS, gys=self.gys), self.gx, one, self.gys)
            if c.verdict is Verdict.INCONCLUSIVE:
                return None
            return c.ratio, self.failed and c.verdict is Verdict.FAIL

        entry = self.entry[1] if self.entry is not None and self.entry[0] == i else None
        return error_map(obs.paths[i], obs.arrays[i].shape, measured, entry, cells)


CURVE = 60
"""Evaluations of a curve, about."""


def of_check(obs: Observation, found: Faults, failed: bool) -> Pictures | None:
    """The pictures of a check that has ended, None where there are none: nothing was measured, or the arrays are large."""
    e = found.evidence
    if e is None:
        e = next(iter([o for o in obs.evidence if o.failed or not failed] or obs.evidence), None)
    sizes = sum([a.size for a in obs.arrays]) + sum([y.size for y in obs.outputs])
    if e is None or sizes > KEPT:
        return None
    return Pictures(_negative(obs, found, e, failed).measure)


def _negative(obs: Observation, found: Faults, e: Evidence, failed: bool) -> _Negative:
    at = found.located
    wrong = [obs.paths.index(f.input) for f in found.faults if f.input in obs.paths]
    able = [i for i, want in enumerate(obs.wanted) if want and obs.arrays[i].size]
    inputs = [i for i in dict.fromkeys(wrong if failed and wrong else able) if i in able][:MAPS]
    real = at is not None and not isinstance(at.analytic, complex) and np.isfinite(at.analytic)
    entry = (at.input, at.index, at.size) if at is not None and real else None
    return _Negative(
        obs.subject,
        tuple(obs.arrays),
        obs.seed,
        e.gys,
        _whole(obs, e.gx),
        e.v,
        tuple(obs.left_out),
        tuple(inputs or able[:1]),
        entry,
        "entries that tie, moved together" if e.witness == "tie" else "a random direction",
        failed,
    )


def _whole(obs: Observation, gx: Sequence[Array | None]) -> tuple[Array | None, ...]:
    fitted: Cotangents = obs.fitted(gx)
    return tuple(fitted)


def error_map(
    path: str,
    shape: tuple[int, ...],
    measured: Callable[[NDArray[np.intp]], tuple[float, bool] | None],
    entry: tuple[int, ...] | None = None,
    cells: int = ROWS * COLUMNS,
) -> Plain:
    """A map over an array whose last axis is the columns and whose other axes are the rows.

    measured: for the flat places of a cell, its error in units of what is allowed and whether that is wrong; None where it is
    not judged. Returns {input, shape, rows, columns: how many there are of the array, ratios: a list of cells for each row
    of cells, wrong: the same of truth values, entry: row and column of the cell with this entry, or None}.
    """
    columns = shape[-1] if shape else 1
    rows = math.prod(shape) // columns if columns else 0
    down, across = min(rows, ROWS), min(columns, COLUMNS)
    while down * across > cells:
        down, across = (down, (across + 1) // 2) if across >= down else ((down + 1) // 2, across)
    edges = [np.linspace(0, n, k + 1).astype(int) for n, k in ((rows, down), (columns, across))]
    places = np.arange(rows * columns).reshape(rows, columns)
    ratios: list[list[float | None]] = []
    wrong: list[list[bool]] = []
    for top, bottom in zip(edges[0], edges[0][1:], strict=False):
        found = [
            measured(places[top:bottom, left:right].reshape(-1))
            for left, right in zip(edges[1], edges[1][1:], strict=False)
        ]
        ratios.append([None if f is None else finite(min(f[0], 1e300)) for f in found])
        wrong.append([f is not None and f[1] for f in found])
    cell = None
    if entry is not None:
        row, column = divmod(int(np.ravel_multi_index(entry, shape)) if entry else 0, columns)
        cell = [
            int(np.searchsorted(e, k, side="right")) - 1 for e, k in zip(edges, (row, column), strict=True)
        ]
    return {
        "input": path,
        "shape": list(shape),
        "rows": rows,
        "columns": columns,
        "ratios": ratios,
        "wrong": wrong,
        "entry": cell,
    }


def of_errors(path: str, ratios: Array, wrong: NDArray[np.bool_]) -> Pictures:
    """The pictures of a check that measured every entry: errors in units of what is allowed."""
    flat, bad = ratios.reshape(-1), wrong.reshape(-1)
    entry = (
        tuple([int(k) for k in np.unravel_index(int(np.argmax(flat)), ratios.shape)]) if bad.any() else None
    )
    made = error_map(
        path,
        ratios.shape,
        lambda at: (float(flat[at].max()), bool(bad[at].any())),
        entry if ratios.size else None,
    )
    return Pictures(None, {"curve": None, "maps": [made]})


def place(path: str, index: Sequence[int]) -> str:
    """How a report names an entry: "inputs[0][1, 2]"."""
    return f"{path}[{', '.join(map(str, index))}]" if len(index) else path


def finite(value: float, digits: int = 4) -> float | None:
    """A number of JSON's to so many digits, None in place of what is not finite."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None

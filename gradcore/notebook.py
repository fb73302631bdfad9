"""How a tensor and a module look in a notebook: tables."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

EDGE = 4
"""Of a longer axis, so many entries from either end are shown."""

WHOLE = 10
"""An axis that is not longer is shown whole."""


def tensor_table(data: npt.NDArray[Any], about: str) -> str:
    """The values of an array below a line about it: of more than two axes the first matrix."""
    head = f"<p><b>Tensor</b> {escape(about)}</p>"
    if not data.size:
        return head
    if data.ndim == 0:
        return f"{head}<p>{escape(_value(data[()]))}</p>"
    first = (0,) * max(data.ndim - 2, 0)
    grid = np.atleast_2d(data[first])
    rows, columns = (_shown(n) for n in grid.shape)
    top = "".join([f"<th>{'...' if c is None else c}</th>" for c in columns])
    body = []
    for r in rows:
        cells = ["..." if r is None or c is None else escape(_value(grid[r, c])) for c in columns]
        body.append(
            f"<tr><th>{'' if data.ndim == 1 else '...' if r is None else r}</th>{''.join([f'<td>{cell}</td>' for cell in cells])}</tr>"
        )
    of = f"<p>the first of {data.size // grid.size:,} matrices:</p>" if first else ""
    return f"{head}{of}<table><thead><tr><th></th>{top}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def module_table(name: str, rows: Iterable[tuple[str, str, str, int]], total: int) -> str:
    """A row for each module of a tree: its dotted name, how it prints, the shapes of its own parameters, and their number."""
    left = "style='text-align:left'"
    heads = "".join([f"<th {left}>{text}</th>" for text in ("name", "module", "parameters", "count")])
    body = "".join(
        [
            f"<tr><td {left}><code>{escape(path)}</code></td><td {left}>{escape(text)}</td><td {left}>{escape(shapes)}</td>"
            f"<td>{count:,}</td></tr>"
            for path, text, shapes, count in rows
        ]
    )
    return f"<p><b>{escape(name)}</b> {total:,} parameters</p><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def _shown(n: int) -> list[int | None]:
    """Places along an axis; None for those left out."""
    if n <= WHOLE:
        return list(range(n))
    return [*range(EDGE), None, *range(n - EDGE, n)]


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, np.inexact) else str(value)

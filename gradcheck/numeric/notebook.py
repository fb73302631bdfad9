"""A derivative as a table for a notebook."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

SHOWN = 20
"""Of more entries than this, the others are counted."""

_NAMES = ("smooth", "noisy", "edge", "kink", "unresolved", "stochastic", "not finite")
"""In the order of `gradcheck.numeric.result.Diagnosis`."""


def html_table(y: Any, value: Any, bound: Any, diagnosis: Any) -> str:
    """A row for each output entry: its index, value, derivative ± bound, and how the function behaves there.

    All of them arrays of the output's shape, or tuples of them.
    """
    single = not isinstance(y, tuple)
    parts = [(y, value, bound, diagnosis)] if single else list(zip(y, value, bound, diagnosis, strict=True))
    rows: list[str] = []
    total = 0
    for k, (ys, values, bounds, codes) in enumerate(parts):
        total += ys.size
        for index in np.ndindex(ys.shape):
            if len(rows) == SHOWN:
                break
            name = ("" if single else f"output {k} ") + f"[{', '.join(map(str, index))}]" * bool(index)
            cells = [
                name.strip() or "output",
                number(ys[index]),
                f"{number(values[index])} ± {bounds[index]:.1g}",
                _NAMES[int(codes[index])],
            ]
            rows.append("".join([f"<td style='text-align:left'>{escape(cell)}</td>" for cell in cells]))
    head = "".join(
        [
            f"<th style='text-align:left'>{t}</th>"
            for t in ("entry", "f(x)", "derivative ± bound", "here f is")
        ]
    )
    body = "".join([f"<tr>{row}</tr>" for row in rows])
    more = f"<p>and {total - len(rows):,} more entries</p>" if total > len(rows) else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def number(value: Any) -> str:
    """To ten digits; a complex number as a + bi."""
    if np.iscomplexobj(value):
        return f"{value.real:.10g} {'-' if value.imag < 0 else '+'} {abs(value.imag):.10g}i"
    return f"{float(value):.10g}"

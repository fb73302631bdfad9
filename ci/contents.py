"""Write the guide's page of all that gradcore has, from its registries: `python ci/contents.py`; --check only compares."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gradcore
from gradcore import registry
from gradcore.op import Op
from gradcore.tensor import FUNCTIONS, UFUNCS

PAGE = Path(__file__).resolve().parents[1] / "gradcheck" / "guide" / "contents.md"

HEAD = """# Everything that gradcore has

Made from the registries by `python ci/contents.py`; every entry is verified before any training test runs.

Each op is `gradcore.NAME`, many are methods of Tensors as well, and NumPy's functions on a Tensor call them. A *primitive* has a
rule of its own, any other op is composed of these. Derivatives are of any order, or of first order only. *No derivative at* names
values, or ties between entries; there the rule gives one of the derivatives from either side, or one in between.

"""


def page() -> str:
    """The page's text."""
    standing: dict[int, list[str]] = {}
    for function, entry in {**UFUNCS, **FUNCTIONS}.items():
        module = "np.linalg" if function.__module__ == "numpy.linalg" else "np"
        standing.setdefault(id(entry), []).append(f"`{module}.{function.__name__}`")
    ops = [
        (
            f"`{name}`",
            first_line(getattr(gradcore, name, entry)),
            ", ".join(standing.get(id(entry), [])),
            "primitive" if isinstance(entry, Op) else "",
            "any" if entry.spec.second_order else "first",
            no_derivative_at(entry.spec),
        )
        for name, entry in sorted(registry.ops.items())
        if name not in registry.losses
    ]
    losses = [
        (
            f"`{name}`",
            first_line(entry),
            "any" if entry.spec.second_order else "first",
            no_derivative_at(entry.spec),
        )
        for name, entry in sorted(registry.losses.items())
    ]
    layers = [(f"`nn.{name}`", first_line(entry)) for name, entry in sorted(registry.layers.items())]
    optimizers = [
        (f"`optim.{name}`", first_line(entry)) for name, entry in sorted(registry.optimizers.items())
    ]
    parts = [
        (f"{len(ops)} ops", ("op", "what it gives", "called by", "", "derivatives", "no derivative at"), ops),
        (f"{len(losses)} losses", ("loss", "what it gives", "derivatives", "no derivative at"), losses),
        (f"{len(layers)} layers", ("layer", "what it is"), layers),
        (f"{len(optimizers)} optimizers", ("optimizer", "what it is"), optimizers),
    ]
    return HEAD + "\n".join([f"## {title}\n\n{table(columns, rows)}" for title, columns, rows in parts])


def first_line(entry: Any) -> str:
    """Of the docstring, without the full stop at its end."""
    line = (inspect.getdoc(entry) or "").partition("\n")[0]
    return line.removesuffix(".").replace("|", "\\|")


def no_derivative_at(spec: Any) -> str:
    """The kinks of all arrays of a spec, and ties where it keeps smooth checks away from them."""
    kinks = sorted({k for case in spec.cases for array in case.arrays for k in array.kinks})
    ties = any(case.smooth_where or any(array.distinct for array in case.arrays) for case in spec.cases)
    return ", ".join([*[f"{k:g}" for k in kinks], *["ties"] * ties])


def table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """As Markdown."""
    lines = [columns, tuple(["---"] * len(columns)), *rows]
    return "".join([f"| {' | '.join(cells)} |\n" for cells in lines])


def main() -> int:
    """Write, or with --check compare; the exit status."""
    if sys.argv[1:] == ["--check"]:
        if PAGE.read_text(encoding="utf-8") == page():
            return 0
        print(f"{PAGE.name} is not what the registries say: python ci/contents.py writes it anew")
        return 1
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

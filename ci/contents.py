"""Write the guide's page of all that gradcore has, from its registries: `python ci/contents.py`; --check only compares.

    python ci/contents.py [--check | --measure [OP ...]]

How fast ops are is read from `ci/speed.json`, so that the page is the same at each writing; --measure measures all ops anew, or
those that are named, before it writes. --check says which ops were not measured.
"""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gradcore
from gradcore import registry
from gradcore.op import Op
from gradcore.tensor import FUNCTIONS, UFUNCS

CI = Path(__file__).resolve().parent
PAGE = CI.parent / "gradcheck" / "guide" / "contents.md"
FIGURES = CI / "speed.json"

OP_COLUMNS = ("op", "what it gives", "called by", "", "derivatives", "no derivative at")
HEAD = """# Everything that gradcore has

Made from the registries by `python ci/contents.py`; every entry is verified before any training test runs.

Each op is `gradcore.NAME`, many are methods of Tensors as well, and NumPy's functions on a Tensor call them. A *primitive* has a
rule of its own, any other op is composed of these. Derivatives are of any order, or of first order only. *No derivative at* names
values, or ties between entries; there the rule gives one of the derivatives from either side, or one in between. *Arrays* are what
the spec describes, argument by argument; floats may be float16, float32 or float64, and results have the inputs' dtype.

*Beside NumPy* is the time of the op on Tensors without recording, as a multiple of NumPy's own function on the same arrays.
*Gradient* is the time of the recorded op with the gradients of all its inputs, as a multiple of the op alone. Both are medians of
interleaved rounds on one thread in float32, on the shapes that are named: about {entries:,} entries in the largest array or
result. Where both make a view, as `flip` does, it is the time of two calls. A dash says that there is no such NumPy function, or no
figure (`python ci/contents.py --measure`, NumPy {numpy}).

"""

NOTHING = {"on": None, "numpy": None, "gradient": None}


def page() -> str:
    """The page's text."""
    figures = read_figures()
    measured = figures["ops"]
    ops = [
        (
            f"`{name}`",
            first_line(getattr(gradcore, name, entry)),
            ", ".join([f"`{path_of(function)}`" for function in called_by(name)]),
            "primitive" if isinstance(entry, Op) else "",
            "any" if entry.spec.second_order else "first",
            no_derivative_at(entry.spec),
            arrays_of(entry.spec),
            *speed(measured.get(name, NOTHING)),
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
        (f"{len(ops)} ops", (*OP_COLUMNS, "arrays", "beside NumPy", "gradient", "on"), ops),
        (f"{len(losses)} losses", ("loss", "what it gives", "derivatives", "no derivative at"), losses),
        (f"{len(layers)} layers", ("layer", "what it is"), layers),
        (f"{len(optimizers)} optimizers", ("optimizer", "what it is"), optimizers),
    ]
    head = HEAD.format(entries=figures["entries"], numpy=figures["numpy"])
    return head + "\n".join([f"## {title}\n\n{table(columns, rows)}" for title, columns, rows in parts])


def called_by(name: str) -> list[Any]:
    """NumPy's functions that call an op when they get a Tensor."""
    made = (registry.ops[name], getattr(gradcore, name, None))
    return [function for function, called in {**UFUNCS, **FUNCTIONS}.items() if called in made]


def path_of(function: Any) -> str:
    """A NumPy function as it is called."""
    return f"{'np.linalg' if function.__module__ == 'numpy.linalg' else 'np'}.{function.__name__}"


def read_figures() -> Any:
    """What was measured."""
    return json.loads(FIGURES.read_text(encoding="utf-8"))


def unmeasured() -> list[str]:
    """The ops that have no figures."""
    measured = read_figures()["ops"]
    return sorted(name for name in registry.ops if name not in registry.losses and name not in measured)


def speed(figures: Any) -> tuple[str, ...]:
    """The ratios of an op with two digits, and the shapes they were measured on."""
    ratios = [figures[key] for key in ("numpy", "gradient")]
    return *("-" if ratio is None else f"{ratio:.2g}" for ratio in ratios), figures["on"] or "-"


def arrays_of(spec: Any) -> str:
    """What the arrays of a spec hold, argument by argument; `float or complex` where cases differ."""
    columns: list[list[str]] = []
    for case in spec.cases:
        for i, array in enumerate(case.arrays):
            columns.extend([[]] * (i == len(columns)))
            columns[i] = [*columns[i], *[array.dtype] * (array.dtype not in columns[i])]
    return ", ".join([" or ".join(kinds) for kinds in columns])


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
    if sys.argv[1:2] == ["--measure"]:
        only = ["--only", *sys.argv[2:]] if sys.argv[2:] else []
        alone = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, CI / "speed.py", *only], env=alone, check=True)
    if sys.argv[1:] == ["--check"]:
        if missing := unmeasured():
            print(
                f"not measured: {', '.join(missing)}; python ci/contents.py --measure {' '.join(missing)} does it"
            )
        if PAGE.read_text(encoding="utf-8") == page():
            return 0
        print(f"{PAGE.name} is not what the registries say: python ci/contents.py writes it anew")
        return 1
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

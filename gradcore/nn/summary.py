"""A model as a table: for each module the shape of its output and the number of its parameters."""

from __future__ import annotations

from typing import Any

from gradcore.modes import no_grad
from gradcore.nn.module import Module
from gradcore.tensor import Tensor


def summary(model: Module, *inputs: Any) -> str:
    """A line for each module of `model`: its name, how it prints, the shapes that it gives for the inputs, its parameters.

    The model runs once, in evaluation and without recording, and is as before afterwards. A module that is called several
    times has its last shape, one that is not called none. Parameters are counted where they are: a parent's are its own.

    >>> print(summary(gradcore.nn.Sequential(gradcore.nn.Linear(3, 2), gradcore.nn.ReLU()), np.ones((4, 3))))
    name  module          output  parameters
    0     Linear(3 -> 2)  (4, 2)           8
    1     ReLU()          (4, 2)           0
          Sequential()    (4, 2)           8
    """
    shapes: dict[int, str] = {}
    modules = list(
        {id(module): (path, module) for path, module in reversed(list(model.named_modules()))}.values()
    )
    modes = [(module, module.training) for _, module in modules]
    handles = [
        module.register_forward_hook(lambda module, _x, y: shapes.__setitem__(id(module), _shapes(y)))
        for _, module in modules
    ]
    try:
        with no_grad():
            model.eval()(*inputs)
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes:
            module.training = training
    rows = [("name", "module", "output", "parameters")]
    for path, module in [*reversed(modules[:-1]), modules[-1]]:
        whole = module is model
        own = module.parameters() if whole else (v for _, v in module._members() if isinstance(v, Tensor))
        text = f"{type(module).__name__}({module.extra_repr()})"
        rows.append((path, text, shapes.get(id(module), ""), f"{sum(p.size for p in own):,}"))
    widths = [max(len(row[k]) for row in rows) for k in range(4)]
    return "\n".join(
        f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:<{widths[2]}}  {d:>{widths[3]}}" for a, b, c, d in rows
    )


def _shapes(output: Any) -> str:
    if isinstance(output, tuple | list):
        return "(" + ", ".join(_shapes(part) for part in output) + ")"
    return str(tuple(output.shape)) if hasattr(output, "shape") else "-"

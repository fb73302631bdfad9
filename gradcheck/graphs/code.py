"""A graph as Python code to paste: it needs gradcore and NumPy, and leaves the gradients in the leaves' `grad`."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import gradcore
from gradcheck.diagnosis.snippet import literal
from gradcheck.graphs.steps import Leaf

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from gradcheck.graphs.steps import Node


def code_of(
    steps: Sequence[Leaf | Node],
    outputs: Sequence[int],
    gys: Sequence[NDArray[Any]],
    reached: Collection[int],
) -> str:
    """Code that makes the leaves, runs the nodes and goes backward from each output; `reached`: what backward visits."""
    names = [f"{_letter(step)}{i}" for i, step in enumerate(steps)]
    lines = []
    for i, step in enumerate(steps):
        if isinstance(step, Leaf):
            lines.append(f"{names[i]} = {_leaf(step)}")
        else:
            dead = "" if i in reached else "  # reaches no output"
            lines.append(f"{names[i]} = {_call(step, names)}{dead}")
    for number, (i, gy) in enumerate(zip(outputs, gys, strict=True)):
        more = ", retain_graph=True" if number < len(outputs) - 1 else ""
        lines.append(f"{names[i]}.backward({_literal(gy)}{more})")
    wanted = [i for i, step in enumerate(steps) if isinstance(step, Leaf) and step.kind == "gradient"]
    lines += [f"print({names[i]}.grad)" for i in wanted]
    body = "\n".join(lines)
    used = [n for n in _NUMPY if re.search(rf"(?<![\w.'\"]){n}\b", body)]
    head = f"from numpy import {', '.join(used)}\n\n" if used else ""
    return f"{head}import gradcore\n\n{body}\n"


_NUMPY = (
    "array", "zeros", "nan", "inf", "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8",
)  # fmt: skip


def _letter(step: Leaf | Node) -> str:
    if isinstance(step, Leaf):
        return "c" if step.kind == "array" else "x"
    return "y"


def _leaf(leaf: Leaf) -> str:
    if leaf.kind == "array":
        return _literal(leaf.array)
    more = ", requires_grad=True" if leaf.kind == "gradient" else ""
    return f"gradcore.tensor({_literal(leaf.array)}{more})"


def _call(node: Node, names: list[str]) -> str:
    name = node.op.removeprefix("losses.")
    if getattr(gradcore, name, None) is node.entry:
        called = f"gradcore.{name}"
    else:  # what is not public under its name, such as concatenate with its arrays side by side
        home = "ops" if name == node.op else "losses"
        called = f'gradcore.registry.{home}["{name}"]'
    given = ["None" if j is None else names[j] for j in node.inputs]
    return f"{called}({', '.join([*given, *[f'{key}={_literal(v)}' for key, v in node.params.items()]])})"


def _literal(value: Any) -> str:
    return re.sub(r"\s*\n\s*", " ", literal(value, most=sys.maxsize))

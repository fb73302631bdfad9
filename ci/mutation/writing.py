"""How a changed text is written: where a node stands, and what may stand there instead."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from source import Source

ATOMS = (
    ast.Name, ast.Constant, ast.Call, ast.Attribute, ast.Subscript, ast.List, ast.Dict, ast.Set, ast.ListComp,
    ast.SetComp, ast.DictComp, ast.JoinedStr,
)  # fmt: skip

Change = tuple[int, int, str]


def atom(source: Source, node: ast.AST) -> str:
    """The node's text, in parentheses unless it needs none anywhere."""
    code = source.code(node)
    return (
        code
        if isinstance(node, ATOMS) or (code.startswith("(") and isinstance(node, ast.Tuple))
        else f"({code})"
    )


def instead(source: Source, node: ast.AST, new: str) -> Change:
    return (*source.span(node), new)


def by(source: Source, node: ast.AST, other: ast.AST) -> Change:
    """A node replaced by another one's text: without parentheses where the node stands alone."""
    parent = source.parents[node]
    alone = isinstance(parent, ast.Return | ast.Assign | ast.AugAssign | ast.keyword | ast.Lambda | ast.Expr)
    code = source.code(other) if alone else atom(source, other)
    return instead(source, node, code)


def between(source: Source, left: ast.AST, right: ast.AST, old: str, new: str) -> Iterator[Change]:
    """The operator sign between two nodes, replaced."""
    begin, end = source.span(left)[1], source.span(right)[0]
    gap = source.data[begin:end].decode()
    found = re.search(rf"(?<![\w<>=!*/]){re.escape(old)}(?![<>=!*/\w])", gap)
    if found:
        yield begin + found.start(), begin + found.end(), new


def called(node: ast.AST) -> str:
    """The last word of what is called: "sum" for np.sum(x), x.sum() and sum(x)."""
    function = node.func if isinstance(node, ast.Call) else None
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def of_module(node: ast.Call) -> bool:
    """Whether it is called as function of a module: np.sum(x), math.prod(x)."""
    root = node.func
    if not isinstance(root, ast.Attribute):
        return False
    while isinstance(root, ast.Attribute):
        root = root.value
    return isinstance(root, ast.Name) and root.id in {
        "np",
        "math",
        "itertools",
        "init",
        "inspect",
        "registry",
        "operator",
    }


def within(source: Source, node: ast.AST, kinds: type | tuple[type, ...]) -> ast.AST | None:
    parent = source.parents.get(node)
    while parent is not None and not isinstance(parent, kinds):
        parent = source.parents.get(parent)
    return parent


SIGNS: dict[type, tuple[str, tuple[str, ...]]] = {
    ast.Add: ("+", ("-",)),
    ast.Sub: ("-", ("+",)),
    ast.Mult: ("*", ("/",)),
    ast.Div: ("/", ("*",)),
    ast.FloorDiv: ("//", ("*", "/")),
    ast.Mod: ("%", ("//",)),
    ast.Pow: ("**", ("*",)),
    ast.MatMult: ("@", ()),
    ast.BitAnd: ("&", ("|",)),
    ast.BitOr: ("|", ("&",)),
    ast.BitXor: ("^", ("|",)),
    ast.LShift: ("<<", (">>",)),
}


def names_of(node: ast.AST) -> bool:
    """Whether a keyword lists the names of an op."""
    return isinstance(node, ast.keyword) and node.arg in {"numpy", "methods"}

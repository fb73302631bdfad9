"""Changes that go wrong in any program: numbers, comparisons, conditions, arguments, bounds, statements."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from source import FUNCTIONS, MODULE
from writing import Change, atom, between, by, called, instead, of_module, within

if TYPE_CHECKING:
    from collections.abc import Iterator

    from source import Source


def number(source: Source, node: ast.AST) -> Iterator[Change]:
    """A whole number one off, another factor, another axis, -1 for 0 ..."""
    if not isinstance(node, ast.Constant) or isinstance(node.value, bool):
        return
    value = node.value
    if isinstance(value, int):
        if not (value == 1 and _any_size(source, node)):
            yield instead(source, node, str(value + 1))
        if value > 0:
            yield instead(source, node, str(value - 1))
    elif isinstance(value, float):
        yield instead(source, node, repr(value * 2 if value else 1.0))


def _any_size(source: Source, node: ast.AST) -> bool:
    """Whether it is the 1 of reshape's -1: NumPy takes every negative number for it."""
    up = source.parents[node]
    if not isinstance(up, ast.UnaryOp):
        return False
    while isinstance(up, ast.UnaryOp | ast.Tuple):
        up = source.parents[up]
    return isinstance(up, ast.Call) and called(up) == "reshape"


# Keywords that change no value: `copy` of astype.
_NO_VALUE = {"strict", "copy"}


def truth(source: Source, node: ast.AST) -> Iterator[Change]:
    """True for False: keepdims, defaults and flags."""
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        if getattr(source.parents[node], "arg", "") in _NO_VALUE:
            return
        yield instead(source, node, str(not node.value))


def comparison(source: Source, node: ast.AST) -> Iterator[Change]:
    """> for >= and for <, == for !=, in for not in."""
    if not isinstance(node, ast.Compare):
        return
    others = {
        ast.Lt: ("<", ("<=", ">")), ast.LtE: ("<=", ("<", ">")), ast.Gt: (">", (">=", "<")), ast.GtE: (">=", (">", "<")),
        ast.Eq: ("==", ("!=",)), ast.NotEq: ("!=", ("==",)), ast.Is: ("is", ("is not",)), ast.IsNot: ("is not", ("is",)),
        ast.In: ("in", ("not in",)), ast.NotIn: ("not in", ("in",)),
    }  # fmt: skip
    for left, sign_, right in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
        old, made = others[type(sign_)]
        for new in made:
            yield from between(source, left, right, old, new)


def condition(source: Source, node: ast.AST) -> Iterator[Change]:
    """A condition negated, `or` for `and`, one side of either left out."""
    tests: list[ast.expr] = []
    if isinstance(node, ast.If | ast.IfExp | ast.While):
        tests = [node.test]
    elif isinstance(node, ast.comprehension):
        tests = node.ifs
    for test in tests:
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            yield instead(source, test, atom(source, test.operand))
        elif not isinstance(test, ast.Compare) or len(test.ops) > 1:
            yield instead(source, test, f"not {atom(source, test)}")
    if isinstance(node, ast.BoolOp):
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            yield from between(source, left, right, old, new)
        for i in range(len(node.values)):
            rest = f" {old} ".join(atom(source, v) for j, v in enumerate(node.values) if j != i)
            yield instead(source, node, f"({rest})" if len(node.values) > 2 else rest)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield by(source, node, node.operand)


_KEPT_CALLS = {
    "isinstance", "len", "range", "zip", "enumerate", "super", "type", "tuple", "list", "dict", "set", "iter", "float", "int",
    "bool", "str", "hasattr", "getattr", "vars", "id", "any", "all", "map", "slice", "sorted", "repr", "append", "items",
    "values", "keys", "get", "pop", "next", "update", "join", "bind", "finfo", "iinfo", "dtype",
}  # fmt: skip


def call(source: Source, node: ast.AST) -> Iterator[Change]:
    """A function left out, so that its argument passes as it is: no exp, no transpose, no reshape, no astype."""
    if (
        not isinstance(node, ast.Call)
        or isinstance(source.parents[node], ast.Expr)
        or called(node) in _KEPT_CALLS
    ):
        return
    if isinstance(node.func, ast.Attribute) and not of_module(node):
        if not isinstance(node.func.value, ast.Call) and not source.code(node.func).startswith("self."):
            yield by(source, node, node.func.value)
    elif (
        node.args
        and not isinstance(node.args[0], ast.Starred | ast.Constant)
        and not called(node)[:1].isupper()
    ):
        yield by(source, node, node.args[0])


def argument(source: Source, node: ast.AST) -> Iterator[Change]:
    """A keyword left out (dtype, out, axis, keepdims), or the last of several arguments."""
    if not isinstance(node, ast.Call):
        return
    parts = sorted([*node.args, *node.keywords], key=lambda part: source.span(part))
    for i, part in enumerate(parts):
        last = i == len(parts) - 1
        if isinstance(part, ast.keyword):
            if part.arg in {"vjp", "name", "numpy", "methods", "doc", *_NO_VALUE} or source.no_target(part):
                continue
        elif not (
            last and len(parts) > 1 and called(node) not in {"isinstance", "hasattr", "setattr", "super"}
        ):
            continue
        if i:
            yield source.span(parts[i - 1])[1], source.span(part)[1], ""
        elif not last:
            yield source.span(part)[0], source.span(parts[1])[0], ""


_GY_AND_Y = {"gy", "y", "_y", "out"}


def variable(source: Source, node: ast.AST) -> Iterator[Change]:
    """Another argument of the same kind."""
    if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load) or node.id == "self":
        return
    attribute = getattr(source.parents[node], "attr", "")
    if attribute == "ndim":  # nearly always the same number
        return
    function = within(source, node, (*FUNCTIONS, ast.Lambda))
    if function is None:
        return
    named = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    kinds = {a.arg: ast.unparse(a.annotation) if a.annotation else "" for a in named}
    if kinds.get(node.id) is None or (not kinds[node.id] and not isinstance(function, ast.Lambda)):
        return
    same = [name for name, kind in kinds.items() if kind == kinds[node.id] and name != "self"]
    for other in (same[same.index(node.id) - 1], same[(same.index(node.id) + 1) % len(same)]):
        # A cotangent has the shape and the dtype of its value.
        if other != node.id and not (
            attribute in {"shape", "dtype", "size"} and {node.id, other} <= _GY_AND_Y
        ):
            yield instead(source, node, other)


def bound(source: Source, node: ast.AST) -> Iterator[Change]:
    """A bound of a slice or of a range one off, or left out."""
    bounds: list[ast.expr | None] = []
    if isinstance(node, ast.Slice):
        bounds = [node.lower, node.upper, node.step]
        for part in bounds:
            if part is not None:
                yield instead(source, part, "")
    elif isinstance(node, ast.Call) and called(node) in {"slice", "range"}:
        bounds = [a for a in node.args if not isinstance(a, ast.Starred)]
    for part in bounds:
        if part is not None and not isinstance(part, ast.Constant):
            for off in ("+ 1", "- 1"):
                yield instead(source, part, f"{atom(source, part)} {off}")


def statement(source: Source, node: ast.AST) -> Iterator[Change]:
    """A call, an assignment in place, a second assignment, an early return or an error left out."""
    gone = None
    if (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)) or isinstance(
        node, ast.AugAssign | ast.Raise | ast.Continue | ast.Break
    ):
        gone = node
    elif isinstance(node, ast.Assign):
        target = node.targets[0]
        if not isinstance(target, ast.Name) or _assigned_before(source, node, target.id):
            gone = node
    elif (isinstance(node, ast.Return) and isinstance(source.parents[node], ast.If | ast.For)) or (
        isinstance(node, ast.For) and source.owner(node.lineno).name == MODULE
    ):
        gone = node
    if gone is not None:
        yield instead(source, gone, "pass")


def _assigned_before(source: Source, node: ast.Assign, name: str) -> bool:
    function = within(source, node, FUNCTIONS)
    if function is None:
        return False
    arguments = {a.arg for a in ast.walk(function.args) if isinstance(a, ast.arg)}
    stores = [
        n.lineno
        for n in ast.walk(function)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store) and n.id == name
    ]
    return name in arguments or min(stores, default=node.lineno) < node.lineno

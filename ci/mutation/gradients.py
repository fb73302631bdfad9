"""Changes that go wrong in gradients: signs, terms, factors, operands, axes, transposes, accumulation, the cotangent."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from writing import SIGNS, Change, atom, between, by, called, instead, names_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from source import Source


def arithmetic(source: Source, node: ast.AST) -> Iterator[Change]:
    """+ for -, * for /, // for / ..., alone and in an assignment."""
    if isinstance(node, ast.BinOp) and type(node.op) in SIGNS:
        old, others = SIGNS[type(node.op)]
        for new in others:
            yield from between(source, node.left, node.right, old, new)
    elif isinstance(node, ast.AugAssign) and type(node.op) in SIGNS:
        old, others = SIGNS[type(node.op)]
        for new in others:
            yield from between(source, node.target, node.value, f"{old}=", f"{new}=")


def sign(source: Source, node: ast.AST) -> Iterator[Change]:
    """A minus dropped, and the whole result of a rule negated."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Invert | ast.UAdd):
        yield by(source, node, node.operand)
    value = (
        node.value if isinstance(node, ast.Return) else node.body if isinstance(node, ast.Lambda) else None
    )
    if value is None or isinstance(value, ast.Constant | ast.Tuple):
        return
    if isinstance(node, ast.Lambda) or source.owner(node.lineno).rule:
        yield instead(source, value, f"-{atom(source, value)}")


def dropped(source: Source, node: ast.AST) -> Iterator[Change]:
    """A term of a sum, a factor of a product, a divisor, an exponent or an operand of @ left out."""
    if not isinstance(node, ast.BinOp):
        return
    yield by(source, node, node.left)
    if isinstance(node.op, ast.Sub):
        yield instead(source, node, f"(-{atom(source, node.right)})")
    elif isinstance(node.op, ast.Div):
        yield instead(source, node, f"(1 / {atom(source, node.right)})")
    else:
        yield by(source, node, node.right)


def swapped(source: Source, node: ast.AST) -> Iterator[Change]:
    """Operands of -, /, @ and ** exchanged, arguments of a call, neighbours in a tuple."""
    if isinstance(node, ast.BinOp) and not isinstance(
        node.op, ast.Add | ast.Mult | ast.BitAnd | ast.BitOr | ast.BitXor
    ):
        written = SIGNS[type(node.op)][0]
        yield instead(source, node, f"{atom(source, node.right)} {written} {atom(source, node.left)}")
    elif isinstance(node, ast.Call) and called(node) not in _SYMMETRIC:
        for left, right in zip(node.args, node.args[1:], strict=False):
            if not isinstance(left, ast.Starred) and not isinstance(right, ast.Starred):
                yield from _exchanged(source, left, right)
    elif (
        isinstance(node, ast.Tuple)
        and isinstance(node.ctx, ast.Load)
        and not _unordered(source.parents[node])
    ):
        for left, right in zip(node.elts, node.elts[1:], strict=False):
            yield from _exchanged(source, left, right)
    elif isinstance(node, ast.IfExp):
        yield from _exchanged(source, node.body, node.orelse)


def _unordered(node: ast.AST) -> bool:
    """Whether a tuple below this node is a set: the axes of a reduction, the names of an op, what something is sought in."""
    if isinstance(node, ast.Compare):
        return isinstance(node.ops[-1], ast.In | ast.NotIn)
    if isinstance(node, ast.Call):
        return called(node) == "isin"
    return isinstance(node, ast.keyword) and (node.arg == "axis" or names_of(node))


def _exchanged(source: Source, left: ast.AST, right: ast.AST) -> Iterator[Change]:
    begin, end = source.span(left)[0], source.span(right)[1]
    gap = source.data[source.span(left)[1] : source.span(right)[0]].decode()
    if gap.count("(") == gap.count(")"):
        yield begin, end, f"{source.code(right)}{gap}{source.code(left)}"


_SYMMETRIC = {
    "add", "multiply", "maximum", "minimum", "max", "min", "isinstance", "hasattr", "getattr", "setattr", "array_equal",
    "equal", "zip", "logical_and", "logical_or", "vdot", "result_type", "issubclass", "gcd", "fmax", "fmin", "hypot", "logaddexp",
    "logaddexp2", "broadcast_shapes", "promote_types", "swapaxes",
}  # fmt: skip


_REDUCTIONS = {"sum", "mean", "max", "min", "prod", "reduce", "var", "std", "fsum"}


def axis(source: Source, node: ast.AST) -> Iterator[Change]:
    """Another axis (its neighbour, from the other end, all axes), keepdims added to a reduction, ddof=1."""
    if not isinstance(node, ast.Call):
        return
    for keyword in node.keywords:
        if keyword.arg == "axis":
            value = keyword.value
            for new in ("None", "-1", "0", "-2"):
                yield instead(source, value, new)
            if not isinstance(value, ast.Constant):
                yield instead(source, value, f"{atom(source, value)}[:-1]")
    if called(node) in _REDUCTIONS and (node.args or node.keywords):
        given = {keyword.arg for keyword in node.keywords}
        if called(node) != "fsum" and "keepdims" not in given:
            yield instead(source, node, f"{source.code(node)[:-1].rstrip().rstrip(',')}, keepdims=True)")
        if called(node) in {"var", "std"} and "ddof" not in given:
            yield instead(source, node, f"{source.code(node)[:-1].rstrip().rstrip(',')}, ddof=1)")


_TWINS = {
    "max": "min", "min": "max", "maximum": "minimum", "minimum": "maximum", "argmax": "argmin", "argmin": "argmax",
    "any": "all", "all": "any", "zeros": "ones", "ones": "zeros", "zeros_like": "ones_like", "ones_like": "zeros_like",
    "sin": "cos", "cos": "sin", "exp": "expm1", "expm1": "exp", "log": "log1p", "log1p": "log", "sum": "mean",
    "mean": "sum", "prod": "sum", "var": "std", "std": "var", "sign": "absolute", "absolute": "sign", "add": "subtract",
    "subtract": "add", "multiply": "divide", "divide": "multiply", "sqrt": "square", "tanh": "sin", "isfinite": "isnan",
}  # fmt: skip


def twin(source: Source, node: ast.AST) -> Iterator[Change]:
    """A function's twin: the minimum for the maximum, ones for zeros, the mean for the sum."""
    if isinstance(node, ast.Attribute) and node.attr in _TWINS:
        used = isinstance(source.parents[node], ast.Call | ast.Attribute)
        of_numpy = isinstance(node.value, ast.Name) and node.value.id in {"np", "math"}
        if (used or of_numpy) and not isinstance(node.ctx, ast.Store):
            end = source.span(node)[1]
            yield end - len(node.attr), end, _TWINS[node.attr]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _TWINS:
        yield instead(source, node.func, _TWINS[node.func.id])


def transposed(source: Source, node: ast.AST) -> Iterator[Change]:
    """x for x.T, x.T for x among the operands of @."""
    if isinstance(node, ast.Attribute) and node.attr == "T" and isinstance(node.ctx, ast.Load):
        yield by(source, node, node.value)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        for side in (node.left, node.right):
            if not (isinstance(side, ast.Attribute) and side.attr == "T"):
                yield instead(source, side, f"{atom(source, side)}.T")


def accumulation(source: Source, node: ast.AST) -> Iterator[Change]:
    """= for +=, an assignment for np.add.at and for an np.add into its own first operand."""
    if isinstance(node, ast.AugAssign):
        sign_ = SIGNS.get(type(node.op))
        if sign_:
            old, store = f"{sign_[0]}=", "="
            yield from between(source, node.target, node.value, old, store)
            if isinstance(node.target, ast.Name):  # of an array: into it, rather than another under its name
                yield _into(source, node, old)
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        code = source.code(node.value.func)
        arguments = [source.code(a) for a in node.value.args]
        if code == "np.add.at" and len(arguments) == 3:
            yield instead(source, node, f"{arguments[0]}[{arguments[1]}] = {arguments[2]}")
        if code == "np.add" and any(
            k.arg == "out" and source.code(k.value) == arguments[0] for k in node.value.keywords
        ):
            yield instead(source, node, f"{arguments[0]}[...] = {arguments[1]}")


def _into(source: Source, node: ast.AugAssign, old: str) -> Change:
    begin, end = source.span(node.target)[0], source.span(node.value)[0]
    gap = source.data[begin:end].decode()
    return begin, end, gap.replace(node.target.id, f"{node.target.id}[...]", 1).replace(old, "=", 1)


def cotangent(source: Source, node: ast.AST) -> Iterator[Change]:
    """Ones in the place of gy."""
    if isinstance(node, ast.Name) and node.id in {"gy", "g"} and isinstance(node.ctx, ast.Load):
        parent = source.parents[node]
        if not isinstance(parent, ast.Attribute) and called(parent) not in {
            "result_type",
            "zeros_like",
            "ones_like",
        }:
            yield instead(source, node, f"np.ones_like({node.id})")


def enrolment(source: Source, node: ast.AST) -> Iterator[Change]:
    """A name under which an op is called left out of its decorator."""
    if isinstance(node, ast.keyword) and names_of(node) and isinstance(node.value, ast.Tuple):
        for i in range(len(node.value.elts)):
            rest = "".join(f"{source.code(e)}, " for j, e in enumerate(node.value.elts) if j != i)
            yield instead(source, node.value, f"({rest.rstrip()})")

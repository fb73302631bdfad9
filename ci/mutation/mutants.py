"""What is changed: every operator takes a node and gives the texts that may stand in its place.

General ones (signs, comparisons, conditions, numbers, statements) stand beside those that gradients go wrong by: a
dropped term or factor, swapped operands, another axis, keepdims, ddof, a transpose left out, the cotangent left out, an
assignment in the place of an accumulation, another variable of the same kind.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from source import FUNCTIONS, MODULE, Owner, Source, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class Mutant:
    """One change of one source file: `new` in the place of the bytes from `begin` to `end`."""

    source: Source
    operator: str
    owner: Owner
    begin: int
    end: int
    new: str
    occurrence: int = 1

    @property
    def text(self) -> str:
        """The whole changed source."""
        data = self.source.data
        return (data[: self.begin] + self.new.encode() + data[self.end :]).decode()

    @property
    def line(self) -> int:
        """The number of the first changed line."""
        return self.source.line(self.begin)

    @property
    def lines(self) -> tuple[str, str]:
        """The changed lines before and after, without indentation, joined where they are several."""
        data = self.source.data
        first = data.rfind(b"\n", 0, self.begin) + 1
        last = data.find(b"\n", self.end)
        before, after = data[first : self.begin].decode(), data[self.end : last if last >= 0 else None].decode()
        return _joined(before + data[self.begin : self.end].decode() + after), _joined(before + self.new + after)

    @property
    def refusal(self) -> bool:
        """Whether it changes what is refused: the condition of an error, or the raising of it."""
        for node in ast.walk(self.source.tree):
            if isinstance(node, ast.If) and any(isinstance(part, ast.Raise) for part in node.body):
                begin, end = self.source.span(node.test)[0], self.source.span(node.body[-1])[1]
                if begin <= self.begin and self.end <= end:
                    return True
        return False

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        """What names it in equivalent.toml: stable as long as the line and its function are."""
        return (self.source.name, self.owner.name, *self.lines, self.occurrence)

    @property
    def id(self) -> str:
        """A fingerprint of the file and the change."""
        return digest(self.source.name, self.text)

    def diff(self) -> str:
        """The change as a unified diff."""
        return "\n".join(
            difflib.unified_diff(
                self.source.text.splitlines(),
                self.text.splitlines(),
                f"a/{self.source.name}",
                f"b/{self.source.name}",
                lineterm="",
                n=1,
            )
        )


def _joined(text: str) -> str:
    return " ".join(line.strip() for line in text.strip().splitlines())


def mutants(source: Source) -> list[Mutant]:
    """All mutants of a file, in the file's order; none that reads as the file does, and no two that read alike."""
    keys: Counter[tuple[str, ...]] = Counter()
    found = []
    for top in source.tree.body:
        first, last = source.whole(top)
        seen = {ast.dump(ast.parse(source.data[first:last]))}
        for node in _targets(source, top):
            for name, operator in OPERATORS.items():
                for begin, end, new in operator(source, node):
                    text = source.data[first:begin] + new.encode() + source.data[end:last]
                    try:
                        dump = ast.dump(ast.parse(text))
                    except SyntaxError:
                        continue
                    if dump in seen:
                        continue
                    seen.add(dump)
                    made = Mutant(source, name, source.owner(source.line(begin)), begin, end, new)
                    key = (made.owner.name, *made.lines)
                    keys[key] += 1
                    found.append(replace(made, occurrence=keys[key]))
    return sorted(found, key=lambda m: (m.begin, m.end))


def _targets(source: Source, node: ast.AST) -> Iterator[ast.AST]:
    if source.no_target(node):
        return
    yield node
    if isinstance(node, ast.Raise):
        return  # its words; that it is raised at all is changed by `statement`
    for child in ast.iter_child_nodes(node):
        yield from _targets(source, child)


# --- writing code -----------------------------------------------------------------------------------------------------

_ATOMS = (
    ast.Name, ast.Constant, ast.Call, ast.Attribute, ast.Subscript, ast.List, ast.Dict, ast.Set, ast.ListComp,
    ast.SetComp, ast.DictComp, ast.JoinedStr,
)  # fmt: skip

Change = tuple[int, int, str]


def _atom(source: Source, node: ast.AST) -> str:
    """The node's text, in parentheses unless it needs none anywhere."""
    code = source.code(node)
    return code if isinstance(node, _ATOMS) or code.startswith("(") and isinstance(node, ast.Tuple) else f"({code})"


def _instead(source: Source, node: ast.AST, new: str) -> Change:
    return (*source.span(node), new)


def _by(source: Source, node: ast.AST, other: ast.AST) -> Change:
    """A node replaced by another one's text: without parentheses where the node stands alone."""
    parent = source.parents[node]
    alone = isinstance(parent, ast.Return | ast.Assign | ast.AugAssign | ast.keyword | ast.Lambda | ast.Expr)
    code = source.code(other) if alone else _atom(source, other)
    return _instead(source, node, code)


def _between(source: Source, left: ast.AST, right: ast.AST, old: str, new: str) -> Iterator[Change]:
    """The operator sign between two nodes, replaced."""
    begin, end = source.span(left)[1], source.span(right)[0]
    gap = source.data[begin:end].decode()
    found = re.search(rf"(?<![\w<>=!*/]){re.escape(old)}(?![<>=!*/\w])", gap)
    if found:
        yield begin + found.start(), begin + found.end(), new


def _called(node: ast.AST) -> str:
    """The last word of what is called: "sum" for np.sum(x), x.sum() and sum(x)."""
    function = node.func if isinstance(node, ast.Call) else None
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _of_module(node: ast.Call) -> bool:
    """Whether it is called as function of a module: np.sum(x), math.prod(x)."""
    root = node.func
    if not isinstance(root, ast.Attribute):
        return False
    while isinstance(root, ast.Attribute):
        root = root.value
    return isinstance(root, ast.Name) and root.id in {"np", "math", "itertools", "init", "inspect", "registry", "operator"}


def _within(source: Source, node: ast.AST, kinds: type | tuple[type, ...]) -> ast.AST | None:
    parent = source.parents.get(node)
    while parent is not None and not isinstance(parent, kinds):
        parent = source.parents.get(parent)
    return parent


# --- arithmetic -------------------------------------------------------------------------------------------------------

_SIGNS: dict[type, tuple[str, tuple[str, ...]]] = {
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


def arithmetic(source: Source, node: ast.AST) -> Iterator[Change]:
    """+ for -, * for /, // for / ..., alone and in an assignment."""
    if isinstance(node, ast.BinOp) and type(node.op) in _SIGNS:
        old, others = _SIGNS[type(node.op)]
        for new in others:
            yield from _between(source, node.left, node.right, old, new)
    elif isinstance(node, ast.AugAssign) and type(node.op) in _SIGNS:
        old, others = _SIGNS[type(node.op)]
        for new in others:
            yield from _between(source, node.target, node.value, f"{old}=", f"{new}=")


def sign(source: Source, node: ast.AST) -> Iterator[Change]:
    """A minus dropped, and the whole result of a rule negated."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Invert | ast.UAdd):
        yield _by(source, node, node.operand)
    value = node.value if isinstance(node, ast.Return) else node.body if isinstance(node, ast.Lambda) else None
    if value is None or isinstance(value, ast.Constant | ast.Tuple):
        return
    if isinstance(node, ast.Lambda) or source.owner(node.lineno).rule:
        yield _instead(source, value, f"-{_atom(source, value)}")


def dropped(source: Source, node: ast.AST) -> Iterator[Change]:
    """A term of a sum, a factor of a product, a divisor, an exponent or an operand of @ left out."""
    if not isinstance(node, ast.BinOp):
        return
    yield _by(source, node, node.left)
    if isinstance(node.op, ast.Sub):
        yield _instead(source, node, f"(-{_atom(source, node.right)})")
    elif isinstance(node.op, ast.Div):
        yield _instead(source, node, f"(1 / {_atom(source, node.right)})")
    else:
        yield _by(source, node, node.right)


def swapped(source: Source, node: ast.AST) -> Iterator[Change]:
    """Operands of -, /, @ and ** exchanged, arguments of a call, neighbours in a tuple."""
    if isinstance(node, ast.BinOp) and not isinstance(node.op, ast.Add | ast.Mult | ast.BitAnd | ast.BitOr | ast.BitXor):
        written = _SIGNS[type(node.op)][0]
        yield _instead(source, node, f"{_atom(source, node.right)} {written} {_atom(source, node.left)}")
    elif isinstance(node, ast.Call) and _called(node) not in _SYMMETRIC:
        for left, right in zip(node.args, node.args[1:], strict=False):
            if not isinstance(left, ast.Starred) and not isinstance(right, ast.Starred):
                yield from _exchanged(source, left, right)
    elif isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Load) and not _names_of(source.parents[node]):
        for left, right in zip(node.elts, node.elts[1:], strict=False):
            yield from _exchanged(source, left, right)
    elif isinstance(node, ast.IfExp):
        yield from _exchanged(source, node.body, node.orelse)


def _exchanged(source: Source, left: ast.AST, right: ast.AST) -> Iterator[Change]:
    begin, end = source.span(left)[0], source.span(right)[1]
    gap = source.data[source.span(left)[1] : source.span(right)[0]].decode()
    if gap.count("(") == gap.count(")"):
        yield begin, end, f"{source.code(right)}{gap}{source.code(left)}"


_SYMMETRIC = {
    "add", "multiply", "maximum", "minimum", "max", "min", "isinstance", "hasattr", "getattr", "setattr", "array_equal",
    "equal", "zip", "logical_and", "logical_or", "vdot", "result_type", "issubclass", "gcd",
}  # fmt: skip


# --- numbers and truth values -----------------------------------------------------------------------------------------


def number(source: Source, node: ast.AST) -> Iterator[Change]:
    """A whole number one off, another factor, another axis, -1 for 0 ..."""
    if not isinstance(node, ast.Constant) or isinstance(node.value, bool):
        return
    value = node.value
    if isinstance(value, int):
        yield _instead(source, node, str(value + 1))
        if value > 0:
            yield _instead(source, node, str(value - 1))
    elif isinstance(value, float):
        yield _instead(source, node, repr(value * 2 if value else 1.0))


def truth(source: Source, node: ast.AST) -> Iterator[Change]:
    """True for False: keepdims, defaults and flags."""
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield _instead(source, node, str(not node.value))


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
            yield from _between(source, left, right, old, new)


def condition(source: Source, node: ast.AST) -> Iterator[Change]:
    """A condition negated, `or` for `and`, one side of either left out."""
    tests: list[ast.expr] = []
    if isinstance(node, ast.If | ast.IfExp | ast.While):
        tests = [node.test]
    elif isinstance(node, ast.comprehension):
        tests = node.ifs
    for test in tests:
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            yield _instead(source, test, _atom(source, test.operand))
        elif not isinstance(test, ast.Compare) or len(test.ops) > 1:
            yield _instead(source, test, f"not {_atom(source, test)}")
    if isinstance(node, ast.BoolOp):
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            yield from _between(source, left, right, old, new)
        for i in range(len(node.values)):
            rest = f" {old} ".join(_atom(source, v) for j, v in enumerate(node.values) if j != i)
            yield _instead(source, node, f"({rest})" if len(node.values) > 2 else rest)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield _by(source, node, node.operand)


# --- arrays -----------------------------------------------------------------------------------------------------------

_REDUCTIONS = {"sum", "mean", "max", "min", "prod", "reduce", "var", "std", "fsum"}


def axis(source: Source, node: ast.AST) -> Iterator[Change]:
    """Another axis (its neighbour, from the other end, all axes), keepdims added to a reduction, ddof=1."""
    if not isinstance(node, ast.Call):
        return
    for keyword in node.keywords:
        if keyword.arg == "axis":
            value = keyword.value
            for new in ("None", "-1", "0", "-2"):
                yield _instead(source, value, new)
            if not isinstance(value, ast.Constant):
                yield _instead(source, value, f"{_atom(source, value)}[:-1]")
    if _called(node) in _REDUCTIONS and (node.args or node.keywords):
        given = {keyword.arg for keyword in node.keywords}
        if _called(node) != "fsum" and "keepdims" not in given:
            yield _instead(source, node, f"{source.code(node)[:-1].rstrip().rstrip(',')}, keepdims=True)")
        if _called(node) in {"var", "std"} and "ddof" not in given:
            yield _instead(source, node, f"{source.code(node)[:-1].rstrip().rstrip(',')}, ddof=1)")


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
        called = isinstance(source.parents[node], ast.Call) or isinstance(source.parents[node], ast.Attribute)
        of_numpy = isinstance(node.value, ast.Name) and node.value.id in {"np", "math"}
        if (called or of_numpy) and not isinstance(node.ctx, ast.Store):
            end = source.span(node)[1]
            yield end - len(node.attr), end, _TWINS[node.attr]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _TWINS:
        yield _instead(source, node.func, _TWINS[node.func.id])


_KEPT_CALLS = {
    "isinstance", "len", "range", "zip", "enumerate", "super", "type", "tuple", "list", "dict", "set", "iter", "float", "int",
    "bool", "str", "hasattr", "getattr", "vars", "id", "any", "all", "map", "slice", "sorted", "repr", "append", "items",
    "values", "keys", "get", "pop", "next", "update", "join", "bind", "finfo", "iinfo", "dtype", "type",
}  # fmt: skip


def call(source: Source, node: ast.AST) -> Iterator[Change]:
    """A function left out, so that its argument passes as it is: no exp, no transpose, no reshape, no astype."""
    if not isinstance(node, ast.Call) or isinstance(source.parents[node], ast.Expr) or _called(node) in _KEPT_CALLS:
        return
    if isinstance(node.func, ast.Attribute) and not _of_module(node):
        if not isinstance(node.func.value, ast.Call) and not source.code(node.func).startswith("self."):
            yield _by(source, node, node.func.value)
    elif node.args and not isinstance(node.args[0], ast.Starred | ast.Constant) and not _called(node)[:1].isupper():
        yield _by(source, node, node.args[0])


def transposed(source: Source, node: ast.AST) -> Iterator[Change]:
    """x for x.T, x.T for x among the operands of @."""
    if isinstance(node, ast.Attribute) and node.attr == "T" and isinstance(node.ctx, ast.Load):
        yield _by(source, node, node.value)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        for side in (node.left, node.right):
            if not (isinstance(side, ast.Attribute) and side.attr == "T"):
                yield _instead(source, side, f"{_atom(source, side)}.T")


def argument(source: Source, node: ast.AST) -> Iterator[Change]:
    """A keyword left out (dtype, out, axis, keepdims), or the last of several arguments."""
    if not isinstance(node, ast.Call):
        return
    parts = sorted([*node.args, *node.keywords], key=lambda part: source.span(part))
    for i, part in enumerate(parts):
        last = i == len(parts) - 1
        if isinstance(part, ast.keyword):
            if part.arg in {"vjp", "strict", "name", "numpy", "methods"} or source.no_target(part):
                continue
        elif not (last and len(parts) > 1 and _called(node) not in {"isinstance", "hasattr", "setattr", "super"}):
            continue
        if i:
            yield source.span(parts[i - 1])[1], source.span(part)[1], ""
        elif not last:
            yield source.span(part)[0], source.span(parts[1])[0], ""


def accumulation(source: Source, node: ast.AST) -> Iterator[Change]:
    """= for +=, an assignment for np.add.at and for an np.add into its own first operand."""
    if isinstance(node, ast.AugAssign):
        sign_ = _SIGNS.get(type(node.op))
        if sign_:
            old, store = f"{sign_[0]}=", "="
            yield from _between(source, node.target, node.value, old, store)
            if isinstance(node.target, ast.Name):  # of an array: into it, rather than another under its name
                yield _into(source, node, old)
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        code = source.code(node.value.func)
        arguments = [source.code(a) for a in node.value.args]
        if code == "np.add.at" and len(arguments) == 3:
            yield _instead(source, node, f"{arguments[0]}[{arguments[1]}] = {arguments[2]}")
        if code == "np.add" and any(k.arg == "out" and source.code(k.value) == arguments[0] for k in node.value.keywords):
            yield _instead(source, node, f"{arguments[0]}[...] = {arguments[1]}")


def _into(source: Source, node: ast.AugAssign, old: str) -> Change:
    begin, end = source.span(node.target)[0], source.span(node.value)[0]
    gap = source.data[begin:end].decode()
    return begin, end, gap.replace(node.target.id, f"{node.target.id}[...]", 1).replace(old, "=", 1)


def cotangent(source: Source, node: ast.AST) -> Iterator[Change]:
    """Ones in the place of gy."""
    if isinstance(node, ast.Name) and node.id in {"gy", "g"} and isinstance(node.ctx, ast.Load):
        parent = source.parents[node]
        if not isinstance(parent, ast.Attribute):
            yield _instead(source, node, f"np.ones_like({node.id})")


# --- names, slices, statements ----------------------------------------------------------------------------------------


def variable(source: Source, node: ast.AST) -> Iterator[Change]:
    """Another argument of the same kind."""
    if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load) or node.id == "self":
        return
    if getattr(source.parents[node], "attr", "") == "ndim":  # nearly always the same number
        return
    function = _within(source, node, (*FUNCTIONS, ast.Lambda))
    if function is None:
        return
    named = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    kinds = {a.arg: ast.unparse(a.annotation) if a.annotation else "" for a in named}
    if kinds.get(node.id) is None or (not kinds[node.id] and not isinstance(function, ast.Lambda)):
        return
    same = [name for name, kind in kinds.items() if kind == kinds[node.id] and name != "self"]
    for other in (same[same.index(node.id) - 1], same[(same.index(node.id) + 1) % len(same)]):
        if other != node.id:
            yield _instead(source, node, other)


def bound(source: Source, node: ast.AST) -> Iterator[Change]:
    """A bound of a slice or of a range one off, or left out."""
    bounds: list[ast.expr | None] = []
    if isinstance(node, ast.Slice):
        bounds = [node.lower, node.upper, node.step]
        for part in bounds:
            if part is not None:
                yield _instead(source, part, "")
    elif isinstance(node, ast.Call) and _called(node) in {"slice", "range"}:
        bounds = [a for a in node.args if not isinstance(a, ast.Starred)]
    for part in bounds:
        if part is not None and not isinstance(part, ast.Constant):
            for off in ("+ 1", "- 1"):
                yield _instead(source, part, f"{_atom(source, part)} {off}")


def statement(source: Source, node: ast.AST) -> Iterator[Change]:
    """A call, an assignment in place, a second assignment, an early return or an error left out."""
    gone = None
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        gone = node
    elif isinstance(node, ast.AugAssign | ast.Raise | ast.Continue | ast.Break):
        gone = node
    elif isinstance(node, ast.Assign):
        target = node.targets[0]
        if not isinstance(target, ast.Name) or _assigned_before(source, node, target.id):
            gone = node
    elif isinstance(node, ast.Return) and isinstance(source.parents[node], ast.If | ast.For):
        gone = node
    elif isinstance(node, ast.For) and source.owner(node.lineno).name == MODULE:
        gone = node
    if gone is not None:
        yield _instead(source, gone, "pass")


def _assigned_before(source: Source, node: ast.Assign, name: str) -> bool:
    function = _within(source, node, FUNCTIONS)
    if function is None:
        return False
    arguments = {a.arg for a in ast.walk(function.args) if isinstance(a, ast.arg)}
    stores = [
        n.lineno
        for n in ast.walk(function)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store) and n.id == name
    ]
    return name in arguments or min(stores, default=node.lineno) < node.lineno


def _names_of(node: ast.AST) -> bool:
    """Whether a keyword lists the names of an op, whose order is nothing."""
    return isinstance(node, ast.keyword) and node.arg in {"numpy", "methods"}


def enrolment(source: Source, node: ast.AST) -> Iterator[Change]:
    """A name under which an op is called left out of its decorator."""
    if isinstance(node, ast.keyword) and _names_of(node) and isinstance(node.value, ast.Tuple):
        for i in range(len(node.value.elts)):
            rest = "".join(f"{source.code(e)}, " for j, e in enumerate(node.value.elts) if j != i)
            yield _instead(source, node.value, f"({rest.rstrip()})")


OPERATORS: dict[str, Callable[[Source, ast.AST], Iterator[Change]]] = {
    f.__name__: f
    for f in (
        arithmetic, sign, dropped, swapped, number, truth, comparison, condition, axis, twin, call, transposed, argument,
        accumulation, cotangent, variable, bound, statement, enrolment,
    )
}  # fmt: skip

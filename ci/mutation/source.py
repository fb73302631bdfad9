"""One source file as a target: which parts of it may be changed, and which function each part belongs to."""

from __future__ import annotations

import ast
import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MODULE = "<module>"
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Owner:
    """A function or method, with its decorators; what runs at import and belongs to none is MODULE's.

    rule: whether it is a vjp, or holds one in its decorator.
    """

    name: str
    first: int
    last: int
    rule: bool = False


@dataclass(eq=False)
class Source:
    """A module: its text, its tree, and what of it is no target.

    No targets are: what only a `spec=` uses (domains, references), docstrings, type hints, the words of error messages
    and functions that only make them. `raise` itself is a target: a mutant without a check must be killed.
    """

    path: Path
    name: str
    text: str = field(repr=False)

    @property
    def module(self) -> str:
        """The name that it is imported by."""
        return ".".join(Path(self.name).with_suffix("").parts).removesuffix(".__init__")

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree."""
        return ast.parse(self.text)

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """Each node's parent."""
        return {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    @cached_property
    def data(self) -> bytes:
        """The text as the bytes that the tree's column offsets count."""
        return self.text.encode()

    @cached_property
    def _starts(self) -> list[int]:
        starts = [0]
        for line in self.data.splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        return starts

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Where a node stands in `data`."""
        begin = self._starts[node.lineno - 1] + node.col_offset
        return begin, self._starts[node.end_lineno - 1] + node.end_col_offset

    def whole(self, node: ast.stmt) -> tuple[int, int]:
        """Where a statement stands with its decorators."""
        begin, end = self.span(node)
        decorators = [self.span(d)[0] for d in getattr(node, "decorator_list", ())]
        return self.data.rfind(b"\n", 0, min([begin, *decorators])) + 1, end

    def code(self, node: ast.AST) -> str:
        """A node's own text."""
        begin, end = self.span(node)
        return self.data[begin:end].decode()

    def line(self, offset: int) -> int:
        """The number of the line, from 1, that holds a byte."""
        return self.data.count(b"\n", 0, offset) + 1

    @cached_property
    def refusals(self) -> list[tuple[int, int]]:
        """Where the source refuses something: from the condition of an error to its raising."""
        return [
            (self.span(node.test)[0], self.span(node.body[-1])[1])
            for node in ast.walk(self.tree)
            if isinstance(node, ast.If) and any(isinstance(part, ast.Raise) for part in node.body)
        ]

    @cached_property
    def bodies(self) -> list[tuple[int, int]]:
        """Where what runs only when a function is called stands."""
        found = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Lambda):
                found.append(self.span(node.body))
            elif isinstance(node, FUNCTIONS):
                found.append((self.span(node.body[0])[0], self.span(node.body[-1])[1]))
        return found

    # --- owners -------------------------------------------------------------------------------------------------------

    @cached_property
    def owners(self) -> list[Owner]:
        """Functions and methods in order; a function within a function is part of it."""
        rules = self._rule_names()
        found = []

        def add(body: list[ast.stmt], prefix: str) -> None:
            for node in body:
                if isinstance(node, ast.ClassDef):
                    add(node.body, f"{prefix}{node.name}.")
                elif isinstance(node, FUNCTIONS):
                    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                    found.append(
                        Owner(prefix + node.name, first, node.end_lineno or first, node.name in rules)
                    )

        add(self.tree.body, "")
        return found

    def owner(self, line: int) -> Owner:
        """The owner of a line."""
        for owner in self.owners:
            if owner.first <= line <= owner.last:
                return owner
        return Owner(MODULE, 1, len(self._starts))

    def _rule_names(self) -> set[str]:
        return {
            name.id
            for node in ast.walk(self.tree)
            if isinstance(node, ast.keyword) and node.arg == "vjp"
            for name in ast.walk(node.value)
            if isinstance(name, ast.Name)
        }

    def registered(self) -> dict[str, set[str]]:
        """For each owner, the registered functions and classes of this file that use it, itself included."""
        uses = {name: self._names(node) for name, node in self._definitions().items()}
        found: dict[str, set[str]] = {owner.name: set() for owner in self.owners}
        for node in self.tree.body:
            if not isinstance(node, (*FUNCTIONS, ast.ClassDef)):
                continue
            if not any(isinstance(d, ast.Call) and _has_spec(d) for d in node.decorator_list):
                continue
            label = _registered_name(node)
            for name in _closure({node.name}, uses):
                for owner in self.owners:
                    if owner.name == name or owner.name.startswith(f"{name}."):
                        found[owner.name].add(label)
        return found

    # --- what is no target --------------------------------------------------------------------------------------------

    def _definitions(self) -> dict[str, ast.stmt]:
        found: dict[str, ast.stmt] = {}
        for node in self.tree.body:
            if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
                found[node.name] = node
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    for name in ast.walk(target):
                        if isinstance(name, ast.Name) and isinstance(
                            name.ctx, ast.Store
                        ):  # no a or b of a[b] = c
                            found[name.id] = node
        return found

    def _names(self, node: ast.AST) -> set[str]:
        """The names that a definition uses, other than in a spec or in a type hint."""
        return {
            n.id
            for n in walk(
                node, lambda child: _is_spec(child) or isinstance(child, ast.arguments) or self.hint(child)
            )
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)
        } | {
            n.id
            for function in ast.walk(node)
            if isinstance(function, ast.arguments)
            for default in (*function.defaults, *function.kw_defaults)
            if default is not None
            for n in ast.walk(default)
            if isinstance(n, ast.Name)
        }

    def hint(self, node: ast.AST) -> bool:
        """Whether a node is a type hint."""
        parent = self.parents.get(node)
        if isinstance(parent, ast.arg | ast.AnnAssign):
            return node is parent.annotation
        return isinstance(parent, FUNCTIONS) and node is parent.returns

    @cached_property
    def only_for_specs(self) -> set[ast.stmt]:
        """Definitions at module level that nothing but a spec uses."""
        definitions = self._definitions()
        uses = {name: self._names(node) for name, node in definitions.items()}
        roots = {
            n.id
            for node in ast.walk(self.tree)
            if _is_spec(node)
            for n in ast.walk(node)
            if isinstance(n, ast.Name) and n.id in definitions
        }
        in_specs = _closure(roots, uses)
        others = _closure(set(definitions) - in_specs, uses)
        for node in self.tree.body:
            if not any(definition is node for definition in definitions.values()):
                others |= _closure(self._names(node) & set(definitions), uses)
        return {definitions[name] for name in in_specs - others}

    def no_target(self, node: ast.AST) -> bool:
        """Whether a node and all below it are to be left alone."""
        if _is_spec(node) or self.hint(node) or node in self.only_for_specs:
            return True
        if isinstance(node, ast.Import | ast.ImportFrom | ast.JoinedStr):
            return True
        if isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets
        ):
            return True
        if isinstance(node, FUNCTIONS) and node.returns is not None:
            return ast.unparse(node.returns).endswith("Error")
        if isinstance(node, ast.AnnAssign) and "TypeAlias" in ast.unparse(node.annotation):
            return True
        return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def walk(node: ast.AST, leave: object) -> Iterator[ast.AST]:
    """`ast.walk` without the subtrees for which `leave` is true."""
    if leave(node):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from walk(child, leave)


def _is_spec(node: ast.AST) -> bool:
    return isinstance(node, ast.keyword) and node.arg == "spec"


def _has_spec(call: ast.Call) -> bool:
    return any(_is_spec(keyword) for keyword in call.keywords)


def _registered_name(node: ast.stmt) -> str:
    """The name under which a decorated definition is registered: its own, or the decorator's `name=`."""
    for decorator in node.decorator_list:
        for keyword in getattr(decorator, "keywords", ()):
            if keyword.arg == "name" and isinstance(keyword.value, ast.Constant):
                return keyword.value.value
    return node.name


def _closure(names: set[str], uses: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += uses.get(name, ())
    return found & set(uses)


def digest(*parts: bytes | str) -> str:
    """A short fingerprint of some texts."""
    made = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        made.update(len(data).to_bytes(8, "little") + data)
    return made.hexdigest()[:16]

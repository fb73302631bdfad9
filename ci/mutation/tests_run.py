"""Which functions of the sources each test runs: every function marks itself as it begins.

A tracer of Python's would be called for every call there is, also in Hypothesis and mpmath, and takes twice as long.
"""

from __future__ import annotations

import ast
import builtins
import os
import sys
import time
from typing import TYPE_CHECKING

import forks
from source import FUNCTIONS, MODULE, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

_MARK = "__ran__"  # a built-in of the fork: any module may call it


class _Marks(ast.NodeTransformer):
    """Puts a call into every function: `__ran__("file:owner")`."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def _call(self, node: ast.Lambda | ast.FunctionDef | ast.AsyncFunctionDef) -> ast.Call:
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
        name = f"{self._source.name}:{self._source.owner(first).name}"
        return ast.Call(ast.Name(_MARK, ast.Load()), [ast.Constant(name)], [])

    def visit(self, node: ast.AST) -> ast.AST:
        """The node, with a mark where it is a function."""
        call = self._call(node) if isinstance(node, (ast.Lambda, *FUNCTIONS)) else None
        self.generic_visit(node)
        if call is not None and isinstance(node, ast.Lambda):
            node.body = ast.BoolOp(
                ast.Or(), [call, node.body]
            )  # a mark gives None: then the body is the value
        elif call is not None:
            node.body.insert(ast.get_docstring(node) is not None, ast.Expr(call))
        return node


def marked(source: Source) -> forks.Change:
    """A source in which each function reports that it runs, and the module that it is imported."""
    tree = _Marks(source).visit(ast.parse(source.text))
    after = [
        n
        for n, node in enumerate(tree.body, 1)
        if isinstance(node, ast.ImportFrom) and node.module == "__future__"
    ]
    start = ast.Expr(ast.Call(ast.Name(_MARK, ast.Load()), [ast.Constant(f"{source.name}:{MODULE}")], []))
    tree.body.insert(max(after, default=int(ast.get_docstring(tree) is not None)), start)
    code = compile(ast.fix_missing_locations(tree), source.path, "exec", dont_inherit=True)
    return forks.Change(source.module, source.path, code)


def measure(root: Path, file: str, changes: Iterable[forks.Change]) -> Callable[[forks.Send], int]:
    """The task of a fork: run all tests of a file and report which functions of the marked sources each runs."""

    def task(send: forks.Send) -> int:
        os.chdir(root)
        sys.path.insert(0, str(root))
        seen: set[str] = set()
        tests: dict[str, tuple[float, list[str]]] = {}
        current, began = "", time.perf_counter()

        def before_each(name: str) -> None:
            nonlocal current, began
            now = time.perf_counter()
            tests[current] = now - began, sorted(seen)
            seen.clear()
            current, began = name, now

        setattr(builtins, _MARK, seen.add)
        sys.meta_path.insert(0, forks.Finder(*changes))
        code = forks.run_pytest(root, [file], forks.Reporter(send, None, before_each))
        before_each("")
        _, at_import = tests.pop("")
        send({"measured": file, "tests": tests, "at_import": at_import, "code": code})
        return code

    return task

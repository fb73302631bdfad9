"""What importing loads, and in which direction imports point."""

import ast
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import gradcheck
import gradcore

SOURCES = {package.__name__: Path(package.__file__).parent for package in (gradcore, gradcheck)}


def files(package):
    return sorted(SOURCES[package].rglob("*.py"))


def module_name(path, package):
    parts = path.relative_to(SOURCES[package].parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


KNOWN = {module_name(path, package) for package in SOURCES for path in files(package)}


def loaded_by(statement):
    """The top-level modules that a fresh interpreter holds after `statement`, but not before it, nor after NumPy."""
    code = f"import json, sys, numpy\nbefore = set(sys.modules)\n{statement}\nprint(json.dumps(sorted(set(sys.modules) - before)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(out.stdout)


@pytest.mark.parametrize("package", ["gradcore", "gradcheck"])
def test_importing_loads_numpy_and_the_standard_library_only(package):
    foreign = (
        {name.partition(".")[0] for name in loaded_by(f"import {package}")}
        - set(sys.stdlib_module_names)
        - {"numpy", "gradcore", "gradcheck"}
    )
    assert not foreign


def test_importing_gradcore_does_not_load_gradcheck_nor_numpys_random_numbers():
    loaded = loaded_by("import gradcore")
    assert not [name for name in loaded if name.startswith("gradcheck")]
    assert "numpy.random" not in loaded  # 10 ms


def test_layers_and_optimizers_are_loaded_when_they_are_used():
    late = ("nn", "optim", "train", "data", "io", "notebook")
    bare = loaded_by("import gradcore")
    assert not {f"gradcore.{name}" for name in late} & set(bare)
    assert not {"dataclasses", "difflib", "html", "string"} & set(bare)  # 1 to 15 ms each
    assert "gradcore.optim" in loaded_by("import gradcore; gradcore.optim.SGD")
    assert "gradcore.nn" in loaded_by("from gradcore.registry import layers")
    assert "gradcore.optim" in loaded_by("import gradcore; list(gradcore.registry.optimizers)")


@cache
def imports(path):
    """(module, whether it is imported at the top of the file) for each import in a file; TYPE_CHECKING blocks left out."""
    found = []

    def visit(node, top):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.Import):
                found.extend((alias.name, top) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path} imports relatively"
                modules = {f"{child.module}.{alias.name}" for alias in child.names} & KNOWN
                found.extend((name, top) for name in modules or {child.module})
            visit(child, top and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))

    visit(ast.parse(path.read_text()), True)
    return found


def test_gradcore_imports_neither_gradcheck_nor_a_test_tool():
    for path in files("gradcore"):
        for name, _ in imports(path):
            top = name.partition(".")[0]
            assert top not in {"hypothesis", "pytest"}, f"{path.name} imports {name}"
            assert (
                top != "gradcheck"
                or path.name in ("cli.py", "preflight.py")
                or path.parent.name == "examples"
            ), f"{path.name} imports {name}"


@pytest.mark.parametrize("package", ["gradcore", "gradcheck"])
def test_no_modules_import_each_other_in_a_circle(package):
    known = {module_name(path, package): path for path in files(package)}
    graph = {
        name: {target for target, top in imports(path) if top and target in known and target != name}
        for name, path in known.items()
    }
    done, path = set(), []

    def visit(name):
        assert name not in path, "a circle of imports: " + " -> ".join([*path[path.index(name) :], name])
        if name in done:
            return
        path.append(name)
        for target in sorted(graph[name]):
            visit(target)
        path.pop()
        done.add(name)

    for name in sorted(graph):
        visit(name)


def test_no_package_uses_pickle():
    for package in SOURCES:
        for path in files(package):
            assert "pickle" not in {name.partition(".")[0] for name, _ in imports(path)}, path

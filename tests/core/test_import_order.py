"""The rooms of gradcore import downwards only, and no file imports itself in a circle, types and late imports included."""

import ast
import shutil
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import gradcore

ROOT = Path(gradcore.__file__).parent

# A room is a file or a folder. It may import the rooms on lines above its own, and none on its own line.
ROOMS = """
    errors  record  allocation
    spec  state  extras  progress  names  notebook  sizes  threads
    registry  io  modes  data
    graph  figures  holding
    attached  convert  tracing
    tensor
    op  create
    distributed
    ops
    losses  variables
    batched  transforms  recompute
    nn  optim
    preflight  saving  replay
    train
    __init__
    model_file
    runs
    cli  examples
    __main__
"""
HEIGHT = {room: height for height, line in enumerate(ROOMS.strip().splitlines()) for room in line.split()}


def files(root):
    """{module name without the leading "gradcore.": path}; a package is named by its folder, gradcore by __init__."""
    found = {}
    for path in root.rglob("*.py"):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return found


@cache  # of files that are the same in each copy
def imports(text):
    """[(module, None or the names imported from it, how many dots stand before it)], wherever in a file the import stands."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [(alias.name, None, 0) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.module, [alias.name for alias in node.names], node.level))
    return found


def arrows(root):
    """{file: the files of gradcore that it imports}, wherever in it the import stands."""
    known = files(root)
    found = {}
    for name, path in known.items():
        targets = set()
        for module, names, dots in imports(path.read_text()):
            assert dots == 0, f"{path} imports relatively"
            if names is None:
                targets.add(module)
                continue
            # `from package import name` means the module of that name where there is one, else the package.
            longer = {f"{module}.{one}" for one in names}
            modules = {one for one in longer if one.removeprefix("gradcore.") in known}
            targets |= modules | ({module} if modules != longer else set())
        ours = {t for t in targets if t.partition(".")[0] == "gradcore"}
        found[name] = {"__init__" if t == "gradcore" else t.removeprefix("gradcore.") for t in ours}
    return found


def mistakes(root):
    """Every arrow between rooms that does not point downwards, and a circle of files if there is one."""
    graph = arrows(root)
    found = []
    for name in sorted(graph):
        mine = name.partition(".")[0]
        if mine not in HEIGHT:
            found.append(f"{name} is in no room: give it a place in ROOMS")
            continue
        for target in sorted(graph[name]):
            other = target.partition(".")[0]
            if other != mine and HEIGHT.get(other, len(HEIGHT)) >= HEIGHT[mine]:
                found.append(f"{name} imports {target}, which does not stand below it")
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found.append("a circle: " + " <- ".join(error.args[1]))
    return found


def test_every_import_points_downwards():
    assert mistakes(ROOT) == []


def test_the_imports_that_there_are_are_seen():
    found = arrows(ROOT)
    assert {"errors", "spec"} <= found["registry"]
    assert {"graph", "registry"} <= found["op"]  # from gradcore import registry
    assert {"init", "nn.init"} & found["nn.conv2d"] == {"nn.init"}  # from gradcore.nn import init
    assert found["io.atomic"] == {"errors"}  # and not the standard library
    assert "__init__" in found["cli"]  # from gradcore import __version__
    assert "runs" in found["cli"]  # in a function
    assert "nn.module" in found["train.trainer"]  # for types only


@pytest.mark.parametrize(
    ("file", "line", "words"),
    [
        ("graph", "from gradcore.tensor import Tensor", "graph imports tensor"),
        ("graph", "if TYPE_CHECKING:\n    from gradcore.tensor import Tensor", "graph imports tensor"),
        ("graph", "def late():\n    import gradcore.nn.module", "graph imports nn.module"),
        ("nn/init", "from gradcore import optim", "nn.init imports optim"),
        ("spec", "from gradcore import Tensor", "spec imports __init__"),
        ("spec", "import gradcore", "spec imports __init__"),
        ("ops/reduce", "def late():\n    from gradcore import losses", "ops.reduce imports losses"),
        ("ops/_windows", "from gradcore.ops import conv", "a circle: "),
        ("ops/_windows", "from gradcore.ops import conv2d", "a circle: "),
        ("new", "", "new is in no room"),
        ("errors", "from gradcore.absent import x", "errors imports absent"),
    ],
)
def test_a_planted_import_is_found(tmp_path, file, line, words):
    root = shutil.copytree(ROOT, tmp_path / "gradcore", ignore=shutil.ignore_patterns("__pycache__", "*.gz"))
    with (root / f"{file}.py").open("a") as end:
        end.write(f"\n{line}\n")
    assert [m for m in mistakes(root) if m.startswith(words)]

"""The programs and catalogues of ci/: loaded as they are when they are run, or as modules of it."""

import importlib
import importlib.util
import sys
from pathlib import Path

CI = Path(__file__).parents[2] / "ci"


def load(name):
    """The module of a program, such as "reports/scale", with its own folder and ci/ among the places to import from.

    Modules of the same names that another program has loaded, such as `report`, are out of its way, and back afterwards.
    """
    path = CI / f"{name}.py"
    here = {beside.stem: str(beside) for beside in path.parent.glob("*.py")}
    others = {
        stem: sys.modules.pop(stem)
        for stem, file in here.items()
        if stem in sys.modules and getattr(sys.modules[stem], "__file__", file) != file
    }
    spec = importlib.util.spec_from_file_location(f"ci_{name.replace('/', '_')}", path)
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    sys.path[:0] = [str(path.parent), str(CI)]
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = before
        sys.modules.update(others)
    return module


def module(name):
    """A module of ci/ by its dotted name, such as "ci.catalogue.mistakes.sets"."""
    before = list(sys.path)
    sys.path.insert(0, str(CI.parent))
    try:
        return importlib.import_module(name)
    finally:
        sys.path[:] = before

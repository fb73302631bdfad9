"""The programs of ci/, loaded as they are when they are run."""

import importlib.util
import sys
from pathlib import Path

CI = Path(__file__).parents[2] / "ci"


def load(name):
    """The module of a program, such as "reports/scale", with its own folder and ci/ among the places to import from."""
    path = CI / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"ci_{name.replace('/', '_')}", path)
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    sys.path[:0] = [str(path.parent), str(CI)]
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = before
    return module

"""What `import gradcore` costs on top of `import numpy`, each time in a fresh interpreter that finds compiled modules."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from timing import Spread, spread

_CODE = """
from time import process_time
import numpy
before = process_time()
import gradcore
print(process_time() - before)
"""


def bench(repetitions: int) -> Spread:
    """Seconds; the first start, which compiles, does not count."""
    with tempfile.TemporaryDirectory() as compiled:
        env = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        return spread([_once(env) for _ in range(repetitions + 1)][1:])


def _once(env: dict[str, str]) -> float:
    run = subprocess.run([sys.executable, "-c", _CODE], capture_output=True, text=True, check=True, env=env)
    return float(run.stdout)

"""The same ten mistakes in every framework that is installed: verdict, cause and located entry have to be the same in all.

python ci/reports/frameworks.py
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ci.catalogue.frameworks.mistakes import MISTAKES
from ci.catalogue.frameworks.ways import WAYS, installed


def found(report: Any) -> tuple[Any, ...]:
    """Verdict, cause, input and entry of the clearest fault."""
    if not report.faults:
        return report.verdict.value, "", "", ()
    fault = next((f for f in report.faults if f.input), report.faults[0])
    return report.verdict.value, fault.cause, fault.input, fault.index


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args(arguments)
    ways = installed()
    for name in WAYS.keys() - ways.keys():
        print(f"{name}: not installed, and left out")
    print(f"{'mistake':<34}" + "".join([f"{name:<42}" for name in ways]))
    missed = 0
    for mistake in MISTAKES:
        results = [found(way(mistake)) for way in ways.values()]
        cells = [f"{v} {cause} {path}{list(index or ())}" for v, cause, path, index in results]
        wanted = ("fail", mistake.cause, f"inputs[{mistake.wrong}]")
        wrong = len(set(results)) > 1 or any(r[:3] != wanted for r in results)
        missed += wrong
        print(f"{mistake.name:<34}" + "".join([f"{c:<42}" for c in cells]) + ("MISSED" if wrong else ""))
    print(f"{len(MISTAKES) - missed} of {len(MISTAKES)} alike in {len(ways)} frameworks")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

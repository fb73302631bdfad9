"""Run the examples of the README and of the guide; those that import a package which is not installed are skipped, and named.

python ci/readme.py
"""

from __future__ import annotations

import doctest
import importlib.util
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "README.md"
PAGES = (PAGE, *sorted((ROOT / "gradcheck" / "guide").glob("*.md")))


def without_missing(text: str) -> tuple[str, list[str]]:
    """The text without the blocks that import a package which is not installed; those packages."""
    missing: list[str] = []

    def block(found: re.Match[str]) -> str:
        names = re.findall(r"^>>> (?:import|from) (\w+)", found.group(), re.MULTILINE)
        absent = [name for name in names if importlib.util.find_spec(name) is None]
        missing.extend(absent)
        return "" if absent else found.group()

    return re.sub(r"^```python\n.*?^```$", block, text, flags=re.MULTILINE | re.DOTALL), missing


def run(page: Path) -> tuple[int, int]:
    """How many examples of a page were tried, and how many failed; none of a page whose first block imports what is missing."""
    text, missing = without_missing(page.read_text(encoding="utf-8"))
    for name in dict.fromkeys(missing):
        print(f"{name} is not installed: the examples of {page.name} that import it are skipped")
    if missing and page != PAGE:  # its later blocks go on from the first one
        return 0, 0
    examples = doctest.DocTestParser().get_doctest(text, {"__name__": "__main__"}, page.stem, str(page), 0)
    result = doctest.DocTestRunner().run(examples)
    print(f"{page.name}: {result.attempted} examples, {result.failed} failed")
    return result.attempted, result.failed


def main() -> int:
    """Run, print, and return the exit status."""
    counts = [run(page) for page in PAGES]
    return 1 if any(failed for _, failed in counts) or not counts[0][0] else 0


if __name__ == "__main__":
    sys.exit(main())

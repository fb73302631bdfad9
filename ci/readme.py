"""Run the examples of the README; those that import a package which is not installed are skipped, and named.

python ci/readme.py
"""

from __future__ import annotations

import doctest
import importlib.util
import re
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "README.md"


def without_missing(text: str) -> tuple[str, list[str]]:
    """The text without the blocks that import a package which is not installed; those packages."""
    missing: list[str] = []

    def block(found: re.Match[str]) -> str:
        names = re.findall(r"^>>> (?:import|from) (\w+)", found.group(), re.MULTILINE)
        absent = [name for name in names if importlib.util.find_spec(name) is None]
        missing.extend(absent)
        return "" if absent else found.group()

    return re.sub(r"^```python\n.*?^```$", block, text, flags=re.MULTILINE | re.DOTALL), missing


def main() -> int:
    """Run, print, and return the exit status."""
    text, missing = without_missing(PAGE.read_text(encoding="utf-8"))
    for name in dict.fromkeys(missing):
        print(f"{name} is not installed: the examples that import it are skipped")
    examples = doctest.DocTestParser().get_doctest(text, {"__name__": "__main__"}, "README", str(PAGE), 0)
    result = doctest.DocTestRunner().run(examples)
    print(f"{result.attempted} examples, {result.failed} failed")
    return 1 if result.failed or not result.attempted else 0


if __name__ == "__main__":
    sys.exit(main())

"""The README's picture: the page of a run, with one rule that is wrong, as Chromium shows it.

python ci/pictures/page.py [--out FILE.png]

Needs a Chromium (Debian: apt-get install chromium). Exits with 1 where there is none.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "gradcheck"))

import browser
import pages

from gradcheck.summary import failures
from gradcheck.summary.results import Summary

ROOT = Path(__file__).resolve().parents[2]
OUT = Path(__file__).with_name("page.png")
WIDTH, HEIGHT = 1100, 1270


def summary() -> Summary:
    """A run in which one rule has a wrong sign in one row."""
    found = failures.of_result(pages.report(), drawn=True)
    wrong = pages.check("softplus", outcome="failed", counts={"pass": 3, "fail": 1}, failures=(found,))
    return Summary([*pages.passing().checks, wrong], {**pages.FACTS, "project": "my-ops"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=OUT, help="the picture")
    given = parser.parse_args(arguments)
    if browser.find() is None:
        print("no Chromium on this machine: apt-get install chromium")
        return 1
    with tempfile.TemporaryDirectory() as folder, browser.Browser(folder) as tab:
        tab.open(pages.write(Path(folder), "page", pages.html_page(summary())), WIDTH, HEIGHT)
        tab.screenshot(given.out, clip={"x": 0, "y": 0, "width": WIDTH, "height": HEIGHT, "scale": 1})
    print(f"wrote {given.out}, {given.out.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())

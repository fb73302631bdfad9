"""`gradcheck guide`: the pages that come with the package, in the terminal."""

from __future__ import annotations

import pydoc
import sys
from importlib import resources

from gradcheck.cli.status import MISCALLED, RIGHT


def topics() -> dict[str, str]:
    """{topic: title} of every page."""
    pages = sorted(
        (
            page
            for page in resources.files("gradcheck").joinpath("guide").iterdir()
            if page.name.endswith(".md")
        ),
        key=lambda page: page.name,
    )
    return {
        page.name.removesuffix(".md"): page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        for page in pages
    }


def show(topic: str | None) -> int:
    """Print the topics, or the page of one; the exit status. In a terminal long pages go through its pager."""
    known = topics()
    if topic is None:
        width = max(map(len, known))
        print("\n".join(["gradcheck guide TOPIC", "", *[f"  {t:<{width}}  {known[t]}" for t in known]]))
        return RIGHT
    if topic not in known:
        print(f"gradcheck guide: no topic {topic!r}: choose one of {', '.join(known)}", file=sys.stderr)
        return MISCALLED
    text = resources.files("gradcheck").joinpath("guide", f"{topic}.md").read_text(encoding="utf-8")
    if sys.stdout.isatty():
        pydoc.pager(text)
    else:
        print(text, end="")
    return RIGHT

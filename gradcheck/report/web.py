"""One HTML page that needs no network: its frame, and the elements that every page has. All text that comes in is escaped."""

from __future__ import annotations

import base64
import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from importlib import metadata, resources
from typing import Any

from gradcheck.report import svg

PACKAGES = ("gradcore", "numpy", "torch", "jax", "autograd", "mygrad", "hypothesis", "pytest")
"""Whose versions a page states, as far as they are loaded."""


def document(title: str, header: str, main: str, footer: str = "") -> str:
    """The page. A policy forbids it to load anything, and to run any other script than its own."""
    style, script = (_asset(name) for name in ("page.css", "page.js"))
    policy = f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n<body>"
        f'<a class="skip" href="#main">Skip to the findings</a><header>{header}</header>\n<main id="main">{main}</main>\n'
        f'<footer>{footer}</footer><p id="status" class="skip" role="status" aria-live="polite"></p>'
        f"<script>{script}</script></body></html>\n"
    )


def _asset(name: str) -> str:
    return resources.files("gradcheck.report").joinpath("assets", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def head(verdict: str, headline: str, under: Sequence[str], known: Mapping[str, str], words: str = "") -> str:
    """The verdict, or other words for it, with its headline, some sentences, and what is known of the run."""
    sentences = "".join([f"<p>{escape(text)}</p>" for text in under if text])
    rows = "".join([f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in known.items() if v])
    facts_ = f'<dl class="facts">{rows}</dl>' if rows else ""
    return f"<h1>{badge(verdict, words)}{escape(headline)}</h1>{sentences}{facts_}"


def badge(verdict: str, words: str = "") -> str:
    """A verdict that is seen at a glance."""
    return f'<span class="badge {escape(verdict)}">{escape(words or verdict)}</span> '


def facts(loaded: Iterable[str], **more: str) -> dict[str, str]:
    """Date and versions, and what else is known. loaded: names of modules, as in `sys.modules`."""
    found = {"date": now(), **more}
    known = set(loaded)
    import platform

    found["Python"] = platform.python_version()
    for name in PACKAGES:
        if name in known:
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:  # a checkout that is not installed
                continue
    return found


def now() -> str:
    """Date and time, to the minute."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def section(name: str, title: str, body: str) -> str:
    """A landmark with its heading; nothing where it would be empty."""
    if not body:
        return ""
    return f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{escape(title)}</h2>{body}</section>\n'


def weak(texts: Sequence[str]) -> str:
    """What makes a pass weak, one sentence each."""
    return "".join([f'<p class="weak">{escape(text)}</p>' for text in texts])


def tools(what: str) -> str:
    """The search above a table with the id "entries", and the articles with the id "failures". what: what its rows are, "checks"."""
    kinds = (("", "all"), ("f", "failed"), ("w", "weak"), ("r", "right"))
    options = "".join([f'<option value="{value}">{text}</option>' for value, text in kinds])
    return (
        f'<form id="tools" class="tools" role="search" aria-label="{escape(what.capitalize())} and failures" hidden>'
        '<div><label for="words">Search</label><input id="words" type="search" autocomplete="off" spellcheck="false"></div>'
        f'<div><label for="which">Show</label><select id="which">{options}</select></div>'
        f'<p id="shown" data-what="{escape(what)}" role="status" aria-live="polite"></p></form>\n'
    )


def bounded(items: Iterable[tuple[str, str]], room: int, brief: int) -> tuple[str, int]:
    """Articles as far as there is room, from the first that has none in one line each; and how many have no room for that either.

    items: the article, and its line. room, brief: bytes for articles and for lines.
    """
    articles, lines = [], []
    for article, line in items:
        size = len(article.encode())
        if size <= room:
            room -= size
            articles.append(article)
        else:
            room = 0
            lines.append(f"<li data-find>{escape(line[:400])}</li>\n")
    kept, left = within(lines, brief)
    more = f"<h3>In one line each</h3><ul>{''.join(kept)}</ul>" if kept else ""
    return "".join(articles) + more, left


def within(texts: Sequence[str], room: int) -> tuple[list[str], int]:
    """The first texts that have room in so many bytes, and how many have none."""
    kept: list[str] = []
    for text in texts:
        room -= len(text.encode())
        if room < 0:
            break
        kept.append(text)
    return kept, len(texts) - len(kept)


def listed(items: Sequence[str]) -> str:
    """A list of escaped items."""
    return f"<ul>{''.join([f'<li>{item}</li>' for item in items])}</ul>" if items else ""


def scrolled(name: str, wide: str) -> str:
    """A table or picture that scrolls by itself where the screen is narrow, also by keyboard."""
    return f'<div class="scroll" tabindex="0" role="group" aria-label="{escape(name)}">{wide}</div>'


def snippet(code: str, name: str, title: str = "Code that shows it again") -> str:
    """Code with a button that copies it. name: a name of its own within the page."""
    if not code:
        return ""
    return (
        f'<div class="snippet"><div class="head"><strong>{escape(title)}</strong>'
        f'<button type="button" data-copy="{name}" hidden>Copy code</button></div>'
        f'<pre class="fill code" tabindex="0" aria-label="{escape(title)}"><code id="{name}">{escape(code)}</code></pre></div>'
    )


def numbers(faults: Sequence[Mapping[str, Any]]) -> str:
    """The entries that are wrong, a column each: what the rule gives, the derivative and its bound."""
    shown = [f for f in faults if f["analytic"] is not None]
    if not shown:
        return ""
    top = "".join([f'<th scope="col">{escape(place(f))}</th>' for f in shown])
    lines = (
        ("the rule gives", "analytic", 10),
        ("the derivative is", "numeric", 10),
        ("with error at most", "bound", 2),
    )
    rows = "".join(
        [
            f'<tr><th scope="row">{name}</th>{"".join([f"<td>{number(f[key], digits)}</td>" for f in shown])}</tr>'
            for name, key, digits in lines
        ]
    )
    table = f'<table class="nums"><thead><tr><td></td>{top}</tr></thead><tbody>{rows}</tbody></table>'
    return scrolled("The numbers", table)


def place(fault: Mapping[str, Any]) -> str:
    """Where a fault is."""
    index = f"[{', '.join(map(str, fault['index']))}]" if fault["index"] else ""
    return f"{fault['input'] or 'all inputs'}{index}"


def number(value: Any, digits: int = 10) -> str:
    """A number as `Report.to_json` writes it: complex ones in two parts, and those that are not finite as text."""
    if isinstance(value, list):
        return " + ".join([number(value[0], digits), number(value[1], digits) + "i"])
    return (
        ""
        if value is None
        else f"{value:.{digits}g}"
        if isinstance(value, float | int)
        else escape(str(value))
    )


def causes(faults: Sequence[Mapping[str, Any]]) -> str:
    """Each fault with its cause."""
    return listed([f"<b>{escape(f['cause'])}</b>: {escape(f['text'])}" for f in faults])


def pictures(plain: Mapping[str, Any] | None) -> str:
    """The curve and the maps of a check."""
    if not plain:
        return ""
    figures = []
    if plain["curve"] is not None:
        c = plain["curve"]
        figures.append(figure(svg.curve(c), svg.curve_words(c), svg.curve_legend(c)))
    figures += [figure(svg.heat(m), svg.heat_words(m), svg.heat_legend(m)) for m in plain["maps"]]
    return f'<div class="pictures">{"".join(figures)}</div>' if any(figures) else ""


def figure(drawn: str, words: str, legend: Sequence[tuple[str, str]], scrolls: str = "") -> str:
    """A picture with its legend and a sentence. scrolls: the name of one that keeps its size where the screen is narrow."""
    if not drawn:
        return ""
    kind = ' class="wide"' if scrolls else ""
    drawn = scrolled(scrolls, drawn) if scrolls else drawn
    marks = "".join([f"<li>{_mark(name)}{escape(text)}</li>" for name, text in legend])
    return f'<figure{kind}>{drawn}<ul class="legend">{marks}</ul><figcaption>{escape(words)}</figcaption></figure>'


def _mark(name: str) -> str:
    if name.startswith("v-"):
        inside = svg.mark(name[2:], 9, 7)
    elif name == "dot":
        inside = '<circle class="dot" cx="9" cy="7" r="3"/>'
    elif name == "cross":
        inside = '<path class="cross" d="M5 3l8 8m0-8l-8 8"/>'
    elif name == "beyond":
        inside = '<circle class="v-pass beyond" cx="9" cy="7" r="3.4"/>'
    elif name in {"bounds", "bound", "chosen", "rule", "rule bad", "link lost"}:
        inside = f'<path class="{name}" d="M0 7H18"/>'
    else:
        inside = f'<rect class="{name}" x="2" y="1" width="13" height="12"/>'
    return f'<svg width="18" height="14" viewBox="0 0 18 14" aria-hidden="true">{inside}</svg>'


class Names:
    """Names that occur once in a page."""

    def __init__(self) -> None:
        self._count = itertools.count(1)

    def __call__(self) -> str:
        """The next one."""
        return f"code-{next(self._count)}"

"""The page of one report, and of a verification, and their short form for a notebook: from their plain data."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any, TypeVar

from gradcheck.report import svg, svg_graph, web

Plain = Mapping[str, Any]
Item = TypeVar("Item")

LISTED, ON_A_PAGE = 12, 200
"""Of more inputs than this, the others are counted."""

UNJUDGED = 6
"""Of more ops without a verdict than this, the others are counted."""

COLORS = {"pass": "#1a7f37", "subgradient": "#1a7f37", "fail": "#d1242f", "inconclusive": "#9a6700"}
"""In a notebook, which has no style of ours: each is legible on white and on black."""


def report_page(r: Plain, pictures: Plain | None, facts: Mapping[str, str]) -> str:
    """The page of a report. r: as `Report.to_json` has it. pictures: as `Pictures.plain` has them."""
    names = web.Names()
    main = (
        web.section("weak", "What the verdict does not cover", web.weak(weaknesses(r)))
        + web.section(
            "failures", "What is wrong", wrong(r, names, pictures) if r["verdict"] == "fail" else ""
        )
        + web.section(
            "pictures", "How it was measured", web.pictures(pictures) if r["verdict"] != "fail" else ""
        )
        + web.section("inputs", "Inputs", inputs_table(r))
        + web.section("contracts", "Contracts", _contracts(r))
    )
    if r["second"] is not None:
        second = r["second"]
        body = f"<p>{web.badge(second['verdict'])}{escape(second['headline'])}</p>{wrong(second, names, None)}{inputs_table(second)}"
        main += web.section("second", "The second order", body)
    known = {**facts, "seed": str(r["seed"]), "calls": f"{r['evaluations']} forward, {r['pulls']} vjp"}
    return web.document(
        f"{_outcome(r['verdict'])}: {r['name']}",
        web.head(r["verdict"], _title(r), _checked(r), known),
        main,
        FOOTER,
    )


FOOTER = (
    "<p>The derivative is measured by differences over many steps, with a bound on its error. A rule fails where it is off by "
    "more than the bound, and nothing else explains that.</p>"
)


def verification_page(v: Plain, facts: Mapping[str, str], pictures: Sequence[Plain | None]) -> str:
    """The page of a verification. v: as `Verification.to_json` has it. pictures: of each failure and then of each edge."""
    names = web.Names()
    drawn = iter(pictures)
    failures = "".join(
        [
            f"<article><h3>{'The smallest failing example' if not k else 'The smallest one of another cause'}</h3>"
            f"{wrong(r, names, next(drawn, None))}{inputs_table(r)}</article>"
            for k, r in enumerate(v["failures"])
        ]
    )
    edges = "".join(
        [
            f"<article><h3>{escape(e['words'] or 'beyond the example')}</h3>{wrong(e['report'], names, next(drawn, None))}</article>"
            for e in v["edges"]
        ]
    )
    tried = web.figure(
        svg.examples(v["tried"]), svg.examples_words(v["tried"]), svg.examples_legend(v["tried"])
    )
    main = (
        web.section("weak", "What the verdict does not cover", web.weak(verification_weaknesses(v)))
        + web.section("failures", "What is wrong", failures)
        + web.section("edges", "Wrong beyond the example", edges)
        + web.section("tried", "What was tried", tried + _drawn(v))
    )
    counts = ", ".join([f"{n} {name}" for name, n in v["verdicts"].items()])
    known = {**facts, "seed": str(v["seed"]), "examples": f"{v['examples']}: {counts}" if counts else "0"}
    return web.document(
        f"{_outcome(v['verdict'])}: {v['name']}",
        web.head(v["verdict"], _title(v), _checked(v), known),
        main,
        FOOTER,
    )


def explanation_page(
    e: Plain, plans: Sequence[Plain], pictures: Sequence[Plain | None], facts: Mapping[str, str]
) -> str:
    """The page of an explanation. e: as `Explanation.to_json` has it. plans: as `Explanation.plans` has them. pictures: of the first

    places at fault.
    """
    names = web.Names()
    drawn = iter(pictures)
    known = {**facts, "seed": str(e["seed"])}
    title = "What is wrong" if e["verdict"] == "fail" else "The ops around the result"
    blamed = "".join([_blamed(b, names, next(drawn, None)) for b in e["blamed"][:ON_A_PAGE]])
    if len(e["blamed"]) > ON_A_PAGE:
        blamed += f"<p>and {len(e['blamed']) - ON_A_PAGE} more places</p>"
    whole = ""
    if e["whole"] is not None:
        w = e["whole"]
        whole = f"<p>{web.badge(w['verdict'])}{escape(_title(w))}</p>{wrong(w, names, None)}{inputs_table(w)}"
    main = (
        web.section("weak", "What the verdict does not cover", web.weak(explanation_weaknesses(e)))
        + web.section("graph", title, graphs(plans))
        + web.section("failures", "At fault", blamed)
        + web.section("whole", "The gradient of the whole", whole)
    )
    return web.document(
        f"{_outcome(e['verdict'])}: {e['name']}",
        web.head(e["verdict"], _title(e), [f"{text}." for text in e["checked"]], known),
        main,
        FOOTER,
    )


def explanation_weaknesses(e: Plain) -> list[str]:
    """What an explanation leaves open, a sentence each."""
    found = [f"No verdict: {text}." for text in e["unjudged"][:UNJUDGED]]
    more = len(e["unjudged"]) - UNJUDGED
    found += [f"No verdict on {more} more ops."] * (more > 0)
    return found + [f"Note: {e['note']}."] * bool(e["note"])


def graphs(plans: Sequence[Plain]) -> str:
    """The graphs of an explanation."""
    return "".join(
        [
            web.figure(
                svg_graph.graph(plan),
                svg_graph.graph_words(plan),
                svg_graph.graph_legend(plan),
                f"The ops around {plan['name']}",
            )
            for plan in plans
        ]
    )


def _blamed(b: Plain, names: Callable[[], str], pictures: Plain | None) -> str:
    call = f", call {b['place']}" if b["place"] else ""
    of_rule = "" if b["report"] is None else wrong(b["report"], names, pictures)
    where = f'<p class="name">{escape(b["source"])}</p>' if b["source"] else ""
    shapes = f'<p class="name dim">{escape(b["shapes"])}</p>' if b["shapes"] else ""
    text = (
        "" if b["report"] is not None else web.listed([f"<b>{escape(b['cause'])}</b>: {escape(b['text'])}"])
    )
    return f"<article><h3>{escape(b['op'])}{call}</h3>{where}{shapes}{text}{of_rule}</article>"


def _outcome(verdict: str) -> str:
    return {"fail": "Failed", "inconclusive": "Inconclusive"}.get(verdict, "Passed")


def _title(r: Plain) -> str:
    return f"{r['name']}: {r['headline']}"


def _checked(r: Plain) -> list[str]:
    return [f"Checked: {r['gradient']}." if r["gradient"] else "", r["reason"][:1].upper() + r["reason"][1:]]


def weaknesses(r: Plain) -> list[str]:
    """What a report's verdict leaves open, a sentence each."""
    found = []
    for i in r["inputs"]:
        if i["vacuous"] and i["verdict"] != "inconclusive":
            found.append(
                f"Vacuous: the gradient by {i['path']} and its truth are zero at this point. Try another one."
            )
        if i["verdict"] == "inconclusive":
            found.append(f"Inconclusive: the gradient by {i['path']} could not be judged.")
        if i["hidden"]:
            total = math.prod(i["shape"])
            found.append(
                f"Out of sight: {i['hidden']} of {total} entries of {i['path']} are too small to be judged."
            )
    if r["judged"]:
        found.append(f"In part: the verdict covers {r['judged']}.")
    found += [f"Excused ({name}): {text}." for name, text in r["excuses"].items()]
    if r["note"]:
        found.append(f"Note: {r['note']}.")
    return found


def verification_weaknesses(v: Plain) -> list[str]:
    """What the verdict of a verification leaves open, a sentence each."""
    found = []
    if v["vacuous"]:
        found.append(f"Vacuous: the gradient by {', '.join(v['vacuous'])} was zero at every example.")
    if v["undecided"]:
        first = v["undecided"][0]
        n = v["verdicts"].get("inconclusive", len(v["undecided"]))
        found.append(
            f"Inconclusive: {n} of {v['examples']} examples. The first one: {first['inputs']}: {first['reason']}."
        )
    if v["hidden"]:
        found.append(
            f"Out of sight: {v['hidden']:,} entries, over all examples that passed, are too small to be judged."
        )
    if v["set_aside"]:
        why = ", ".join([f"{n} x {text}" for text, n in v["aside"].items()])
        n = v["set_aside"]
        found.append(f"Set aside: {n} example{'s' * (n > 1)} outside of the domain of forward: {why}.")
    return found + [f"Not tried: {text}." for text in v["left_out"]]


def wrong(r: Plain, names: Callable[[], str], pictures: Plain | None) -> str:
    """What is wrong in a report: causes, numbers, pictures, code."""
    return (
        web.causes(r["faults"])
        + web.numbers(r["faults"])
        + web.pictures(pictures)
        + web.snippet(r["snippet"], names())
    )


def listed(
    inputs: Sequence[Item], verdict: Callable[[Item], str | None], most: int
) -> tuple[Sequence[Item], str]:
    """The inputs to be listed one by one, those that are not right first, and a line that counts the others."""
    if len(inputs) <= most:
        return inputs, ""
    rank = ["fail", "inconclusive", None, "subgradient", "pass"]
    ordered = sorted(inputs, key=lambda i: rank.index(verdict(i)))
    counts = Counter([verdict(i) or "not judged" for i in ordered[most:]])
    words = ", ".join([f"{n} {word}" for word, n in counts.items()])
    return ordered[:most], f"and {len(inputs) - most} more inputs: {words}"


def _verdict(i: Plain) -> str | None:
    found: str | None = i["verdict"]
    return found


def inputs_table(r: Plain) -> str:
    """The inputs of a report with their verdicts."""
    shown, others = listed(r["inputs"], _verdict, ON_A_PAGE)
    rows = "".join(
        [
            f'<tr{_class(i["verdict"])}><th scope="row">{escape(i["path"])}</th><td>{escape(i["dtype"])} {svg.shape(i["shape"])}</td>'
            f"<td>{escape(i['text'])}</td></tr>"
            for i in shown
        ]
    )
    head = "".join([f'<th scope="col">{text}</th>' for text in ("input", "dtype and shape", "verdict")])
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return web.scrolled("Inputs", table) + f"<p>{escape(others)}</p>" * bool(others) if rows else ""


def _class(verdict: str | None) -> str:
    return {"fail": ' class="f"', "inconclusive": ' class="w"'}.get(str(verdict), "")


def _contracts(r: Plain) -> str:
    if not r["contracts"]:
        return ""
    shown = [c for c in r["contracts"] if c["status"] != "held"]
    held = [c["name"] for c in r["contracts"] if c["status"] == "held"]
    rows = [f"<b>{escape(c['name'])}</b> ({c['status']}): {escape(c['text'])}" for c in shown]
    return web.listed(rows) + f'<p class="dim">Held: {escape(", ".join(held) or "none")}.</p>'


def _drawn(v: Plain) -> str:
    worst = v["worst"]
    texts = [
        f"Domain: {v['domain']}." if v["domain"] else "",
        f"{v['beyond']} more were tried beyond what the example shows." if v["beyond"] else "",
        f"The example that would show the least: {worst['inputs']}: {worst['reason']}." if worst else "",
    ]
    return "".join([f"<p>{escape(text)}</p>" for text in texts if text])


def report_cell(r: Plain, because: Callable[[Plain], Sequence[str]]) -> str:
    """A report in a notebook. because: what follows from a fault."""
    cell = "style='text-align:left;padding:2px 8px'"
    shown, others = listed(r["inputs"], _verdict, LISTED)
    rows = "".join(
        [
            f"<tr><td {cell}><code>{escape(i['path'])}</code></td><td {cell}>{escape(i['dtype'])} {svg.shape(i['shape'])}</td>"
            f"<td {cell}>{escape(i['text'])}</td></tr>"
            for i in shown
        ]
    )
    faults = web.listed(
        [f"<b>{escape(f['cause'])}</b>: {escape('; '.join([f['text'], *because(f)]))}" for f in r["faults"]]
    )
    parts = [
        _line(r, _checked(r)),
        faults,
        f"<table>{rows}</table>" if rows else "",
        f"<p>{escape(others)}</p>" if others else "",
        *[f"<p>excused ({escape(name)}): {escape(text)}</p>" for name, text in r["excuses"].items()],
        f"<p>{escape(r['note'])}</p>" if r["note"] else "",
        f"<details><summary>to reproduce</summary><pre>{escape(r['snippet'])}</pre></details>"
        if r["snippet"]
        else "",
        f"<small>{r['evaluations']} forward and {r['pulls']} vjp calls, seed {r['seed']}</small>",
        report_cell(r["second"], because) if r["second"] is not None else "",
    ]
    return f"<div>{''.join(parts)}</div>"


def verification_cell(v: Plain, cells: Sequence[str]) -> str:
    """A verification in a notebook. cells: of its failures and edges."""
    rows = "".join(
        [
            f"<tr><td style='text-align:left;padding:2px 8px'>{escape(name)}</td><td style='padding:2px 8px'>{n}</td></tr>"
            for name, n in v["verdicts"].items()
        ]
    )
    parts = [
        _line(v, _checked(v)),
        f"<table><thead><tr><th>verdict</th><th>examples</th></tr></thead><tbody>{rows}</tbody></table>"
        if rows
        else "",
        web.listed([escape(text) for text in verification_weaknesses(v)]),
        *cells,
        f"<small>{v['evaluations']} forward calls, seed {v['seed']}</small>",
    ]
    return f"<div>{''.join(parts)}</div>"


def explanation_cell(e: Plain) -> str:
    """An explanation in a notebook, whose style is not ours: in words."""
    places = [
        f"<b>{escape(b['op'])}</b>, {escape(b['cause'])}: {escape('; '.join([t for t in (b['text'], b['source'], b['shapes']) if t]))}"
        for b in e["blamed"][:LISTED]
    ]
    others = [escape(text) for text in explanation_weaknesses(e)[:LISTED]]
    return f"<div>{_line(e, e['checked'])}{web.listed(places)}{web.listed(others)}</div>"


def _line(r: Plain, sentences: Sequence[str]) -> str:
    style = f"background:{COLORS[r['verdict']]};color:white;padding:1px 8px;border-radius:8px"
    texts = "".join([f"<p>{escape(text)}</p>" for text in sentences if text])
    return f"<p><b style='{style}'>{r['verdict'].upper()}</b> {escape(_title(r))}</p>{texts}"

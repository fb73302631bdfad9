"""The summary as a web page that needs nothing else."""

from __future__ import annotations

from html import escape
from typing import Any

from gradcheck.summary.results import VERDICTS, Cell, Check, Entry, Summary
from gradcheck.summary.table import cell_text, headline, sensitivity_text

_STYLE = """
:root { color-scheme: light dark; }
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0 2em; }
th, td { padding: 2px 10px; text-align: right; border-bottom: 1px solid #8884; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child, .test { text-align: left; font-family: ui-monospace, monospace; }
thead th { position: sticky; top: 0; background: Canvas; }
pre { white-space: pre-wrap; background: #8882; padding: .5em; }
.fail { background: #cf222e; color: white; font-weight: bold; }
.undecided { background: #9a670040; }
.good { color: #1a7f37; } .bad { color: #cf222e; }
"""


def html_page(summary: Summary) -> str:
    """One HTML document, self-contained: what failed and why, a table for each kind, and every check with its time."""
    tables = "".join([_table(kind, entries, summary) for kind, entries in summary.kinds.items()])
    first = headline(summary)
    good = "bad" if summary.failed else "good"
    verified = "Gradients verified" if summary else "No gradient verified"
    title = "Gradient verification failed" if summary.failed else verified
    return (
        "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'>"
        f"<meta name='viewport' content='width=device-width'><title>{title}</title>"
        f"<style>{_STYLE}</style></head>\n<body><h1>{title}</h1>\n"
        f"<p class='{good}'><b>{escape(first.text if summary else 'nothing was verified')}</b></p>\n"
        f"{_failures(summary)}"
        "<p>A cell gives how many examples were checked, and how many of them lie at a kink (k), are inconclusive (?) or "
        "have a zero gradient (v). The last column is the smallest relative error in the median entry that the worst example "
        "would have shown.</p>\n"
        f"{tables}{_checks(summary)}</body></html>\n"
    )


def _failures(summary: Summary) -> str:
    parts = [_failure(check, failure) for check, failure in summary.failures]
    more = sum([check.more for check in summary.checks])
    parts += [f"<p>and {more} more failures</p>\n"] * bool(more)
    return f"<h2>What failed</h2>\n{''.join(parts)}" if parts else ""


def _failure(check: Check, failure: dict[str, Any]) -> str:
    head = "".join(
        [
            f"<th>{name}</th>"
            for name in ("where", "the rule gives", "the derivative is", "with error at most")
        ]
    )
    rows = "".join(
        [
            f"<tr><td>{escape(_place(fault))}</td><td>{_number(fault['analytic'])}</td>"
            f"<td>{_number(fault['numeric'])}</td><td>{_number(fault['bound'])}</td></tr>\n"
            for fault in failure["faults"]
            if fault["analytic"] is not None
        ]
    )
    numbers = f"<table><thead><tr>{head}</tr></thead><tbody>\n{rows}</tbody></table>\n" if rows else ""
    faults = "".join(
        [f"<li><b>{escape(f['cause'])}</b>: {escape(f['text'])}</li>\n" for f in failure["faults"]]
    )
    inputs = ", ".join(
        [f"{i['path']} {i['dtype']} ({', '.join(map(str, i['shape']))})" for i in failure["inputs"]]
    )
    example = "the smallest failing example" if failure["smallest"] else "the failing example"
    return (
        f"<section><h3>{escape(f'{check.entry}, {check.checked}')}: {escape(failure['cause'] or 'failed')}</h3>\n"
        f"<p class='test'>{escape(check.test)}</p>\n<pre>{escape(failure['text'])}</pre>\n"
        + (f"<ul>\n{faults}</ul>\n" if faults else "")
        + numbers
        + (f"<p>{example}: {escape(inputs)}</p>\n" if inputs else "")
        + (f"<pre>{escape(failure['snippet'])}</pre>\n" if failure["snippet"] else "")
        + "</section>\n"
    )


def _place(fault: dict[str, Any]) -> str:
    index = f"[{', '.join(map(str, fault['index']))}]" if fault["index"] else ""
    return f"{fault['input'] or 'all inputs'}{index}"


def _number(value: Any) -> str:
    """A number as `Report.to_json` writes it: complex ones in two parts, and those that are not finite as text."""
    if isinstance(value, list):
        return " + ".join([_number(value[0]), _number(value[1]) + "i"])
    return "" if value is None else f"{value:.10g}" if isinstance(value, float | int) else escape(str(value))


def _table(kind: str, entries: list[Entry], summary: Summary) -> str:
    columns = [name for name in summary.properties if any(name in entry.cells for entry in entries)]
    head = "".join([f"<th>{escape(name)}</th>" for name in [kind, *columns, "detects"]])
    rows = "".join(
        [
            f"<tr><td{_class(entry.failed, False)}>{escape(entry.name)}</td>"
            + "".join([_cell(entry.cells.get(name)) for name in columns])
            + f"<td>{sensitivity_text(entry.sensitivity)}</td></tr>\n"
            for entry in entries
        ]
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{rows}</tbody></table>\n"


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "<td></td>"
    counts = ", ".join([f"{cell.counts[name]} {name}" for name in VERDICTS if cell.counts[name]])
    title = escape(f"{counts or 'no example'}; {cell.seconds:.2f} s; {sensitivity_text(cell.sensitivity)}")
    return f'<td{_class(cell.failed, cell.undecided)} title="{title}">{escape(cell_text(cell))}</td>'


def _class(failed: bool, undecided: bool) -> str:
    return " class='fail'" if failed else " class='undecided'" if undecided else ""


def _checks(summary: Summary) -> str:
    rows = "".join(
        [
            f"<tr><td>{escape(check.test)}</td><td>{escape(check.entry)}</td><td>{escape(check.checked)}</td>"
            f"<td{_class(check.outcome != 'passed', False)}>{check.outcome}</td><td>{check.examples}</td>"
            f"<td>{check.seconds:.2f}</td></tr>\n"
            for check in summary.slowest
        ]
    )
    head = "".join(
        [f"<th>{name}</th>" for name in ("test", "entry", "property", "outcome", "examples", "seconds")]
    )
    return (
        "<details><summary>every check, the slowest first</summary>"
        f"<table><thead><tr>{head}</tr></thead><tbody>\n{rows}</tbody></table></details>\n"
    )

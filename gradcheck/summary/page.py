"""The summary as a web page that needs nothing else."""

from __future__ import annotations

from html import escape

from gradcheck.summary.results import VERDICTS, Cell, Entry, Summary
from gradcheck.summary.table import cell_text, headline, sensitivity_text

_STYLE = """
:root { color-scheme: light dark; }
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0 2em; }
th, td { padding: 2px 10px; text-align: right; border-bottom: 1px solid #8884; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child, .test { text-align: left; font-family: ui-monospace, monospace; }
thead th { position: sticky; top: 0; background: Canvas; }
.fail { background: #cf222e; color: white; font-weight: bold; }
.undecided { background: #9a670040; }
.good { color: #1a7f37; } .bad { color: #cf222e; }
"""


def html_page(summary: Summary) -> str:
    """One HTML document, self-contained: a table for each kind, and every check with its time."""
    tables = "".join([_table(kind, entries, summary) for kind, entries in summary.kinds.items()])
    first = headline(summary)
    good = "bad" if summary.failed else "good"
    return (
        "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'><title>Gradients verified</title>"
        f"<style>{_STYLE}</style></head>\n<body><h1>Gradients verified</h1>\n"
        f"<p class='{good}'><b>{escape(first.text if summary else 'nothing was verified')}</b></p>\n"
        "<p>A cell gives how many examples were checked, and how many of them lie at a kink (k), are inconclusive (?) or "
        "have a zero gradient (v). The last column is the smallest relative error in one entry that the worst example "
        "would have shown.</p>\n"
        f"{tables}{_checks(summary)}</body></html>\n"
    )


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

"""What a bench reports: lines for the reader, figures for the file, rows of the tables at the end, and aims that were missed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from growth import Growth
    from timing import Race

RATIOS = "PyTorch eager = 1 (of a check, its gradcheck in full mode)"
GROWTH, BY_OP = "time = c size^exponent", "parts of a step's time"
TABLES = {
    RATIOS: ("workload", "threads", "by hand", "best other peer", "gradcore", "aim"),
    GROWTH: ("growth", "threads", "implementation", "exponent", "off by", "of the larger sizes", "off by"),
    BY_OP: ("workload", "threads", "op", "calls", "forward", "backward", "wrapper", "engine", "rest"),
}
"""The tables at the end, by their titles: what stands in their columns."""


@dataclass
class Report:
    """rounds: how many, as a part of the usual number. threads: of BLAS, of PyTorch and of gradcore's ops."""

    rounds: float
    threads: int
    figures: dict[str, object] = field(default_factory=dict)
    rows: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)

    def title(self, text: str) -> None:
        print(f"\n{text}")

    def row(self, table: str, what: str, *cells: str) -> None:
        """A row of one of the tables at the end."""
        self.rows.setdefault(table, []).append((what, str(self.threads), *cells))

    def race(self, name: str, found: Race, aim: float | None = None, captured: float | None = None) -> None:
        """One line an implementation: time, ratio to PyTorch, ratio to the floor. captured: the aim of a captured step."""
        from contest import CAPTURED, FLOOR, OURS, TORCH
        from timing import shown

        print(f"  {'':16}{'time':>12}   {'of torch':<20} {'of numpy by hand':<20}")
        lines: dict[str, object] = {}
        for contender in found.seconds:
            seconds = found.time(contender)
            ratios = {
                other: found.ratio(contender, other) for other in (TORCH, FLOOR) if other in found.seconds
            }
            cells = [
                f"{ratios[other]!s:<20}" if other in ratios else f"{'-':<20}" for other in (TORCH, FLOOR)
            ]
            print(f"  {contender:16}{duration(seconds):>12}   {' '.join(cells)}".rstrip())
            lines[contender] = {"seconds": seconds, **{f"of {k}": asdict(v) for k, v in ratios.items()}}
        self._remarks(found)
        self.figures[name] = lines
        if TORCH not in found.seconds:
            return
        of_torch = {other: found.ratio(other, TORCH).median for other in found.seconds}
        peers = {
            other: ratio for other, ratio in of_torch.items() if other not in (FLOOR, OURS, CAPTURED, TORCH)
        }
        best = min(peers, key=lambda other: peers[other], default=None)
        peer = "-" if best is None else f"{best} {shown(peers[best])}"
        for row, ours, most in ((name, OURS, aim), (f"{name}, captured", CAPTURED, captured)):
            if ours in of_torch:
                floor = shown(of_torch[FLOOR]) if FLOOR in of_torch else "-"
                at_most = self.shown(most, ".2f" if most is None or most >= 0.1 else ".3f")
                self.row(RATIOS, row, floor, peer, shown(of_torch[ours]), at_most)
                if most is not None:
                    self.aim(row, of_torch[ours], most, "x PyTorch")

    def _remarks(self, found: Race) -> None:
        for contender, reason in found.skipped.items():
            print(f"  {contender:16}skipped: {reason}")
        for contender, note in found.notes.items():
            print(f"  {contender:16}note: {note}")

    def growth(self, name: str, found: dict[str, Growth]) -> None:
        """Of each implementation the time at each size, and the exponents fitted to it."""
        for contender, g in found.items():
            times = "  ".join(f"{size:.0e}: {duration(s)}" for size, s in g.seconds.items())
            print(f"  {contender:16}{times}")
            whole, large = g.fit, g.large
            print(f"  {'':16}time = c size^{whole}; from {g.middle:.0e} on size^{large}")
            columns = (whole.exponent, whole.residual, large.exponent, large.residual)
            self.row(GROWTH, f"{name}, {g.range}", contender, *[f"{v:.2f}" for v in columns])
        self.figures[f"growth in {name}"] = {
            contender: {**asdict(g), "fit": asdict(g.fit), "large": asdict(g.large)}
            for contender, g in found.items()
        }

    def aim(self, name: str, value: float, aim: float, unit: str) -> None:
        """State the aim, and whether it was met: aims are for one thread."""
        if self.threads > 1:
            return
        met = value <= aim
        print(f"  {'met' if met else 'MISSED'}: {value:.3g} {unit}, aim at most {aim:g}")
        if not met:
            self.missed.append(f"{name}: {value:.3g} {unit}, aim {aim:g}")

    def seconds(self, name: str, found: float, aim: float) -> None:
        """A line for a time that nobody else is raced for."""
        print(f"  {duration(found)}")
        self.figures[name] = {"seconds": found}
        self.row(RATIOS, name, "-", "-", duration(found), duration(aim))
        self.aim(name, found, aim, "s")

    def shown(self, aim: float | None, how: str, unit: str = "") -> str:
        """The aim as it stands in a table."""
        return f"{aim:{how}}{unit}" if aim is not None and self.threads == 1 else "-"


def duration(seconds: float) -> str:
    """Seconds, in a unit that suits."""
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.1f} us"


def print_tables(reports: Iterable[Report]) -> None:
    """The tables of all reports in Markdown, those of which there are rows."""
    rows: dict[str, list[tuple[str, ...]]] = {}
    for report in reports:
        for table, more in report.rows.items():
            rows.setdefault(table, []).extend(more)
    for table, head in TABLES.items():
        if table in rows:
            print(f"\n{table}:\n")
            for line in (head, ("---",) * len(head), *rows[table]):
                print(f"| {' | '.join(line)} |")

"""campaign: everything that a target declares is checked, by as many workers as there are."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gradcheck.campaigns import ranks, table
from gradcheck.campaigns.carry_out import Settings, carried_out
from gradcheck.campaigns.check import Unchecked
from gradcheck.campaigns.executors import cores, place_of
from gradcheck.campaigns.page import campaign_page
from gradcheck.campaigns.plan import Plan, collect
from gradcheck.campaigns.progress import Progress
from gradcheck.errors import CallError
from gradcheck.report import web
from gradcore.io import write_atomically

SCHEMA = 1
LIMIT = 300.0
"""Seconds that a check may take by default."""


@dataclass(frozen=True)
class Campaign:
    """What a campaign found. True as a condition where every check passed.

    results: one for each check, as plain data (see `gradcheck.campaigns.results.Results`), in the plan's order. unchecked:
    what the target declares and can't be checked. resumed: how many of the results were there before.
    """

    plan: Plan
    seed: int
    results: tuple[dict[str, Any], ...]
    resumed: int = 0

    @property
    def unchecked(self) -> tuple[Unchecked, ...]:
        """What the target declares and can't be checked."""
        return self.plan.unchecked

    @cached_property
    def counts(self) -> Counter[str]:
        """How many results have each verdict."""
        return Counter([r["verdict"] for r in self.results])

    @property
    def verdict(self) -> str:
        """The worst: "fail", then "none" (crashed, hung, an error, no check at all), "inconclusive", "pass"."""
        if self.counts["fail"]:
            return "fail"
        if not self.results or any(self.counts[name] for name in table.WITHOUT):
            return "none"
        return "inconclusive" if self.counts["inconclusive"] else "pass"

    def __bool__(self) -> bool:
        return self.verdict == "pass"

    def __str__(self) -> str:
        return "\n".join(table.lines(self.plan.target, self.seed, self.results, self.unchecked))

    def __repr__(self) -> str:
        return f"<Campaign {self.verdict} of {self.plan.target}, {len(self.results)} checks>"

    def to_html(self) -> str:
        """One web page that needs no network: the verdict, what is weak, what failed and why, every check."""
        return campaign_page(self._plain(), web.now())

    def save_html(self, path: str | os.PathLike[str]) -> None:
        """Write `to_html` to a file, whole or not at all. Raises `gradcore.errors.OutputError` where it can't be written."""
        write_atomically(path, self.to_html().encode())

    def to_json(self) -> str:
        """As JSON text, one object (schema 1; `gradcheck.report.schema.schema("campaign")` is the JSON schema): schema, target,

        seed, versions, verdict, counts, results: see `gradcheck.campaigns.results.Results`, without pictures, unchecked: list of
        {name, words}.
        """
        plain = self._plain()
        plain["results"] = [{k: v for k, v in r.items() if k != "pictures"} for r in self.results]
        return json.dumps(plain, indent=2, allow_nan=False)

    def _plain(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "target": self.plan.target,
            "seed": self.seed,
            "versions": self.plan.versions,
            "verdict": self.verdict,
            "counts": dict(self.counts),
            "results": list(self.results),
            "unchecked": [{"name": u.name, "words": u.words} for u in self.unchecked],
        }


def campaign(
    target: str | Plan,
    *,
    executor: Any = None,
    jobs: int | None = None,
    results: str | os.PathLike[str] | None = None,
    resume: bool = False,
    seed: int = 0,
    examples: int | None = None,
    limit: float = LIMIT,
    batch: int = 1,
    pictures: bool = False,
    scheduler: str | None = None,
    mpiexec: str = "mpiexec",
    progress: Progress | None = None,
    message: Callable[[str], None] = lambda _: None,
) -> Campaign:
    """Check everything that a target declares; each check in a process that may crash or hang.

    target: FILE.py, a module, module:function, "gradcore", or what `gradcheck.campaigns.plan.collect` found.
    executor: where the checks run. None: `jobs` processes here, by default one for each core. "dask": the workers of the
    Dask scheduler at the address `scheduler`, or of a cluster of `jobs` workers here. "mpi": `jobs` ranks and one that hands
    out, started by `mpiexec` (a command with its options), and started again where a rank dies. Any
    `concurrent.futures.Executor`; or a function that returns one, called again where it broke.
    results: a file that a line is appended to for each result. resume: go on with what is in it, of the same target, seed,
    examples and versions.
    seed: each check has its own, from this one and its name: no order and no number of workers changes a result.
    limit: seconds after which a check is ended, and reported as hung. batch: checks in a task; more than one pays off where
    there are hundreds of workers. pictures: measure those of what fails as well, for `Campaign.save_html`.
    progress: shows results as they come (ranks print lines instead). message: gets a sentence on what is out of the ordinary.

    Raises `CallError` for a call that can't be carried out.

    >>> found = campaign("gradcore:relu", examples=2, jobs=1)
    >>> bool(found), found.counts["pass"]
    (True, 6)
    """
    settings = Settings(seed, float(limit), batch, resume, pictures)
    if resume and results is None:
        raise CallError(
            "resume=True (--resume) goes on with a file of results: name it by results= (--results)"
        )
    jobs = cores() if jobs is None else jobs
    if jobs < 1:
        raise CallError(f"jobs={jobs}: pass how many workers there are to be, 1 or more")
    if executor == "mpi" and scheduler is not None:
        raise CallError('scheduler= (--scheduler) is the address of a Dask scheduler: pass executor="dask"')
    place = None if executor == "mpi" else place_of(executor, jobs, scheduler)
    plan = collect(target, examples=examples) if isinstance(target, str) else target
    if place is None:
        found, there = ranks.launched(plan, settings, results, jobs, mpiexec, message, progress is not None)
    else:
        found, there = carried_out(plan, settings, place, results, progress, message)
    return of_results(plan, seed, found, there)


def of_results(plan: Plan, seed: int, found: dict[str, dict[str, Any]], resumed: int) -> Campaign:
    """The campaign of these results, in the plan's order."""
    return Campaign(
        plan, seed, tuple([found[check.id] for check in plan.checks if check.id in found]), resumed
    )

"""Carry out a plan: read the results that are there, run what is left, append what comes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from gradcheck.campaigns.check import Check
from gradcheck.campaigns.dispatch import Dispatcher, Request
from gradcheck.campaigns.executors import Place
from gradcheck.campaigns.judge import no_verdict
from gradcheck.campaigns.plan import Plan
from gradcheck.campaigns.progress import Progress, Silent
from gradcheck.campaigns.results import Results
from gradcheck.errors import CallError


@dataclass(frozen=True, slots=True)
class Settings:
    """Of a campaign, wherever it runs. drawn: whether results have pictures. Raises `CallError` for what can't be."""

    seed: int
    limit: float
    batch: int
    resume: bool
    drawn: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.limit < float("inf"):
            raise CallError(f"limit={self.limit!r}: pass the seconds that a check may take, above 0")
        if self.batch < 1:
            raise CallError(f"batch={self.batch!r}: pass how many checks a task has, 1 or more")

    def plain(self) -> dict[str, Any]:
        """As strings and numbers."""
        return asdict(self)


def carried_out(
    plan: Plan,
    settings: Settings,
    place: Place,
    path: str | os.PathLike[str] | None,
    progress: Progress | None = None,
    message: Callable[[str], None] = lambda _: None,
) -> tuple[dict[str, dict[str, Any]], int]:
    """Run the checks of a plan at a place; results by name, and how many of them were there before."""
    file = Results(path, header(plan, settings.seed), settings.resume)
    try:
        if file.dropped:
            message(f"{path}: the last line was torn, and its check runs again")
        wanted = {check.id for check in plan.checks}
        there = {name: result for name, result in file.found.items() if name in wanted}
        if there:
            message(f"{path}: {len(there):,} of {len(wanted):,} results are there")
        progress = progress or Silent()
        results = dict(there)

        def done(found: list[dict[str, Any]]) -> None:
            file.append(found)
            for result in found:
                results[result["check"]] = result
                progress.step(result)

        def started(names: list[str]) -> None:
            if place.fatal:
                file.append([{"started": names}])

        requests = [_request(check, settings) for check in plan.checks if check.id not in there]
        guilty = {name for name, times in file.started.items() if times > 1}
        with progress.shown(len(wanted), len(there)):
            done([_guilty(r) for r in requests if r["id"] in guilty])
            Dispatcher(
                place,
                [r for r in requests if r["id"] not in guilty],
                done,
                batch=settings.batch,
                started=started,
                suspects=[name for name in file.started if name not in guilty],
            ).run()
    finally:
        file.close()
    return results, len(there)


def header(plan: Plan, seed: int) -> dict[str, Any]:
    """What a file of results says of the campaign that it is of."""
    examples = sorted({check.examples for check in plan.checks})
    return {
        "target": plan.target,
        "seed": seed,
        "examples": examples[0] if len(examples) == 1 else examples,
        "checks": len(plan.checks),
        "versions": plan.versions,
    }


def _request(check: Check, settings: Settings) -> Request:
    return {
        "check": check.plain(),
        "id": check.id,
        "seed": settings.seed,
        "limit": settings.limit,
        "drawn": settings.drawn,
        "root": os.getcwd(),
    }


def _guilty(request: Request) -> dict[str, Any]:
    words = f"{request['id']}: the job ended while it ran, twice"
    return {
        "check": request["id"],
        "kind": request["check"]["kind"],
        "seed": None,
        **no_verdict("crashed", words),
        "seconds": 0.0,
        "worker": "",
        "tries": 2,
    }

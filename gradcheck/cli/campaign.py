"""`gradcheck TARGET`: run a campaign, print what it found, and return the exit status."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from gradcheck.cli import pages
from gradcheck.cli.printing import print_out
from gradcheck.cli.status import INTERRUPTED, MISCALLED, RIGHT, UNDECIDED, WRONG
from gradcheck.cli.termination import status_of, termination_raised
from gradcheck.errors import CallError

if TYPE_CHECKING:
    import argparse

    from gradcheck.campaigns.campaign import Campaign

STATUS = {"pass": RIGHT, "fail": WRONG, "none": MISCALLED, "inconclusive": UNDECIDED}


def run(options: argparse.Namespace) -> int:
    """Carry out `gradcheck run`; its exit status."""
    try:
        with termination_raised():
            pages.ensure_writable(options.html)
            found = _within_mpi(options) if _is_rank(options) else _campaign(options, _executor(options))
    except CallError as error:
        _message(str(error))
        return MISCALLED
    except KeyboardInterrupt as error:
        kept = (
            f"; go on by the same command with --resume and --results {options.results}"
            if options.results
            else ""
        )
        _message(f"interrupted{kept}")
        return status_of(error, INTERRUPTED)
    if found is None:
        return RIGHT
    print_out(found.to_json() if options.json else found)
    return STATUS[found.verdict] if pages.written(found, options.html, "gradcheck") else MISCALLED


def _campaign(options: argparse.Namespace, executor: Any) -> Campaign:
    from gradcheck.campaigns.campaign import campaign
    from gradcheck.campaigns.progress import automatic

    return campaign(
        options.target,
        executor=executor,
        jobs=options.jobs,
        results=options.results,
        resume=options.resume,
        seed=options.seed,
        examples=options.examples,
        limit=options.limit,
        batch=options.batch,
        pictures=options.html is not None,
        scheduler=options.scheduler,
        mpiexec=options.mpiexec,
        progress=automatic(),
        message=_message,
    )


def _executor(options: argparse.Namespace) -> Any:
    if options.executor is None or ":" not in options.executor:
        return options.executor
    from gradcheck.cli.loading import named

    return named(options.executor)


def _is_rank(options: argparse.Namespace) -> bool:
    if options.executor != "mpi":
        return False
    from gradcheck.campaigns.ranks import inside

    return inside()


def _within_mpi(options: argparse.Namespace) -> Campaign | None:
    """What rank 0 found; None on the others."""
    from gradcheck.campaigns.campaign import of_results
    from gradcheck.campaigns.carry_out import Settings, carried_out
    from gradcheck.campaigns.plan import collect
    from gradcheck.campaigns.progress import Lines
    from gradcheck.campaigns.ranks import place_within, pool

    with pool() as executor:
        if executor is None:
            return None
        if options.resume and options.results is None:
            raise CallError("--resume goes on with a file of results: name it by --results")
        drawn = options.html is not None
        settings = Settings(options.seed, options.limit, options.batch, options.resume, drawn)
        plan = collect(options.target, examples=options.examples)
        place = place_within(executor)
        found, there = carried_out(plan, settings, place, options.results, Lines(), _message)
    return of_results(plan, options.seed, found, there)


def _message(text: str) -> None:
    print(f"gradcheck: {text}", file=sys.stderr, flush=True)

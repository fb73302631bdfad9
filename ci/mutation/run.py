"""Changes the source of every rule, layer, loss, optimizer and transform, one small change at a time, and runs the tests on it.

    python ci/mutation/run.py [--only FILE|FUNCTION ...] [--operator NAME ...] [--since REV] [--jobs N] [--near] [--bodies] [--fresh] [--list]

Each mutant runs in a fork, with only the tests that run its function (measured first). The first test that fails has killed
it; a mutant that no test kills has survived. Prints the score of each file, and every survivor as a diff; with --entries also
the entry that would declare it equivalent. Exits with 1 where a mutant survives that equivalent.toml does not declare, or where
that file declares one that is not there; with 2 where the options leave no mutant.

Kills are kept in results.json. A mutant runs again where its function, or the test that killed it, has changed; --fresh runs
all of them. Error messages are not mutated. Whether an error is raised at all is.

mutmut leaves decorated functions alone, and here every op is one. cosmic-ray starts pytest anew for each mutant with the same
tests for all of them (ten times as long), and mutates specs and references too. So the general operators are written here, next
to those that gradients need.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import declared
import forks
import pytest
from mutants import OPERATORS, Mutant, mutants
from report import Progress, print_report
from selection import NothingError, choose, load
from source import MODULE, Source, digest
from store import Result, Store
from tests_run import marked, measure
from touching import Touching, fingerprint, in_order, test_files
from warm import Functions, Server, can_wait

HERE = Path(__file__).resolve().parent
SOURCES = (
    "gradcore/ops/*.py", "gradcore/losses/*.py", "gradcore/nn/*.py", "gradcore/optim/*.py", "gradcore/graph.py", "gradcore/modes.py",
    "gradcore/op.py", "gradcore/transforms.py", "gradcore/recompute.py", "gradcore/variables.py", "gradcore/convert.py",
    "gradcore/sizes.py", "!*/reference.py", "!*_references.py", "!gradcore/ops/__init__.py",
)  # fmt: skip
TESTS = (
    "tests/verification", "tests/core", "tests/nn", "tests/optim", "tests/replay", "tests/reports/test_beside_optimizers.py",
)  # fmt: skip
# These look at imports and run Python anew, or are about the checks rather than about gradcore.
NOT_RUN = ("*/test_import.py", "*/test_docstrings.py", "*/test_planted_*.py")

Part = tuple[list[str], bool]  # tests in their order, and whether with few examples
Task = Callable[[Mutant, Part], Callable[[forks.Send], int]]


class Run:
    """One run over some mutants."""

    def __init__(self, options: argparse.Namespace, sources: list[Source]) -> None:
        self.root: Path = options.root
        self.jobs: int = options.jobs
        self.silence: float = options.silence
        self.parts = 1 if options.near else 2
        self.bodies = options.bodies
        self.sources = sources
        self.store = Store(options.results, options.fresh)
        self.touching = Touching()
        self.progress = Progress()
        self.files: dict[str, str] = {}  # each test file's own fingerprint
        self.killers: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self.units = {s.name: s.registered() for s in sources}

    # --- which tests run what -----------------------------------------------------------------------------------------

    def measure(self, places: list[str]) -> None:
        """Run all tests once, unchanged and traced; SystemExit where one fails.

        A test file that is as it was is not run again unless functions have come or gone.
        """
        everything = digest(
            *(f"{source.name}:{owner.name}" for source in self.sources for owner in source.owners)
        )
        todo = []
        for file in test_files(self.root, places):
            if any(Path(file).match(pattern) for pattern in NOT_RUN):
                continue
            self.files[file] = fingerprint(self.root, file, "")
            print_ = fingerprint(self.root, file, everything)
            if self.store.measured.get(file, {}).get("fingerprint") != print_:
                todo.append((file, print_))
        running: list[forks.Fork] = []
        waiting = list(todo)
        changes = [marked(source) for source in self.sources] if todo else []
        while waiting or running:
            while waiting and len(running) < self.jobs:
                file, print_ = waiting.pop(0)
                running.append(forks.start((file, print_), measure(self.root, file, changes), lambda: 300.0))
            for fork in forks.finished(running):
                running.remove(fork)
                file, print_ = fork.label
                found = next((message for message in fork.messages if "measured" in message), None)
                if found is None or found["code"] != 0:
                    self.store.save()
                    raise SystemExit(f"{file} fails as it stands: {fork.failed or fork.status}")
                self.store.measured[file] = {**found, "fingerprint": print_}
                self.progress.show(
                    f"measured which functions the tests run: {len(todo) - len(waiting) - len(running)}/{len(todo)}"
                )
        if todo:
            self.store.save()
        for file in self.files:
            self.touching.add(self.store.measured[file])

    # --- mutants ------------------------------------------------------------------------------------------------------

    def fingerprint(self, mutant: Mutant) -> str:
        """Names a mutant as long as its function is as it was."""
        owner = mutant.owner
        text = mutant.text
        if owner.name != MODULE:
            shift = len(text.splitlines()) - len(mutant.source.text.splitlines())
            text = "\n".join(text.splitlines()[owner.first - 1 : owner.last + shift])
        return digest(mutant.source.name, owner.name, text)

    def known(self, mutant: Mutant) -> Result | None:
        """What an earlier run found, where it still holds."""
        found = self.store.results.get(self.fingerprint(mutant))
        if found is None or found.by is None:
            return None
        file = found.by.partition("::")[0]
        return found if self.files.get(file, "") == found.test else None

    def results(self, wanted: list[Mutant]) -> dict[Mutant, Result]:
        """The result of every mutant, each in a fork of its own."""
        found = {mutant: result for mutant in wanted if (result := self.known(mutant)) is not None}
        todo = [mutant for mutant in wanted if mutant not in found]
        bodies, others = [], []
        for mutant in todo:
            (bodies if can_wait(mutant, self.touching.at_import) else others).append(mutant)
        print(
            f"running {len(todo)} of {len(wanted)} mutants: the others were killed before and have not changed",
            flush=True,
        )
        if bodies:
            self._run_in_project(bodies)
            found |= {mutant: self.store.results[self.fingerprint(mutant)] for mutant in bodies}
        if self.bodies:
            left = set(others)
            wanted = [mutant for mutant in wanted if mutant not in left]
        else:
            self._run_all(found, others, self._task)
        return {mutant: found[mutant] for mutant in wanted}

    def _run_in_project(self, todo: list[Mutant]) -> None:
        """Run them from a process that has imported the project; the store brings the results back."""

        def serve(server: Server) -> None:
            functions = Functions(self.root, self.sources)

            def task(mutant: Mutant, part: Part) -> Callable[[forks.Send], int]:
                return server.tests_of(*part, lambda: functions.exchange(mutant))

            self._run_all({}, todo, task)

        process = multiprocessing.get_context("fork").Process(
            target=in_project, args=(self.root, list(self.files), Server(serve))
        )
        process.start()
        try:
            process.join()
        finally:
            process.terminate()
        if process.exitcode:
            raise SystemExit(f"running the mutants ended with {process.exitcode}")
        self.store.load()

    def _task(self, mutant: Mutant, part: Part) -> Callable[[forks.Send], int]:
        source = mutant.source
        return forks.tests_of(self.root, *part, forks.Change(source.module, source.path, mutant.text))

    def _run_all(self, found: dict[Mutant, Result], todo: list[Mutant], task: Task) -> None:
        """Put each mutant's result into `found`: first its nearest tests, then all that run its function."""
        waiting: list[tuple[Mutant, list[Part] | None]] = [(mutant, None) for mutant in todo[::-1]]
        running: list[forks.Fork] = []
        started = saved = time.monotonic()
        survived = 0
        try:
            while waiting or running:
                while waiting and len(running) < self.jobs:
                    mutant, parts = waiting.pop()
                    if parts is None:
                        parts = self._parts(mutant)
                    if parts:
                        running.append(self._start(mutant, parts, task))
                    else:
                        survived += 1
                        self._note(found, mutant, Result(None))
                for fork in forks.finished(running) if running else []:
                    running.remove(fork)
                    mutant, begun, (_, *parts) = fork.label
                    result = self._result(fork, time.monotonic() - begun)
                    if result is None and parts:
                        waiting.append((mutant, parts))
                        continue
                    survived += result is None
                    self._note(found, mutant, result or Result(None))
                left = len(waiting) + len(running)
                if len(todo) > left:
                    each = (time.monotonic() - started) / (len(todo) - left)
                    self.progress.show(
                        f"{len(todo) - left} of {len(todo)} mutants, {survived} survived, "
                        f"{each * left / 60:.0f} min left"
                    )
                if time.monotonic() - saved > 30:
                    self.store.save()
                    saved = time.monotonic()
        finally:
            for fork in running:
                forks.end(fork)
            self.store.save()
            self.progress.show("")

    def _parts(self, mutant: Mutant) -> list[Part]:
        """The tests to run, in parts: put in order once, as the order changes with every kill."""
        killers = self.killers[mutant.source.name, mutant.owner.name]
        before = self.store.results.get(self.fingerprint(mutant))
        units = self.units[mutant.source.name].get(mutant.owner.name, set())
        nearest, cheap, long = in_order(mutant, self.touching, units, killers, before.by if before else None)
        orders = [nearest, cheap + nearest + long]
        if not can_wait(mutant, self.touching.at_import):  # file by file, as `forks.tests_of` runs them
            orders = [[name for own in forks.by_file(order).values() for name in own] for order in orders]
        parts = list(zip(orders, (True, False), strict=True))
        return parts[: self.parts] if nearest else []

    def _start(self, mutant: Mutant, parts: list[Part], task: Task) -> forks.Fork:
        order, _ = parts[0]

        def limit() -> float:
            done = sum("passed" in message for message in fork.messages)
            usual = self.touching.seconds[order[done]] if done < len(order) else 0.0
            return self.silence + 10 * usual

        fork = forks.start((mutant, time.monotonic(), parts), task(mutant, parts[0]), limit)
        return fork

    def _result(self, fork: forks.Fork, seconds: float) -> Result | None:
        """None where all tests have passed."""
        order, _ = fork.label[2][0]
        for message in fork.messages:
            if "unable" in message:
                raise SystemExit(f"{fork.label[0].source.name}:{fork.label[0].line}: {message['unable']}")
        passed = sum("passed" in message for message in fork.messages)
        failed = fork.failed
        ended = next((message["ended"] for message in fork.messages if "ended" in message), None)
        if failed is None and ended in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            return None  # a mutant may remove a test, that of a name of an op for example: then nothing fails
        at = failed["failed"] if failed else order[min(passed, len(order) - 1)]
        if at not in self.touching.seconds:  # a file, or the start: its first test in the order stands for it
            at = next((name for name in order if name.startswith(at)), order[0])
        why = (
            failed["why"]
            if failed
            else f"no end within {fork.limit():.0f} s"
            if fork.silent
            else f"crash, {fork.status}"
        )
        return Result(at, why, self.files[at.partition("::")[0]], round(seconds, 2))

    def _note(self, found: dict[Mutant, Result], mutant: Mutant, result: Result) -> None:
        found[mutant] = result
        self.store.results[self.fingerprint(mutant)] = result
        if result.by:
            self.killers[mutant.source.name, mutant.owner.name][result.by] += 1


def in_project(root: Path, files: list[str], server: Server) -> None:
    """Collect the tests in this process, in silence; SystemExit where that fails."""
    before, quiet = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.chdir(root)
    sys.path.insert(0, str(root))
    os.dup2(quiet, 1)
    try:
        code = forks.run_pytest(root, ["--capture=no", *files], server)
    finally:
        sys.stdout.flush()
        os.dup2(before, 1)
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise SystemExit(f"the tests can't be collected: pytest ended with {code}")


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="FILE|FUNCTION", help="as in ops/reduce.py, reduce.py, sum"
    )
    parser.add_argument("--operator", nargs="+", choices=list(OPERATORS), help="only these changes")
    parser.add_argument("--since", metavar="REV", help="only functions that differ from this revision")
    parser.add_argument("--jobs", type=int, default=2, help="forks at a time (2)")
    parser.add_argument(
        "--near",
        action="store_true",
        help="a first look: run the nearest tests only, as those that survive them take minutes each",
    )
    parser.add_argument(
        "--bodies",
        action="store_true",
        help="change bodies only, not what runs at import: that is imported anew each time",
    )
    parser.add_argument("--fresh", action="store_true", help="forget the results of earlier runs")
    parser.add_argument("--list", action="store_true", help="print the mutants and run nothing")
    parser.add_argument(
        "--entries", action="store_true", help="print a declaration to be completed for each survivor"
    )
    parser.add_argument(
        "--silence", type=float, default=20.0, help="seconds for a test beyond ten times its usual ones (20)"
    )
    parser.add_argument("--root", type=Path, default=HERE.parents[1], help="the project's folder")
    parser.add_argument(
        "--sources",
        nargs="+",
        default=list(SOURCES),
        help="what is changed, as globs below the root; those that begin with ! are left out",
    )
    parser.add_argument(
        "--tests", nargs="+", default=list(TESTS), help="folders and files of tests below the root"
    )
    parser.add_argument("--equivalent", type=Path, default=HERE / "equivalent.toml")
    parser.add_argument("--results", type=Path, default=HERE / "results.json")
    options = parser.parse_args(arguments)
    options.root = options.root.resolve()
    sources = load(options.root, options.sources)
    everything = [mutant for source in sources for mutant in mutants(source)]
    try:
        wanted = choose(options, sources, everything)
    except NothingError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    if options.list:
        for mutant in wanted:
            print(
                f"{mutant.source.name}:{mutant.line} {mutant.operator}: {mutant.lines[0]}  ->  {mutant.lines[1]}"
            )
        print(f"{len(wanted)} mutants")
        return 0
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # so that forks end with it, and what was found is kept
    declarations = declared.load(options.equivalent)
    equivalent = {key for declaration in declarations for key in declaration.mutants()}
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    forks.preload()
    run = Run(options, sources)
    run.measure(options.tests)
    undeclared = [mutant for mutant in wanted if mutant.key not in equivalent]
    results = run.results(undeclared)
    if undeclared and not results:
        parser.exit(
            2,
            f"{parser.prog}: --bodies runs changes of bodies only, and none of the {len(undeclared)} mutants selected is one: "
            "leave it out\n",
        )
    for mutant in wanted:
        if mutant.key in equivalent:
            results[mutant] = Result(None)
    survivors = print_report(results, equivalent)
    if options.entries:
        print("\n" + "\n\n".join(map(declared.as_entry, survivors)))
    gone = declared.stale(declarations, everything)
    for line in gone:
        print(f"{options.equivalent.name} declares a mutant that is not there: {line}")
    return 1 if survivors or gone else 0


if __name__ == "__main__":
    sys.exit(main())

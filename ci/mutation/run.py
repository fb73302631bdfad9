"""Changes the source of every rule, layer, loss and optimizer, one small change at a time, and asks the tests to notice.

    python ci/mutation/run.py [--only FILE|FUNCTION ...] [--operator NAME ...] [--since REV] [--jobs N] [--near] [--fresh] [--list]

Each mutant runs in a fork, against just the tests that run its function (measured first), up to the first that fails.
Prints the score of each file and every survivor as a diff, with the entry that would declare it equivalent. Exit status 1
where a mutant survives that equivalent.toml does not declare, or where that file declares one that is not there.

What was noticed is kept in results.json, and looked at again where the function, or the test that noticed it, changes;
--fresh forgets it all. Mutants in error messages are not made; that an error is raised at all is a mutant like any other.

Of the tools there are, mutmut leaves decorated functions alone, and here every op is one. cosmic-ray starts pytest anew for
each mutant with the same tests for all of them (ten times as long), and mutates specs and references too. So the general
operators are written here, next to those that gradients need.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import declared
import forks
import pytest
from mutants import OPERATORS, Mutant, mutants
from source import MODULE, Source, digest
from store import Result, Store
from telling import Progress, told
from touching import Touching, fingerprint, in_order, measure, test_files
from warm import Functions, Server, can_wait

HERE = Path(__file__).resolve().parent
SOURCES = (
    "gradcore/ops/[!_r]*.py", "gradcore/ops/re[!f]*.py", "gradcore/ops/_windows.py", "gradcore/losses.py", "gradcore/nn/*.py",
    "gradcore/optim/*.py", "gradcore/graph.py", "gradcore/op.py",
)  # fmt: skip
TESTS = ("tests/verification", "tests/core", "tests/nn", "tests/optim")
# These look at imports and run Python anew, or are about the checks rather than about gradcore.
NOT_ASKED = ("*/test_import.py", "*/test_docstrings.py", "*/test_planted_*.py")

Task = Callable[[Mutant, list[str]], Callable[[forks.Tell], int]]


class Run:
    """One run over some mutants."""

    def __init__(self, options: argparse.Namespace, sources: list[Source]) -> None:
        self.root: Path = options.root
        self.jobs: int = options.jobs
        self.silence: float = options.silence
        self.parts = 1 if options.near else 2
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
            if any(Path(file).match(pattern) for pattern in NOT_ASKED):
                continue
            self.files[file] = fingerprint(self.root, file, "")
            print_ = fingerprint(self.root, file, everything)
            if self.store.measured.get(file, {}).get("fingerprint") != print_:
                todo.append((file, print_))
        running: list[forks.Fork] = []
        waiting = list(todo)
        while waiting or running:
            while waiting and len(running) < self.jobs:
                file, print_ = waiting.pop(0)
                running.append(
                    forks.start((file, print_), measure(self.root, file, self.sources), lambda: 300.0)
                )
            for fork in forks.finished(running):
                running.remove(fork)
                file, print_ = fork.label
                found = next((message for message in fork.told if "measured" in message), None)
                if found is None or found["code"] != 0:
                    self.store.save()
                    raise SystemExit(f"{file} fails as it stands: {fork.failed or fork.status}")
                self.store.measured[file] = {**found, "fingerprint": print_}
                self.progress.tell(
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

    def ask(self, wanted: list[Mutant]) -> dict[Mutant, Result]:
        """The result of every mutant, each in a fork of its own."""
        found = {mutant: result for mutant in wanted if (result := self.known(mutant)) is not None}
        todo = [mutant for mutant in wanted if mutant not in found]
        bodies = [mutant for mutant in todo if can_wait(mutant, self.touching.at_import)]
        others = [mutant for mutant in todo if mutant not in set(bodies)]
        print(
            f"asked about {len(todo)} of {len(wanted)} mutants: the others were noticed before and are as they were",
            flush=True,
        )
        if bodies:
            self._ask_in_project(bodies)
            found |= {mutant: self.store.results[self.fingerprint(mutant)] for mutant in bodies}
        if self.parts == 1:
            wanted = [mutant for mutant in wanted if mutant not in set(others)]
        else:
            self._ask_all(found, others, self._task)
        return {mutant: found[mutant] for mutant in wanted}

    def _ask_in_project(self, todo: list[Mutant]) -> None:
        """Ask in a process of its own that has imported the project; what it finds comes back by the store."""

        def serve(server: Server) -> None:
            functions = Functions(self.root, self.sources)

            def task(mutant: Mutant, order: list[str]) -> Callable[[forks.Tell], int]:
                return server.tests_of(order, lambda: functions.exchange(mutant))

            self._ask_all({}, todo, task)

        process = multiprocessing.get_context("fork").Process(
            target=in_project, args=(self.root, list(self.files), Server(serve))
        )
        process.start()
        try:
            process.join()
        finally:
            process.terminate()
        if process.exitcode:
            raise SystemExit(f"asking ended with {process.exitcode}")
        self.store.load()

    def _task(self, mutant: Mutant, order: list[str]) -> Callable[[forks.Tell], int]:
        module = ".".join(Path(mutant.source.name).with_suffix("").parts).removesuffix(".__init__")
        return forks.tests_of(
            self.root, order, forks.Change(module, self.root / mutant.source.name, mutant.text)
        )

    def _ask_all(self, found: dict[Mutant, Result], todo: list[Mutant], task: Task) -> None:
        """Put each mutant's result into `found`: first its nearest tests, then the others that run its function."""
        waiting: list[tuple[Mutant, list[list[str]] | None]] = [(mutant, None) for mutant in todo[::-1]]
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
                    self.progress.tell(
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
            self.progress.tell("")

    def _parts(self, mutant: Mutant) -> list[list[str]]:
        """The tests to ask, in the parts to ask them in: put in order once, as the order changes with what is noticed."""
        killers = self.killers[mutant.source.name, mutant.owner.name]
        before = self.store.results.get(self.fingerprint(mutant))
        units = self.units[mutant.source.name].get(mutant.owner.name, set())
        ordered = in_order(mutant, self.touching, units, killers, before.by if before else None)
        return [part for part in ordered[: self.parts] if part]

    def _start(self, mutant: Mutant, parts: list[list[str]], task: Task) -> forks.Fork:
        order = parts[0]

        def limit() -> float:
            done = sum("passed" in message for message in fork.told)
            usual = self.touching.seconds[order[done]] if done < len(order) else 0.0
            return self.silence + 10 * usual

        fork = forks.start((mutant, time.monotonic(), parts), task(mutant, order), limit)
        return fork

    def _result(self, fork: forks.Fork, seconds: float) -> Result | None:
        """None where all tests asked have passed."""
        order = fork.label[2][0]
        for message in fork.told:
            if "unable" in message:
                raise SystemExit(f"{fork.label[0].source.name}:{fork.label[0].line}: {message['unable']}")
        passed = sum("passed" in message for message in fork.told)
        failed = fork.failed
        ended = next((message["ended"] for message in fork.told if "ended" in message), None)
        if failed is None and ended in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            return None  # a mutant may do away with a test, a name that an op is called by, say: nobody would notice that
        at = failed["failed"] if failed else order[min(passed, len(order) - 1)]
        if (
            at not in self.touching.seconds
        ):  # a file, or the start: the first test of those asked stands for it
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


# --- what is asked for ------------------------------------------------------------------------------------------------


def load(root: Path, patterns: list[str]) -> list[Source]:
    """The sources to be changed."""
    paths = sorted({path for pattern in patterns for path in root.glob(pattern)})
    return [Source(path, path.relative_to(root).as_posix(), path.read_text()) for path in paths]


def changed_lines(root: Path, revision: str, name: str) -> set[int]:
    """The lines of a file that differ from a revision's."""
    diff = subprocess.run(
        ["git", "diff", "-U0", revision, "--", name], cwd=root, check=True, capture_output=True, text=True
    ).stdout
    found: set[int] = set()
    for begin, count in re.findall(r"^@@ -\S+ \+(\d+)(?:,(\d+))? @@", diff, re.MULTILINE):
        found |= set(range(int(begin), int(begin) + int(count or 1)))
    return found


def chosen(options: argparse.Namespace, sources: list[Source], everything: list[Mutant]) -> list[Mutant]:
    """The mutants that the options ask for."""
    found = everything
    if options.only:
        found = [
            m
            for m in found
            if any(o in (m.owner.name, m.source.name, Path(m.source.name).name) for o in options.only)
        ]
    if options.operator:
        found = [m for m in found if m.operator in options.operator]
    if options.since:
        lines = {source.name: changed_lines(options.root, options.since, source.name) for source in sources}
        found = [m for m in found if lines[m.source.name] & set(range(m.owner.first, m.owner.last + 1))]
    return found


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
        "--near", action="store_true", help="a first look: change bodies only, ask the nearest tests only"
    )
    parser.add_argument("--fresh", action="store_true", help="forget what earlier runs noticed")
    parser.add_argument("--list", action="store_true", help="print the mutants and run nothing")
    parser.add_argument(
        "--entries", action="store_true", help="print a declaration to be completed for each survivor"
    )
    parser.add_argument(
        "--silence", type=float, default=20.0, help="seconds for a test beyond ten times its usual ones (20)"
    )
    parser.add_argument("--root", type=Path, default=HERE.parents[1], help="the project's folder")
    parser.add_argument(
        "--sources", nargs="+", default=list(SOURCES), help="what is changed, as globs below the root"
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
    wanted = chosen(options, sources, everything)
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
    results = run.ask([mutant for mutant in wanted if mutant.key not in equivalent])
    for mutant in wanted:
        if mutant.key in equivalent:
            results[mutant] = Result(None)
    survivors = told(results, equivalent)
    if options.entries:
        print("\n" + "\n\n".join(map(declared.as_entry, survivors)))
    gone = declared.stale(declarations, everything)
    for line in gone:
        print(f"{options.equivalent.name} declares a mutant that is not there: {line}")
    return 1 if survivors or gone else 0


if __name__ == "__main__":
    sys.exit(main())

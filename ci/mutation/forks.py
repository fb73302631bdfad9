"""Runs tests in forks of a process that has loaded all that they need but for the project itself.

A fork puts one changed source in the place of a module, imports the project, runs the tests in the order given and stops
at the first that fails. It reports each test as it ends, so a fork that hangs is known by its silence.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.util
import json
import os
import resource
import selectors
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

MEMORY = 20 << 30  # bytes that a fork may take: some tests make huge arrays of which they touch little

FEW = 5
"""Examples of each check while a mutant's nearest tests run: most are killed by the first."""

Send = Callable[[dict[str, Any]], None]


class Unable(Exception):  # noqa: N818
    """A fork could not put its mutant in place: a defect of this tool, not of the tests."""


def preload() -> None:
    """What every fork would import again: NumPy, Hypothesis, pytest's own plugins, mpmath."""
    for name in (
        "numpy",
        "mpmath",
        "hypothesis.strategies",
        "hypothesis.extra.numpy",
        "_hypothesis_pytestplugin",
    ):
        importlib.import_module(name)
    importlib.import_module("hypothesis.internal.conjecture.engine")
    for name in importlib.import_module("_pytest.config").default_plugins:
        importlib.import_module(f"_pytest.{name}")
    importlib.import_module("_pytest.assertion.rewrite")
    importlib.import_module("_pytest.pytester")


@dataclass(frozen=True)
class Change:
    """A module's source replaced by another text, or its code by another."""

    module: str
    path: Path
    text: str | CodeType


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, change: Change) -> None:
        super().__init__(change.module, str(change.path))
        self._text = change.text

    def get_code(self, fullname: str) -> Any:
        text = self._text
        return text if isinstance(text, CodeType) else compile(text, self.path, "exec", dont_inherit=True)


class Finder:
    """What is put into `sys.meta_path` so that modules are imported changed."""

    def __init__(self, *changes: Change) -> None:
        self._changes = {change.module: change for change in changes}

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """The changed module's; None for every other name."""
        if (change := self._changes.get(name)) is None:
            return None
        package = change.path.name == "__init__.py"
        return importlib.util.spec_from_file_location(
            name,
            change.path,
            loader=_Loader(change),
            submodule_search_locations=[str(change.path.parent)] if package else None,
        )


class Reporter:
    """The pytest plugin of a fork: runs the tests of `order` in that order, and sends the outcome of each.

    few: with FEW examples of each check.
    """

    def __init__(
        self,
        send: Send,
        order: list[str] | None,
        before_each: Callable[[str], None] | None = None,
        few: bool = False,
    ) -> None:
        self.send = send
        self.order = order
        self.before_each = before_each
        self.few = few

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """The project's `ci` profile, without what Hypothesis does after a failure, and with all parameters of each test."""
        from hypothesis import Phase, settings

        # By now Hypothesis has loaded the one that was asked for.
        config.option.hypothesis_profile = "nightly"

        settings.register_profile(
            "mutation", settings(), derandomize=True, database=None, phases=[Phase.explicit, Phase.generate]
        )
        settings.load_profile("mutation")
        settings.register_profile("few", settings(), max_examples=min(FEW, settings().max_examples))
        if self.few:
            settings.load_profile("few")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Iterator[None]:
        """Only the tests of `order`, in that order; all where it is None."""
        yield
        if self.order is not None:
            place = {name: i for i, name in enumerate(self.order)}
            items[:] = sorted((i for i in items if i.nodeid in place), key=lambda i: place[i.nodeid])

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A test begins."""
        if self.before_each is not None:
            self.before_each(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A part of a test has ended."""
        if report.failed:
            self._failed(report.nodeid, report)
        elif report.when == "teardown":
            self.send({"passed": report.nodeid})

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file could not be imported."""
        if report.failed:
            self._failed(report.nodeid or "collection", report)

    def _failed(self, nodeid: str, report: Any) -> None:
        crash = getattr(report.longrepr, "reprcrash", None)
        words = str(crash.message if crash else report.longrepr).strip().splitlines() or [""]
        self.send({"failed": nodeid, "why": (words[0] if crash else words[-1])[:200]})


def run_pytest(root: Path, files: list[str], reporter: Reporter) -> int:
    """pytest, in this process, over some files of the project in `root`, up to the first failure."""
    arguments = [
        "-q",
        "-x",
        "--no-header",
        "--tb=short",
        "--assert=plain",
        "-p",
        "no:cacheprovider",
        "-p",
        "gradcheck.plugin",
        "--gradcheck-allow-unverified",  # a mutant may remove a test: then nothing fails
        f"--rootdir={root}",
    ]
    plugin = importlib.import_module("_hypothesis_pytestplugin")
    return int(pytest.main([*arguments, *files], plugins=[reporter, plugin]))


@dataclass
class Fork:
    """A running fork, and the messages it has sent."""

    pid: int
    pipe: int
    label: Any
    limit: Callable[[], float]
    messages: list[dict[str, Any]] = field(default_factory=list)
    rest: bytes = b""
    heard: float = field(default_factory=time.monotonic)
    status: int | None = None
    silent: bool = False

    @property
    def failed(self) -> dict[str, Any] | None:
        """The first failure reported."""
        return next((message for message in self.messages if "failed" in message), None)


def start(label: Any, task: Callable[[Send], int], limit: Callable[[], float]) -> Fork:
    """Fork, and run `task(send)` there; `limit` gives the seconds of silence after which it is ended."""
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        return Fork(pid, read, label, limit)
    code = 70
    try:
        os.close(read)
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        Path("/proc/self/oom_score_adj").write_text(
            "1000"
        )  # one that takes too much goes before anybody else does
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        pipe = os.fdopen(write, "w", buffering=1)
        code = task(lambda message: print(json.dumps(message), file=pipe, flush=True))
    except Unable as error:
        os.write(write, json.dumps({"unable": str(error)}).encode() + b"\n")
    except BaseException as error:  # noqa: BLE001, whatever it is, this process must not go on as its parent
        os.write(write, json.dumps({"failed": "start", "why": repr(error)[:200]}).encode() + b"\n")
    finally:
        os._exit(code)


def finished(forks: list[Fork], wait: float = 0.5) -> list[Fork]:
    """Read what the forks send; those that have ended, or were ended for their silence, with `status` set."""
    with selectors.DefaultSelector() as selector:
        for fork in forks:
            selector.register(fork.pipe, selectors.EVENT_READ, fork)
        ready = [key.data for key, _ in selector.select(wait)]
    done = []
    for fork in forks:
        if fork in ready:
            data = os.read(fork.pipe, 1 << 16)
            fork.heard = time.monotonic()
            *lines, fork.rest = (fork.rest + data).split(b"\n")
            fork.messages += [json.loads(line) for line in lines if line]
            if data:
                continue
        elif time.monotonic() - fork.heard <= fork.limit():
            continue
        else:
            fork.silent = True
        end(fork)
        done.append(fork)
    return done


def end(fork: Fork) -> None:
    """Stop a fork with all that it started, and collect its status."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(fork.pid, signal.SIGKILL)
    os.close(fork.pipe)
    _, fork.status = os.waitpid(fork.pid, 0)


def by_file(order: list[str]) -> dict[str, list[str]]:
    """The tests of each file, files and tests in the order in which they come."""
    found: dict[str, list[str]] = {}
    for name in order:
        found.setdefault(name.partition("::")[0], []).append(name)
    return found


def tests_of(root: Path, order: list[str], few: bool, change: Change) -> Callable[[Send], int]:
    """The task of a fork: these tests, with this change. To collect a file takes longest: one at a time, up to the first failure."""

    def task(send: Send) -> int:
        os.chdir(root)
        sys.path.insert(0, str(root))
        sys.meta_path.insert(0, Finder(change))
        for file, own in by_file(order).items():
            code = run_pytest(root, [file], Reporter(send, own, few=few))
            if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
                break
        send({"ended": code})
        return code

    return task

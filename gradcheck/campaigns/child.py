"""The process that judges checks, one after another: requests come in as lines of JSON, and replies go out likewise.

The code under check may print, fork, end the process or hang. What it prints goes where errors go, a process that it forks
never replies, and a watchdog ends the process where no one else does.
"""

from __future__ import annotations

import faulthandler
import json
import os
import queue
import signal
import sys
import tempfile
import threading
import time
from importlib import import_module
from typing import Any, TextIO

READY = "ready"
GRACE = 30.0
"""Seconds beyond its limit after which a process that no one has ended ends by itself."""


def main() -> None:
    """Serve until the other side closes the requests."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Ctrl-C the other side speaks for both
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    faulthandler.enable()
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin, requests), daemon=True).start()
    sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - as long as the process
    first = os.getpid()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        prepare(home)
        _reply(replies, {READY: True})
        while True:
            request = json.loads(requests.get())
            faulthandler.dump_traceback_later(request["limit"] + GRACE, exit=True)
            answer = answered(request)
            if os.getpid() != first:  # a process that the code under check has forked
                os._exit(1)
            faulthandler.cancel_dump_traceback_later()
            sys.stdout.flush()
            sys.stderr.flush()
            _reply(replies, answer)


def prepare(home: str) -> None:
    """Have Hypothesis keep what it keeps in `home`, and draw the same whatever else is loaded.

    It takes numbers out of the source of loaded modules, so that what a check draws would depend on those before it.
    """
    try:
        import_module("hypothesis.configuration").set_hypothesis_home_dir(home)
        providers = import_module("hypothesis.internal.conjecture.providers")
    except ModuleNotFoundError:  # a request will be answered by that
        return
    constants = providers.Constants(
        integers=providers.SortedSet(),
        floats=providers.SortedSet(key=providers.float_to_int),
        bytes=providers.SortedSet(),
        strings=providers.SortedSet(),
    )
    vars(providers)["_get_local_constants"] = lambda: constants
    import_module("gradcheck.campaigns.registered")  # so that a check's limit is not spent on it
    import_module("gradcheck.explore.verify")


def answered(request: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request to collect a target or to judge a check."""
    from gradcheck.campaigns.check import Check
    from gradcheck.errors import CallError

    if request["root"] not in sys.path:
        sys.path.insert(0, request["root"])
    if "check" in request:
        from gradcheck.campaigns.judge import judged

        start = time.process_time()
        result = judged(Check(**request["check"]), request["seed"], request["drawn"])
        return result | {"cpu": round(time.process_time() - start, 4)}
    from gradcheck.campaigns.target import collected

    try:
        found = collected(request["collect"], request["examples"])
    except CallError as error:
        return {"wrong": str(error)}
    except SystemExit as error:
        return {
            "wrong": f"{request['collect']} ended the program when it was loaded (SystemExit: {error.code})"
        }
    return {
        "checks": [check.plain() for check in found.checks],
        "unchecked": [[u.name, u.words] for u in found.unchecked],
        "versions": found.versions,
    }


def _read(source: TextIO, requests: queue.SimpleQueue[str]) -> None:
    for line in source:
        requests.put(line)
    os._exit(0)  # the other side has gone


def _reply(replies: TextIO, answer: dict[str, Any]) -> None:
    try:
        replies.write(json.dumps(answer) + "\n")
        replies.flush()
    except OSError:
        os._exit(0)

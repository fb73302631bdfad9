"""A check that fails within a test shows the test's own lines and the message, not gradcheck's source."""

from __future__ import annotations

import os
import sys
from types import TracebackType

import pytest

OWN = os.path.dirname(os.path.dirname(__file__)) + os.sep
ERRORS = {"gradcheck.report.failure": "GradientError", "gradcheck.errors": "CallError"}


class Frames:
    """A plugin of every process that runs tests."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        """Take gradcheck's frames out of the errors whose message says all, unless ``--full-trace`` is given."""
        error = None if call.excinfo is None else call.excinfo.value
        if error is None or not _says_all(error) or item.config.getoption("fulltrace"):
            return
        left = _without_own(error.__traceback__)
        if left is None:
            return
        error.__traceback__ = left
        cause = error.__cause__
        while cause is not None:
            cause.__traceback__ = _without_own(cause.__traceback__)
            cause = cause.__cause__
        call.excinfo = pytest.ExceptionInfo.from_exception(error)


def _says_all(error: BaseException) -> bool:
    modules = [(sys.modules.get(module), name) for module, name in ERRORS.items()]
    return any(isinstance(error, getattr(module, name)) for module, name in modules if module is not None)


def _without_own(traceback: TracebackType | None) -> TracebackType | None:
    kept = []
    while traceback is not None:
        if not traceback.tb_frame.f_code.co_filename.startswith(OWN):
            kept.append(traceback)
        traceback = traceback.tb_next
    made = None
    for entry in reversed(kept):
        made = TracebackType(made, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return made

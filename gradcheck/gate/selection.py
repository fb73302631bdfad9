"""Whether a run is to verify: what its command line selects."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gradcheck.gate.stages import Folders, Stage

PARSER = "gradcheck-gate-parser"
"""The name under which pytest's parser of the command line is kept, which no hook but the first one is given."""

SELECTING = ("keyword", "markexpr", "deselect", "ignore", "ignore_glob", "lf", "stepwise")
"""Options of pytest that leave tests out, by their names in the parsed options."""


class Parser:
    """Keeps the parser, which can read the command line without the options of the settings."""

    def __init__(self, parser: pytest.Parser) -> None:
        self.parser = parser


def is_to_verify(config: pytest.Config, folders: Folders) -> bool:
    """Whether the setting names verification tests, and the command line does not leave them out.

    The user of a command line such as `pytest tests/training` or `pytest -m training` has chosen what to run. The same
    words in the settings, or a plugin that drops tests, are no choice of this run.
    """
    if not config.getini(Stage.VERIFICATION.setting) or _selects(config):
        return False
    if config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        return True
    here = config.invocation_params.dir
    paths = [Path(os.path.normpath(here / argument.partition("::")[0])) for argument in config.args]
    return any(folders.meet(Stage.VERIFICATION, path) for path in paths)


def _selects(config: pytest.Config) -> bool:
    """Whether an option of the command line leaves tests out."""
    kept = config.pluginmanager.get_plugin(PARSER)
    if not isinstance(kept, Parser):
        return False
    given = kept.parser.parse_known_args(config.invocation_params.args)
    return any(getattr(given, name, None) for name in SELECTING)

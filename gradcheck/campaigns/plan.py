"""What a campaign is to do: the checks that a target declares, found in a process of their own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from gradcheck.campaigns.check import Check, Unchecked
from gradcheck.campaigns.runner import EndedError, Runner
from gradcheck.errors import CallError

LIMIT = 600.0
"""Seconds that a target has to be loaded."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The checks of a target. unchecked: what is declared there and can't be checked. versions: of what is loaded."""

    target: str
    checks: tuple[Check, ...]
    unchecked: tuple[Unchecked, ...]
    versions: dict[str, str]

    def only(self, wanted: Callable[[Check], bool]) -> Plan:
        """The same with those checks that are wanted."""
        return replace(self, checks=tuple([check for check in self.checks if wanted(check)]))

    def to_json(self) -> str:
        """As JSON text, which `plan_of` reads."""
        return json.dumps(
            {
                "target": self.target,
                "checks": [check.plain() for check in self.checks],
                "unchecked": [[u.name, u.words] for u in self.unchecked],
                "versions": self.versions,
            }
        )


def plan_of(text: str) -> Plan:
    """The plan of `Plan.to_json`."""
    found = json.loads(text)
    return Plan(
        found["target"],
        tuple([Check(**check) for check in found["checks"]]),
        tuple([Unchecked(*pair) for pair in found["unchecked"]]),
        found["versions"],
    )


def collect(target: str, *, examples: int | None = None) -> Plan:
    """The checks that FILE.py, a module or module:function declares; `gradcore`: of its ops, layers, losses, optimizers.

    examples: how many to draw for each check, by default 20 of what is registered and `verify`'s 100 of what is marked.
    Raises `CallError` where there is nothing to check.
    """
    request: dict[str, Any] = {
        "collect": target,
        "examples": examples or 0,
        "root": os.getcwd(),
        "limit": LIMIT,
    }
    runner = None
    try:
        runner = Runner()
        found = runner.ask(request)
    except EndedError as error:
        printed = f"\n{error.printed.rstrip()}" if error.printed.strip() else ""
        raise CallError(f"{target} can't be loaded: {error}{printed}") from error
    except OSError as error:
        raise CallError(f"the checks can't be started ({type(error).__name__}: {error})") from error
    finally:
        if runner is not None:
            runner.close()
    if "wrong" in found:
        raise CallError(found["wrong"])
    return plan_of(json.dumps({"target": target, **found}))

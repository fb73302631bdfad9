"""The JSON schemas (draft 2020-12) of what gradcheck writes as JSON. They ship with the package."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

NAMES = ("report", "verification", "explanation", "campaign", "summary")


def schema(name: str) -> dict[str, Any]:
    """The schema of `Report.to_json` ("report"), `Verification.to_json` ("verification"), `Explanation.to_json` ("explanation"),
    `Campaign.to_json` ("campaign") or `--gradcheck-json` ("summary").

    Raises ValueError for another name.
    """
    if name not in NAMES:
        raise ValueError(f"there is no schema {name!r}: pass one of {', '.join(NAMES)}")
    text = resources.files("gradcheck.report").joinpath("schemas", f"{name}.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found

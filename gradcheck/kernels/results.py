"""What a reference gives: outputs, and cotangents of its inputs for each cotangent of its outputs."""

from __future__ import annotations

from dataclasses import dataclass

from gradcheck.backends.protocol import Array


@dataclass(frozen=True, slots=True)
class Results:
    """outputs: one per output. pulled: for each list of cotangents of the outputs, one array or None per input."""

    outputs: list[Array]
    pulled: list[list[Array | None]]

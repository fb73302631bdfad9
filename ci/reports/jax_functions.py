"""Derivatives of jax.numpy, jax.nn, jax.lax and jax.scipy at drawn inputs: none may be called wrong.

    python ci/reports/jax_functions.py --seeds 2

What is really wrong in JAX is listed in KNOWN, with what shows it; a fail that is not listed there is missed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import derivatives

KNOWN: dict[tuple[str, str], str] = {}
"""What is wrong in JAX itself, by function and cause: what shows it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    parser = derivatives.parser_of(__doc__)
    options = parser.parse_args(arguments)
    try:
        import jax
    except ImportError:
        print("jax is not installed: nothing to check")
        return 2
    from ci.catalogue.frameworks.jax_right import argument, functions

    def inputs(kinds: Sequence[str], seed: int) -> tuple[Any, ...]:
        rng = np.random.default_rng(seed)
        return tuple([argument(kind, rng) for kind in kinds])

    return derivatives.judge(
        parser, options, f"JAX {jax.__version__}", functions(), inputs, KNOWN, backend="jax"
    )


if __name__ == "__main__":
    sys.exit(main())

"""What must hold of a function and its gradient beyond the value: small functions, each one property with a name."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeAlias

import numpy as np

from gradcheck.look import Look
from gradcheck.report import ContractResult


class Skip(Exception):  # noqa: N818
    """A contract that says nothing about this function, with the reason."""


Contract: TypeAlias = Callable[[Look], str | None]
"""Returns a sentence that says what broke it, None where it holds; raises Skip where it does not apply."""

CONTRACTS: dict[str, Contract] = {}


def contract(check: Contract) -> Contract:
    """Decorator that adds a contract under its own name."""
    CONTRACTS[check.__name__] = check
    return check


@contract
def cotangent_shape(look: Look) -> str | None:
    """Every cotangent has the shape of its input."""
    for path, gx, x, want in zip(look.paths, look.first_gx, look.arrays, look.wanted, strict=True):
        if want and gx is not None and gx.shape != x.shape:
            return f"the cotangent of {path} has shape {gx.shape}, and {path} has {x.shape}"
    return None


@contract
def cotangent_dtype(look: Look) -> str | None:
    """Every cotangent has the dtype of its input, unless forward itself promoted it."""
    for path, gx, x, want in zip(look.paths, look.first_gx, look.arrays, look.wanted, strict=True):
        if not want or gx is None or gx.dtype == x.dtype:
            continue
        promoted = any(y.dtype != x.dtype for y in look.outputs)
        if promoted and gx.dtype in {y.dtype for y in look.outputs}:
            continue
        return (
            f"the cotangent of {path} is {gx.dtype}, and {path} is {x.dtype}: look for a constant array or a function "
            f"that gives {gx.dtype}"
        )
    return None


def examine(look: Look, names: Collection[str] | None = None) -> list[ContractResult]:
    """Try the contracts of these names, all of them for None, and report each by itself."""
    results = []
    for name, check in CONTRACTS.items():
        if names is not None and name not in names:
            continue
        try:
            with np.errstate(all="ignore"):
                broken = check(look)
        except Skip as why:
            results.append(ContractResult(name, "skipped", str(why)))
        else:
            results.append(ContractResult(name, "held" if broken is None else "broken", broken or ""))
    return results

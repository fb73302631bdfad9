"""Containers that their user registered with JAX, such as dataclasses of arrays, taken apart one level by `jax.tree_util`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

LEAVES = (np.ndarray, np.generic, float, int, complex, str, bytes, type(None))
"""Never a container of any kind; spares the question."""


def children_of(value: Any) -> list[tuple[str, Any]] | None:
    """Names and children of a registered container, as `.weight` or `['weight']`; None for anything else.

    Nothing is one as long as nobody has imported JAX.
    """
    util = None if isinstance(value, LEAVES) else _util()
    if util is None:
        return None
    children, _ = util.tree_flatten_with_path(value, is_leaf=lambda x: x is not value)
    if any(not path for path, _ in children):
        return None
    return [(util.keystr(path), child) for path, child in children]


def put_together(template: Any, children: Sequence[Any]) -> Any:
    """A container like `template` with other children."""
    util = _util()
    return util.tree_structure(template, is_leaf=lambda x: x is not template).unflatten(children)


def _util() -> Any:
    return getattr(sys.modules.get("jax"), "tree_util", None)

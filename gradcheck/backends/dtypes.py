"""Floating dtypes that NumPy itself has no numbers of: those of ml_dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np


def is_extended(dtype: np.dtype[Any]) -> bool:
    """Whether it is a floating dtype of ml_dtypes, such as bfloat16, on which NumPy's own functions work."""
    return dtype.kind == "V" and dtype.names is None and str(dtype).startswith(("bfloat16", "float8"))

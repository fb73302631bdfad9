"""Right gradients: pairs of a forward and its vjp in plain NumPy. A check that fails one of them is a false alarm.

Add a pair to `basic.py` or `mixing.py`. `PAIRS` has all of them, with how to draw their inputs.
"""

from . import basic, mixing
from .pair import PAIRS, Pair

__all__ = ["PAIRS", "Pair", "basic", "mixing"]

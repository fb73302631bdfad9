"""A directional derivative with a measured error bound, usable by itself: `derivative(f, x, v)`."""

from gradcheck.numeric.derivative import derivative
from gradcheck.numeric.result import Derivative, Diagnosis

__all__ = ["Derivative", "Diagnosis", "derivative"]

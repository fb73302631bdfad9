"""A directional derivative with a measured error bound, usable by itself: `derivative(f, x, v)`."""

from gradcheck.numeric.derivative import Derivative, Diagnosis, derivative

__all__ = ["Derivative", "Diagnosis", "derivative"]

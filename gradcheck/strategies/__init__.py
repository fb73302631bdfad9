"""Hypothesis strategies from specs: shapes, values, memory layouts, static parameters, cotangents.

`examples(case)` draws one call of what a `gradcore.spec.Case` describes; `cotangents(shape, dtype)` a cotangent for its
result. The special classes (size 0 and 1, ties, zeros, bounds, negative axes, every layout, ...) are drawn on purpose.

Bulk values come from a NumPy generator that Hypothesis seeds, in a *style* that is chosen. So the choices
behind an example have the same form for every shape, which keeps shrinking quick and sure: a failing example ends at its
smallest shape and, in the first style, at whole and half numbers.
"""

from gradcheck.strategies.cotangents import COTANGENTS, cotangents
from gradcheck.strategies.examples import Example, examples, parameters
from gradcheck.strategies.layouts import LAYOUTS, with_layout
from gradcheck.strategies.shapes import evaluate, letters_of
from gradcheck.strategies.values import STYLES, Mode

__all__ = [
    "COTANGENTS",
    "LAYOUTS",
    "STYLES",
    "Example",
    "Mode",
    "cotangents",
    "evaluate",
    "examples",
    "letters_of",
    "parameters",
    "with_layout",
]

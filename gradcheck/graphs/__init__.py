"""Random computation graphs, drawn from the specs of whatever is registered.

`graphs()` is the Hypothesis strategy. A `Graph` is plain data: it can be run on arrays and on Tensors, and prints as
code to paste. `gradcheck.verification` has the checks that take one.
"""

from gradcheck.graphs.classes import CLASSES, classes
from gradcheck.graphs.draw import differentiable_ops, graphs
from gradcheck.graphs.graph import Graph
from gradcheck.graphs.steps import Leaf, Node

__all__ = ["CLASSES", "Graph", "Leaf", "Node", "classes", "differentiable_ops", "graphs"]

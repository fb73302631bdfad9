"""Random computation graphs, drawn from the specs of whatever is registered.

`graphs()` is the Hypothesis strategy. A `Graph` is plain data: it can be run on arrays and on Tensors, and prints as
code to paste. `gradcheck.verification` has the checks that take one.
"""

from gradcheck.graphs.draw import differentiable_ops, graphs
from gradcheck.graphs.graph import CLASSES, Graph, Leaf, Node, classes

__all__ = ["CLASSES", "Graph", "Leaf", "Node", "classes", "differentiable_ops", "graphs"]

"""The checks that stage 1 is made of: this op, layer, loss or optimizer, at this drawn example.

Each raises `VerificationError` (or `gradcheck.GradientError`) where something is wrong. They know nothing of pytest or
Hypothesis, so that planted mistakes, scripts and the suite all go through the very same functions.
"""

from gradcheck.verification.agreement import check_agreement, check_value
from gradcheck.verification.breaking import CHANGES, broken, like, positions
from gradcheck.verification.gradients import check_gradient, check_recording, check_second_order
from gradcheck.verification.graphs import (
    check_graph_backward,
    check_graph_gradient,
    check_graph_promises,
    check_graph_second_order,
)
from gradcheck.verification.layer_call import LayerCall
from gradcheck.verification.layers import (
    check_layer_gradient,
    check_layer_misfit,
    check_layer_rows,
    check_layer_second_order,
    check_layer_start,
    check_layer_state,
    check_layer_value,
)
from gradcheck.verification.optimizers import (
    History,
    Problem,
    check_clipping,
    check_history,
    check_numeric_trajectory,
    check_refusals,
    check_trajectory,
)
from gradcheck.verification.outcome import VerificationError
from gradcheck.verification.recorded import check_fast_method, check_tensor_method
from gradcheck.verification.tally import Tally

__all__ = [
    "CHANGES",
    "History",
    "LayerCall",
    "Problem",
    "Tally",
    "VerificationError",
    "broken",
    "check_agreement",
    "check_clipping",
    "check_fast_method",
    "check_gradient",
    "check_graph_backward",
    "check_graph_gradient",
    "check_graph_promises",
    "check_graph_second_order",
    "check_history",
    "check_layer_gradient",
    "check_layer_misfit",
    "check_layer_rows",
    "check_layer_second_order",
    "check_layer_start",
    "check_layer_state",
    "check_layer_value",
    "check_numeric_trajectory",
    "check_recording",
    "check_refusals",
    "check_second_order",
    "check_tensor_method",
    "check_trajectory",
    "check_value",
    "like",
    "positions",
]

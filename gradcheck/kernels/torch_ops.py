"""Which operations of PyTorch round, which of them are sums, and which consist of several steps."""

from __future__ import annotations

EXACT = frozenset([
    "neg", "abs", "relu", "relu_", "threshold_backward", "clone", "copy_", "_to_copy", "detach", "alias", "where",
    "gather", "index", "index_select", "embedding", "cat", "stack", "max", "min", "amax", "amin", "maximum",
    "minimum", "clamp", "clamp_min", "clamp_max", "sign", "sgn", "floor", "ceil", "round", "trunc", "argmax",
    "argmin", "topk", "sort", "fill", "fill_", "zero_", "zeros", "zeros_like", "ones", "ones_like", "full",
    "full_like", "empty", "empty_like", "empty_strided", "new_zeros", "new_empty", "new_empty_strided", "new_ones",
    "new_full", "arange", "scalar_tensor", "tril", "triu", "masked_fill", "masked_fill_", "slice_backward",
    "select_backward", "constant_pad_nd", "flip", "roll", "repeat", "masked_select", "nonzero", "lift_fresh",
    "one_hot", "index_copy", "slice_scatter", "select_scatter", "scatter", "diagonal_backward",
    "max_pool2d_with_indices", "unfold_backward", "cummax", "_efficientzerotensor",
    "value_selecting_reduction_backward", "masked_scatter", "nan_to_num", "to", "contiguous",
])  # fmt: skip
"""Operations that round nothing, besides views."""

SUMS = frozenset([
    "mm", "bmm", "mv", "dot", "vdot", "sum", "mean", "cumsum", "index_add", "index_add_", "scatter_add",
    "scatter_add_", "index_put", "index_put_", "_index_put_impl_", "convolution", "convolution_backward",
    "embedding_dense_backward", "segment_reduce", "_unsafe_index_put", "avg_pool2d", "avg_pool2d_backward", "trace",
])  # fmt: skip

AVERAGES = frozenset(["mean", "avg_pool2d", "avg_pool2d_backward"])
"""Sums that are divided by how many terms they have."""

OPENED = frozenset([
    "_softmax", "_softmax_backward_data", "_log_softmax", "_log_softmax_backward_data", "native_layer_norm",
    "native_layer_norm_backward", "native_group_norm", "native_group_norm_backward", "native_batch_norm",
    "native_batch_norm_backward", "silu", "silu_backward", "gelu", "gelu_backward", "logsumexp", "nll_loss_forward",
    "nll_loss_backward", "var", "var_mean", "std", "addmm", "baddbmm", "addmv", "softplus_backward",
    "sigmoid_backward", "tanh_backward", "mse_loss", "mse_loss_backward", "huber_loss", "smooth_l1_loss", "addcmul",
    "addcdiv", "linalg_vector_norm", "_fused_rms_norm", "_fused_rms_norm_backward",
])  # fmt: skip
"""Operations of several steps, each of which has its own error."""

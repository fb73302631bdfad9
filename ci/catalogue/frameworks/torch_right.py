"""Functions of PyTorch that come with derivatives: name, arguments by kind, and static parameters.

Kinds of arguments: `x` (4, 3) real, `p` positive, `u` between 0 and 1, `m` between -1 and 1, `s` (3, 3), `d` symmetric
positive definite, `b` a batch of images (2, 3, 6, 6), `l` (2, 3, 8), `v` (3,), `i` indices below 3, `c` complex (3, 3),
`t` a target between 0 and 1 without a gradient; anything else is evaluated.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812

ELEMENTWISE = """
sin cos tan sinh cosh tanh asinh atan exp expm1 sigmoid square abs sign exp2 erf erfc sinc neg sgn frac trunc deg2rad positive
nan_to_num
"""
POSITIVE = (
    "sqrt rsqrt log log1p log2 log10 lgamma digamma reciprocal special.i0 special.i1 special.i0e special.i1e"
)
WITHIN = "asin acos atanh erfinv logit special.ndtri special.entr special.xlog1py"
ACTIVATIONS = """
relu elu selu celu gelu silu mish softplus softsign hardtanh hardswish hardsigmoid leaky_relu logsigmoid tanhshrink softshrink
hardshrink relu6 threshold
"""
SPECIAL = "ndtr log_ndtr expit expm1 sinc erfcx"
PAIRS = """
add sub mul div atan2 maximum minimum fmax fmin hypot logaddexp logaddexp2 xlogy copysign true_divide dist cosine_similarity
"""


def symmetrised(f: Any) -> Any:
    """f of (x + x.T) / 2, of which it reads one triangle."""

    def made(x: torch.Tensor) -> Any:
        return f((x + x.T) / 2)

    made.__name__ = f"{f.__name__} of (x + x.T) / 2"
    return made


def ctc_of_scores(scores: torch.Tensor, *rest: Any) -> torch.Tensor:
    """Its derivative is meant for the scores in front of a log_softmax."""
    return F.ctc_loss(scores.log_softmax(2), *rest)


CASES: tuple[tuple[Any, ...], ...] = (
    (torch.softmax, "x", {"dim": 1}),
    (torch.log_softmax, "x", {"dim": 1}),
    (torch.logsumexp, "x", {"dim": 1}),
    (torch.cumsum, "x", {"dim": 0}),
    (torch.cumprod, "x", {"dim": 0}),
    (torch.logcumsumexp, "x", {"dim": 0}),
    (torch.sum, "x", {"dim": 1}),
    (torch.mean, "x", {"dim": 0}),
    (torch.prod, "x", {"dim": 1}),
    (torch.var, "x", {"dim": 1}),
    (torch.std, "x", {"dim": 0}),
    (torch.amax, "x", {"dim": 1}),
    (torch.amin, "x", {"dim": 1}),
    (torch.median, "x", {"dim": 1}),
    (torch.sort, "x", {"dim": 1}),
    (torch.topk, "x", {"k": 2}),
    (torch.cummax, "x", {"dim": 1}),
    (torch.clamp, "x", {"min": -0.5, "max": 0.5}),
    (torch.pow, "p x", {}),
    (torch.lerp, "x x x", {}),
    (torch.addcmul, "x x x", {}),
    (torch.addmm, "s s s", {}),
    (torch.matmul, "x s", {}),
    (torch.bmm, "q q", {}),
    (torch.outer, "v v", {}),
    (torch.cross, "x x", {"dim": 1}),
    (torch.kron, "s s", {}),
    (torch.tril, "s", {}),
    (torch.diag, "s", {}),
    (torch.trace, "s", {}),
    (torch.flip, "x", {"dims": (0,)}),
    (torch.roll, "x", {"shifts": 1}),
    (torch.gather, "x", {"dim": 0, "index": torch.tensor([[0, 1, 1], [2, 2, 0]])}),
    (torch.index_select, "x", {"dim": 1, "index": torch.tensor([0, 0, 2])}),
    (torch.cdist, "x x", {}),
    (torch.renorm, "x", {"p": 2, "dim": 0, "maxnorm": 1.0}),
    (torch.fft.fft, "c", {}),
    (torch.fft.rfft, "x", {}),
    (torch.fft.irfft, "c", {}),
    (torch.fft.fft2, "c", {}),
    (torch.linalg.inv, "d", {}),
    (torch.linalg.det, "s", {}),
    (torch.linalg.slogdet, "d", {}),
    (torch.linalg.solve, "d x3", {}),
    (symmetrised(torch.linalg.cholesky), "d", {}),
    (torch.linalg.qr, "s", {}),
    (torch.linalg.svdvals, "x", {}),
    (symmetrised(torch.linalg.eigvalsh), "d", {}),
    (torch.linalg.matrix_exp, "s", {}),
    (torch.linalg.matrix_power, "s", {"n": 3}),
    (torch.linalg.pinv, "x", {}),
    (torch.linalg.norm, "x", {}),
    (torch.linalg.vector_norm, "x", {"ord": 3}),
    (torch.linalg.matrix_norm, "s", {"ord": "nuc"}),
    (torch.linalg.lstsq, "x x", {}),
    (torch.linalg.lu, "s", {}),
    (torch.linalg.multi_dot, "[s,s,s]", {}),
    (torch.linalg.cond, "d", {}),
    (torch.linalg.inv, "c", {}),
    (torch.linalg.vecdot, "c c", {}),
    (torch.angle, "c", {}),
    (torch.view_as_real, "c", {}),
    (F.mse_loss, "x x", {}),
    (F.l1_loss, "x x", {}),
    (F.smooth_l1_loss, "x x", {}),
    (F.huber_loss, "x x", {}),
    (F.kl_div, "x t", {"reduction": "batchmean"}),
    (F.binary_cross_entropy, "u t", {}),
    (F.binary_cross_entropy_with_logits, "x t", {}),
    (F.poisson_nll_loss, "x t", {}),
    (F.gaussian_nll_loss, "x t p", {}),
    (F.soft_margin_loss, "x y", {}),
    (F.hinge_embedding_loss, "x y", {}),
    (F.cross_entropy, "x i", {}),
    (F.nll_loss, "x i", {}),
    (F.multi_margin_loss, "x i", {}),
    (F.cross_entropy, "x i", {"label_smoothing": 0.1, "weight": torch.tensor([0.2, 1.0, 3.0]).double()}),
    (F.triplet_margin_loss, "x x x", {}),
    (F.cosine_embedding_loss, "x x y1", {}),
    (F.pairwise_distance, "x x", {}),
    (F.normalize, "x", {}),
    (F.glu, "x4", {}),
    (F.prelu, "x w1", {}),
    (F.layer_norm, "x", {"normalized_shape": (3,)}),
    (F.rms_norm, "x", {"normalized_shape": (3,)}),
    (F.group_norm, "b", {"num_groups": 3}),
    (F.instance_norm, "b", {}),
    (F.local_response_norm, "b", {"size": 2}),
    (F.batch_norm, "b", {"running_mean": None, "running_var": None, "training": True}),
    (F.linear, "x s v", {}),
    (F.bilinear, "x x k", {}),
    (F.conv1d, "l k1", {"padding": 1}),
    (F.conv2d, "b k2", {"stride": 2}),
    (F.conv_transpose2d, "b k2", {"stride": 2}),
    (F.unfold, "b", {"kernel_size": 2}),
    (F.max_pool2d, "b", {"kernel_size": 2}),
    (F.avg_pool2d, "b", {"kernel_size": 3, "padding": 1}),
    (F.lp_pool2d, "b", {"norm_type": 2, "kernel_size": 2}),
    (F.adaptive_avg_pool2d, "b", {"output_size": 4}),
    (F.adaptive_max_pool2d, "b", {"output_size": 4}),
    (F.interpolate, "b", {"scale_factor": 2, "mode": "bilinear", "align_corners": False}),
    (F.interpolate, "b", {"size": 4, "mode": "bicubic", "align_corners": True}),
    (F.pad, "b", {"pad": (1, 2, 1, 0), "mode": "reflect"}),
    (F.pixel_shuffle, "b4", {"upscale_factor": 2}),
    (F.grid_sample, "b grid", {"align_corners": False}),
    (F.affine_grid, "theta", {"size": (2, 3, 4, 4), "align_corners": False}),
    (F.embedding, "i w3", {}),
    (F.embedding_bag, "i2 w3", {}),
    (F.scaled_dot_product_attention, "q q q", {}),
    (F.softmin, "x", {"dim": 1}),
    (ctc_of_scores, "scores ti li lt", {}),
)


def functions() -> list[tuple[Any, str, dict[str, Any]]]:
    """All of them, each with its argument kinds and parameters."""

    def named(name: str) -> Any:
        found: Any = torch
        for part in name.split("."):
            found = getattr(found, part)
        return found

    made: list[tuple[Any, str, dict[str, Any]]] = [(named(n), "x", {}) for n in ELEMENTWISE.split()]
    made += [(named(n), "p", {}) for n in POSITIVE.split()]
    made += [(named(n), "u u" if "xlog" in n else "u", {}) for n in WITHIN.split()]
    made += [
        (getattr(F, n), "x", {"threshold": 0.1, "value": 0.2} if n == "threshold" else {})
        for n in ACTIVATIONS.split()
    ]
    made += [(getattr(torch.special, n), "x", {}) for n in SPECIAL.split()]
    made += [(named(n), "p p" if n == "xlogy" else "x x", {}) for n in PAIRS.split()]
    return made + list(CASES)


def argument(kind: str, g: torch.Generator) -> Any:
    """An argument of a kind, drawn."""

    def normal(*shape: int, dtype: Any = torch.float64) -> torch.Tensor:
        return torch.randn(*shape, generator=g, dtype=dtype)

    def uniform(*shape: int) -> torch.Tensor:
        return 0.05 + 0.9 * torch.rand(*shape, generator=g, dtype=torch.float64)

    if kind.startswith("["):
        return [argument(k, g) for k in kind[1:-1].split(",")]
    square = normal(3, 3)
    wanted = {
        "x": lambda: normal(4, 3),
        "x3": lambda: normal(3, 2),
        "x4": lambda: normal(4, 6),
        "p": lambda: uniform(4, 3) * 3,
        "u": lambda: uniform(4, 3),
        "s": lambda: square,
        "d": lambda: square @ square.T + torch.eye(3, dtype=torch.float64),
        "b": lambda: normal(2, 3, 6, 6),
        "b4": lambda: normal(2, 4, 3, 3),
        "l": lambda: normal(2, 3, 8),
        "v": lambda: normal(3),
        "w1": lambda: normal(1),
        "w3": lambda: normal(3, 2),
        "k": lambda: normal(2, 3, 3),
        "k1": lambda: normal(4, 3, 3),
        "k2": lambda: normal(3, 3, 2, 2),
        "q": lambda: normal(2, 3, 3),
        "c": lambda: normal(3, 3, dtype=torch.complex128),
        "grid": lambda: 2 * uniform(2, 4, 4, 2) - 1,
        "theta": lambda: normal(2, 2, 3),
        "scores": lambda: normal(5, 2, 4),
    }
    if kind in wanted:
        return wanted[kind]().requires_grad_()
    constant = {
        "t": lambda: uniform(4, 3),
        "y": lambda: torch.where(normal(4, 3) > 0, 1.0, -1.0).double(),
        "y1": lambda: torch.where(normal(4) > 0, 1.0, -1.0).double(),
        "i": lambda: torch.randint(0, 3, (4,), generator=g),
        "i2": lambda: torch.randint(0, 3, (4, 2), generator=g),
        "ti": lambda: torch.randint(1, 4, (2, 3), generator=g),
        "li": lambda: torch.tensor([5, 5]),
        "lt": lambda: torch.tensor([3, 2]),
    }
    return constant[kind]()

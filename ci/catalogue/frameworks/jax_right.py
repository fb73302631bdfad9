"""Functions of JAX that come with derivatives: name, arguments by kind, and static parameters.

Kinds of arguments: `x` (2, 3) real, `p` positive, `u` between 0 and 1, `m` between -1 and 1, `s` (3, 3), `d` symmetric positive
definite, `v` (3,), `i` indices below 3, `c` complex (2, 3), `t` (1, 6, 2) and `k` (3, 2, 2) for a convolution. All in double
precision, while JAX itself stands at 32 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

REAL = (
    "sin cos tan sinh cosh tanh arcsinh arctan exp expm1 square abs sign exp2 sinc cbrt negative positive nan_to_num floor "
    "cumsum cumprod sum mean var std max min prod ptp median sort diff ravel transpose flip fliplr tril triu angle real i0"
)
POSITIVE = "sqrt log log1p log2 log10 reciprocal"
WITHIN = "arcsin arccos arctanh"
PAIRS = "add subtract multiply divide arctan2 maximum minimum fmax fmin hypot logaddexp logaddexp2 copysign true_divide heaviside"
NN = (
    "relu relu6 sigmoid softplus soft_sign silu swish log_sigmoid leaky_relu hard_sigmoid hard_silu hard_tanh elu celu selu "
    "gelu glu squareplus mish softmax log_softmax logsumexp standardize sparse_plus"
)
SPECIAL = {
    "x": "erf erfc expit log_ndtr ndtr i0e i1 i1e exp1 spence",
    "p": "gammaln digamma entr xlogy xlog1py gammainc gammaincc betaln rel_entr kl_div zeta",
    "u": "ndtri logit",
}
LINEAR = "det inv matrix_power norm trace slogdet qr pinv"
TWO = {"xlogy", "xlog1py", "gammainc", "gammaincc", "betaln", "rel_entr", "kl_div", "zeta"}


def symmetrised(f: Callable[..., Any]) -> Callable[..., Any]:
    """f of (x + x.T) / 2, of which it reads one triangle."""

    def made(x: Any) -> Any:
        return f((x + x.T) / 2)

    made.__name__ = f"{f.__name__} of (x + x.T) / 2"
    return made


def convolved(x: Any, w: Any) -> Any:
    return jax.lax.conv_general_dilated(x, w, (2,), "SAME", dimension_numbers=("NWC", "WIO", "NWC"))


def scanned(x: Any, w: Any) -> Any:
    return jax.lax.scan(lambda h, row: (jnp.tanh(h * w + row),) * 2, jnp.zeros_like(w), x)


def chosen(x: Any) -> Any:
    return jax.lax.cond(x.sum() > 0, jnp.sin, jnp.cos, x)


def rematerialised(x: Any) -> Any:
    return jax.checkpoint(lambda x: jnp.sin(jnp.exp(x)))(x)


def singular_values(x: Any) -> Any:
    return jnp.linalg.svd(x, compute_uv=False)


def projections(x: Any) -> Any:
    """What of the eigenvectors does not depend on their signs."""
    v = jnp.linalg.eigh(x)[1]
    return v[:, None, :] * v[None, :, :]


CASES: tuple[tuple[Any, ...], ...] = (
    (jnp.matmul, "s s", {}),
    (jnp.dot, "x v", {}),
    (jnp.outer, "v v", {}),
    (jnp.cross, "v v", {}),
    (jnp.kron, "v v", {}),
    (jnp.inner, "x v", {}),
    (jnp.vdot, "v v", {}),
    (jnp.convolve, "v v", {}),
    (jnp.interp, "u v v", {}),
    (jnp.take, "v i", {}),
    (jnp.roll, "x", {"shift": 1}),
    (jnp.repeat, "x", {"repeats": 2}),
    (jnp.tile, "x", {"reps": 2}),
    (jnp.pad, "x", {"pad_width": 1}),
    (jnp.clip, "x", {"min": -0.5, "max": 0.7}),
    (jnp.power, "p x", {}),
    (jnp.where, "i x x", {}),
    (jnp.linalg.solve, "s v", {}),
    (jnp.linalg.multi_dot, "[s,s]", {}),
    (singular_values, "s", {}),
    (symmetrised(jnp.linalg.cholesky), "d", {}),
    (symmetrised(jnp.linalg.eigvalsh), "d", {}),
    (symmetrised(projections), "d", {}),
    (jax.scipy.linalg.expm, "s", {}),
    (jax.scipy.special.multigammaln, "q", {"d": 2}),
    (convolved, "t k", {}),
    (scanned, "x v", {}),
    (chosen, "x", {}),
    (rematerialised, "x", {}),
    (jax.lax.cumlogsumexp, "x", {}),
    (jax.lax.cummax, "x", {}),
    (jax.lax.rsqrt, "p", {}),
    (jax.ops.segment_sum, "v i", {"num_segments": 3}),
    (jnp.fft.fft, "c", {}),
    (jnp.fft.irfft, "c", {}),
    (jnp.exp, "c", {}),
    (jnp.abs, "c", {}),
    (jnp.conj, "c", {}),
    (jnp.multiply, "c c", {}),
    (jnp.sqrt, "c", {}),
    (jnp.linalg.norm, "c", {}),
)


def functions() -> list[tuple[Any, str, dict[str, Any]]]:
    """All of them that the installed version has."""
    named: list[tuple[Any, str, dict[str, Any]]] = []
    groups = [
        (jnp, REAL, "x"),
        (jnp, POSITIVE, "p"),
        (jnp, WITHIN, "m"),
        (jnp, PAIRS, "x x"),
        (jax.nn, NN, "x"),
    ]
    groups += [(jax.scipy.special, names, kind) for kind, names in SPECIAL.items()]
    groups += [(jnp.linalg, LINEAR, "s")]
    for space, names, kind in groups:
        for name in names.split():
            f = getattr(space, name, None)
            if f is not None:
                kinds = "p u" if name in TWO else kind if name != "glu" else "e"
                named.append((f, kinds, {"n": 3} if name == "matrix_power" else {}))
    return [*named, *CASES]


def argument(kind: str, rng: np.random.Generator) -> Any:
    """An argument of one kind."""
    if kind == "[s,s]":
        return [argument("s", rng), argument("s", rng)]
    shape = {"s": (3, 3), "d": (3, 3), "v": (3,), "t": (1, 6, 2), "k": (3, 2, 2), "e": (2, 4)}.get(
        kind, (2, 3)
    )
    x = rng.standard_normal(shape)
    if kind == "i":
        return np.array([2, 0, 2])
    if kind == "d":
        return x @ x.T + np.eye(3)
    if kind == "c":
        return x + 1j * rng.standard_normal(shape)
    made = {
        "p": lambda: 0.2 + np.abs(x),
        "q": lambda: 1.5 + np.abs(x),
        "u": lambda: rng.uniform(0.05, 0.95, shape),
    }
    made["m"] = lambda: rng.uniform(-0.95, 0.95, shape)
    return made.get(kind, lambda: x)()

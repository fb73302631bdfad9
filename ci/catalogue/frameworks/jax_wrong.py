"""Wrong `jax.custom_vjp` and `jax.custom_jvp` functions of the kinds that bug reports are about, and the causes that name them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class Wrong:
    """causes: any of them names the mistake. order: 2 where only the second order shows it."""

    name: str
    function: Callable[..., Any]
    inputs: tuple[Any, ...]
    causes: tuple[str, ...]
    order: int = 1


def drawn(*shape: int, seed: int = 0) -> Any:
    """Normally distributed."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def with_vjp(f: Callable[..., Any], bwd: Callable[..., Any], fwd: Any = None) -> Any:
    """f with a rule that has the inputs (or what `fwd` saves) and the cotangent."""
    made = jax.custom_vjp(f)
    made.defvjp(fwd or (lambda *inputs: (f(*inputs), inputs)), bwd)
    return made


def with_jvp(f: Callable[..., Any], jvp: Callable[..., Any]) -> Any:
    """f with a forward-mode rule jvp(tangent, y, x)."""
    made = jax.custom_jvp(f)
    made.defjvps(jvp)
    return made


def safe_norm(x: Any) -> Any:
    return jnp.sqrt(jnp.sum(x * x) + 1e-2)


def clipped(x: Any) -> Any:
    return jnp.clip(x, -1.0, 1.0)


def log1pexp(x: Any) -> Any:
    return jnp.logaddexp(x, 0.0)


def rms(x: Any) -> Any:
    return x / jnp.sqrt(jnp.mean(x * x, axis=1, keepdims=True) + 1e-3)


def gather(x: Any, at: Any) -> Any:
    return x[at]


def masked_sum(x: Any, mask: Any) -> Any:
    return jnp.where(mask, x * x, 0.0).sum()


def two(x: Any, y: Any) -> Any:
    return x * y, x + y


def logsumexp(x: Any) -> Any:
    return jax.scipy.special.logsumexp(x, axis=1)


def rms_bwd(saved: Any, gy: Any) -> Any:
    (x,) = saved
    return (gy / jnp.sqrt(jnp.mean(x * x, axis=1, keepdims=True) + 1e-3),)


def stopped_bwd(saved: Any, gy: Any) -> Any:
    (x,) = saved
    return (gy * jax.nn.sigmoid(jax.lax.stop_gradient(x)),)


AT = np.array([0, 2, 2, 1])
MASK = np.array([True, False, True, True])

WRONG = (
    Wrong(
        "a constant under the root is forgotten in bwd",
        with_vjp(safe_norm, lambda s, gy: (gy * s[0] / jnp.sqrt(jnp.sum(s[0] * s[0])),)),
        (0.1 * drawn(3),),
        ("factor",),
    ),
    Wrong(
        "the gradient of clip passes outside of the bounds",
        with_vjp(clipped, lambda s, gy: (gy,)),
        (np.array([-2.0, 0.5, 1.5, 0.1], np.float32),),
        ("value",),
    ),
    Wrong(
        "log(1 + exp(x)) with the sigmoid of -x",
        with_vjp(log1pexp, lambda s, gy: (gy * jax.nn.sigmoid(-s[0]),)),
        (drawn(4),),
        ("mirrored",),
    ),
    Wrong(
        "a normalisation whose scale counts as constant", with_vjp(rms, rms_bwd), (drawn(2, 3),), ("value",)
    ),
    Wrong(
        "repeated indices overwrite each other with .at[].set",
        with_vjp(gather, lambda s, gy: (jnp.zeros_like(s[0]).at[s[1]].set(gy), None)),
        (drawn(3), AT),
        ("overwritten",),
    ),
    Wrong(
        "the mask is not applied in bwd",
        with_vjp(masked_sum, lambda s, gy: (2 * gy * s[0], None)),
        (drawn(4), MASK),
        ("value",),
    ),
    Wrong(
        "the cotangent of the second output is dropped",
        with_vjp(two, lambda s, gys: (gys[0] * s[1], gys[0] * s[0])),
        (drawn(3), drawn(3, seed=1)),
        ("cotangent ignored",),
    ),
    Wrong(
        "logsumexp with the axis of the batch in its softmax",
        with_vjp(logsumexp, lambda s, gy: (gy[:, None] * jax.nn.softmax(s[0], axis=0),)),
        (drawn(3, 3),),
        ("value",),
    ),
    Wrong(
        "the saved output is taken for the input",
        with_vjp(jnp.tanh, lambda y, gy: (gy * (1 - jnp.tanh(y) ** 2),), lambda x: (jnp.tanh(x),) * 2),
        (drawn(4),),
        ("value",),
    ),
    Wrong(
        "a batch is averaged where it has to be summed",
        with_vjp(lambda x, w: x * w, lambda s, gy: (gy * s[1], jnp.mean(gy * s[0], axis=0))),
        (drawn(3, 2), drawn(2)),
        ("factor",),
    ),
    Wrong(
        "bwd makes the cotangent real",
        with_vjp(lambda z: z * z, lambda s, gy: ((2 * gy * s[0]).real.astype(s[0].dtype),)),
        (drawn(3) + 1j * drawn(3, seed=1),),
        ("value",),
    ),
    Wrong(
        "a jvp with a factor too many",
        with_jvp(jnp.sin, lambda t, y, x: 2 * t * jnp.cos(x)),
        (drawn(3),),
        ("factor",),
    ),
    Wrong(
        "stop_gradient in bwd loses the second order",
        with_vjp(log1pexp, stopped_bwd),
        (drawn(4),),
        ("missing",),
        order=2,
    ),
)

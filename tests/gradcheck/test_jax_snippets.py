"""The code that a failed check of JAX or autograd prints runs as it stands, and prints the derivative that was reported."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="JAX is not installed")

import jax.numpy as jnp  # noqa: E402

from gradcheck import GradientError, gradcheck  # noqa: E402


@jax.custom_vjp
def doubled(x, y):
    return x * y


doubled.defvjp(lambda x, y: (x * y, (x, y)), lambda saved, gy: (gy * saved[1], 2 * gy * saved[0]))

DOUBLED = doubled


def of_dict(x, more):
    return {"y": doubled(x, more["w"]), "none": None}


def drawn(dtype, seed=0):
    rng = np.random.default_rng(seed)
    made = rng.standard_normal(3) + 1j * rng.standard_normal(3)
    return jnp.asarray(made if np.dtype(dtype).kind == "c" else made.real, dtype)


@partial(jax.tree_util.register_dataclass, data_fields=["w", "more"], meta_fields=["words"])
@dataclass(frozen=True)
class Weights:
    w: object
    more: object
    words: str


def of_dataclass(x, p):
    return doubled(x, p.w) + p.more["b"]


CASES = {
    "a dataclass": (
        of_dataclass,
        lambda d: (drawn(d), Weights(drawn(d, 1), {"b": drawn(d)}, "text")),
        {"of_dataclass": of_dataclass, "Weights": Weights},
    ),
    "a custom_vjp": (doubled, lambda d: (drawn(d), drawn(d, 1)), {"doubled": doubled}),
    "under jit": (jax.jit(doubled), lambda d: (drawn(d), drawn(d, 1)), {"doubled": doubled}),
    "a lambda": (lambda x, y: DOUBLED(x, y), lambda d: (drawn(d), drawn(d, 1)), {"f": doubled}),
    "another transformation": (
        jax.vmap(doubled),
        lambda d: (drawn(d), drawn(d, 1)),
        {"f": jax.vmap(doubled)},
    ),
    "a dictionary": (of_dict, lambda d: (drawn(d), {"w": drawn(d, 1)}), {"of_dict": of_dict}),
}


def run_again(report, names):
    """What the snippet prints, and the report of the check on its last line; the setting of JAX is put back."""
    heard = io.StringIO()
    before = jax.config.jax_enable_x64
    try:
        with redirect_stdout(heard), pytest.raises(GradientError) as caught:
            exec(compile(report.snippet, "snippet", "exec"), dict(names))
    finally:
        jax.config.update("jax_enable_x64", before)
    return complex(heard.getvalue()), caught.value.report


RUNS = [(name, np.float32) for name in CASES] + [("a custom_vjp", np.float64), ("a lambda", np.complex64)]


@pytest.mark.nightly(each_time=2)
@pytest.mark.parametrize(("name", "dtype"), RUNS)
def test_a_snippet_runs_and_prints_the_derivative(name, dtype):
    f, make, names = CASES[name]
    with jax.enable_x64(dtype is np.float64):
        inputs = make(dtype)
    report = gradcheck(f, inputs, raise_exception=False)
    printed, again = run_again(report, names)
    assert again.causes == report.causes
    fault = next(f for f in report.faults if f.index is not None)
    assert printed == pytest.approx(fault.numeric, rel=1e-4)
    assert printed != pytest.approx(fault.analytic, rel=1e-2)
    assert ("jax_enable_x64" in report.snippet) == (dtype is np.float64)


def test_a_snippet_states_the_backend_where_the_call_did():
    report = gradcheck(lambda x: DOUBLED(x, x), np.array([0.5, 2.0]), backend="jax", raise_exception=False)
    assert "backend='jax'" in report.snippet
    printed, again = run_again(report, {"f": lambda x: DOUBLED(x, x)})
    assert again.causes == report.causes
    assert printed == pytest.approx(next(f.numeric for f in report.faults if f.index is not None), rel=1e-4)

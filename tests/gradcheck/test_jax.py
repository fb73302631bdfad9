"""Functions of JAX arrays: what is judged, and the verdicts on right and wrong rules."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="JAX is not installed")

import jax.numpy as jnp  # noqa: E402

from gradcheck import CallError, gradcheck, gradgradcheck, verify  # noqa: E402

Pair = namedtuple("Pair", "a b")


def drawn(n=3, seed=0, dtype=np.float32):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(n), dtype)


def causes(f, inputs, check=gradcheck, **options):
    return check(f, inputs, raise_exception=False, **options).causes


def product(bwd):
    made = jax.custom_vjp(lambda x, y: x * y)
    made.defvjp(lambda x, y: (x * y, (x, y)), bwd)
    made.__name__ = "product"
    return made


RIGHT = product(lambda saved, gy: (gy * saved[1], gy * saved[0]))
NEGATED = product(lambda saved, gy: (gy * saved[1], -gy * saved[0]))


@pytest.mark.nightly(each_time=2)
@pytest.mark.parametrize("f", [RIGHT, jax.jit(RIGHT), jnp.multiply, lambda x, y: x * y])
def test_right_functions_pass_in_both_orders(f):
    assert gradcheck(f, (drawn(), drawn(seed=1)), order=2)


@pytest.mark.parametrize("f", [NEGATED, jax.jit(NEGATED), lambda x, y: NEGATED(x, y)])
def test_the_wrong_input_is_named_with_its_cause(f):
    report = gradcheck(f, (drawn(), drawn(seed=1)), raise_exception=False)
    assert [(fault.cause, fault.input) for fault in report.faults] == [("sign", "inputs[1]")]
    assert report.gradient.startswith("JAX's derivative of ")


def test_a_wrong_second_order_is_found():
    frozen = product(lambda saved, gy: (gy * jax.lax.stop_gradient(saved[1]), gy * saved[0]))
    assert gradcheck(frozen, (drawn(), drawn(seed=1)))
    assert "missing" in causes(frozen, (drawn(), drawn(seed=1)), gradgradcheck)


def test_single_precision_is_judged_in_double_and_the_setting_stays():
    assert not jax.config.jax_enable_x64
    report = gradcheck(RIGHT, (drawn(), drawn(seed=1)))
    assert all(i.sensitivity < 1e-9 for i in report.inputs)
    assert gradcheck(jnp.tanh, np.array([0.5, 1.5, -2.0]), order=2).inputs[0].dtype == "float64"
    assert not jax.config.jax_enable_x64
    assert jnp.asarray(np.ones(2)).dtype == jnp.float32


def test_numpy_arrays_are_enough_for_a_function_that_is_jax_s():
    assert gradcheck(NEGATED, (np.ones(3), np.ones(3)), wrt=0)
    assert causes(NEGATED, (np.ones(3), np.ones(3))) == ("sign",)
    assert gradcheck(partial(jax.nn.softmax, axis=0), np.arange(3.0))
    assert gradcheck(jax.vmap(lambda x: x * x), np.arange(3.0))
    assert gradcheck(lambda x: jnp.sin(x), np.arange(3.0), backend="jax")


def test_dicts_lists_namedtuples_static_values_none_and_integers_go_in_and_out():
    def f(pair, more, n):
        return Pair(pair.a * more["w"][0] * n, {"at": jnp.argmax(pair.b), "y": [pair.b**n, None]})

    report = gradcheck(f, (Pair(drawn(), drawn(seed=1)), {"w": [drawn(seed=2), "text"]}, 3))
    assert [i.path for i in report.inputs] == ["inputs[0][0]", "inputs[0][1]", "inputs[1]['w'][0]"]


class Params:
    """Registered without names for its leaves."""

    def __init__(self, a):
        self.a = a


jax.tree_util.register_pytree_node(Params, lambda p: ((p.a,), None), lambda _, a: Params(*a))


@partial(jax.tree_util.register_dataclass, data_fields=["weight", "rest"], meta_fields=["kind"])
@dataclass(frozen=True)
class Layer:
    weight: object
    rest: object
    kind: str


def layer(n=3, seed=0):
    return Layer(drawn(n, seed), {"bias": drawn(n, seed + 1), "none": None}, "affine")


def affine(p, x):
    assert p.kind == "affine"
    return Params(p.weight * x + p.rest["bias"])


def test_registered_pytrees_go_in_and_out_and_name_their_leaves():
    report = gradcheck(affine, (layer(), drawn(seed=2)), order=2)
    assert [i.path for i in report.inputs] == ["inputs[0].weight", "inputs[0].rest['bias']", "inputs[1]"]
    report = gradcheck(affine, (layer(), drawn(seed=2)), wrt="inputs[0].rest")
    assert [i.path for i in report.inputs] == ["inputs[0].rest['bias']"]
    assert gradcheck(lambda p: p.a * p.a, (Params(drawn()),)).inputs[0].path == "inputs[0][<flat index 0>]"


def test_a_wrong_gradient_by_a_leaf_of_a_registered_pytree_bears_its_name():
    wrong = jax.custom_vjp(lambda p, x: affine(p, x).a)
    wrong.defvjp(
        lambda p, x: (affine(p, x).a, (p, x)),
        lambda saved, gy: (
            Layer(gy * saved[1], {"bias": -gy, "none": None}, "affine"),
            gy * saved[0].weight,
        ),
    )
    report = gradcheck(wrong, (layer(), drawn(seed=2)), raise_exception=False)
    assert [(f.cause, f.input) for f in report.faults] == [("sign", "inputs[0].rest['bias']")]


def test_a_rule_for_numpy_takes_registered_pytrees_and_returns_them():
    p, x = Layer(np.ones(3), {"bias": np.ones(3), "none": None}, "affine"), np.arange(3.0)

    def forward(p, x):
        return p.weight * x + p.rest["bias"]

    def rule(gy, y, p, x):
        return Layer(gy * x, {"bias": gy, "none": None}, "affine"), gy * p.weight

    assert gradcheck(forward, (p, x), vjp=rule)
    with pytest.raises(
        CallError, match=r"and inputs\[0\] is a Layer: return one of these that holds cotangents"
    ):
        gradcheck(forward, (p, x), vjp=lambda gy, y, p, x: (gy * x, gy * p.weight))


def test_nondiff_argnums_and_random_keys_are_static():
    f = partial(jax.custom_vjp, nondiff_argnums=(1,))(lambda x, n: x**n)
    f.defvjp(lambda x, n: (x**n, x), lambda n, x, gy: (gy * n * x ** (n - 1),))
    assert gradcheck(f, (2 + drawn() ** 2, 3))
    assert gradcheck(lambda key, x: x * jax.random.normal(key, x.shape), (jax.random.key(0), drawn()))


def test_complex_functions_that_are_not_holomorphic_are_judged():
    z = jnp.asarray([0.5 + 1j, -1.0 + 0.25j, 2 - 1j])
    assert gradcheck(lambda z: jnp.exp(z) * jnp.conj(z), z, order=2)
    unconjugated = jax.custom_vjp(lambda z: jnp.abs(z) ** 2)
    unconjugated.defvjp(lambda z: (jnp.abs(z) ** 2, z), lambda z, gy: (2 * gy * z,))
    assert causes(unconjugated, z)


def test_forward_mode_of_a_custom_jvp_is_judged_by_itself():
    @jax.custom_jvp
    def halved(x):
        return jnp.sin(x)

    halved.defjvps(lambda t, y, x: t * jnp.cos(x) / 2)
    assert "forward_mode" in causes(halved, drawn())
    right = gradcheck(jnp.sin, drawn())
    assert next(c.status for c in right.contracts if c.name == "forward_mode") == "held"


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_a_gradient_that_depends_on_what_else_is_perturbed_is_found_in_the_words_of_jax(factor):
    made = jax.custom_vjp(lambda x, y: x * y)

    def fwd(x, y):
        return x.value * y.value, (x.value, y.value, y.perturbed)

    def bwd(saved, gy):
        x, y, perturbed = saved
        return gy * y * (1.0 if perturbed else factor), gy * x

    made.defvjp(fwd, bwd, symbolic_zeros=True)
    report = gradcheck(made, (drawn(), drawn(seed=1)), raise_exception=False)
    assert report.causes == (() if factor == 1 else ("partial_gradients",))
    if report.faults:
        assert "whatever `perturbed` says of the others" in report.faults[0].text
        assert "ctx" not in report.faults[0].text


def test_a_custom_vjp_has_no_forward_mode_and_that_is_no_fault():
    report = gradcheck(RIGHT, (drawn(), drawn(seed=1)))
    assert (
        next(c.text for c in report.contracts if c.name == "forward_mode")
        == "it has no forward-mode derivative"
    )


def test_a_batch_of_cotangents_is_judged():
    assert gradcheck(RIGHT, (drawn(), drawn(seed=1)), contracts=["batched_cotangents"])
    summed = jax.custom_vjp(lambda x: x * 2)
    summed.defvjp(lambda x: (x * 2, None), lambda _, gy: (2 * jnp.asarray(np.asarray(gy)),))
    report = gradcheck(summed, drawn(), contracts=["batched_cotangents"], raise_exception=False)
    assert report.causes == ("batched_cotangents",)


def test_a_gradient_that_was_stopped_is_reported_with_where_to_look():
    report = gradcheck(lambda x: jax.lax.stop_gradient(x) * 2, drawn(), raise_exception=False)
    assert report.causes[0] == "missing"


def test_a_rule_that_raises_or_gives_another_shape_fails():
    short = product(lambda saved, gy: (gy[:2], gy))
    assert causes(short, (drawn(), drawn())) == ("raises",)


def test_a_function_that_stays_in_single_precision_is_noted():
    report = gradcheck(lambda x: x.astype(jnp.float32) ** 2, drawn())
    assert report.note.startswith("it returns float32 for inputs in double precision")


def test_a_cotangent_in_single_precision_is_pulled_back_in_double():
    dtypes = []

    def bwd(x, gy):
        dtypes.append((str(x.dtype), str((gy * jnp.cos(x)).dtype)))
        return (gy * jnp.cos(x),)

    narrowed = jax.custom_vjp(lambda x: jnp.sin(x).astype(jnp.float32))
    narrowed.defvjp(lambda x: (jnp.sin(x).astype(jnp.float32), x), bwd)
    assert gradcheck(narrowed, np.array([0.5, 2.0]))
    assert {computed for of_input, computed in dtypes if of_input == "float64"} == {"float64"}


def test_verify_draws_arrays_around_an_example():
    seen = set()

    def cubed(x):
        seen.add((x.shape, isinstance(x, jax.Array)))
        return x * x * x

    result = verify(cubed, like=drawn(), max_examples=6, max_seconds=30)
    assert result
    assert len({shape for shape, _ in seen}) > 1
    assert all(of_jax for _, of_jax in seen)


def looped(x):
    return jax.lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * x), (0, x))[1]


WRONG = {
    "forward mode only": (
        lambda: gradcheck(looped, drawn()),
        r"has no reverse-mode derivative \(Reverse-mode .* check its forward mode alone with check_grads\(f, args, order=1, modes=",
    ),
    "sixteen bits": (
        lambda: gradcheck(jnp.sin, drawn(dtype=jnp.bfloat16)),
        "is bfloat16, in which .* x.astype",
    ),
    "traced": (
        lambda: jax.jit(lambda x: gradcheck(jnp.sin, x))(drawn()),
        "is traced by jax.jit.* outside of it",
    ),
    "number of a tracer": (lambda: gradcheck(lambda x: float(x[0]) * x, drawn()), "use jax.numpy functions"),
    "NumPy function": (lambda: gradcheck(lambda x: np.sin(x), drawn()), "use jax.numpy functions"),
    "number out": (lambda: gradcheck(lambda x: 3.0, drawn()), "returned the number 3.0 .* return an array"),
    "no rule": (
        lambda: gradcheck(jax.custom_vjp(lambda x: x), drawn()),
        "without a rule: give it one with f.defvjp",
    ),
    "no jvp": (
        lambda: gradcheck(jax.custom_jvp(lambda x: x), drawn()),
        "without a rule: give it one with f.defjvp",
    ),
    "Python number in": (lambda: gradcheck(jnp.sin, 1.0), "no floating array among the inputs: pass one"),
    "vjp": (lambda: gradcheck(jnp.sin, drawn(), vjp=lambda gy, y, x: gy), "came together with JAX arrays"),
    "single precision only": (
        lambda: gradcheck(lambda x: jax.lax.mul(x, jnp.ones(3, jnp.float32)), drawn()),
        "takes float32 and raised TypeError for the same values in double precision.* pass them as inputs",
    ),
    "plain arrays": (
        lambda: gradcheck(lambda x: jnp.sin(x), np.ones(3)),
        "add backend='jax' or backend='autograd'",
    ),
    "no such backend": (
        lambda: gradcheck(jnp.sin, drawn(), backend="jx"),
        "backend='jx': pass the name of a framework",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_call_says_what_to_do(name):
    call, sentence = WRONG[name]
    with pytest.raises(CallError, match=f"(?s){sentence}"):
        call()


def test_a_device_without_double_precision_is_refused(monkeypatch):
    from contextlib import nullcontext

    from gradcheck.backends.jax import FRAMEWORK

    monkeypatch.setattr(type(FRAMEWORK), "mode", lambda self, arrays: nullcontext())
    with pytest.raises(CallError, match=r"JAX made float32 of float64 .* check on the CPU"):
        gradcheck(jnp.sin, drawn())

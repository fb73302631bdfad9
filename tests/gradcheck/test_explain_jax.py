"""explain of functions in JAX: the one wrong custom_vjp is named, with its line, wherever it is called."""

import pytest

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402

from gradcheck import Verdict, explain  # noqa: E402

X = jnp.array([0.5, -1.0, 2.0])


def with_rule(f, slope):
    made = jax.custom_vjp(f)
    made.defvjp(lambda x: (f(x), x), lambda x, gy: (gy * slope(x),))
    return made


def square(x):
    return x * x


def sine(x):
    return jnp.sin(x)


SQUARE = with_rule(square, lambda x: 2 * x)
HALF = with_rule(square, lambda x: x)
SINE = with_rule(sine, jnp.cos)


def model(middle):
    def f(x):
        y = jax.jit(lambda z: jnp.exp(-middle(SINE(z))))(x)  # the call
        return (SQUARE(y) + SINE(x)).sum()

    return f


def test_the_wrong_rule_alone_is_named_with_its_line_within_jit():
    found = explain(model(HALF), (X,))
    (blame,) = found.blamed
    assert (found.verdict, blame.op, blame.cause) == (Verdict.FAIL, "square", "factor")
    assert blame.source.endswith("y = jax.jit(lambda z: jnp.exp(-middle(SINE(z))))(x)  # the call")
    assert "float32 (3,) -> float32 (3,)" in blame.shapes
    assert "the rule of square is wrong (call 2 of " in str(found)


def test_nothing_is_blamed_in_a_right_model():
    found = explain(model(SQUARE), (X,))
    assert found
    assert found.verified == 4
    assert found.trusted == found.ops - 4
    assert found.whole_right


@pytest.mark.parametrize("wrap", [jax.checkpoint, jax.jit, lambda f: f], ids=["checkpoint", "jit", "plain"])
def test_a_rule_within_other_calls_is_found(wrap):
    (blame,) = explain(lambda x: wrap(lambda z: HALF(z) * 2.0)(x).sum(), (X,)).blamed
    assert blame.op == "square"


def test_a_rule_within_a_loop_is_not_looked_into_and_the_whole_is_judged():
    @jax.jit  # compiled once
    def f(x):
        return jax.lax.map(HALF, x).sum()

    found = explain(f, (X,))
    assert found.verdict is Verdict.FAIL
    assert found.blamed == ()
    assert found.whole is not None
    assert "square: called within scan, whose steps are not looked into" in str(found)


def test_a_derivative_that_is_stopped_fails_as_a_whole():
    found = explain(lambda x: (jax.lax.stop_gradient(x) * SINE(x)).sum(), (X,))
    assert found.verdict is Verdict.FAIL
    assert found.blamed == ()
    assert "every op that was recorded is right" in str(found)


def test_containers_and_params_are_taken():
    found = explain(
        lambda p, scale: (HALF(p["a"]) * p["b"]).sum() * scale, ({"a": X, "b": X},), params={"scale": 2.0}
    )
    assert [blame.op for blame in found.blamed] == ["square"]

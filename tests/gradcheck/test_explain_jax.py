"""explain of functions in JAX: the one wrong custom_vjp is named, with its line, wherever it is called."""

import pytest

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402

from gradcheck import Verdict, explain, gradcheck  # noqa: E402

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
    assert "the gradient is wrong, and no op that could be judged is wrong" in str(found)
    assert "to find the op" not in str(found)  # which is what was done


def test_a_check_of_a_whole_function_says_how_to_find_the_op_and_one_of_a_rule_does_not():
    advice = "to find the op, run print(gradcheck.explain("
    assert advice in gradcheck(lambda x: HALF(x) * 2.0, (X,), raise_exception=False).note
    report = gradcheck(HALF, (X,), raise_exception=False)
    assert (report.verdict, advice in report.note) == (Verdict.FAIL, False)


def test_a_derivative_that_is_stopped_fails_as_a_whole():
    found = explain(lambda x: (jax.lax.stop_gradient(x) * SINE(x)).sum(), (X,))
    assert found.verdict is Verdict.FAIL
    assert found.blamed == ()
    assert "every op that was recorded is right" in str(found)


def rms(x):
    return x * jax.lax.rsqrt(
        (x * x).mean(-1, keepdims=True)
    )  # divides by a size, whose dtype the equation fixes


def with_rms_rule(part):
    def bwd(x, gy):
        r = jax.lax.rsqrt((x * x).mean(-1, keepdims=True))
        return (r * gy - part * x * r**3 * (gy * x).mean(-1, keepdims=True),)

    made = jax.custom_vjp(rms)
    made.defvjp(lambda x: (rms(x), x), bwd)
    return made


@pytest.mark.nightly(each_time=1)
@pytest.mark.parametrize("wrap", [jax.jit, lambda f: f], ids=["jit", "plain"])
def test_a_rule_whose_steps_fix_their_dtypes_is_judged_in_double_precision(wrap):
    wrong, right = (wrap(lambda x, f=with_rms_rule(part): f(jnp.tanh(x)).sum()) for part in (3.0, 1.0))
    (blame,) = explain(lambda x: wrong(x) + 1.0, (X,)).blamed
    assert blame.op == "rms"
    found = explain(lambda x: right(x) + 1.0, (X,))
    assert (bool(found), found.unjudged, found.verified) == (True, (), 1)


def test_containers_and_params_are_taken():
    found = explain(
        lambda p, scale: (HALF(p["a"]) * p["b"]).sum() * scale, ({"a": X, "b": X},), params={"scale": 2.0}
    )
    assert [blame.op for blame in found.blamed] == ["square"]

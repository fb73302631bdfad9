"""`check_grads` takes the calls of JAX and of autograd as they stand."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pytest

from gradcheck import CallError, GradientError, check_grads

X = np.array([0.5, -1.0, 2.0])


def jax_functions():
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    right, wrong = [jax.custom_vjp(lambda x, y: x * y) for _ in range(2)]
    right.defvjp(lambda x, y: (x * y, (x, y)), lambda saved, gy: (gy * saved[1], gy * saved[0]))
    wrong.defvjp(lambda x, y: (x * y, (x, y)), lambda saved, gy: (gy * saved[0], gy * saved[0]))
    return jax, right, wrong


def test_a_call_of_jax():
    jax, right, wrong = jax_functions()
    report = check_grads(lambda x, y: jax.numpy.sin(x) * y, (X, 2.0), 2, atol=1e-3, rtol=1e-3, eps=1e-2)
    assert [i.path for i in report.inputs] == ["inputs[0]", "inputs[1]"]
    assert "not needed: the error bound is measured" in report.note
    assert check_grads(right, (X, X + 1), order=1, modes=["rev"])
    assert check_grads(jax.numpy.sin, [X], 1, "rev")
    with pytest.raises(AssertionError) as caught:
        check_grads(wrong, (X, X + 1), 1, modes="rev")
    assert isinstance(caught.value, GradientError)


def test_a_wrong_jvp_is_found_where_forward_mode_is_requested():
    jax, _, _ = jax_functions()
    f = jax.custom_jvp(lambda x: jax.numpy.sin(x))
    f.defjvps(lambda t, y, x: 2 * t * jax.numpy.cos(x))
    with pytest.raises(GradientError, match="forward mode"):
        check_grads(f, (X,), 1)


def test_forward_mode_of_what_has_none_is_refused_as_in_jax():
    _, right, _ = jax_functions()
    with pytest.raises(CallError, match=r'modes has "fwd", .* pass modes=\("rev",\)'):
        check_grads(right, (X, X + 1), 1)


def forward_only(jvp):
    """The sine with this jvp, through a callback that nothing can be pulled back through."""
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    f = jax.custom_jvp(jax.numpy.sin)

    def called(x, t):
        return np.asarray(jvp(np.asarray(x), np.asarray(t)))

    @jax.jit  # a callback by itself is compiled at each call
    def compiled(x, t):
        like = jax.ShapeDtypeStruct(x.shape, x.dtype)
        return jax.pure_callback(called, like, x, t, vmap_method="sequential")

    @f.defjvp
    def rule(primals, tangents):
        (x,), (t,) = primals, tangents
        return f(x), compiled(x, t)

    f.__name__ = "sine"
    return f


def test_forward_mode_alone_is_enough():
    jax, *_ = jax_functions()
    report = check_grads(forward_only(lambda x, t: np.cos(x) * t), (X,), 1, modes=("fwd",))
    assert report.gradient == "JAX's forward-mode derivative of sine"

    def goes_on(state):
        return state[0] < 3

    def next_state(state):
        i, y, x = state
        return i + 1, y * x, x

    def looped(x):
        return jax.lax.while_loop(goes_on, next_state, (0, x, x))[1]

    assert check_grads(lambda x: looped(x), (jax.numpy.asarray(X, "float32"),), 1, ["fwd"])
    assert check_grads(jax.numpy.sin, (X,), 2, "fwd").second.gradient.startswith("JAX's second forward-mode")
    z = jax.numpy.asarray([0.5 + 1j, -1.0 + 0.25j])
    assert check_grads(lambda z, x: jax.numpy.exp(z) * jax.numpy.conj(z) * x, (z, X[:2]), 1, "fwd")


def test_a_wrong_jvp_is_located_by_forward_mode_alone():
    wrong = forward_only(lambda x, t: 2 * np.cos(x) * t)
    with pytest.raises(GradientError) as caught:
        check_grads(wrong, (X,), 1, modes=("fwd",))
    report = caught.value.report
    assert [(f.cause, f.input) for f in report.faults] == [("factor", "inputs[0]")]
    assert report.snippet.endswith("check_grads(f, inputs, 1, modes=('fwd',))")
    with pytest.raises(GradientError) as again, redirect_stdout(StringIO()):
        exec(compile(report.snippet, "snippet", "exec"), {"f": wrong})
    assert again.value.report.causes == ("factor",)


def test_a_jvp_that_is_right_along_each_axis_and_not_linear_is_found():
    jax, *_ = jax_functions()
    f = jax.custom_jvp(jax.numpy.sin)

    @f.defjvp
    def rule(primals, tangents):
        (x,), (t,) = primals, tangents
        return f(x), jax.numpy.cos(x) * jax.numpy.where(abs(t) == 1, t, 2 * t)

    with pytest.raises(GradientError, match="a jvp has to be linear in the tangent"):
        check_grads(f, (X,), 1, modes=("fwd",))


def test_forward_mode_alone_of_what_has_none_is_refused():
    _, right, _ = jax_functions()
    with pytest.raises(CallError, match=r'has no forward-mode derivative, .* pass modes=\("rev",\)'):
        check_grads(right, (X, X + 1), 1, modes=("fwd",))


def test_forward_mode_alone_of_autograd():
    pytest.importorskip("autograd", reason="autograd is not installed")
    from autograd.extend import defjvp, primitive

    right, wrong = [primitive(lambda x: x * x) for _ in range(2)]
    defjvp(right, lambda t, y, x: 2 * x * t)
    defjvp(wrong, lambda t, y, x: x * t)
    assert check_grads(lambda x: right(x), modes=["fwd"], order=1)(X)
    with pytest.raises(GradientError, match="Multiplied by 2") as caught:
        check_grads(lambda x: wrong(x), modes=["fwd"], order=1)(X)
    assert caught.value.report.snippet.endswith("check_grads(f, None, 1, modes=('fwd',))(*inputs)")
    with pytest.raises(CallError, match=r"second order by forward mode alone is not supported .* order=1"):
        check_grads(lambda x: right(x), modes=["fwd"], order=2)(X)


def test_calls_of_autograd():
    pytest.importorskip("autograd", reason="autograd is not installed")
    import autograd.numpy as anp
    from autograd.extend import defvjp, primitive

    def f(x, y):
        return anp.tanh(x) * y

    assert check_grads(f, modes=["fwd", "rev"], order=2)(X, 2.0)
    assert [i.path for i in check_grads(f, 1, order=1)(X, X).inputs] == ["inputs[0]", "inputs[1]"][1:]
    assert len(check_grads(f, (0, 1), order=1)(X, X).inputs) == 2
    wrong = primitive(lambda x: x * x)
    defvjp(wrong, lambda y, x: lambda gy: gy * x)
    with pytest.raises(GradientError, match="Multiplied by 2"):
        check_grads(lambda x: wrong(x), modes=["rev"])(X)


def test_second_order_is_checked_by_default_in_autograd_s_form_alone():
    jax, _, _ = jax_functions()
    stopped = jax.custom_vjp(lambda x: x * x)
    stopped.defvjp(
        lambda x: (x * x, jax.lax.stop_gradient(x)), lambda x, gy: (2 * gy * jax.lax.stop_gradient(x),)
    )
    assert check_grads(stopped, (X,), modes="rev")
    with pytest.raises(GradientError):
        check_grads(stopped, (X,), 2, modes="rev")
    with pytest.raises(GradientError):
        check_grads(stopped, modes="rev")(X)


def test_no_verdict_is_no_success():
    jax, _, _ = jax_functions()
    with pytest.raises(CallError, match=r"no verdict on f: .* Try other inputs"):
        check_grads(lambda x: jax.numpy.sin(x.astype("float32") * 1e7) * 1e30, (X,), modes="rev")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"modes": "lin"}, "modes='lin': pass \"fwd\""),
        ({"modes": ()}, "modes=\\(\\): pass"),
        ({"order": 3}, "order=3: pass 1, or 2"),
        ({"args": X}, "args has to be a tuple"),
    ],
)
def test_a_wrong_call_says_what_to_do(options, sentence):
    with pytest.raises(CallError, match=sentence):
        check_grads(np.sin, **{"args": (X,), **options})

"""Kernels of JAX in low precision, and references in JAX."""

import numpy as np
import pytest

from gradcheck import CallError, assert_close, gradcheck, verify

jax = pytest.importorskip("jax")
jnp = jax.numpy
RNG = np.random.default_rng(0)
DTYPES = (jnp.bfloat16, jnp.float16, jnp.float32)


def made(*shape, dtype=jnp.bfloat16, scale=1.0):
    return jnp.asarray(RNG.standard_normal(shape) * scale).astype(dtype)


def softmax(defect=""):
    """A fused softmax with its backward by hand."""

    def forward(x):
        f = x.astype(jnp.float32)
        e = jnp.exp(f - f.max(-1, keepdims=True))
        return (e / e.sum(-1, keepdims=True)).astype(x.dtype)

    @jax.custom_vjp
    def kernel(x):
        return forward(x)

    def backward(y, gy):
        p, g = (a if defect == "low" else a.astype(jnp.float32) for a in (y, gy))
        inner = (p * g).sum(-1, keepdims=True, dtype=p.dtype)
        if defect == "low":
            inner = jnp.zeros_like(p[:, :1])
            for k in range(p.shape[1]):
                inner = inner + p[:, k : k + 1] * g[:, k : k + 1]
        gx = p * (g - (0 if defect == "term missing" else inner))
        if defect == "remainder":
            gx = gx.at[gx.shape[0] // 32 * 32 :].set(0)
        return ((gx * (2 if defect == "factor" else 1)).astype(y.dtype),)

    kernel.defvjp(lambda x: (forward(x),) * 2, backward)  # it saves what it stored
    return kernel


def reference(x):
    return jax.nn.softmax(x, -1)


def plain(x):
    e = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)


def by_hand(x):
    e = jnp.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("g", [reference, plain, by_hand])
def test_a_right_kernel_passes(dtype, g):
    report = gradcheck(softmax(), (made(33, 65, dtype=dtype),), reference=g)
    assert report.ratio < 0.9
    assert report.evaluations <= 60


@pytest.mark.parametrize(
    ("defect", "cause"),
    [("low", "accumulated"), ("term missing", "value"), ("remainder", "tile"), ("factor", "factor")],
)
def test_a_wrong_kernel_fails_with_its_cause(defect, cause):
    x = made(40, 200)
    report = gradcheck(softmax(defect), (x,), reference=reference, raise_exception=False)
    assert report.causes[0] in ((cause, "rounded twice") if defect == "low" else (cause,))


# Their steps and branches are functions of the module: JAX compiles anew what is another function at each call.


def next_row(h, row):
    h = 0.5 * h + row
    return h, h


def scanned(x):
    return jax.lax.scan(next_row, jnp.zeros_like(x[0]), x)[1]


def nearer(_, pair):
    y, x = pair
    return y * 0.9 + x * 0.3, x


def looped(x):
    return jax.lax.fori_loop(0, 6, nearer, (x, x))[0]


def squared(x):
    return x * x


def tripled(x):
    return x * 3


def branched(x):
    return jax.lax.cond(x.sum() > 0, squared, tripled, x)


def gathered(x):
    return jnp.zeros((4, x.shape[1]), x.dtype).at[jnp.arange(len(x)) % 4].add(x)


@pytest.mark.nightly(each_time=4)
@pytest.mark.parametrize(
    "g",
    [
        scanned,
        looped,
        branched,
        gathered,
        jax.jit(by_hand),
        jax.checkpoint(by_hand),
        lambda x: jnp.einsum("ij,kj->ik", x, x),
        lambda x: jnp.cumsum(x, 0),
        lambda x: jnp.var(x, -1),
        lambda x: jax.nn.logsumexp(x, -1),
        lambda x: x * x.max(-1, keepdims=True),
        lambda x: jnp.sort(x, -1),
    ],
)
def test_a_kernel_with_float32_inside_passes_and_one_in_bfloat16_does_not(g):
    def fused(x):
        return g(x.astype(jnp.float32)).astype(x.dtype)

    x = made(24, 40)
    assert gradcheck(fused, (x,), reference=g).ratio < 0.95
    wrong = gradcheck(lambda x: fused(x) * jnp.bfloat16(1.03), (x,), reference=g, raise_exception=False)
    assert not wrong


@pytest.mark.nightly(each_time=1)
@pytest.mark.parametrize("g", [scanned, looped])
def test_errors_within_a_loop_are_allowed_for(g):
    x = made(64, 40)
    assert gradcheck(g, (x,), reference=g, intermediates="stored", accumulate="bfloat16")
    assert not gradcheck(g, (x,), reference=g, raise_exception=False)


def test_what_cannot_be_looked_into_is_said():
    def g(x):
        return jax.lax.custom_linear_solve(
            lambda v: 2 * v, x, solve=lambda _, b: b / 2, transpose_solve=lambda _, b: b / 2
        )

    report = gradcheck(lambda x: x / 2, (made(4, 5, dtype=jnp.float32),), reference=g)
    assert "inside of custom_linear_solve could not be looked into" in report.note


def test_a_reference_in_float32_is_refused():
    with pytest.raises(CallError, match=r"works in float32 .the result of convert_element_type"):
        gradcheck(softmax(), (made(4, 5),), reference=lambda x: reference(x.astype(jnp.float32)))


def test_a_reference_whose_derivative_is_another_is_refused():
    with pytest.raises(CallError, match="is not its own"):
        gradcheck(softmax(), (made(4, 5),), reference=lambda x: reference(jax.lax.stop_gradient(x)) + 0 * x)


def test_a_backward_that_raises_fails():
    @jax.custom_vjp
    def kernel(x):
        return x * 2

    kernel.defvjp(lambda x: (x * 2, None), lambda _, gy: (gy[0],))
    report = gradcheck(kernel, (made(4, 5),), reference=lambda x: x * 2, raise_exception=False)
    assert report.causes == ("raises",)


def test_integers_and_constants():
    w, index = made(9, 5), jnp.asarray(RNG.integers(0, 9, 30))

    def f(w, index, scale):
        return w[index] * scale

    assert gradcheck(f, (w, index, 2.0), reference=f, accumulate="bfloat16", intermediates="stored")
    assert not gradcheck(f, (w, index, 2.0), reference=f, raise_exception=False)

    @jax.custom_vjp
    def overwrites(w, index):
        return w[index]

    overwrites.defvjp(
        lambda w, i: (w[i], (w, i)), lambda saved, gy: (jnp.zeros_like(saved[0]).at[saved[1]].set(gy), None)
    )
    report = gradcheck(overwrites, (w, index), reference=lambda w, i: w[i], raise_exception=False)
    assert report.causes == ("overwritten",)


def test_the_switch_for_64_bits_stays_as_it_was():
    assert gradcheck(softmax(), (made(4, 5),), reference=reference)
    assert not jax.config.jax_enable_x64
    assert (jnp.zeros(3) + 1).dtype == jnp.float32


def test_forward_values_alone():
    x = made(33, 65)
    assert assert_close(softmax()(x), reference, (x,))
    with pytest.raises(AssertionError, match="the forward values are wrong"):
        assert_close(softmax()(x) * 1.02, reference, (x,))


def test_a_numpy_kernel_beside_a_reference_in_jax():
    x = RNG.standard_normal((3, 4)).astype(np.float32)
    assert gradcheck(np.exp, (x,), vjp=lambda gy, y, x: gy * y, reference=jnp.exp)


def test_verify_finds_a_remainder_that_the_example_has_not():
    @jax.custom_vjp
    def doubled(x):
        return x + x

    def backward(_, gy):
        n = len(gy) // 32 * 32
        return (jnp.concatenate([2 * gy[:n], 0 * gy[n:]]),)

    doubled.defvjp(lambda x: (x + x, None), backward)
    options = {"reference": lambda x: 2 * x, "raise_exception": False}
    x = made(32)
    assert gradcheck(doubled, (x,), **options)
    result = verify(doubled, like=(x,), max_examples=2, max_seconds=300, **options)
    assert result.causes == {"tile": 1}
    assert result.domain == "inputs[0] (n) real"

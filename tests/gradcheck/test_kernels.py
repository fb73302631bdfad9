"""Kernels of NumPy in low precision beside a reference: what passes, and each mistake by its cause."""

import numpy as np
import pytest

from gradcheck import GradientError, assert_close, gradcheck

ml_dtypes = pytest.importorskip("ml_dtypes")
BF16 = ml_dtypes.bfloat16
DTYPES = (BF16, np.float16, np.float32)
RNG = np.random.default_rng(0)


def wide(*arrays):
    return [a.astype(np.float32) for a in arrays]


def softmax(x):
    (f,) = wide(x)
    e = np.exp(f - f.max(-1, keepdims=True))
    return (e / e.sum(-1, keepdims=True)).astype(x.dtype)


def softmax_rule(gy, y, x):
    g, p = wide(gy, softmax(x.astype(np.float32)))
    return (p * (g - (g * p).sum(-1, keepdims=True))).astype(x.dtype)


def softmax_reference(x):
    e = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)


@pytest.mark.parametrize("framework", ["numpy", "torch", "jax"])
def test_a_right_softmax_passes_where_all_but_one_entry_of_each_row_is_nearly_nothing(framework):
    x = (np.random.default_rng(3).standard_normal((4, 33)) * 3).astype(BF16)
    x[:, 0] = [60, 61, 60.5, 62]
    x[:, 1] = x[:, 0].astype(np.float32) - 16.25

    def in_torch(x):
        e = torch.exp(x - x.amax(-1, keepdim=True))
        return e / e.sum(-1, keepdim=True)

    def in_jax(x):
        e = jax.numpy.exp(x - jax.numpy.max(x, -1, keepdims=True))
        return e / e.sum(-1, keepdims=True)

    torch, jax = (pytest.importorskip(name) for name in ("torch", "jax"))
    reference = {"numpy": softmax_reference, "torch": in_torch, "jax": in_jax}[framework]
    for seed in range(4):
        report = gradcheck(softmax, (x,), vjp=softmax_rule, reference=reference, seed=seed)
        assert report.ratio < 0.9


def product(a, b):
    return (a.astype(np.float32) @ b.astype(np.float32)).astype(a.dtype)


def product_rule(gy, y, a, b):
    g, f, h = wide(gy, a, b)
    return (g @ h.T).astype(a.dtype), (f.T @ g).astype(b.dtype)


def product_reference(a, b):
    return a @ b


def causes(f, inputs, rule, reference, **options):
    return gradcheck(f, inputs, vjp=rule, reference=reference, raise_exception=False, **options).causes


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [2.0**-10, 1.0, 16.0])
def test_a_right_softmax_passes(dtype, scale):
    x = (RNG.standard_normal((33, 65)) * scale).astype(dtype)
    report = gradcheck(softmax, (x,), vjp=softmax_rule, reference=softmax_reference)
    assert report.ratio < 0.9
    assert report.evaluations <= 60


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_rule_that_reads_the_stored_output_passes(dtype):
    def rule(gy, y, x):
        g, p = wide(gy, y)
        return (p * (g - (g * p).sum(-1, keepdims=True))).astype(x.dtype)

    x = RNG.standard_normal((33, 65)).astype(dtype)
    assert gradcheck(softmax, (x,), vjp=rule, reference=softmax_reference)


def test_an_eager_composition_passes_as_stored_and_fails_as_fused():
    def eager(a, b, c, d):
        return a * b - c * d

    def rule(gy, y, a, b, c, d):
        return gy * b, gy * a, -gy * d, -gy * c

    a, b = RNG.standard_normal((2, 32, 32)).astype(BF16)
    c = (a * (1 + 0.05 * RNG.standard_normal(a.shape))).astype(BF16)
    assert gradcheck(eager, (a, b, c, b), vjp=rule, reference=eager, intermediates="stored")
    assert causes(eager, (a, b, c, b), rule, eager) == ("rounded twice",)


def in_blocks(n, low):
    """A product whose sums go on in the inputs' dtype."""

    def rule(gy, y, a, b):
        ga, gb = product_rule(gy, y, a, b)
        if low:
            gb = np.zeros_like(b)
            for row, g in zip(a, gy, strict=True):
                gb = gb + row[:, None] * g
        return ga, gb

    a = RNG.standard_normal((n, 8)).astype(BF16)
    b = RNG.standard_normal((8, 9)).astype(BF16)
    return gradcheck(product, (a, b), vjp=rule, reference=product_reference, raise_exception=False)


def test_a_sum_in_bfloat16_fails_from_the_length_on_at_which_it_costs_more_than_it_must():
    assert in_blocks(400, low=False)
    assert in_blocks(1, low=True)
    report = in_blocks(400, low=True)
    assert report.causes == ("accumulated",)
    assert "accumulated in the dtype of the inputs" in str(report).lower()


def test_the_claim_of_coarser_sums_lets_them_pass():
    def low(a, b):
        total = np.zeros((len(a), b.shape[1]), a.dtype)
        for k in range(a.shape[1]):
            total = total + a[:, k : k + 1] * b[k]
        return total

    a, b = RNG.standard_normal((16, 200)).astype(BF16), RNG.standard_normal((200, 16)).astype(BF16)
    assert causes(low, (a, b), product_rule, product_reference) == ("accumulated",)
    assert gradcheck(low, (a, b), vjp=product_rule, reference=product_reference, accumulate="bfloat16")


def changed(change, dtype=BF16, n=100, m=64):
    """Causes for a right rule whose result is changed."""
    x = RNG.standard_normal((n, m)).astype(dtype)
    return causes(softmax, (x,), lambda gy, y, x: change(softmax_rule(gy, y, x), gy, y, x), softmax_reference)


def without_rows(gx, *_):
    gx = gx.copy()
    gx[96:] = 0
    return gx


def as_dense(gx, gy, y, x):
    flat = gy
    while flat.base is not None:
        flat = flat.base
    return softmax_rule(np.resize(flat.ravel(), gy.shape), y, x)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda gx, *_: -gx, "sign"),
        (lambda gx, *_: gx * gx.dtype.type(0.5), "factor"),
        (lambda gx, *_: gx * gx.dtype.type(1.02), "factor"),
        (without_rows, "tile"),
        (lambda gx, *_: np.roll(gx, 1, 0), "shifted"),
        (lambda gx, *_: gx * 0, "missing"),
        (lambda gx, gy, y, x: (gy.astype(np.float32) * y.astype(np.float32)).astype(x.dtype), "value"),
        (as_dense, "contiguous"),
    ],
)
def test_a_planted_mistake_is_named(change, cause, dtype):
    assert changed(change, dtype)[0] == cause


def test_a_tile_is_located():
    x = RNG.standard_normal((100, 64)).astype(BF16)
    with pytest.raises(GradientError, match=r"wrong from row 96 on: blocks of 32\?") as caught:
        gradcheck(
            softmax,
            (x,),
            vjp=lambda gy, y, x: without_rows(softmax_rule(gy, y, x)),
            reference=softmax_reference,
        )
    assert "units in the last place of bfloat16" in str(caught.value)
    assert "rows 96 to 99 of 100" in str(caught.value)


def test_duplicates_that_are_overwritten_are_named():
    index = np.array([0, 1, 2, 1, 3, 4, 1, 5])

    def rule(gy, y, w, index):
        gw = np.zeros_like(w)
        gw[index] = gy
        return gw, None

    def right(gy, y, w, index):
        gw = np.zeros(w.shape, np.float32)
        np.add.at(gw, index, gy.astype(np.float32))
        return gw.astype(w.dtype), None

    w = RNG.standard_normal((8, 5)).astype(np.float16)

    def taken(w, index):
        return w[index]

    assert causes(taken, (w, index), rule, taken) == ("overwritten",)
    assert gradcheck(taken, (w, index), vjp=right, reference=taken)


def test_a_mask_shifted_by_one_is_named():
    mask = RNG.random((32, 40)) < 0.7

    def f(x, mask):
        return x * mask.astype(x.dtype)

    def rule(gy, y, x, mask):
        return gy * np.roll(mask, 1, 1).astype(gy.dtype), None

    x = RNG.standard_normal((32, 40)).astype(BF16)
    assert causes(f, (x, mask), rule, f) == ("mask shifted",)


def test_a_scale_of_another_input_that_is_missing_is_named():
    def f(x, w):
        return (x.astype(np.float32) * w.astype(np.float32)).astype(x.dtype)

    def rule(gy, y, x, w):
        g, f = wide(gy, x)
        return gy, (g * f).sum(0).astype(w.dtype)

    x, w = RNG.standard_normal((32, 40)).astype(BF16), RNG.standard_normal(40).astype(BF16)
    report = gradcheck(f, (x, w), vjp=rule, reference=lambda x, w: x * w, raise_exception=False)
    assert report.causes == ("factor",)
    assert "inputs[1] is missing" in report.faults[0].text


def test_a_statistic_in_the_dtype_of_the_inputs_is_named():
    def f(x):
        (f,) = wide(x)
        lse = np.log(np.exp(f).sum(-1, keepdims=True))
        return (f - lse).astype(x.dtype)

    def rule(gy, y, x):
        (g, f) = wide(gy, x)
        lse = np.log(np.exp(f).sum(-1, keepdims=True)).astype(x.dtype).astype(np.float32)
        return (g - np.exp(f - lse) * g.sum(-1, keepdims=True)).astype(x.dtype)

    def g(x):
        return x - np.log(np.sum(np.exp(x), axis=-1, keepdims=True))

    x = (RNG.standard_normal((16, 100)) * 2).astype(BF16)
    assert causes(f, (x,), rule, g) == ("statistics",)


def test_nan_where_all_of_a_row_is_masked_is_named():
    mask = np.ones((8, 9), bool)
    mask[3] = False

    def f(x, mask):
        e = np.exp(x.astype(np.float32)) * mask
        with np.errstate(all="ignore"):
            return (e / e.sum(-1, keepdims=True)).astype(x.dtype)

    def g(x, mask):
        e = np.exp(x) * mask
        return e / (np.sum(e, axis=-1, keepdims=True) + 1.0 * ~mask.any(-1, keepdims=True))

    x = RNG.standard_normal((8, 9)).astype(np.float16)
    with pytest.raises(GradientError, match="9 entries are NaN where the reference is finite") as caught:
        assert_close(f, g, (x, mask))
    assert caught.value.report.causes == ("nonfinite",)


def test_an_error_that_shows_only_in_the_norm_fails():
    x = RNG.standard_normal((64, 64)).astype(BF16)

    def double(x):
        return x + x

    def off(gy, y, x):
        return (gy.astype(np.float32) * 2.014).astype(x.dtype)

    assert gradcheck(double, (x,), vjp=lambda gy, y, x: gy + gy, reference=double)
    report = gradcheck(double, (x,), vjp=off, reference=double, raise_exception=False)
    assert report.causes == ("factor",)
    assert "though no entry alone is" in report.faults[0].text


def test_a_kernel_that_varies_within_rounding_passes_and_says_so():
    rng = np.random.default_rng(1)

    def rule(gy, y, a, b):
        order = rng.permutation(len(a))
        return product_rule(gy, y, a, b)[0], np.add.reduce(
            a[order].astype(np.float32)[:, :, None] * gy[order].astype(np.float32)[:, None], 0
        ).astype(b.dtype)

    a, b = RNG.standard_normal((300, 8)).astype(np.float32), RNG.standard_normal((8, 8)).astype(np.float32)
    report = gradcheck(product, (a, b), vjp=rule, reference=product_reference)
    assert "not the same from call to call" in report.note


def test_a_kernel_that_varies_by_more_than_rounding_fails():
    rng = np.random.default_rng(1)

    def rule(gy, y, x):
        return (softmax_rule(gy, y, x) * (1 + 0.1 * rng.standard_normal(x.shape))).astype(x.dtype)

    x = RNG.standard_normal((16, 16)).astype(BF16)
    assert causes(softmax, (x,), rule, softmax_reference)[0] == "deterministic"


def test_writing_into_the_cotangent_fails():
    def rule(gy, y, x):
        gx = softmax_rule(gy, y, x)
        if gy.flags.writeable:
            gy[...] = 0
        return gx

    x = RNG.standard_normal((16, 16)).astype(BF16)
    report = gradcheck(softmax, (x,), vjp=rule, reference=softmax_reference, raise_exception=False)
    assert report.causes == ("mutation",)
    assert "wrote into the cotangent gy" in str(report)


def test_assert_close_takes_arrays_and_functions():
    x = RNG.standard_normal((33, 65)).astype(BF16)
    assert assert_close(softmax(x), softmax_reference, (x,))
    assert assert_close(softmax, softmax_reference, (x,))
    with pytest.raises(AssertionError, match="the forward values are wrong"):
        assert_close(softmax(x) * BF16(1.05), softmax_reference, (x,))


def test_values_beyond_the_largest_float16_may_be_infinite():
    x = np.array([200.0, 300.0, 2.0], np.float16)

    def square(x):
        return x * x

    with np.errstate(over="ignore"):
        assert assert_close(x * x, square, (x,))
    with pytest.raises(GradientError):
        assert_close(np.array([np.inf, np.inf, 4], np.float16), square, (x,))


def test_a_pass_states_what_would_be_detected():
    x = RNG.standard_normal((33, 65)).astype(BF16)
    report = gradcheck(softmax, (x,), vjp=softmax_rule, reference=softmax_reference)
    assert 0.01 < report.inputs[0].worst < 0.05
    assert report.inputs[1].sensitivity < 0.05

"""verify beside a reference: what one example of a kernel hides, and what is right stays right."""

import numpy as np
import pytest

from gradcheck import CallError, GradientError, Verdict, gradcheck, verify

ml_dtypes = pytest.importorskip("ml_dtypes")
BF16 = ml_dtypes.bfloat16
RNG = np.random.default_rng(0)


def drawn(*shape, dtype=BF16):
    return RNG.standard_normal(shape).astype(dtype)


def found(f, like, rule, reference, **options):
    options = {"max_examples": 40, "raise_exception": False, **options}
    return verify(f, like=like, vjp=rule, reference=reference, **options)


def squared(x):
    return (x.astype(np.float32) ** 2).astype(x.dtype)


def squared_rule(gy, y, x):
    return (2 * gy.astype(np.float32) * x.astype(np.float32)).astype(x.dtype)


def reference(x):
    return x * x


def in_blocks(size):
    def rule(gy, y, x):
        gx = squared_rule(gy, y, x)
        gx[len(x) // size * size :] = 0
        return gx

    return rule


@pytest.mark.parametrize("dtype", [BF16, np.float16, np.float32])
def test_a_right_kernel_passes(dtype):
    result = found(squared, (drawn(16, 8, dtype=dtype),), squared_rule, reference)
    assert result.verdict is Verdict.PASS
    assert result.examples + result.beyond + result.set_aside == 40
    assert result.domain == "inputs[0] (n, m) real"
    assert result.edges == ()


@pytest.mark.parametrize("size", [16, 64])
def test_a_remainder_that_the_example_has_not(size):
    like = (drawn(64, 4),)
    assert gradcheck(squared, like, vjp=in_blocks(size), reference=reference)
    result = found(squared, like, in_blocks(size), reference)
    assert result.causes.keys() & {"tile", "boundary", "missing"}
    assert not gradcheck_again(result, in_blocks(size))


def gradcheck_again(result, rule):
    """What the snippet of the smallest example gives, run as it stands."""
    shape = result.smallest.inputs[-1].shape
    assert np.prod(shape) <= 200
    names = {"np": np, "inputs": [None]}
    exec(result.smallest.snippet.replace("'bfloat16'", "bfloat16"), names | {"bfloat16": BF16}, names)
    return gradcheck(squared, (names["inputs"][0],), vjp=rule, reference=reference, raise_exception=False)


def test_a_second_block_that_the_example_has_not():
    def rule(gy, y, x):
        gx = squared_rule(gy, y, x)
        gx[128:] = gx[: len(gx[128:])]
        return gx

    like = (drawn(100, 3),)
    assert gradcheck(squared, like, vjp=rule, reference=reference)
    assert "tile" in found(squared, like, rule, reference).causes


def test_duplicates_that_the_example_has_not():
    def gather(w, index):
        return w[index]

    def rule(gy, y, w, index):
        gw = np.zeros_like(w)
        gw[index] = gy
        return gw, None

    def added(gy, y, w, index):
        gw = np.zeros(w.shape, np.float32)
        np.add.at(gw, index, gy.astype(np.float32))
        return gw.astype(w.dtype), None

    like = (drawn(6, 4), np.array([3, 0, 5]))
    assert gradcheck(gather, like, vjp=rule, reference=gather)
    assert not found(gather, like, rule, gather)
    assert found(gather, like, added, gather)


def softmax(x, mask):
    f = np.where(mask, x.astype(np.float32), -np.inf)
    e = np.where(mask, np.exp(f - np.maximum(f.max(-1, keepdims=True), -1e30)), 0)
    return (e / np.maximum(e.sum(-1, keepdims=True), 1e-30)).astype(x.dtype)


def softmax_rule(gy, y, x, mask):
    p, g = softmax(x.astype(np.float32), mask), gy.astype(np.float32)
    return (p * (g - (g * p).sum(-1, keepdims=True))).astype(x.dtype), None


def softmax_reference(x, mask):
    e = np.where(mask, np.exp(np.where(mask, x, 0.0)), 0.0)
    total = np.sum(e, axis=-1, keepdims=True)
    return e / np.where(total == 0, 1.0, total)


def test_a_masked_row_that_the_example_has_not():
    def divides(gy, y, x, mask):
        gx, _ = softmax_rule(gy, y, x, mask)
        return np.where(mask.any(-1, keepdims=True), gx, np.float32("nan")).astype(x.dtype), None

    mask = RNG.random((12, 20)) < 0.5
    like = (drawn(12, 20), mask)
    assert gradcheck(softmax, like, vjp=divides, reference=softmax_reference)
    assert "nonfinite" in found(softmax, like, divides, softmax_reference).causes
    assert found(softmax, like, softmax_rule, softmax_reference)


def test_magnitudes_that_the_example_has_not():
    def naive(x):
        e = np.exp(x.astype(np.float32))
        return (e / e.sum(-1, keepdims=True)).astype(x.dtype)

    def rule(gy, y, x):
        p, g = stable(x.astype(np.float32)), gy.astype(np.float32)
        return (p * (g - (g * p).sum(-1, keepdims=True))).astype(x.dtype)

    def stable(x):
        f = x.astype(np.float32)
        e = np.exp(f - f.max(-1, keepdims=True))
        return (e / e.sum(-1, keepdims=True)).astype(x.dtype)

    def exact(x):
        e = np.exp(x - np.max(x, axis=-1, keepdims=True))
        return e / np.sum(e, axis=-1, keepdims=True)

    like = (drawn(8, 30),)
    assert gradcheck(naive, like, vjp=rule, reference=exact)
    result = found(naive, like, rule, exact)
    print(result)
    assert "nonfinite" in [*result.causes, *[e.report.causes[0] for e in result.edges]]
    assert found(stable, like, rule, exact)


def test_an_input_that_is_assumed_contiguous():
    def flat(x):
        memory = np.ndarray(x.shape, x.dtype, x if x.base is None else x.base)
        return squared(memory)

    like = (drawn(16, 8),)
    assert gradcheck(flat, like, vjp=squared_rule, reference=reference)
    assert not found(flat, like, squared_rule, reference)


def test_a_shape_that_is_wrong_at_other_sizes():
    def padded(x):
        return np.concatenate([squared(x), np.zeros((-len(x) % 16, x.shape[1]), x.dtype)])

    result = found(padded, (drawn(32, 4),), lambda gy, y, x: squared_rule(gy[: len(x)], y, x), reference)
    assert result.causes.keys() == {"output_shape"}
    assert "the reference reference returns (" in str(result)


def row_max(x):
    return x.max(axis=1)


def first_of_them(gy, y, x):
    gx = np.zeros_like(x)
    gx[np.arange(len(x)), x.argmax(1)] = gy
    return gx


def all_of_them(gy, y, x):
    return (gy[:, None] * (x == y[:, None])).astype(x.dtype)


def test_any_share_of_equal_maxima_is_right_and_more_than_all_is_not():
    x = np.array([[0.5, 1.5, -2.0], [3.0, 2.5, -0.5]], BF16)

    def exact(x):
        return np.max(x, axis=1)

    result = found(row_max, (x,), first_of_them, exact)
    assert result
    assert result.verdicts["subgradient"]
    assert gradcheck(row_max, (x,), vjp=all_of_them, reference=exact)
    assert not found(row_max, (x,), all_of_them, exact)


def test_segments_stay_in_order():
    def sums(x, ids):
        y = np.zeros((int(ids.max()) + 1, x.shape[1]), np.float32)
        assert np.all(np.diff(ids) >= 0)
        np.add.at(y, ids, x.astype(np.float32))
        return y.astype(x.dtype)

    def exact(x, ids):
        hot = (ids[None] == np.arange(int(ids.max()) + 1)[:, None]).astype(float)
        return hot @ x

    like = (drawn(9, 4), np.array([0, 0, 1, 1, 1, 2, 3, 3, 3]))
    result = found(sums, like, lambda gy, y, x, ids: (gy[ids], None), exact)
    assert result
    assert not result.aside.get("forward raised AssertionError")


def test_static_parameters_and_a_raised_failure():
    def scaled(x, *, scale=2.0):
        return (x.astype(np.float32) * scale).astype(x.dtype)

    def rule(gy, y, x, *, scale=2.0):
        return (gy.astype(np.float32) * 2).astype(x.dtype)

    def exact(x, *, scale=2.0):
        return x * scale

    with pytest.raises(GradientError, match=r"scale one of 2\.0") as error:
        found(scaled, (drawn(4, 4),), rule, exact, params={"scale": 2.0}, raise_exception=True)
    assert error.value.verification.smallest.causes == ("factor",)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"like": None}, "no example came together with reference=: pass one example"),
        ({"complex": True}, "complex= came together with reference="),
        ({"backend": "torch"}, "backend= came together with reference="),
        ({"accumulate": "float31"}, "accumulate='float31': it is one of"),
        ({"reference": None, "accumulate": "float32"}, "pass reference=g"),
        ({"reference": lambda x: x[0]}, "the reference has to return arrays of the kernel's shapes"),
    ],
)
def test_a_wrong_call_says_what_to_do(options, words):
    with pytest.raises(CallError, match=words):
        verify(squared, **{"like": (drawn(4, 4),), "vjp": squared_rule, "reference": reference, **options})


def test_tensors_keep_their_dtype_and_whether_they_require_a_gradient():
    torch = pytest.importorskip("torch")
    seen = set()

    def f(x, w):
        seen.add((x.dtype, w.dtype, x.requires_grad or not torch.is_grad_enabled(), w.requires_grad))
        return (x.float() * w).to(x.dtype)

    x = torch.randn(6, 5, generator=torch.manual_seed(0)).bfloat16().requires_grad_()
    w = torch.linspace(1, 2, 5)
    assert verify(f, like=(x, w), reference=lambda x, w: x * w, max_examples=12)
    assert seen == {(torch.bfloat16, torch.float32, True, False)}


def test_where_the_reference_is_not_finite_nothing_is_judged():
    def f(x, mask):
        return softmax(x, mask) if mask.any(-1).all() else np.full_like(x, np.nan)

    def rule(gy, y, x, mask):
        gx, _ = softmax_rule(gy, y, x, mask)
        return (gx if mask.any(-1).all() else np.full_like(x, np.nan)), None

    def g(x, mask):
        e = np.where(mask, np.exp(np.where(mask, x, 0.0)), 0.0)
        return e / np.sum(e, axis=-1, keepdims=True)

    result = found(f, (drawn(12, 20), RNG.random((12, 20)) < 0.5), rule, g)
    assert result
    assert result.aside["forward: the reference is not finite"] > 1


def test_out_of_the_range_of_the_dtype_nothing_is_judged():
    def f(x):
        return x**8

    def rule(gy, y, x):
        return (8 * gy.astype(np.float32) * x.astype(np.float32) ** 7).astype(x.dtype)

    x = drawn(8, 8, dtype=np.float32).astype(np.float16)
    result = found(lambda x: (x.astype(np.float32) ** 8).astype(x.dtype), (x,), rule, lambda x: x**8)
    assert result
    assert result.aside["forward: out of the range of the dtype"]

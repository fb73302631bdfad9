"""From one example: what it shows counts, what lies beyond it is listed, and forms that nobody thinks of are tried."""

import time
from dataclasses import replace

import numpy as np
import pytest

from gradcheck import CallError, GradientError, Verdict, gradcheck, verify
from gradcheck.verdict import judge
from gradcheck.verdict.rounding import is_nothing


def drawn(*shape):
    return np.random.default_rng([1, *shape]).standard_normal(shape)


def found(f, rule, *inputs, **more):
    return verify(f, like=inputs, vjp=rule, raise_exception=False, **{"max_examples": 40, **more})


def edges_of(result):
    return {edge.report.causes[0]: edge.words for edge in result.edges}


def rms_norm(x, *, eps=1e-5):
    return x / np.sqrt((x * x).mean() + eps)


def rms_norm_rule(gy, y, x, *, eps=1e-5):
    s = 1 / np.sqrt((x * x).mean() + eps)
    return s * gy - s**3 * x * (gy * x).mean()


def deviation(x):
    return x.std()


def deviation_rule(gy, y, x):
    return gy * (x - x.mean()) / (x.size * y)


def power(x, *, p=2.5):
    return x**p


def power_rule(gy, y, x, *, p=2.5):
    return gy * p * x ** (p - 1)


def remainder(x, *, m=0.7):
    return np.fmod(x, m)


def layer_norm(x, g, b):
    m = x.mean(-1, keepdims=True)
    s = 1 / np.sqrt(((x - m) ** 2).mean(-1, keepdims=True) + 1e-5)
    return (x - m) * s * g + b


def layer_norm_rule(axes):
    def rule(gy, y, x, g, b):
        m = x.mean(-1, keepdims=True)
        s = 1 / np.sqrt(((x - m) ** 2).mean(-1, keepdims=True) + 1e-5)
        h, gh = (x - m) * s, gy * g
        gx = s * (gh - gh.mean(-1, keepdims=True) - h * (gh * h).mean(-1, keepdims=True))
        over = axes(x)
        return gx, (gy * h).sum(over), gy.sum(over)

    return rule


# --- right rules, used as their authors meant them --------------------------------------------------------------------


@pytest.mark.nightly(each_time=2)
@pytest.mark.parametrize(
    ("f", "rule", "inputs", "params"),
    [
        (rms_norm, rms_norm_rule, (drawn(6),), {"eps": 1e-5}),
        (deviation, deviation_rule, (drawn(6),), {}),
        (power, power_rule, (np.abs(drawn(4, 3)) + 0.1,), {"p": 3.5}),
        (remainder, lambda gy, y, x, *, m=0.7: gy, (np.abs(drawn(5)),), {"m": 0.7}),
        (
            layer_norm,
            layer_norm_rule(lambda x: tuple(range(x.ndim - 1))),
            (drawn(4, 3), drawn(3), drawn(3)),
            {},
        ),
        (np.matmul, lambda gy, y, x, w: (gy @ w.T, x.T @ gy), (drawn(4, 5), drawn(5, 3)), {}),
    ],
    ids=[
        "a static eps",
        "equal entries",
        "an exponent",
        "a modulus",
        "sums over all but one axis",
        "matrices only",
    ],
)
def test_a_right_rule_does_not_fail_beyond_what_its_example_shows(f, rule, inputs, params):
    assert found(f, rule, *inputs, params=params).verdict is not Verdict.FAIL


def test_a_norm_that_is_nan_at_zero_passes_with_an_edge():
    result = found(lambda x: np.sqrt((x * x).sum()), lambda gy, y, x: gy * x / y, drawn(4, 3))
    assert result.verdict is Verdict.PASS
    assert list(edges_of(result)) == ["nonfinite"]


def test_a_rule_that_raises_at_size_0_passes_with_an_edge():
    def rule(gy, y, x):
        if not x.size:
            raise ValueError("nothing to do")
        return gy * np.cos(x)

    result = found(np.sin, rule, drawn(4))
    assert result.verdict is Verdict.PASS
    assert {edge.report.causes[0] for edge in result.edges} == {"raises"}
    assert all(edge.words.startswith("at size 0") for edge in result.edges)
    assert f"; {len(result.edges)} edge" in str(result)
    assert "edge, at size 0" in str(result)


def test_what_is_wrong_only_at_another_sign_is_an_edge():
    result = found(np.abs, lambda gy, y, x: gy * np.where(x < 0, 2, 1), np.array([0.5, 2.0, 3.0]))
    assert result.verdict is Verdict.PASS
    assert "of another sign" in "".join(edges_of(result).values())


def test_edges_count_where_they_are_meant_to():
    x = drawn(4, 3)
    with pytest.raises(GradientError, match="edge"):
        verify(lambda x: np.sqrt((x * x).sum()), like=(x,), vjp=lambda gy, y, x: gy * x / y, edges="fail")
    with pytest.raises(CallError, match="edges='all': pass"):
        verify(np.sin, like=(x,), vjp=lambda gy, y, x: gy, edges="all")


# --- wrong rules that a plain example does not show --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "rule"),
    [
        (np.add, lambda gy, y, a, b: (gy, gy.copy())),
        (np.multiply, lambda gy, y, a, b: (gy * b, gy * a)),
    ],
    ids=["add", "multiply"],
)
def test_a_broadcast_that_is_not_summed_is_an_edge_of_equal_shapes(f, rule):
    result = found(f, rule, drawn(4, 5), drawn(4, 5) + 1)
    assert result.verdict is Verdict.PASS
    assert "unsummed broadcast" in edges_of(result)
    assert "size 1" in edges_of(result)["unsummed broadcast"]


def test_a_rule_for_two_axes_only_has_an_edge_with_more_of_them():
    def rule(gy, y, x):
        return np.broadcast_to(gy[:, None], x.shape)

    result = found(lambda x: x.sum(-1), rule, drawn(4, 3))
    assert result.verdict is Verdict.PASS
    assert any("leading axis more" in edge.words for edge in result.edges)


def test_a_wrong_number_with_more_axes_is_a_fail():
    def scaled(x):
        return x / x.shape[-1]

    result = found(scaled, lambda gy, y, x: gy / x.shape[min(1, x.ndim - 1)], drawn(4, 3))
    assert result.verdict is Verdict.FAIL
    assert result.smallest.causes[0] == "factor"
    assert len(result.smallest.inputs[0].shape) == 3


def test_up_to_three_causes_are_reported_each_with_its_smallest_example():
    def rule(gy, y, x, *, power=2.0):  # wrong where two entries tie, and for another power
        share = (x == y).astype(float)
        return gy * share * (1.0 if power == 2.0 else -1.0)

    def largest(x, *, power=2.0):
        return x.max() * (1.0 if power == 2.0 else 3.0)

    result = found(largest, rule, drawn(6), params={"power": 2.0})
    assert len(result.failures) > 1
    assert len({report.causes[0] for report in result.failures}) == len(result.failures)
    assert "the smallest one of another cause" in str(result)


def test_complex_numbers_are_tried_where_they_are_meant():
    def rule(gy, y, x):
        return gy * 2 * x

    assert "complex numbers (complex=True)" in found(np.square, rule, drawn(4)).left_out
    result = found(np.square, rule, drawn(4), complex=True)
    assert "conjugated" in {report.causes[0] for report in result.failures}


def test_indices_into_an_axis_of_size_0_are_no_error():
    def rule(gy, y, x, i):
        gx = np.zeros_like(x)
        np.add.at(gx, i, gy)
        return gx, None

    assert found(lambda x, i: x[i], rule, drawn(4, 3), np.array([0, 2, 2])).verdict is Verdict.PASS


# --- time --------------------------------------------------------------------------------------------------------------


def test_a_stride_that_never_ends_is_left_out_and_named():
    def windows(x, *, stride=2):
        found, i = [], 0
        while i + 3 <= len(x):
            found.append(x[i : i + 3].sum())
            i += stride
        return np.array(found)

    def rule(gy, y, x, *, stride=2):
        gx = np.zeros_like(x)
        for k, g in enumerate(gy):
            gx[k * stride : k * stride + 3] += g
        return gx

    result = found(windows, rule, drawn(9), params={"stride": 2}, max_examples=20)
    assert result.verdict is Verdict.PASS
    assert any("stride=0, for which forward took longer" in text for text in result.left_out)


def test_time_ends_a_verification_with_what_it_has():
    def slow(x):
        time.sleep(0.02)
        return np.sin(x)

    result = found(slow, lambda gy, y, x: gy * np.cos(x), np.ones(3), max_seconds=3)
    assert result.verdict is Verdict.PASS
    assert result.examples < 60
    assert any("3 s were over (max_seconds)" in text for text in result.left_out)


def test_a_size_that_would_take_too_long_is_left_out():
    def log_determinant(x):
        k = np.exp(-((x[:, None] - x) ** 2)) + 0.1 * np.eye(len(x))
        return np.linalg.slogdet(k)[1]

    def rule(gy, y, x):
        d = x[:, None] - x
        k = np.exp(-d * d)
        return 2 * (gy * np.linalg.inv(k + 0.1 * np.eye(len(x))) * k * (-2 * d)).sum(1)

    result = found(log_determinant, rule, drawn(6), max_seconds=10)
    assert result.verdict is Verdict.PASS
    assert any("along one axis, which take too long" in text for text in result.left_out)


@pytest.mark.parametrize("seconds", [0, -1.0, float("inf"), "10", True])
def test_a_limit_that_is_no_time_is_refused(seconds):
    with pytest.raises(CallError, match="pass a finite number above 0"):
        verify(np.sin, like=(drawn(3),), vjp=lambda gy, y, x: gy, max_seconds=seconds)


# --- inconclusive examples ---------------------------------------------------------------------------------------------


def test_no_example_of_the_sine_is_inconclusive():
    result = found(np.sin, lambda gy, y, x: gy * np.cos(x), drawn(4, 5))
    assert set(result.verdicts) == {"pass"}


def test_an_inconclusive_example_is_kept_with_its_inputs_and_reason():
    result = found(np.cbrt, lambda gy, y, x: gy / (3 * y * y), np.array([-1.0, 0.0, 2.0, 0.0, 0.0]))
    assert result.undecided
    assert "array(" in result.undecided[0].inputs
    assert result.undecided[0].reason
    assert f"the first inconclusive example: {result.undecided[0].inputs}" in str(result)


def centred(x, b):
    z = x + b
    return np.sin(z - z.mean(0))


def centred_rule(gy, y, x, b):
    """By b it is zero, and sums to what rounding leaves."""
    z = x + b
    g = gy * np.cos(z - z.mean(0))
    g = g - g.mean(0)
    return g, g.sum(0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_gradient_that_is_zero_but_for_rounding_is_vacuous(dtype):
    x, b = drawn(7, 3).astype(dtype), drawn(3).astype(dtype)
    for seed in range(5):
        report = gradcheck(centred, (x, b), vjp=centred_rule, seed=seed)
        assert (report.verdict.value, report.vacuous) == ("pass", ("inputs[1]",))


def test_a_gradient_that_is_not_zero_is_no_rounding():
    def with_b(x, b):
        return centred(x, b) + 1e-9 * b

    report = gradcheck(with_b, (drawn(7, 3), drawn(3)), vjp=centred_rule, raise_exception=False)
    assert report.verdict.value == "fail"


def test_noise_that_may_hide_a_gradient_is_more_than_rounding(monkeypatch):
    seen = []
    monkeypatch.setattr(judge, "is_nothing", lambda obs, e: bool(seen.append((obs, e))))
    report = gradcheck(centred, (drawn(7, 3), drawn(3)), vjp=centred_rule)
    assert report.verdict.value == "inconclusive"
    ((obs, e),) = seen
    assert is_nothing(obs, e)
    assert not is_nothing(obs, replace(e, comparison=replace(e.comparison, bound=1e-9)))
    assert not is_nothing(obs, replace(e, comparison=replace(e.comparison, numeric=1e-9)))
    assert not is_nothing(obs, replace(e, gx=[e.gx[0], np.full(3, 1e-9)]))


@pytest.mark.parametrize("outside", ["raises", "is not finite"])
def test_a_right_rule_passes_next_to_the_edge_of_the_domain(outside):
    def entropy(p):
        if outside == "raises" and not ((p >= 0) & (p <= 1)).all():
            raise ValueError("these are no probabilities")
        with np.errstate(invalid="ignore"):
            return (-np.log(p) - 0.3 * np.log1p(-p)).sum()

    def rule(gy, y, p):
        return gy * (-1 / p + 0.3 / (1 - p))

    for seed in range(20):
        p = np.random.default_rng(seed).uniform(0.9, 1.0, 3)
        gradcheck(entropy, (p,), vjp=rule, seed=seed)
        assert not gradcheck(entropy, (p,), vjp=lambda *a: 1.001 * rule(*a), seed=seed, raise_exception=False)

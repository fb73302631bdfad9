"""Outputs that jump by a free choice (the sign of an eigenvector) prove nothing; and entries that are infinite cannot move."""

import numpy as np
import pytest

import gradcore
from gradcheck import Verdict, gradcheck, gradgradcheck

RANDOM = np.random.default_rng(0).standard_normal((3, 3))
FREE = "the output has a free sign or basis here: compose f with something that does not depend on it"


def symmetric(a):
    return (a + a.T) / 2


def eigenvectors(a):
    return np.linalg.eigh(symmetric(a))[1]


def eigenvectors_rule(gy, y, a):
    w, v = np.linalg.eigh(symmetric(a))
    gaps = w[None, :] - w[:, None]
    with np.errstate(divide="ignore"):
        inverse = np.where(np.eye(len(w), dtype=bool), 0, 1 / gaps)
    return symmetric(v @ (inverse * (v.T @ gy)) @ v.T)


def both(a):
    return tuple(np.linalg.eigh(symmetric(a)))


def both_rule(gy, y, a):
    gw, gv = gy
    v = y[1]
    return (v * gw) @ v.T + eigenvectors_rule(gv, v, a)


def qr(a):
    return tuple(np.linalg.qr(a))


def qr_rule(gy, y, a):
    (q, r), (gq, gr) = y, gy
    m = r @ gr.T - gq.T @ q
    m = np.tril(m, -1) + np.tril(m, -1).T + np.diag(np.diag(m))
    return np.linalg.solve(r, (gq + q @ m).T).T


def svd(a):
    return tuple(np.linalg.svd(a, full_matrices=False))


def svd_rule(gy, y, a):
    (u, s, vt), (gu, gs, gvt) = y, gy
    n = len(s)
    gaps = s[None, :] ** 2 - s[:, None] ** 2 + np.eye(n)
    f = 1 / gaps - np.eye(n)
    j, k = f * (u.T @ gu), f * (vt @ gvt.T)
    return u @ ((j + j.T) * s + s[:, None] * (k + k.T) + np.diag(gs)) @ vt


def polar(a):
    u, _, vt = np.linalg.svd(a)
    return u @ vt


def polar_rule(gy, y, a):
    u, s, vt = np.linalg.svd(a)
    w = u.T @ gy @ vt.T
    with np.errstate(all="ignore"):
        return u @ ((w - w.T) / (s[:, None] + s[None, :])) @ vt


CHOICES = {
    "eigenvectors": (eigenvectors, eigenvectors_rule, np.diag([1.0, 2.0])),
    "eigenvectors of 3": (eigenvectors, eigenvectors_rule, np.diag([3.0, 1.0, 2.0])),
    "eigenvalues and eigenvectors": (both, both_rule, np.diag([1.0, 2.0])),
    "a repeated eigenvalue": (eigenvectors, eigenvectors_rule, np.diag([1.0, 1.0, 2.0])),
    "QR": (qr, qr_rule, np.diag([1.0, -2.0, 3.0])),
    "SVD": (svd, svd_rule, np.diag([3.0, 2.0, 1.0])),
    "the polar factor of rank one": (polar, polar_rule, np.outer([1.0, 2.0, 3.0], [1.0, 0.5, 2.0])),
}


@pytest.mark.parametrize("name", CHOICES)
def test_a_right_rule_does_not_fail_by_seed_where_a_sign_or_basis_is_free(name):
    f, rule, a = CHOICES[name]
    reports = [
        gradcheck(f, (a,), vjp=rule, seed=seed, raise_exception=False, contracts=False) for seed in range(8)
    ]
    assert Verdict.FAIL not in [r.verdict for r in reports]
    undecided = [r for r in reports if r.verdict is Verdict.INCONCLUSIVE]
    assert undecided
    assert all(FREE in f"{r.reason} {r.note}" for r in undecided)


STRETCHED = np.array([[0.78, -0.0], [0.0, -0.31], [-0.0, 2.6], [0.0, -0.0]])
TWICE = {
    "QR of columns with nothing below": (lambda a: np.linalg.qr(a).R, STRETCHED),
    "QR of a diagonal": (lambda a: np.linalg.qr(a).Q, np.diag([1.0, -2.0, 3.0])),
    "eigenvectors": (lambda a: np.linalg.eigh((a + a.T) / 2).eigenvectors, np.diag([3.0, 1.0, 2.0])),
    "SVD": (lambda a: np.linalg.svd(a, full_matrices=False).U, np.diag([3.0, 2.0, 1.0])),
}


@pytest.mark.parametrize("name", TWICE)
def test_the_gradient_of_what_turns_turns_with_it(name):
    f, a = TWICE[name]
    reports = [
        gradgradcheck(f, (gradcore.tensor(a),), seed=seed, raise_exception=False, contracts=False)
        for seed in range(4)
    ]
    assert Verdict.FAIL not in [r.verdict for r in reports]
    undecided = [r for r in reports if r.verdict is Verdict.INCONCLUSIVE]
    assert all(FREE in f"{r.reason} {r.note}" for r in undecided)


def test_the_gradient_of_what_does_not_turn_is_judged():
    a = np.diag([3.0, 2.0, 1.0])

    def f(x):
        return (np.linalg.eigvalsh((x + x.T) / 2) ** 3).sum()

    report = gradgradcheck(f, (gradcore.tensor(a),))
    assert report.verdict is Verdict.PASS


@pytest.mark.parametrize("name", CHOICES)
def test_at_a_matrix_in_general_position_right_passes_and_wrong_fails(name):
    f, rule, _ = CHOICES[name]
    assert gradcheck(f, (RANDOM,), vjp=rule).verdict is Verdict.PASS
    wrong = gradcheck(f, (RANDOM,), vjp=lambda gy, y, a: 1.5 * rule(gy, y, a), raise_exception=False)
    assert wrong.verdict is Verdict.FAIL


def test_what_does_not_turn_is_judged_beside_what_does():
    a = np.diag([3.0, 2.0, 1.0])
    wrong = gradcheck(svd, (a,), vjp=lambda gy, y, a: 1.5 * svd_rule(gy, y, a), raise_exception=False)
    assert wrong.verdict is Verdict.FAIL  # by the singular values, which have no sign


@pytest.mark.parametrize("seed", range(2))
def test_next_to_a_step_the_other_entries_are_judged(seed):
    x = np.array([3.0, 2.5, 7.1, -0.2])  # floor jumps at 3

    def f(x):
        return np.floor(x) + x * x

    assert gradcheck(f, (x,), vjp=lambda gy, y, x: 2 * gy * x, seed=seed)
    wrong = gradcheck(
        f, (x,), vjp=lambda gy, y, x: gy * x * np.array([2, 2, 2, 2.02]), seed=seed, raise_exception=False
    )
    assert wrong.verdict is Verdict.FAIL


@pytest.mark.parametrize("seed", range(2))
def test_at_the_cut_of_an_angle_the_other_angles_are_judged(seed):
    a, b = np.array([0.0, 0.5, -0.3, 1.2]), np.array([-1.0, 0.7, -0.4, 0.1])

    def rule(gy, y, a, b):
        size = a * a + b * b
        return gy * b / size, -gy * a / size

    report = gradcheck(np.arctan2, (a, b), vjp=rule, seed=seed)
    assert report.verdict is Verdict.PASS
    assert "1 of 4 output entries were left out" in report.note
    wrong = gradcheck(
        np.arctan2, (a, b), vjp=lambda gy, y, a, b: rule(1.01 * gy, y, a, b), seed=seed, raise_exception=False
    )
    assert wrong.verdict is Verdict.FAIL


def test_of_a_stack_of_matrices_each_turns_by_itself():
    stack = np.stack([np.diag([1.0, 2.0]), RANDOM[:2, :2]])

    def f(a):
        return np.stack([eigenvectors(one) for one in a])

    def rule(gy, y, a, factor=1.0):
        return np.stack([eigenvectors_rule(factor * g, None, one) for g, one in zip(gy, a, strict=True)])

    for seed in range(3):
        right = gradcheck(f, (stack,), vjp=rule, seed=seed, raise_exception=False, contracts=False)
        assert right.verdict is not Verdict.FAIL
        wrong = gradcheck(
            f,
            (stack,),
            vjp=lambda gy, y, a: rule(gy, y, a, 1.5),
            seed=seed,
            raise_exception=False,
            contracts=False,
        )
        assert wrong.verdict is Verdict.FAIL


# --- entries that are infinite ------------------------------------------------------------------------------------------


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


MASKED = np.array([-np.inf, 1.0, 2.0, 0.3])

INFINITE = {
    "exp": (np.exp, MASKED, lambda gy, y, x: gy * y),
    "exp in float32": (np.exp, MASKED.astype(np.float32), lambda gy, y, x: gy * y),
    "tanh": (np.tanh, MASKED, lambda gy, y, x: gy * (1 - y * y)),
    "softmax": (softmax, MASKED, lambda gy, y, x: y * (gy - (gy * y).sum())),
    "clip": (lambda x: np.clip(x, -5, 1.5), MASKED, lambda gy, y, x: gy * ((x > -5) & (x < 1.5))),
    "1/x": (lambda x: 1 / x, MASKED, lambda gy, y, x: -gy * y * y),
    "the largest": (np.max, MASKED, lambda gy, y, x: gy * (x == y)),
}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", INFINITE)
def test_infinite_entries_are_left_out_and_the_others_judged(name, seed):
    f, x, rule = INFINITE[name]
    report = gradcheck(f, (x,), vjp=rule, seed=seed)
    assert report.verdict is Verdict.PASS
    assert "1 infinite or NaN entry of the inputs was left out" in report.note
    others = np.where(np.isinf(x), x.dtype.type(1), x.dtype.type(1.02))
    wrong = gradcheck(f, (x,), vjp=lambda gy, y, x: others * rule(gy, y, x), seed=seed, raise_exception=False)
    assert wrong.verdict is Verdict.FAIL
    assert wrong.faults[0].index != (0,)


def test_a_mask_of_infinities_that_poisons_the_gradient_is_found():
    def poisoned(gy, y, x):
        with np.errstate(all="ignore"):
            return y * (gy - (gy * y).sum()) + 0 * x

    report = gradcheck(softmax, (MASKED,), vjp=poisoned, raise_exception=False)
    assert report.causes[:1] == ("nonfinite",)


def test_where_every_entry_is_infinite_there_is_nothing_to_judge():
    report = gradcheck(np.tanh, (np.array([np.inf, -np.inf]),), vjp=lambda gy, y, x: gy * (1 - y * y))
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.reason == "every entry of the inputs is infinite or NaN: a derivative needs finite ones"


def test_a_failing_entry_next_to_infinity_is_located_and_its_snippet_runs():
    report = gradcheck(
        np.exp, (MASKED,), vjp=lambda gy, y, x: gy * y * np.array([1, 1, 3, 1]), raise_exception=False
    )
    assert report.faults[0].index == (2,)
    exec(report.snippet.rsplit("\n", 1)[0], {"rule": None, "f": np.exp})

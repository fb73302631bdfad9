"""The smallest example of a fail consists of zeros and small whole numbers, in arrays as small as can be."""

import ast

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gradcheck import verify
from gradcheck.explore.drawn import DrawnCall
from gradcheck.explore.explorer import Explorer
from gradcheck.explore.outcomes import Outcome
from gradcheck.explore.simpler import Simpler
from gradcheck.explore.smallest import SHRINKS, VALUES, Smallest
from gradcore.spec import case, complexes, indices, reals

RNG = np.random.default_rng(3)
X = RNG.normal(size=(3, 4)) * 4
FLOATS = st.floats(-20, 20)
SIDES = st.integers(1, 3)
ONE = st.tuples(arrays(float, st.tuples(SIDES, SIDES), elements=FLOATS))
TWO = st.tuples(SIDES, SIDES).flatmap(
    lambda s: st.tuples(arrays(float, s, elements=FLOATS), arrays(float, s, elements=FLOATS))
)
BIAS = st.tuples(SIDES, SIDES).flatmap(
    lambda s: st.tuples(arrays(float, s, elements=FLOATS), arrays(float, s[1:], elements=FLOATS))
)
WIDE = reals("n m", scale=(1.0, 100.0))

# f, rule, example, strategy, case, entries that the fault needs at most, and the largest of them
WRONG = {
    "factor": (np.sin, lambda gy, y, x: 2 * gy * np.cos(x), (X,), ONE, case(reals("n m")), 1, 0),
    "factor of a square": (lambda x: x * x, lambda gy, y, x: gy * x, (X,), ONE, case(reals("n m")), 1, 1),
    "sign for negatives only": (
        lambda x: x**3,
        lambda gy, y, x: np.where(x < 0, -3, 3) * gy * x * x,
        (X,),
        ONE,
        case(reals("n m")),
        1,
        1,
    ),
    "only at size > 1": (
        lambda x: x * 3,
        lambda gy, y, x: gy * (3 if x.size == 1 else 4),
        (X,),
        ONE,
        case(reals("n m")),
        2,
        0,
    ),
    "only where x > 10": (
        lambda x: x * x,
        lambda gy, y, x: gy * np.where(x > 10, 3 * x, 2 * x),
        (X * 3,),
        ONE,
        case(WIDE),
        2,  # one that is wrong, beside one that is right: of a single entry it is a factor
        11,
    ),
    "kink, and beside it": (
        lambda x: np.maximum(x, 0),
        lambda gy, y, x: gy * (x >= 0) * 1.5,
        (X,),
        ONE,
        case(reals("n m", kinks=(0.0,))),
        1,
        1,
    ),
    "only at the kink": (
        np.abs,
        lambda gy, y, x: gy * np.where(x == 0, 2, np.sign(x)),
        (X,),
        ONE,
        case(reals("n m", kinks=(0.0,))),
        1,
        0,
    ),
    "broadcast": (
        lambda x, b: x + b,
        lambda gy, y, x, b: (gy, gy[0]),
        (X, X[0]),
        BIAS,
        case(reals("n m"), reals("m")),
        12,
        0,
    ),
    "axis": (
        lambda x: x - x.mean(1, keepdims=True),
        lambda gy, y, x: gy - gy.mean(0, keepdims=True),
        (X,),
        ONE,
        case(reals("n m")),
        4,
        0,
    ),
    "swapped": (
        lambda a, b: a * b,
        lambda gy, y, a, b: (gy * a, gy * b),
        (X, X + 1),
        TWO,
        case(reals("n m"), reals("n m")),
        4,
        2,
    ),
}


def smallest(f, rule, **domain):
    """The inputs of the smallest example that is reported."""
    result = verify(f, vjp=rule, raise_exception=False, max_seconds=120, **domain)
    code = ast.parse(result.smallest.snippet)
    (value,) = [
        node.value for node in code.body if isinstance(node, ast.Assign) and node.targets[0].id == "inputs"
    ]
    return eval(compile(ast.Expression(value), "", "eval"), {"array": np.array})


BY_DOMAIN = [
    *[(name, "like") for name in WRONG],
    *[(name, "strategy") for name in ("factor", "only at the kink", "broadcast", "axis")],
    *[(name, "case") for name in ("factor of a square", "only where x > 10", "broadcast")],
]


@pytest.mark.nightly(each_time=3)
@pytest.mark.parametrize(("name", "how"), BY_DOMAIN)
def test_the_smallest_example_has_zeros_and_small_whole_numbers(name, how):
    f, rule, like, strategy, described, entries, largest = WRONG[name]
    domain = {"like": like} if how == "like" else {"domain": strategy if how == "strategy" else described}
    found = smallest(f, rule, **domain)
    assert sum(x.size for x in found) <= entries
    for x in found:
        assert np.array_equal(x, np.rint(x))
        assert np.abs(x).max() <= largest


@pytest.mark.parametrize(
    ("example", "low", "high"), [(np.array([2.5, 7.25]), 0, 1), (-np.array([2.5, 7.25]), -1, 0)]
)
def test_values_keep_the_sign_that_the_example_shows(example, low, high):
    def rule(gy, y, x):
        return 2.0 * gy / x

    (x,) = smallest(lambda x: np.log(np.abs(x)), rule, like=(example,))
    assert x.size == 1
    assert low <= x[0] <= high


def test_values_stay_within_the_bounds_of_a_case():
    described = case(reals("n", low=0.25, high=0.75))
    (x,) = smallest(np.sin, lambda gy, y, x: 2 * gy * np.cos(x), domain=described)
    assert 0.25 <= x[0] <= 0.75


def test_values_stay_where_the_predicate_of_a_case_holds():
    described = case(reals("n"), values_where=lambda x: bool((x > 3).all()))
    (x,) = smallest(np.sin, lambda gy, y, x: 2 * gy * np.cos(x), domain=described)
    assert x.min() > 3


def test_indices_and_complex_numbers_are_simplified_too():
    def rule(gy, y, x, i):
        gx = np.zeros_like(x)
        np.add.at(gx, i, 2 * gy)
        return gx, None

    x, i = smallest(lambda x, i: x[i], rule, domain=case(reals("n"), indices("n", "m")))
    assert not x.any()
    assert not i.any()
    (z,) = smallest(lambda z: z * z, lambda gy, y, z: gy * 2 * z, domain=case(complexes("n")))
    assert np.array_equal(z, np.rint(z.real) + 1j * np.rint(z.imag))
    assert np.abs(z).max() < 2


# --- the search -------------------------------------------------------------------------------------------------------


def simplified(fails, *inputs, allows=lambda arrays: True):
    search = Simpler(inputs, allows, lambda changed: changed if fails(*changed) else None)
    return search.run()


def test_a_threshold_is_found_by_halves():
    tries = []

    def fails(x):
        tries.append(x)
        return bool((x > 37).any())

    (x,) = simplified(fails, np.array([812.4, -3.2]))
    assert x.tolist() == [38.0, 0.0] or x.tolist() == [0.0, 38.0]
    assert len(tries) < 40


def test_what_is_not_allowed_is_not_tried():
    tries = []

    def fails(x):
        tries.append(x)
        return True

    assert simplified(fails, np.array([2.5]), allows=lambda arrays: bool((arrays[0] >= 2).all()))[0] == [2.0]
    assert all((x >= 2).all() for x in tries)


def test_inputs_that_are_the_simplest_already_are_left():
    assert simplified(lambda x: True, np.zeros(3)) is None
    assert simplified(lambda x: False, np.array([0.3])) is None


def test_a_search_checks_no_more_examples_than_before():
    count = [0]
    judge = Explorer._judge

    class Counting(Explorer):
        def _judge(self, *args, **more):
            count[0] += 1
            return judge(self, *args, **more)

    f, rule, _, _, described, _, _ = WRONG["only where x > 10"]
    explorer = Counting(f, rule, 100, 0, 120.0)
    result = explorer.over(described, None, None, {})
    kinds = len(result.failures)
    assert kinds
    assert count[0] - len(explorer.outcomes) <= kinds * SHRINKS
    assert VALUES < SHRINKS


def test_a_search_ends_when_its_time_is_over():
    def judge(call):
        raise AssertionError("no example may be judged any more")

    search = Smallest(judge, lambda o: True, lambda call: (), 0.0)
    best = Outcome(None, size=1)
    calls = st.integers().map(lambda n: DrawnCall((n,), {}, None, "dense", n))
    assert search.among(calls, best, 5, 0) is best

"""Every op of gradcore beside the same one of PyTorch: values, derivatives, and second derivatives where they are declared.

Without names also every optimizer and scheduler: parameters and learning rates after each step.

    python ci/reports/side_by_side.py --examples 10

Inputs are drawn from each op's spec, cotangents at random. What may differ is what rounding does to either program, measured:
see `gradcheck/verification/agreement.py`. Status 1 where an op disagrees, or has no counterpart in
`ci/catalogue/frameworks/counterparts.py`.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import beside_optimizers
import common

from gradcheck.backends.core import as_tensors, gradient_function
from gradcheck.strategies import Example, examples
from gradcheck.verification import VerificationError, cases
from gradcheck.verification.agreement import check_agreement
from gradcore import Tensor, registry

ORDERS = ("value", "derivative", "second derivative")

_TRIGAMMA = (
    "torch.special.polygamma(1, x) is off by 5e-10 of its value, at x = 1.1318 for example, where gradcore's is off by less than 1e-15 "
    "(against mpmath)"
)


def _rounded_alpha(_x: Any, alpha: float = 1.0) -> bool:
    return float(np.float32(1 / alpha)) != 1 / alpha


_CELU = (
    "the derivative for x < 0 divides by an alpha that was rounded to single precision: at x = -4.9, alpha = 0.3 it is off by "
    "6e-7 of its value in float64, where the value itself is right"
)

KNOWN: dict[tuple[str, int], tuple[Callable[..., bool], str]] = {
    ("digamma", 1): (lambda _x: True, _TRIGAMMA),
    ("digamma", 2): (lambda _x: True, _TRIGAMMA),
    ("lgamma", 2): (lambda _x: True, _TRIGAMMA),
    ("polygamma", 0): (lambda _x, **_: True, _TRIGAMMA),
    ("polygamma", 1): (lambda _x, **_: True, _TRIGAMMA),
    ("polygamma", 2): (lambda _x, **_: True, _TRIGAMMA),
    ("celu", 1): (_rounded_alpha, _CELU),
    ("celu", 2): (_rounded_alpha, _CELU),
    ("ctc_loss", 2): (lambda *_, **__: True, "it has no second derivative"),
    ("sinc", 2): (
        lambda x: bool((x == 0).any()),
        "the second derivative at 0 is NaN, and should be -pi^2 / 3",
    ),
    ("pow", 2): (
        lambda _x, y: bool((y == 0).any()),
        "its derivative by the base has lost the exponent where that is 0: for x = 2 and y = 0 the derivative of y x**(y - 1) by "
        "y is 1/2, and torch.autograd.grad(torch.autograd.grad(x**y, x, create_graph=True), y) gives 0",
    ),
}
"""What is wrong in PyTorch itself, by op and order: for which arrays and parameters, and what shows it."""

Results = Callable[..., list[Any]]
"""From the arrays, the cotangent and the cotangents of the derivatives to what one order consists of."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--examples", type=common.at_least_one, default=5, help="drawn for each case of an op"
    )
    parser.add_argument("ops", nargs="*", help="names; all by default")
    options = parser.parse_args(arguments)
    common.require_known(parser, "ops", options.ops, registry.ops)
    try:
        import torch
    except ImportError:
        print("torch is not installed: nothing to compare with")
        return 2
    from ci.catalogue.frameworks.counterparts import COUNTERPARTS

    torch.set_num_threads(1)
    units = [u for u in cases.ops() if not options.ops or u.name in options.ops]
    start, counts, missed, refused = time.perf_counter(), [0, 0, 0], [], 0
    for unit in units:
        if unit.name not in COUNTERPARTS:
            missed.append(f"{unit.id}: it has no counterpart")
            continue
        for example in drawn(unit.case, options.examples):
            try:
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", "Using padding='same' with even kernel lengths")
                    orders = compare(unit.entry, COUNTERPARTS[unit.name], example, unit.name)
            except VerificationError as error:
                missed.append(f"{unit.id}: {error}")
                break
            except (RuntimeError, IndexError):
                if all(a is None or a.size for a in example.arrays):
                    raise
                refused += 1  # PyTorch takes no empty tensors there
                continue
            for order in orders:
                counts[order] += 1
    ops = len({u.name for u in units})
    print(
        f"gradcore beside PyTorch {torch.__version__}: {ops} ops, {len(units)} cases, in {time.perf_counter() - start:.0f} s: "
        f"{counts[0]} values, {counts[1]} first and {counts[2]} second derivatives alike; {refused} calls on empty tensors that PyTorch refuses"
    )
    if not options.ops:
        from ci.catalogue.frameworks.optimizers import KNOWN as WRONG
        from ci.catalogue.frameworks.optimizers import OPTIMIZERS, SCHEDULERS

        words, differing = beside_optimizers.compare_all(
            options.examples, OPTIMIZERS, torch.optim.LBFGS, SCHEDULERS, WRONG
        )
        print(words)
        missed += differing
    for (name, order), (_, words) in KNOWN.items():
        print(f"wrong in PyTorch {torch.__version__}: {name}, {ORDERS[order]}: {words}")
    for sentence in missed:
        print(f"MISSED: {sentence}")
    return 1 if missed else 0


def drawn(case: Any, count: int) -> list[Example]:
    """So many examples of a case, the same in each run: every third in single precision."""
    found: list[Example] = []
    dtypes = st.sampled_from([np.float64, np.float64, np.float32])
    checks = list(HealthCheck)

    @settings(
        max_examples=count, deadline=None, derandomize=True, database=None, suppress_health_check=checks
    )
    @given(dtypes.flatmap(lambda dtype: examples(case, dtype=dtype)))
    def collect(example: Example) -> None:
        found.append(example)

    collect()
    return found


def compare(entry: Any, counterpart: Callable[..., Any], example: Example, name: str) -> list[int]:
    """Hold an op beside its counterpart at one example, and return the orders that were compared, 0 for the value.

    Raises `VerificationError` where one of them differs by more than rounding.
    """
    rng = np.random.default_rng(0)
    ours, theirs = Gradcore(entry, example), Torch(counterpart, example)
    y = np.asarray(getattr(entry, "forward", entry)(*example.arrays, **example.params))
    gy = np.asarray(rng.standard_normal(y.shape), y.dtype)
    wanted = [a for a, takes in zip(example.arrays, example.takes_gradient, strict=True) if takes]
    vs = [np.asarray(rng.standard_normal(a.shape), a.dtype) for a in wanted]
    count = 1 if not wanted or y.dtype.kind != "f" else 3 if entry.spec.second_order else 2
    orders = [
        k
        for k in range(count)
        if (name, k) not in KNOWN or not KNOWN[name, k][0](*example.arrays, **example.params)
    ]
    given = (*example.arrays, gy, *vs)
    for order in orders:
        pair = partial(ours.results, order), partial(theirs.results, order)
        _alike(f"{name}, {ORDERS[order]}", *pair, given, example)
    return orders


def _alike(what: str, ours: Results, theirs: Results, given: Sequence[Any], example: Example) -> None:
    count = len(example.arrays)
    which = (*example.takes_gradient, *[True] * (len(given) - count))
    shapes = [[np.shape(a) for a in f(*given)] for f in (ours, theirs)]
    if shapes[0] != shapes[1]:
        raise VerificationError(f"{what}: the shapes are {shapes[0]}, and PyTorch's {shapes[1]}")

    def clip(arrays: Sequence[Any]) -> list[Any]:
        inside = [a if a is None else d.clip(a) for a, d in zip(arrays, example.domains, strict=False)]
        return [*inside, *arrays[count:]]

    def check(words: str, pick: Callable[[list[Any]], Any]) -> None:
        check_agreement(
            words, lambda *a: pick(ours(*a)), lambda *a: pick(theirs(*a)), given, which, clip=clip
        )

    try:
        check(what, _flat)
    except VerificationError:
        for i in range(len(shapes[0])):
            check(
                f"{what} by input {i} of those that take one" if "derivative" in what else what,
                lambda a, i=i: a[i],
            )
        raise


def _flat(arrays: Sequence[Any]) -> Any:
    return np.concatenate([np.ravel(a) for a in arrays])


class Gradcore:
    """An op, its recorded derivative, and that of the derivative."""

    def __init__(self, entry: Any, example: Example) -> None:
        takes = example.takes_gradient
        inputs = [f"inputs[{i}]" for i, want in enumerate(takes) if want]
        self._count = len(takes)
        self._f = partial(entry, **example.params)
        self._first = gradient_function(self._f, frozenset(inputs))
        self._second = gradient_function(self._first, frozenset([*inputs, f"inputs[{len(takes)}][0]"]))

    def results(self, order: int, *arrays: Any) -> list[Any]:
        """The value, the derivatives by each wanted input, or those of them by each of these and by gy."""
        inputs, gy, vs = arrays[: self._count], arrays[self._count], arrays[self._count + 1 :]
        if order == 0:
            return [np.asarray(self._f(*inputs))]
        tensors = as_tensors(tuple(inputs))
        gys = (Tensor(np.asarray(gy)),)
        made = (
            self._first(*tensors, gys) if order == 1 else self._second(*tensors, gys, as_tensors(tuple(vs)))
        )
        return [t.data for t in made]


class Torch:
    """The same of a function of tensors."""

    def __init__(self, function: Callable[..., Any], example: Example) -> None:
        self._takes, self._params, self._function = example.takes_gradient, example.params, function

    def results(self, order: int, *arrays: Any) -> list[Any]:
        """As of `Gradcore`."""
        import torch

        def tensor(a: Any, wanted: bool) -> Any:
            return None if a is None else torch.tensor(np.array(a, order="C"), requires_grad=wanted)

        def pulled(ys: Sequence[Any], xs: Sequence[Any], gys: Sequence[Any]) -> list[Any]:
            pairs = [(y, gy) for y, gy in zip(ys, gys, strict=True) if y.requires_grad]
            if not pairs:
                return [torch.zeros_like(x) for x in xs]
            roots, given = zip(*pairs, strict=True)
            found = torch.autograd.grad(roots, xs, given, create_graph=True, allow_unused=True)
            return [torch.zeros_like(x) if gx is None else gx for gx, x in zip(found, xs, strict=True)]

        count = len(self._takes)
        inputs = [tensor(a, bool(order) and t) for a, t in zip(arrays, self._takes, strict=False)]
        y = self._function(*inputs, **self._params)
        if order == 0:
            return [y.numpy(force=True)]
        gy, *vs = [tensor(a, True) for a in arrays[count:]]
        sources = [x for x, t in zip(inputs, self._takes, strict=True) if t]
        found = pulled([y], sources, [gy])
        if order == 2:
            found = pulled(found, [*sources, gy], vs)
        return [gx.numpy(force=True) for gx in found]


if __name__ == "__main__":
    sys.exit(main())

"""From one example to a domain: which axes share a size, which signs, indices and static values the function takes.

Nothing is known of the function but that it takes the example. So forward is run on changed inputs: those that it
takes without raising, with finite results, belong to the domain.
"""

from __future__ import annotations

import inspect
import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

import numpy as np
from numpy.typing import NDArray

from gradcheck.backends.framework import HOMES, code_root
from gradcheck.backends.tree import leaves
from gradcheck.backends.values import array_in
from gradcheck.explore.domain import Accepts, Around, Leaf, Pulls, Values
from gradcheck.explore.forms import find_forms
from gradcheck.explore.resized import FLOATS, INTEGERS, Signs, drawn_floats, drawn_integers, resized
from gradcore.op import Op

Array = NDArray[Any]

MODES = (
    ("mean", "sum", "none"),
    ("same", "valid", "full"),
    ("constant", "reflect", "edge", "wrap"),
    ("linear", "nearest"),
    ("left", "right"),
    ("lower", "upper"),
    ("max", "min"),
)
"""Words of which a function that takes one may take the others."""


def around(
    accepts: Accepts,
    f: Callable[..., Any],
    vjp: Callable[..., Any] | None,
    inputs: tuple[Any, ...],
    params: Mapping[str, Any],
    *,
    pulls: Pulls = lambda _inputs, _params: True,
    values: Values = lambda _inputs, _params: None,
    seconds: float = 30.0,
    forms: bool = True,
) -> Around:
    """The domain around an example.

    accepts: the outputs' shapes, () where forward refuses inputs and parameters or its results are not finite. pulls:
    whether the rule raises nothing there. values: the floating outputs, None where forward refuses. seconds: of the whole verification; one large array takes a part of them.
    forms: whether other structures of shapes, and one large array, are sought.
    """
    arrays: list[Leaf] = []
    statics: dict[int | str, tuple[Any, ...]] = {name: (value,) for name, value in params.items()}
    for place, (path, leaf) in enumerate(leaves(inputs, "inputs")):
        array = None if isinstance(leaf, np.integer | np.bool_) else array_in(leaf)
        if array is not None and array.dtype.kind in "fciub":
            arrays.append(Leaf(path, place, array, [None] * array.ndim))
        else:
            statics[place] = (leaf,)
    domain = Around(tuple(inputs), dict(params), arrays, [], statics)
    _find_sizes(domain, accepts)
    for leaf in arrays:
        _find_index_bound(domain, leaf, accepts)
        _find_values(domain, leaf, accepts)
    _find_statics(domain, f, vjp, accepts)
    if not forms:
        return domain
    find_forms(domain, accepts, pulls, values)
    domain.large = _large_sizes(domain, accepts, pulls, seconds)
    return domain


# --- sizes ------------------------------------------------------------------------------------------------------------


def _find_sizes(domain: Around, accepts: Accepts) -> None:
    """Axes that can be resized alone get a letter each; those of one size that only go together share one."""
    axes = [(i, a) for i, leaf in enumerate(domain.arrays) for a in range(leaf.array.ndim)]
    left = []
    for axis in axes:
        if _resizable(domain, [axis], accepts):
            _letter(domain, [axis])
        else:
            left.append(axis)
    by_size: dict[int, list[tuple[int, int]]] = {}
    for i, a in left:
        by_size.setdefault(domain.arrays[i].array.shape[a], []).append((i, a))
    for group in by_size.values():
        remaining = list(group)
        for count in range(2, len(group)):
            for some in itertools.islice(itertools.combinations(remaining, count), 20):
                if set(some) <= set(remaining) and _resizable(domain, some, accepts):
                    _letter(domain, some)
                    remaining = [axis for axis in remaining if axis not in some]
        if len(remaining) > 1 and _resizable(domain, remaining, accepts):
            _letter(domain, remaining)


def _letter(domain: Around, axes: Sequence[tuple[int, int]]) -> None:
    for i, a in axes:
        domain.arrays[i].axes[a] = len(domain.sizes)
    i, a = axes[0]
    domain.sizes.append(domain.arrays[i].array.shape[a])


def _resizable(domain: Around, axes: Sequence[tuple[int, int]], accepts: Accepts) -> bool:
    """Whether forward takes these axes longer by 1 and by 2: a size that fits by chance seldom does so twice."""
    for more in (1, 2):
        changed = {}
        for i in {i for i, _ in axes}:
            leaf = domain.arrays[i]
            shape = [n + more * ((i, a) in axes) for a, n in enumerate(leaf.array.shape)]
            changed[leaf.place] = resized(leaf.array, tuple(shape))
        if not accepts(*domain.call(changed, {})):
            return False
    return True


def _find_index_bound(domain: Around, leaf: Leaf, accepts: Accepts) -> None:
    """The letter that an array of indices stays below: with its axis one longer, one more index is taken."""
    if leaf.array.dtype.kind not in "iu" or not leaf.array.size:
        return
    for letter, n in enumerate(domain.sizes):
        if n <= leaf.array.max():
            continue
        sizes = list(domain.sizes)
        inside, outside = np.full_like(leaf.array, n - 1), np.full_like(leaf.array, n)
        if not accepts(*domain.call({leaf.place: inside}, {})) or accepts(
            *domain.call({leaf.place: outside}, {})
        ):
            continue
        sizes[letter] = n + 1
        changed = {other.place: resized(other.array, other.shape(sizes)) for other in domain.arrays}
        changed[leaf.place] = resized(outside, leaf.shape(sizes))
        if accepts(*domain.call(changed, {})):
            leaf.below = letter
            return


LARGE = 3000
"""Entries of one array that is tried: more than the blocks that implementations work in (1,024 or 2,048)."""

CALLS, PULLS, SHARE = 60, 40, 0.1
"""Calls of forward and of the rule that one check takes, about; and the part of the time that the large one may take."""


def _large_sizes(domain: Around, accepts: Accepts, pulls: Pulls, seconds: float) -> tuple[int, ...] | None:
    """Sizes that make an array large by one letter alone, the others as small as can be; None where none can.

    A size at which a check would take more than its share of the time is left for one half as large.
    """
    found = []
    for letter, given in enumerate(domain.sizes):
        sizes = list(domain.sizes)

        def entries(sizes: Sequence[int] = sizes, letter: int = letter) -> int:
            return max([math.prod(a.shape(sizes)) for a in domain.arrays if letter in a.axes], default=0)

        while 0 < entries() < LARGE:
            sizes[letter] += max(1, sizes[letter] // 4)
        if sizes[letter] > given:
            found.append((sum(math.prod(a.shape(sizes)) for a in domain.arrays), letter, sizes[letter]))
    if not found:
        return None
    _, letter, goal = min(found)
    best, size = None, domain.sizes[letter]
    while size < goal:
        size = min(2 * size + 1, goal)
        sizes = [*domain.sizes[:letter], size, *domain.sizes[letter + 1 :]]
        call = domain.call({a.place: resized(a.array, a.shape(sizes)) for a in domain.arrays}, {})
        for _ in range(2):  # the shorter time counts, where the machine was busy with something else
            start = time.perf_counter()
            if not accepts(*call):
                return best
            middle = time.perf_counter()
            pulls(*call)
            cost = CALLS * (middle - start) + PULLS * (time.perf_counter() - middle)
            if cost <= SHARE * seconds:
                break
        else:
            domain.left_out.append(f"arrays of more than {size // 2} along one axis, which take too long")
            return best
        best = tuple(sizes)
    return best


# --- values -----------------------------------------------------------------------------------------------------------


def _find_values(domain: Around, leaf: Leaf, accepts: Accepts) -> None:
    """The signs and the styles of values that the function takes for one array, the others as they are."""
    if leaf.array.dtype.kind == "b" or not leaf.array.size:
        leaf.styles = ("given", "random")
        return
    limit = None if leaf.below is None else domain.sizes[leaf.below]

    def takes(style: str, signs: Signs, trials: int) -> int:
        count = 0
        for trial in range(trials):
            rng = np.random.default_rng([7, trial])
            if leaf.array.dtype.kind in "iu":
                made = drawn_integers(leaf.array, leaf.array.shape, style, limit, rng)
            else:
                made = drawn_floats(leaf.array, leaf.array.shape, style, signs, rng)
            count += bool(accepts(*domain.call({leaf.place: made}, {})))
        return count

    if leaf.array.dtype.kind in "iu":
        leaf.styles = tuple([style for style in INTEGERS if style == "given" or takes(style, "real", 2)])
        return
    leaf.signs = next((signs for signs in _signs(leaf.array) if takes("random", signs, 6) >= 5), "near")
    styles = [style for style in FLOATS if style == "given" or takes(style, leaf.signs, 2)]
    shown = leaf.signs == "real" or leaf.array.dtype.kind == "c"
    leaf.styles = tuple([style for style in styles if style != "any sign" or not shown])


def _signs(array: Array) -> tuple[Signs, ...]:
    """Signs to try, the widest first: those that the example has."""
    if array.dtype.kind == "c" or (np.any(array > 0) and np.any(array < 0)) or not np.any(array):
        return "real", "positive", "within"
    return ("positive", "within") if np.any(array > 0) else ("negative", "within")


# --- static values ----------------------------------------------------------------------------------------------------


def _find_statics(domain: Around, f: Callable[..., Any], vjp: Any, accepts: Accepts) -> None:
    """Values that the function takes in place of each static one, those left at their default included."""
    signature = _signature(f)
    every: dict[int | str, Any] = {place: values[0] for place, values in domain.statics.items()}
    every.update(_defaults(domain, signature, vjp))
    paths = [path for path, _ in leaves(domain.inputs, "inputs")]
    names = list(signature.parameters) if signature else []
    for place, value in every.items():
        name = place if isinstance(place, str) else ""
        if isinstance(place, int) and paths[place] == f"inputs[{place}]" and place < len(names):
            name = names[place]
        annotation = signature.parameters[name].annotation if signature and name in names else None
        found = [value]
        for other in _others(value, name, annotation):
            new = not any(type(other) is type(v) and other == v for v in found)
            if new and accepts(*domain.call({}, {place: other})):
                found.append(other)
        if place in domain.statics or len(found) > 1:
            domain.statics[place] = tuple(found)


def _signature(f: Any) -> inspect.Signature | None:
    f = f.forward if isinstance(f, Op) else f
    if code_root(f) in HOMES and not hasattr(f, "__wrapped__"):  # that of a decorator, not of what it wraps
        return None
    if isinstance(f, np.ufunc) or str(getattr(f, "__module__", "")).startswith("numpy"):
        return None
    try:
        return inspect.signature(f)
    except (TypeError, ValueError):
        return None


def _defaults(domain: Around, signature: inspect.Signature | None, vjp: Any) -> dict[int | str, Any]:
    """Static parameters that the call left at their defaults, and that the rule takes as well."""
    if signature is None:
        return {}
    rule = None if vjp is None else _signature(vjp)
    names = {} if rule is None else rule.parameters
    anything = vjp is None or any(p.kind is p.VAR_KEYWORD for p in names.values())
    found: dict[int | str, Any] = {}
    for i, (name, p) in enumerate(signature.parameters.items()):
        given = name in domain.params or (i < len(domain.inputs) and p.kind is not p.KEYWORD_ONLY)
        static = isinstance(p.default, bool | int | float | str | tuple) or p.default is None
        keyword = p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)
        if static and keyword and not given and p.default is not p.empty and (anything or name in names):
            found[name] = p.default
    return found


def _others(value: Any, name: str, annotation: Any) -> list[Any]:
    """Values to try in place of a static one."""
    axis = "ax" in name or "dim" in name
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [0, 1, 2, 3, -1, -2, -3, value + 1, value - 1]
    if isinstance(value, float):
        return [value * 2, value / 2, 1.0, 0.5, 2.0, 0.0, -value]
    if isinstance(value, str):
        return [word for group in MODES if value in group for word in group]
    if value is None:
        return [0, -1, 1, (0,), (0, -1)] if axis else []
    if isinstance(value, list) and value and all(type(v) is int for v in value):
        return [list(other) for other in _others(tuple(value), name, annotation)]
    if isinstance(value, tuple) and value and all(type(v) is int for v in value):
        n = len(value)
        turned = [value[::-1], value[1:] + value[:1]]
        if axis or sorted(value) == list(range(n)):
            return [*turned, tuple([v - n for v in value]), (*value[:-1], value[-1] - n)]
        return [*turned, *[(v,) * n for v in (0, 1, 2, 3)]]
    return []

"""Static parameters: one draw for each kind of description in `gradcore.spec`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gradcheck.strategies.shapes import Unfit, evaluate
from gradcore.errors import SpecError
from gradcore.spec import Axis, Derived, Env, Floats, Integers, OneOf, Permutation, Size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gradcheck.strategies.choice import Chooser
    from gradcore.spec import Param


def draw_params(
    choose: Chooser,
    params: Mapping[str, Param],
    sizes: Mapping[str, int],
    shapes: tuple[tuple[int, ...], ...],
) -> dict[str, Any]:
    """A value for each parameter, in order; each sees those before it. Raises Unfit where one has no possible value."""
    found: dict[str, Any] = {}
    for name, param in params.items():
        found[name] = _draw(choose, name, param, Env(sizes, shapes, dict(found)))
    return found


def _draw(choose: Chooser, name: str, param: Param, env: Env) -> Any:
    match param:
        case OneOf():
            return choose.pick(param.values)
        case Integers():
            low, high = (evaluate(bound, env.sizes) for bound in (param.low, param.high))
            if low is not None and high is not None and low > high:
                raise Unfit
            return _between(choose, low, high)
        case Floats():
            return _draw_float(choose, param)
        case Size():
            return env.sizes[param.letter]
        case Axis():
            return _draw_axis(choose, param, len(env.shapes[param.of]))
        case Permutation():
            return _draw_permutation(choose, param, len(env.shapes[param.of]))
        case Derived():
            options = list(param.options(env))
            if not options:
                raise Unfit
            return choose.pick(options)
    raise SpecError(
        f"parameter {name!r} is described by {param!r}: use OneOf, Integers, Floats, Size, Axis, Permutation or Derived"
    )


def _between(choose: Chooser, low: int | None, high: int | None) -> int:
    """A whole number, the one nearest to zero the simplest; up to 100 from a bound, or from zero, where there is none."""
    if low is None:
        low = -100 if high is None else min(0, high) - 100
    if high is None:
        high = max(0, low) + 100
    if low >= 0:
        return choose.between(low, high)
    if high <= 0:
        return -choose.between(-high, -low)
    number = choose.between(0, high - low)
    both = min(-low, high)  # 0, 1, -1, 2, -2, ... as far as both signs go
    if number <= 2 * both:
        return (number + 1) // 2 if number % 2 else -(number // 2)
    return number - both if high > both else both - number


def _draw_float(choose: Chooser, param: Floats) -> float:
    if choose.pick((False, True)):
        return choose.pick((*param.specials, param.low, param.high))
    # In hundredths of the way from one bound to the other, so that numbers stay readable.
    part = choose.between(0, 100) / 100
    if param.log:
        between = math.exp(math.log(param.low) * (1 - part) + math.log(param.high) * part)
    else:
        between = param.low * (1 - part) + param.high * part
    return min(max(between, param.low), param.high)


def _signed(choose: Chooser, axis: int, ndim: int) -> int:
    return choose.pick((axis, axis - ndim))


def _draw_axis(choose: Chooser, param: Axis, ndim: int) -> Any:
    kinds = ["one"] * 2 * (ndim > 0) + ["many"] * param.many + ["none"] * param.none
    if not kinds:
        raise Unfit
    kind = choose.pick(kinds)
    if kind == "none":
        return None
    if kind == "one":
        return _signed(choose, choose.between(0, ndim - 1), ndim)
    return _some(choose, ndim, choose.between(0, ndim))


def _draw_permutation(choose: Chooser, param: Permutation, ndim: int) -> Any:
    if param.none and choose.pick((False, True)):
        return None
    return _some(choose, ndim, ndim)


def _some(choose: Chooser, ndim: int, count: int) -> tuple[int, ...]:
    """So many different axes in any order, with any signs."""
    left = list(range(ndim))
    found = []
    for _ in range(count):
        axis = choose.pick(left)
        left.remove(axis)
        found.append(_signed(choose, axis, ndim))
    return tuple(found)

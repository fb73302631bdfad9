"""Static parameters: one draw for each kind of description in `gradcore.spec`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from gradcheck.strategies.shapes import Unfit, evaluate
from gradcore.errors import SpecError
from gradcore.spec import Axis, Derived, Env, Floats, Integers, OneOf, Permutation, Size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gradcore.spec import Param


def draw_params(
    draw: st.DrawFn,
    params: Mapping[str, Param],
    sizes: Mapping[str, int],
    shapes: tuple[tuple[int, ...], ...],
) -> dict[str, Any]:
    """A value for each parameter, in order; each sees those before it. Raises Unfit where one has no possible value."""
    found: dict[str, Any] = {}
    for name, param in params.items():
        found[name] = _draw(draw, name, param, Env(sizes, shapes, dict(found)))
    return found


def _draw(draw: st.DrawFn, name: str, param: Param, env: Env) -> Any:
    match param:
        case OneOf():
            return param.values[draw(st.integers(0, len(param.values) - 1))]
        case Integers():
            low, high = (evaluate(bound, env.sizes) for bound in (param.low, param.high))
            if low is not None and high is not None and low > high:
                raise Unfit
            return draw(st.integers(low, high))
        case Floats():
            return _draw_float(draw, param)
        case Size():
            return env.sizes[param.letter]
        case Axis():
            return _draw_axis(draw, param, len(env.shapes[param.of]))
        case Permutation():
            return _draw_permutation(draw, param, len(env.shapes[param.of]))
        case Derived():
            options = list(param.options(env))
            if not options:
                raise Unfit
            return options[draw(st.integers(0, len(options) - 1))]
    raise SpecError(
        f"parameter {name!r} is described by {param!r}: use OneOf, Integers, Floats, Size, Axis, Permutation or Derived"
    )


def _draw_float(draw: st.DrawFn, param: Floats) -> float:
    if draw(st.booleans()):
        special = (*param.specials, param.low, param.high)
        return special[draw(st.integers(0, len(special) - 1))]
    # In hundredths of the way from one bound to the other, so that numbers stay readable.
    part: float = draw(st.integers(0, 100)) / 100
    if param.log:
        between = math.exp(math.log(param.low) * (1 - part) + math.log(param.high) * part)
    else:
        between = param.low * (1 - part) + param.high * part
    return min(max(between, param.low), param.high)


def _signed(draw: st.DrawFn, axis: int, ndim: int) -> int:
    return axis - ndim if draw(st.booleans()) else axis


def _draw_axis(draw: st.DrawFn, param: Axis, ndim: int) -> Any:
    kinds = ["one"] * 2 * (ndim > 0) + ["many"] * param.many + ["none"] * param.none
    if not kinds:
        raise Unfit
    kind = draw(st.sampled_from(kinds))
    if kind == "none":
        return None
    if kind == "one":
        return _signed(draw, draw(st.integers(0, ndim - 1)), ndim)
    chosen = draw(st.lists(st.integers(0, ndim - 1), unique=True, max_size=ndim)) if ndim else []
    return tuple([_signed(draw, axis, ndim) for axis in chosen])


def _draw_permutation(draw: st.DrawFn, param: Permutation, ndim: int) -> Any:
    if param.none and draw(st.booleans()):
        return None
    return tuple([_signed(draw, axis, ndim) for axis in draw(st.permutations(range(ndim)))])

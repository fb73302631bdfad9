"""Functions to functions: derivatives of functions of arrays, to any order, without `requires_grad` and `backward`.

Arguments are arrays, numbers, Tensors, and tuples, lists and dictionaries of these. The function gets Tensors in their places.
Gradients come back as its arguments came: arrays for arrays, Tensors for Tensors, in the same containers. Python's numbers
count as float64 here, as for NumPy. Where a derivative is itself differentiated, by another of these functions or by
`backward`, it is a Tensor that is recorded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from gradcore.convert import plain
from gradcore.errors import ArgumentError, ShapeError
from gradcore.graph import backward_pass, walk
from gradcore.modes import enable_grad, is_grad_enabled
from gradcore.tensor import Tensor
from gradcore.variables import cut, filled, leaves_of, name_of, variable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["grad", "hessian", "hvp", "jacobian", "jvp", "value_and_grad", "vjp"]

ArgNums: TypeAlias = int | tuple[int, ...]


def _pull(
    roots: Sequence[tuple[Tensor, Any]], variables: Sequence[Tensor], *, keep: bool = False
) -> tuple[list[Any], bool]:
    """The cotangents of the variables, zeros for one that nothing depends on; and whether they are recorded Tensors.

    They are recorded where the variables, the result or a cotangent depend on anything else that requires a gradient.
    """
    roots = [(y, gy) for y, gy in roots if y.requires_grad]
    ours = {id(v) for v in variables}
    record = is_grad_enabled() and (
        any(type(gy) is Tensor and gy.requires_grad for _, gy in roots)
        or any(n._op is None and id(n) not in ours for y, _ in roots for n in walk(y))
    )
    seeds = [(y, _seed(gy, record)) for y, gy in roots]
    with cut(variables):
        found = {id(n): gx for n, gx in backward_pass(seeds, retain_graph=keep, record=record)}
    return [found[id(v)] if id(v) in found else np.zeros_like(v.data) for v in variables], record


def _seed(gy: Any, record: bool) -> Any:
    if record:
        return gy if type(gy) is Tensor else Tensor(np.array(gy))
    return np.array(plain(gy))


def _as_given(gx: Any, value: Any) -> Any:
    """A gradient in the kind of the argument that it is by; recorded ones stay Tensors."""
    if type(gx) is Tensor and gx.requires_grad:
        return gx
    if type(value) is Tensor:
        return Tensor(gx)
    array = np.asarray(gx)
    return array if isinstance(value, np.ndarray) else array[()]  # of a number, a number


def _of_one(f: Callable[..., Any], result: Any, who: str) -> Tensor:
    y = (
        result
        if type(result) is Tensor
        else Tensor(result)
        if isinstance(result, float | np.ndarray | np.floating)
        else None
    )
    if y is None:
        raise ArgumentError(
            f"{who} differentiates a function that returns one number, and {name_of(f)} returned {result!r:.60}: return a Tensor "
            "of one entry; with has_aux=True a pair (loss, anything)"
        )
    if y.size != 1:
        raise ShapeError(
            f"{who} differentiates a function that returns one number, and {name_of(f)} returned an array of shape {y.shape}: "
            "reduce it (y.sum()), or use jacobian or vjp"
        )
    return y


def _chosen(f: Callable[..., Any], args: Sequence[Any], argnums: ArgNums, who: str) -> list[int]:
    numbers = [argnums] if isinstance(argnums, int) else list(argnums)
    for k in numbers:
        if not -len(args) <= k < len(args):
            raise ArgumentError(
                f"{who} by argument {k}, and {name_of(f)} got {len(args)} positional arguments: count from 0"
            )
    return [k % len(args) for k in numbers]


def _traced(
    f: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], places: Sequence[int], who: str
) -> tuple[Any, list[Tensor]]:
    """What f returns with variables in these places, and the variables."""
    each = {k: [variable(leaf, who) for leaf in leaves_of(args[k])] for k in places}
    given = [filled(a, iter(each[k])) if k in each else a for k, a in enumerate(args)]
    with enable_grad():
        result = f(*given, **kwargs)
    return result, [v for k in places for v in each[k]]


def _by_argument(
    args: Sequence[Any], places: Sequence[int], leaves: Sequence[Any], argnums: ArgNums | None
) -> Any:
    """Leaves put back into the containers of the arguments; of one argument alone for a single number."""
    values = [leaf for k in places for leaf in leaves_of(args[k])]
    rest = iter([_as_given(gx, value) for gx, value in zip(leaves, values, strict=True)])
    found = tuple([filled(args[k], rest) for k in places])
    return found[0] if isinstance(argnums, int) else found


# --- the transforms ---------------------------------------------------------------------------------------------------


def value_and_grad(f: Callable[..., Any], argnums: ArgNums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The function that returns (f(*args), its gradient), with one evaluation of f.

    f: returns one number as a Tensor; with has_aux, a pair of that and anything else. argnums: the position of the argument to
    differentiate by, or several as a tuple, for a tuple of gradients. Raises ArgumentError, ShapeError or DtypeError where
    f's result or an argument does not fit.

    >>> value_and_grad(lambda x: (x ** 2).sum())(np.array([1.0, 3.0]))
    (Tensor(10., dtype=float64), array([2., 6.]))
    """

    def function(*args: Any, **kwargs: Any) -> Any:
        places = _chosen(f, args, argnums, "grad")
        result, variables = _traced(f, args, kwargs, places, "grad")
        if has_aux and not (isinstance(result, tuple) and len(result) == 2):
            raise ArgumentError(
                f"has_aux=True: {name_of(f)} returns a pair (loss, anything), and gave {result!r:.60}"
            )
        loss, aux = result if has_aux else (result, None)
        y = _of_one(f, loss, "grad")
        gxs, record = _pull([(y, np.ones(y.shape, y.dtype))], variables)
        value = y if record else Tensor(y.data)
        found = _by_argument(args, places, gxs, argnums)
        return ((value, aux), found) if has_aux else (value, found)

    return function


def grad(f: Callable[..., Any], argnums: ArgNums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The function that returns the gradient of f, which returns one number; see `value_and_grad`.

    >>> grad(lambda x: (x ** 3).sum())(np.array([1.0, 2.0]))
    array([ 3., 12.])
    >>> float(grad(grad(lambda x: x ** 3))(2.0))
    12.0
    """
    both = value_and_grad(f, argnums, has_aux)

    def function(*args: Any, **kwargs: Any) -> Any:
        value, found = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return function


def vjp(f: Callable[..., Any], *args: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """(f(*args), pull): pull(gy) gives the cotangents of all arguments as a tuple, and may be called again.

    f returns a Tensor or containers of Tensors; gy has the same containers.

    >>> y, pull = vjp(lambda x: x * x, np.array([1.0, 2.0]))
    >>> pull(np.array([1.0, 10.0]))
    (array([ 2., 40.]),)
    """
    places = range(len(args))
    y, variables = _traced(f, args, {}, places, "vjp")
    outputs = [leaf if type(leaf) is Tensor else Tensor(leaf) for leaf in leaves_of(y)]

    def pull(gy: Any) -> tuple[Any, ...]:
        gys = leaves_of(gy)
        if [np.shape(g) for g in gys] != [o.shape for o in outputs]:
            raise ShapeError(
                f"pull got cotangents of shapes {[np.shape(g) for g in gys]}, and the outputs have {[o.shape for o in outputs]}"
            )
        typed = [
            g if type(g) is Tensor else np.asarray(g, o.dtype) for g, o in zip(gys, outputs, strict=True)
        ]
        gxs, _ = _pull(list(zip(outputs, typed, strict=True)), variables, keep=True)
        return tuple(_by_argument(args, places, gxs, None))

    return y, pull


def jvp(f: Callable[..., Any], args: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """(f(*args), its derivative along the tangents), by differentiating the vjp.

    >>> y, dy = jvp(lambda x: x * x, (np.array([1.0, 2.0]),), (np.array([1.0, 0.5]),))
    >>> y.tolist(), dy.tolist()
    ([1.0, 4.0], [2.0, 2.0])
    """
    moving = [np.shape(a) for a in leaves_of(tuple(args))]
    along = [t if type(t) is Tensor else np.asarray(t) for t in leaves_of(tuple(tangents))]
    if [t.shape for t in along] != moving:
        raise ShapeError(
            f"jvp got tangents of shapes {[t.shape for t in along]}, and the arguments have {moving}: one of each shape"
        )
    y, pull = vjp(f, *args)
    outputs = leaves_of(y)
    with enable_grad():
        dummies = [Tensor(np.zeros(o.shape, o.dtype), requires_grad=True) for o in outputs]
        gxs = leaves_of(pull(filled(y, iter(dummies))))
        total: Any = sum(
            [(gx * t).sum() for gx, t in zip(gxs, along, strict=True) if type(gx) is Tensor], Tensor(0.0)
        )
    found, _ = _pull([(total, np.ones(total.shape, total.dtype))], dummies)
    return y, filled(y, iter([_as_given(g, total) for g in found]))


def hvp(f: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """The function of (*args, v) that returns the Hessian of f times v, without the Hessian.

    >>> hvp(lambda x: (x ** 3).sum())(np.array([1.0, 2.0]), np.array([1.0, 0.0]))
    array([6., 0.])
    """

    def function(*args: Any, **kwargs: Any) -> Any:
        *rest, v = args
        vs = leaves_of(v)

        def along(*given: Any) -> Any:
            gxs = leaves_of(grad(f, argnums)(*given, **kwargs))
            return sum([(gx * t).sum() for gx, t in zip(gxs, vs, strict=True)])

        return grad(along, argnums)(*rest)

    return function


def jacobian(f: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """The function that returns the Jacobian of f, from one array to one array: shape of the output, then of the input.

    One backward pass for each entry of the output.

    >>> jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """

    def function(*args: Any, **kwargs: Any) -> Any:
        (place,) = _chosen(f, args, argnums, "jacobian")
        x = args[place]
        result, variables = _traced(f, args, kwargs, [place], "jacobian")
        if len(leaves_of(x)) != 1 or leaves_of(x)[0] is not x or not isinstance(result, Tensor | np.ndarray):
            raise ArgumentError(
                f"jacobian is of one array by one array, and {name_of(f)} takes or returns containers: split it, or use vjp"
            )
        y = result if type(result) is Tensor else Tensor(result)
        shape = (*y.shape, *variables[0].shape)
        rows = []
        for k in range(y.size):
            gy = np.zeros(y.shape, y.dtype)
            gy.flat[k] = 1.0
            rows.append(_pull([(y, gy)], variables, keep=True)[0][0])
        if not rows:
            return _as_given(np.empty(shape, variables[0].dtype), x)
        return _as_given(np.stack(rows).reshape(shape), x)

    return function


def hessian(f: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """The function that returns the matrix of second derivatives of f, which returns one number, by one array.

    >>> hessian(lambda x: (x ** 3).sum())(np.array([1.0, 2.0]))
    array([[ 6.,  0.],
           [ 0., 12.]])
    """
    return jacobian(grad(f, argnums), argnums)

"""explain: which op of a whole computation is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gradcheck.backends import Call, as_subject
from gradcheck.backends.arguments import seed_of
from gradcheck.backends.framed import Framed
from gradcheck.backends.framework import framework_of, stated
from gradcheck.backends.pair import Pair
from gradcheck.backends.protocol import Subject
from gradcheck.backends.tree import described
from gradcheck.blame import core
from gradcheck.blame.single import blame_of, shapes_of
from gradcheck.check import gradcheck
from gradcheck.errors import CallError
from gradcheck.report.explanation import Explanation
from gradcheck.report.graph import GraphOp, State
from gradcheck.verdict.compare import Verdict
from gradcore.nn.module import Module
from gradcore.tensor import Tensor


def explain(
    f: Any,
    inputs: Any = None,
    *,
    vjp: Callable[..., Any] | None = None,
    wrt: int | str | Sequence[int | str] | None = None,
    params: Mapping[str, Any] | None = None,
    gy: Any = None,
    backend: str | None = None,
    seed: int = 0,
) -> Explanation:
    """Name the op whose rule is wrong: each is verified by itself, at the values that it saw, and not those downstream of it.

    f: a recorded gradcore Tensor, such as a loss before its `backward()`; or with `inputs`, as for `gradcheck`: a function or
    module of gradcore, of PyTorch or of JAX; or with `vjp` a NumPy function, whose rule is then the only op. inputs, wrt,
    params, gy, backend: as for `gradcheck`.

    What is verified: in gradcore every recorded op; in PyTorch every custom `autograd.Function` and custom op in the graph;
    in JAX every call of a `custom_vjp`. PyTorch's and JAX's own are taken for right. The line of the user's source that
    called the op is named: gradcore keeps it where `explain` gets the function itself, or under `gradcore.anomaly()`.

    Where every rule is right and the gradient of the whole is not, it says between which two ops the derivative is lost: a
    detach, `.data`, numbers made of tensors, a change in place. In PyTorch it also names the first call that makes NaN or
    infinity of finite values, forward or backward.

    Returns an `Explanation`: true where nothing is at fault. Raises `CallError` where there is nothing to explain.

    >>> from gradcore import Tensor
    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> print(explain((x.exp() * x).sum()))
    PASS  the graph behind sum: no op is at fault
      3 of 3 ops were verified at the values that they saw
    """
    if inputs is None:
        return core.of_graph(_recorded(f), gy, seed_of(seed))
    call = Call(stated(f, backend), inputs, vjp, wrt, params, gy, seed=seed_of(seed))
    if isinstance(f, Module):
        return core.of_function(call)
    subject = as_subject(call)
    if isinstance(subject, Pair):
        return _of_pair(call, subject)
    if not isinstance(subject, Framed):
        return core.of_function(call)
    name = subject.framework.name
    if name == "PyTorch":
        from gradcheck.blame import torch

        return torch.explained(call, subject)
    if name == "JAX":
        from gradcheck.blame import jax

        return jax.explained(call)
    raise CallError(
        f"explain looks into graphs of gradcore, PyTorch and JAX, and {subject.name} is a function of {name}: check parts of it "
        "with gradcheck"
    )


def _recorded(f: Any) -> Tensor:
    if isinstance(f, Tensor):
        return f
    if framework_of(f) is not None and not callable(f):
        raise CallError(
            f"explain got {described(f)} alone, from which the values that its ops saw can't be known: pass the function and its "
            "inputs, explain(f, (x, y))"
        )
    raise CallError(
        f"explain got {described(f)} alone: pass a Tensor that gradcore recorded, or a function with its inputs, explain(f, (x, y))"
    )


def _of_pair(call: Call, subject: Subject) -> Explanation:
    """The rule is the only op."""
    report = gradcheck(
        call.f,
        call.inputs,
        vjp=call.vjp,
        wrt=call.wrt,
        params=call.params,
        gy=call.gy,
        seed=call.seed,
        raise_exception=False,
    )
    shapes = shapes_of([item.array for item in subject.inputs], [])
    blamed = (
        (blame_of(report, subject.name, 1, None, shapes.removesuffix(" -> ")),)
        if report.verdict is Verdict.FAIL
        else ()
    )
    unjudged = (report.reason,) if report.verdict is Verdict.INCONCLUSIVE else ()
    state: State = "wrong" if blamed else "unjudged" if unjudged else "right"
    made = ", ".join(
        [f"{y.dtype} {y.shape}" for y in subject.values([item.array for item in subject.inputs])]
    )
    inputs = [GraphOp(i.path, 0, f"{i.array.dtype} {i.array.shape}", "", (), "input") for i in subject.inputs]
    graph = (GraphOp(subject.name, 1, made, "", tuple(range(1, len(inputs) + 1)), state), *inputs)
    return Explanation(subject.name, 1, int(bool(report)), blamed, unjudged, seed=call.seed, graph=graph)

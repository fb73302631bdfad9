"""Every layer of gradcore beside the module of PyTorch that has the same parameters: outputs, and all gradients.

    python ci/reports/layers_side_by_side.py --examples 10

Inputs and parameters are drawn from each layer's spec; both get the same state, in training and in evaluation. What may
differ is what rounding does to either program, measured: see `gradcheck/verification/agreement.py`. Status 1 where a layer
disagrees, or has no counterpart in `ci/catalogue/frameworks/layer_counterparts.py`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import common
from side_by_side import drawn

from gradcheck.verification import LayerCall, VerificationError, cases
from gradcheck.verification.agreement import check_agreement
from gradcheck.verification.layer_call import arguments, outputs, parts
from gradcore import Tensor, registry

if TYPE_CHECKING:
    from ci.catalogue.frameworks.layer_counterparts import Counterpart
    from gradcheck.strategies import Example


def main(given: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--examples", type=common.at_least_one, default=5, help="drawn for each case of a layer"
    )
    parser.add_argument("layers", nargs="*", help="names; all by default")
    options = parser.parse_args(given)
    common.require_known(parser, "layers", options.layers, registry.layers)
    try:
        import torch
    except ImportError:
        print("torch is not installed: nothing to compare with")
        return 2
    from ci.catalogue.frameworks.layer_counterparts import NONE, counterpart

    torch.set_num_threads(1)
    units = [u for u in cases.layers() if not options.layers or u.name in options.layers]
    start, compared, refused, missed = time.perf_counter(), 0, 0, []
    for unit in units:
        if unit.name in NONE:
            continue
        theirs = counterpart(unit.name)
        if theirs is None:
            missed.append(f"{unit.id}: it has no counterpart")
            continue
        try:
            for seed, example in enumerate(drawn(unit.case, options.examples)):
                for training in (True, False):
                    if training and draws(unit.name, example):
                        continue
                    call = LayerCall.draw(unit.entry, example, training, "random", seed)
                    try:
                        compare(call, theirs, example)
                    except (RuntimeError, ValueError):
                        if all(a is None or a.size for a in example.arrays):
                            raise
                        refused += 1  # PyTorch takes no empty tensors there
                        continue
                    compared += 1
        except VerificationError as error:
            missed.append(f"{unit.id}: {error}")
    names = {u.name for u in units}
    print(
        f"gradcore beside PyTorch {torch.__version__}: {len(names - set(NONE))} layers, {len(units)} cases, in "
        f"{time.perf_counter() - start:.0f} s: {compared} calls with the same outputs and gradients; {refused} calls on empty "
        "tensors that PyTorch refuses"
    )
    for name in sorted(names & set(NONE)):
        print(f"not compared: {name}: {NONE[name]}")
    for sentence in missed:
        print(f"MISSED: {sentence}")
    return 1 if missed else 0


def draws(name: str, example: Example) -> bool:
    """Whether the layer draws numbers of its own in training, which are other ones than PyTorch's."""
    from ci.catalogue.frameworks.layer_counterparts import DRAW

    return name in DRAW and bool(example.params.get("p", example.params.get("dropout", name == "Dropout")))


def compare(call: LayerCall, theirs: Counterpart, example: Example) -> None:
    """Hold a layer beside its counterpart at one example. Raises `VerificationError` where they differ by more than rounding.

    The outputs come first, then the gradients of their sum, weighed at random, by each input and parameter.
    """
    import torch

    takes = [*example.takes_gradient, *(True for _ in call.parameters)]
    values = [*example.arrays, *call.parameters.values()]
    count, places = len(example.arrays), list(call.parameters)

    def ours(*arrays: Any) -> list[Any]:
        tensors = [Tensor(a, requires_grad=True) if t else a for a, t in zip(arrays, takes, strict=True)]
        ys = parts(call(*tensors[:count], dict(zip(places, tensors[count:], strict=True))))
        found = outputs(ys)
        weighed = [(y * w).sum() for y, w in zip(ys, _weights(found), strict=True)]
        sum(weighed[1:], start=weighed[0]).backward()
        gradients = [
            np.zeros_like(t.data) if t.grad is None else t.grad for t in tensors if isinstance(t, Tensor)
        ]
        return [*found, *gradients]

    def counterparts(*arrays: Any) -> list[Any]:
        tensors = [
            None if a is None else torch.tensor(np.array(a, order="C"), requires_grad=t)
            for a, t in zip(arrays, takes, strict=True)
        ]
        module = theirs.made(call.params).train(call.training)
        state = {
            **{name: torch.tensor(b.astype(np.float64)) for name, b in call.buffers.items()},
            **dict(zip(places, tensors[count:], strict=True)),
        }
        given = arguments(call.cls, tensors[:count])
        given = [a.long() if isinstance(a, torch.Tensor) and a.dtype == torch.int64 else a for a in given]
        ys = parts(torch.func.functional_call(module, theirs.state(state), tuple(given)))
        found = [y.numpy(force=True) for y in ys]
        sources = [x for x, t in zip(tensors, takes, strict=True) if t]
        weights = [torch.tensor(w) for w in _weights(found)]
        total = sum((y * w).sum() for y, w in zip(ys, weights, strict=True))
        gradients = torch.autograd.grad(total, sources, allow_unused=True) if sources else ()
        return [
            *found,
            *(
                np.zeros(x.shape) if g is None else g.numpy(force=True)
                for x, g in zip(sources, gradients, strict=True)
            ),
        ]

    what = f"{call.on(example.arrays)}, outputs and then gradients"
    shapes = [[y.shape for y in f(*values)] for f in (ours, lambda *a: counterparts(*_widened(a)))]
    if shapes[0] != shapes[1]:
        raise VerificationError(f"{what}: the shapes are {shapes[0]}, and PyTorch's {shapes[1]}")
    for i in range(len(shapes[0])):
        check_agreement(
            f"{what}, number {i}",
            lambda *a, i=i: ours(*a)[i],
            lambda *a, i=i: counterparts(*a)[i],
            values,
            takes,
        )


def _weights(found: Sequence[Any]) -> list[Any]:
    """The same for both, whatever the precision."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal(y.shape).astype(np.float32).astype(y.dtype) for y in found]


def _widened(arrays: Sequence[Any]) -> list[Any]:
    return [a.astype(np.float64) if a is not None and a.dtype.kind == "f" else a for a in arrays]


if __name__ == "__main__":
    sys.exit(main())

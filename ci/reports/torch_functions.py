"""Derivatives of torch, torch.nn.functional, torch.linalg and torch.special at drawn inputs: none may be called wrong.

    python ci/reports/torch_functions.py --seeds 2
    python ci/reports/torch_functions.py --autocast

What is really wrong in PyTorch is listed in KNOWN, with what shows it; a fail that is not listed there is missed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import derivatives

KNOWN = {
    (
        "digamma",
        "precision or value",
    ): "its derivative, torch.polygamma(1, x), has a relative error of 5e-10 in double precision: "
    "torch.polygamma(1, torch.tensor(0.35).double()) differs from 9.24045904220581 in the tenth digit",
    (
        "hardsigmoid",
        "factor",
    ): "1/6 is a constant in single precision: at 0 in double precision its derivative is 0.16666667163",
    (
        "linalg_matrix_exp",
        "linear",
    ): "its gradient for gy times 2**20 differs from 2**20 times that for gy by 1e-9 in double "
    "precision: gy is a block of a larger matrix whose norm decides on the scaling",
    (
        "linalg_pinv",
        "autocast",
    ): "its backward raises after a forward under torch.autocast, as it multiplies bfloat16 and float32: "
    "x = torch.ones(3, 2, requires_grad=True); with torch.autocast('cpu', torch.bfloat16): y = torch.linalg.pinv(x); "
    "y.sum().backward()",
}
"""What is wrong in PyTorch itself, by function and cause: what shows it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    parser = derivatives.parser_of(__doc__)
    parser.add_argument("--autocast", action="store_true", help="under torch.autocast as well")
    options = parser.parse_args(arguments)
    try:
        import torch
    except ImportError:
        print("torch is not installed: nothing to check")
        return 2
    from ci.catalogue.frameworks.torch_right import argument, functions

    torch.set_num_threads(1)

    def inputs(kinds: Sequence[str], seed: int) -> tuple[Any, ...]:
        g = torch.Generator().manual_seed(seed)
        return tuple([argument(kind, g) for kind in kinds])

    contracts = "+autocast" if options.autocast else True
    return derivatives.judge(
        parser, options, f"PyTorch {torch.__version__}", functions(), inputs, KNOWN, contracts=contracts
    )


if __name__ == "__main__":
    sys.exit(main())

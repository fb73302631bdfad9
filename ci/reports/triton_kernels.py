"""Triton kernels, run by its interpreter on the CPU: fused softmax and layer norm with their backward passes.

python ci/reports/triton_kernels.py

Float32 and float16; the interpreter truncates bfloat16. The right ones have to pass, the wrong ones to fail.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

MISSING = "Triton is not installed, and its kernels are left out: pip install triton"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args(arguments)
    if importlib.util.find_spec("triton") is None:
        print(MISSING)
        return 0
    os.environ["TRITON_INTERPRET"] = "1"
    import torch

    from ci.catalogue.kernels import in_triton
    from ci.catalogue.kernels.norms import LAYER
    from gradcheck import gradcheck

    wrong = 0
    for dtype in (torch.float32, torch.float16):
        torch.manual_seed(0)
        x, w, b = torch.randn(9, 50).to(dtype), torch.randn(50).to(dtype), torch.randn(50).to(dtype)
        for name, kernel, inputs, reference, expected in (
            ("softmax", in_triton.softmax(), (x,), lambda x: torch.softmax(x, -1), ()),
            ("layer norm", in_triton.layer_norm(), (x, w, b), LAYER.reference, ()),
            (
                "softmax, term missing",
                in_triton.softmax(wrong=True),
                (x,),
                lambda x: torch.softmax(x, -1),
                ("value",),
            ),
            (
                "layer norm, term missing",
                in_triton.layer_norm(wrong=True),
                (x, w, b),
                LAYER.reference,
                ("value",),
            ),
        ):
            report = gradcheck(kernel, inputs, reference=reference, raise_exception=False)
            good = report.causes[: len(expected)] == expected and bool(report) is not bool(expected)
            wrong += not good
            print(
                f"{name:<26}{dtype!s:<15}{report.verdict.value:<6}{', '.join(report.causes):<10}{report.ratio:>9.3g}{'' if good else '  WRONG'}"
            )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""What autograd and MyGrad differentiate and gradcore does not, each with the reason, or with what to write instead.

    python ci/reports/peers.py

Prints a table. Exits with 1 where a function of theirs is neither here nor listed, or is listed and need not be; with 2 where
neither library is installed.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable

import numpy as np

import gradcore
import gradcore.nn.functional
from gradcore import registry
from gradcore.tensor import _VALUE_ONLY, _VALUE_ONLY_UFUNCS, FUNCTIONS, UFUNCS

COMPLEX = "gradcore has no complex numbers: fft, ifft, rfft and irfft have real and imaginary parts on a last axis of 2"
SCIPY = "of SciPy: register an op that calls it (gradcore.op)"
NAMED = "by our name"
THEIRS = "of its own machinery, no function of an array"

AUTOGRAD = {
    COMPLEX: "angle conjugate eig fft2 fftn fftshift ifft2 ifftn ifftshift imag irfft2 irfftn real real_if_close rfft2 rfftn",
    SCIPY: "beta betainc betaln erfcinv erfinv gamma gammainc gammaincc gammasgn i0 i1 iv ive j0 j1 jv multigammaln odeint "
    "rgamma solve_banded solve_sylvester sqrtm y0 y1 yn",
    "of SciPy's distributions: write the density with gradcore's ops": "cdf entropy logcdf logpdf logpmf logsf pdf pmf sf",
    NAMED: "concatenate_args=concatenate expit=sigmoid gammaln=lgamma psi=digamma",
    "take_along_axis of the places that np.argpartition gives": "partition",
    "start + (stop - start) * np.linspace(0, 1, n)": "linspace",
    "conv2d of arrays with axes of size 1, of the flipped kernel": "convolve",
    THEIRS: "_array_from_scalar_or_array _make_dict array_from_args container_take container_untake covector dot_adjoint_0 "
    "dot_adjoint_1 inner_prod make_diagonal make_sequence mut_add scalar_mul sequence_extend_left sequence_extend_right "
    "sparse_add tensordot_adjoint_0 tensordot_adjoint_1 truncate_pad untake",
}
MYGRAD = {
    "1 over the function, or the function of 1 over x": "arccot arccoth arccsc arccsch arcsec cot coth csc csch sec sech",
    "one after the other: x + y + z, x @ y @ z": "add_sequence multi_matmul multiply_sequence",
    "start + (stop - start) * np.linspace(0, 1, n), and its exponential": "geomspace linspace logspace",
    "unfold, or conv2d": "sliding_window_view",
    "cross_entropy times a power of 1 - softmax": "focal_loss softmax_focal_loss",
    NAMED: "astensor=tensor batchnorm=batch_norm conv_nd=conv2d hard_tanh=hardtanh logsoftmax=log_softmax max_pool=max_pool2d "
    "multiclass_hinge=multi_margin_loss negative_log_likelihood=nll_loss soft_sign=softsign softmax_crossentropy=cross_entropy",
    "without a derivative: of x.data": "asarray empty identity",
    "in initialisers: gradcore.nn.init, and rng= of layers": "constant dirac glorot_normal glorot_uniform he_normal he_uniform "
    "normal uniform",
    THEIRS: "execute_op load mem_guard_active mem_guard_off mem_guard_on no_autodiff turn_memory_guarding_off "
    "turn_memory_guarding_on",
}
"""Reasons by what they are of, with the names that they cover."""


def autograds() -> set[str]:
    """The functions for which autograd has a rule."""
    core = importlib.import_module("autograd.core")
    for name in (
        "numpy",
        "numpy.fft",
        "numpy.linalg",
        "scipy.special",
        "scipy.linalg",
        "scipy.signal",
        "scipy.stats",
        "scipy.integrate",
    ):
        importlib.import_module(f"autograd.{name}")
    return {f.__name__ for f in core.primitive_vjps}


def mygrads() -> set[str]:
    """The functions of MyGrad that are none of NumPy's own without a derivative."""
    found = set()
    for name in ("", ".nnet.activations", ".nnet.layers", ".nnet.losses", ".nnet.initializers"):
        module = importlib.import_module(f"mygrad{name}")
        public = [n for n in getattr(module, "__all__", dir(module)) if not n.startswith("_")]
        values = {n: getattr(module, n) for n in public}
        found |= {
            n
            for n, value in values.items()
            if callable(value) and getattr(np, n, None) is not value and not isinstance(value, type)
        }
    return found


def ours() -> set[str]:
    """The names under which gradcore has something, NumPy's functions on Tensors included."""
    functions = [*UFUNCS, *FUNCTIONS, *_VALUE_ONLY, *_VALUE_ONLY_UFUNCS]
    found = {
        *registry.ops,
        *registry.losses,
        *dir(gradcore),
        *dir(gradcore.nn.functional),
        *dir(gradcore.Tensor),
    }
    return found | {f.__name__ for f in functions}


PEERS: dict[str, tuple[Callable[[], set[str]], dict[str, str]]] = {
    "autograd": (autograds, AUTOGRAD),
    "mygrad": (mygrads, MYGRAD),
}


def main() -> int:
    """Print, and return the exit status."""
    here, status, compared = ours(), 0, 0
    for peer, (names, reasons) in PEERS.items():
        try:
            theirs = names()
        except ImportError:
            print(f"{peer} is not installed: not compared")
            continue
        compared += 1
        words = [word.partition("=") for text in reasons.values() for word in text.split()]
        listed = {name: name_here for name, _, name_here in words}
        missing = theirs - here
        print(
            f"{peer}: {len(theirs)} functions, {len(theirs & here)} of them here by name, {len(missing)} not"
        )
        for reason, text in reasons.items():
            print(f"  {reason}: {', '.join(text.split())}")
        for name in sorted(missing - listed.keys()):
            status = 1
            print(f"  MISSING: {name}: write it, or list it with a reason")
        for name, name_here in listed.items():
            if name_here and name_here not in here:
                status = 1
                print(f"  MISSING: {name} is to be {name_here}, which is not here")
        for name in sorted(listed.keys() - missing):
            status = 1
            print(
                f"  NOT NEEDED: {name} is listed, and {'is here' if name in here else f'{peer} has no such function'}"
            )
    return status if compared else 2


if __name__ == "__main__":
    sys.exit(main())

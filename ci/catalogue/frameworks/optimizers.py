"""Each of gradcore's optimizers and schedulers as PyTorch has it, and settings of schedulers to draw from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from hypothesis import strategies as st
from torch.optim import lr_scheduler

Maker = Callable[..., torch.optim.Optimizer]
Settings = Callable[[], st.SearchStrategy[dict[str, Any]]]

_MUON = getattr(torch.optim, "Muon", torch.optim.Optimizer)
"""Since PyTorch 2.9."""


class ExactMuon(_MUON):
    """PyTorch's Muon in the precision of its parameters: it computes in bfloat16, of which two digits agree with anything."""

    def step(self, closure: Any = None) -> Any:
        """As PyTorch's, where a conversion to bfloat16 is a copy."""
        kept = torch.Tensor.bfloat16
        torch.Tensor.bfloat16 = torch.Tensor.clone
        try:
            return super().step(closure)
        finally:
            torch.Tensor.bfloat16 = kept


OPTIMIZERS: Mapping[str, Maker | None] = {
    "SGD": torch.optim.SGD,
    "Adadelta": torch.optim.Adadelta,
    "Adagrad": torch.optim.Adagrad,
    "Adam": torch.optim.Adam,
    "AdamW": torch.optim.AdamW,
    "Adamax": torch.optim.Adamax,
    "Lion": None,  # PyTorch has none
    "Muon": ExactMuon if hasattr(torch.optim, "Muon") else None,
    "NAdam": torch.optim.NAdam,
    "RAdam": torch.optim.RAdam,
    "RMSprop": torch.optim.RMSprop,
}
"""Called with parameters and the hyperparameters that gradcore's is called with."""

KNOWN: Mapping[str, tuple[Callable[[Mapping[str, Any]], bool], str]] = {
    "Muon": (
        lambda params: params["adjust_lr_fn"] == "columns",
        "adjust_lr_fn='columns', which PyTorch has not",
    ),
    "RMSprop": (
        lambda params: params["centered"] and params["alpha"] < 1e-3,
        "centered with alpha near 0, where PyTorch's s - m^2 is mostly rounding: it may be below 0, and its root NaN",
    ),
}
"""Where PyTorch is wrong, or has no such setting: for which hyperparameters, and what it is."""


def _floats(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, width=32)


def _counts(low: int, high: int) -> st.SearchStrategy[int]:
    return st.integers(low, high)


_FACTORS = _floats(0.125, 1.5)
_LEAST = st.sampled_from([0.0, 1e-3, 0.01])
SCHEDULERS: Mapping[str, tuple[Any, st.SearchStrategy[dict[str, Any]]]] = {
    "StepLR": (
        lr_scheduler.StepLR,
        st.fixed_dictionaries({"step_size": _counts(1, 12)}, optional={"gamma": _FACTORS}),
    ),
    "MultiStepLR": (
        lr_scheduler.MultiStepLR,
        st.fixed_dictionaries(
            {"milestones": st.lists(_counts(1, 30), max_size=4)}, optional={"gamma": _FACTORS}
        ),
    ),
    "ExponentialLR": (lr_scheduler.ExponentialLR, st.fixed_dictionaries({"gamma": _floats(0.5, 1.125)})),
    "ConstantLR": (
        lr_scheduler.ConstantLR,
        st.fixed_dictionaries({}, optional={"factor": _floats(0.125, 1.0), "total_iters": _counts(1, 20)}),
    ),
    "LinearLR": (
        lr_scheduler.LinearLR,
        st.fixed_dictionaries(
            {},
            optional={
                "start_factor": _floats(0.0625, 1.0),
                "end_factor": _floats(0.125, 1.0),
                "total_iters": _counts(1, 20),
            },
        ),
    ),
    "PolynomialLR": (
        lr_scheduler.PolynomialLR,
        st.fixed_dictionaries({}, optional={"total_iters": _counts(1, 20), "power": _floats(0.5, 3.0)}),
    ),
    "CosineAnnealingLR": (
        lr_scheduler.CosineAnnealingLR,
        st.fixed_dictionaries({"T_max": _counts(1, 20)}, optional={"eta_min": _LEAST}),
    ),
    "CosineAnnealingWarmRestarts": (
        lr_scheduler.CosineAnnealingWarmRestarts,
        st.fixed_dictionaries({"T_0": _counts(1, 9)}, optional={"T_mult": _counts(1, 3), "eta_min": _LEAST}),
    ),
    "OneCycleLR": (
        lr_scheduler.OneCycleLR,
        st.fixed_dictionaries(
            {
                "max_lr": _floats(0.125, 1.0),
                "total_steps": st.just(40),
                "cycle_momentum": st.booleans(),  # which PyTorch does by default
            },
            optional={
                "pct_start": _floats(0.125, 0.4375),
                "anneal_strategy": st.sampled_from(["cos", "linear"]),
                "div_factor": _floats(2.0, 30.0),
                "final_div_factor": _floats(1.0, 1e4),
                "three_phase": st.booleans(),
                "base_momentum": _floats(0.0, 0.5),
                "max_momentum": _floats(0.5, 0.875),
            },
        ),
    ),
    "LambdaLR": (
        lr_scheduler.LambdaLR,
        st.fixed_dictionaries(
            {"lr_lambda": st.sampled_from([lambda t: 1 / (1 + t), lambda t: 0.875**t, lambda t: t / 8])}
        ),
    ),
    "ReduceLROnPlateau": (
        lr_scheduler.ReduceLROnPlateau,
        st.fixed_dictionaries(
            {},
            optional={
                "mode": st.sampled_from(["min", "max"]),
                "factor": _floats(0.125, 0.875),
                "patience": _counts(0, 4),
                "threshold": _floats(0.0, 0.125),
                "threshold_mode": st.sampled_from(["rel", "abs"]),
                "cooldown": _counts(0, 3),
                "min_lr": _LEAST,
                "eps": st.sampled_from([1e-8, 0.01]),
            },
        ),
    ),
}
"""PyTorch's, called with the optimizer and the settings, and what settings to draw."""

"""The keywords of `torch.autograd.gradcheck` and `gradgradcheck`, so that a call of theirs is one of ours as it stands."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from gradcheck.errors import CallError


class TorchOptions(TypedDict, total=False):
    """What torch's checkers take beside the function and its inputs."""

    eps: float
    atol: float
    rtol: float
    nondet_tol: float
    fast_mode: bool
    masked: bool | None
    check_sparse_nnz: bool
    check_grad_dtypes: bool
    check_undefined_grad: bool
    check_batched_grad: bool
    check_batched_forward_grad: bool
    check_forward_ad: bool
    check_backward_ad: bool
    check_fwd_over_rev: bool
    check_rev_over_rev: bool
    gen_non_contig_grad_outputs: bool


MEASURED = ("eps", "atol", "rtol", "nondet_tol")
ALWAYS = ("fast_mode", "check_grad_dtypes", "gen_non_contig_grad_outputs", "check_rev_over_rev")
NEVER = ("masked", "check_sparse_nnz", "check_batched_forward_grad", "check_fwd_over_rev")
CONTRACTS = {
    "check_undefined_grad": "undefined_cotangents",
    "check_batched_grad": "batched_cotangents",
    "check_forward_ad": "forward_mode",
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the keywords come to: contracts to try, or not to try, besides those that were chosen; a line for the report."""

    more: frozenset[str] = frozenset()
    fewer: frozenset[str] = frozenset()
    note: str = ""

    def among(self, contracts: Collection[str] | None, usual: Collection[str]) -> Collection[str] | None:
        """The contracts to try; None for all the usual ones."""
        if not self.more and not self.fewer:
            return contracts
        return (set(usual if contracts is None else contracts) | self.more) - self.fewer


def torch_options(function: str, given: Mapping[str, Any]) -> Chosen:
    """Torch's keywords in our terms. Raises `TypeError` for any other, `CallError` for what leaves nothing to judge."""
    if not given:
        return Chosen()
    for name in given:
        if name not in TorchOptions.__annotations__:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")
    if given.get("check_backward_ad") is False:
        raise CallError(
            "check_backward_ad=False: it is the reverse mode that is judged, and forward mode with it; leave this keyword out, "
            "and read the line forward_mode of the report"
        )
    more = {CONTRACTS[name] for name, value in given.items() if name in CONTRACTS and value}
    fewer = {CONTRACTS[name] for name, value in given.items() if name == "check_undefined_grad" and not value}
    notes = []
    for names, words in (
        (MEASURED, "not needed: the error bound is measured"),
        (ALWAYS, "not needed: that is part of every check"),
        (NEVER, "left out: there is no such check here"),
    ):
        found = [name for name in names if given.get(name)]
        notes += [f"{', '.join(found)} {'is' if len(found) == 1 else 'are'} {words}"] * bool(found)
    return Chosen(frozenset(more), frozenset(fewer), "; ".join(notes))

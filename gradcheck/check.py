"""gradcheck and gradgradcheck: from a function and its inputs to a report."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Unpack

import numpy as np

from gradcheck.backends import Call, Subject, as_subject
from gradcheck.backends.arguments import contracts_of, cotangents_of, seed_of
from gradcheck.backends.framework import stated
from gradcheck.backends.options import TorchOptions, torch_options
from gradcheck.backends.second import gradient_subject, loses_history
from gradcheck.backends.tree import name_of
from gradcheck.backends.values import arrays_of
from gradcheck.contracts import CONTRACTS, ON_REQUEST, examine
from gradcheck.contracts.base import ContractResult
from gradcheck.diagnosis.difference import entry_snippet
from gradcheck.diagnosis.faults import Fault, Faults, diagnose
from gradcheck.diagnosis.pictures import of_check
from gradcheck.diagnosis.snippet import call_snippet, function_text
from gradcheck.errors import CallError, RuleError
from gradcheck.kernels.check import check_kernel
from gradcheck.report.failure import GradientError
from gradcheck.report.report import InputResult, Report
from gradcheck.verdict.compare import Verdict
from gradcheck.verdict.coverage import Detectable, coverage, detectable
from gradcheck.verdict.judge import ValueResult, explained, judge
from gradcheck.verdict.observation import Observation
from gradcore.errors import ShapeError

GIVEN_CHANGED = (
    "the rule changed the cotangent gy in place, which other consumers may get as well: work on a copy"
)


def gradcheck(
    f: Callable[..., Any],
    inputs: Any,
    *,
    vjp: Callable[..., Any] | None = None,
    wrt: int | str | Sequence[int | str] | None = None,
    params: Mapping[str, Any] | None = None,
    gy: Any = None,
    backend: str | None = None,
    straight_through: Callable[..., Any] | None = None,
    reference: Callable[..., Any] | None = None,
    accumulate: str | None = None,
    intermediates: str | None = None,
    order: int = 1,
    contracts: bool | Collection[str] = True,
    seed: int = 0,
    raise_exception: bool = True,
    **torch: Unpack[TorchOptions],
) -> Report:
    """Check the gradient of `f` at `inputs` against numeric derivatives with a measured error bound.

    f: with `vjp`, a plain NumPy function; without, a gradcore Op (also a `functools.partial` of one with its static
    parameters), or a function of gradcore Tensors with a Tensor among its inputs: gradcore's own derivative of it is
    checked, and plain arrays alone do not say that this is meant. Returns an array, or tuples and dicts of arrays.
    inputs: tuple of the arguments of `f`: arrays, Tensors, tuples and dicts of them; anything else, Python numbers
    included, is a static value and passed through. Where some Tensors require a gradient, the other Tensors are constants.
    vjp: `rule(gy, y, *inputs)`, with `gy` of the structure of `y = f(*inputs)` (None in the place of integer outputs).
    Returns one cotangent per input, None for none; static inputs may be left out; a bare array for one input. Complex
    cotangents hold the derivatives by the real and the imaginary part: `<a, b> = Re sum(conj(a) b)`.
    wrt: positions or names (`"inputs[1]['w']"`) of the inputs to differentiate by; all floating and complex ones by
    default. Integer and boolean inputs must get None or zeros.
    params: static parameters, passed by keyword to `f` and to the rule.
    gy: a cotangent, or a tuple with one per floating output, that the rule is tried with besides random ones; it is handed
    on as it is, in its memory layout.
    backend: "jax", "autograd", "mygrad" or "torch": whose derivative of `f` is checked. Needed only where nothing shows it: for a function
    of NumPy arrays written with `autograd.numpy` (a primitive of autograd shows it), or with `jax.numpy` (JAX arrays, and
    functions under `custom_vjp`, `custom_jvp` or `jit`, show it).
    straight_through: of a rule that is no derivative of `f` on purpose, the function whose derivative it is meant to be, on
    the same inputs: `lambda x: x` for `np.round` with a rule that hands `gy` on.
    reference: the same mathematics in plain float64, of a kernel in low precision (bfloat16, float16, float32). The kernel runs
    in its own dtype; its outputs and cotangents are judged beside the reference and its derivative, at the kernel's own inputs,
    within what rounding must do. It is written in NumPy functions, in PyTorch or in JAX.
    accumulate, intermediates: what the author of the kernel claims, "float32" where they are left out: the precision of sums, and
    of every result in between ("stored": that of the inputs). Also "float64", "tf32", "float16", "bfloat16".
    order: 2 checks the gradient function as well, see `gradgradcheck`.
    contracts: True for all of `gradcheck.contracts.CONTRACTS` but those on request, False for none, or names of some; with
    signs, the usual ones with changes: "-any_layout" leaves that one out, ["-linear", "-stateless"] two. Arrays in Fortran
    order, with gaps, not writeable and with strides of 0 have to be taken. Negative strides may be refused by an error that
    names the strides, which is noted; "+negative_strides" makes it count. "+autocast" tries the gradient in PyTorch under
    `torch.autocast` too, beside that in single precision.
    raise_exception: whether a fail raises `GradientError`; the report is its `report`.
    torch: the keywords of `torch.autograd.gradcheck`. `check_batched_grad=True` adds the contract `batched_cotangents`; those
    that are not needed (`eps`, `atol`, `rtol`, ...) are accepted, and named in the report.

    In PyTorch f is a function of tensors, the `apply` of an `autograd.Function` or the class itself, a module (whose
    parameters are inputs as well, as `named_parameters` names them) or a custom op; tensors that require no gradient are
    constants.

    Returns a `Report`: true where the verdict is pass or subgradient, false where it is fail or inconclusive.

    Raises `GradientError` on a fail, `CallError` where the call can't be judged; both say what to do.

    >>> import numpy as np
    >>> bool(gradcheck(np.sin, (np.array([0.5, 2.0]),), vjp=lambda gy, y, x: gy * np.cos(x)))
    True
    """
    __tracebackhide__ = True
    if order not in (1, 2):
        raise CallError(
            f"order={order!r}: pass 1 for the gradient, or 2 for the gradient of the gradient as well"
        )
    if order == 2 and straight_through is not None:
        raise CallError(
            "straight_through= has no second order: leave out order=2, or check the surrogate by itself"
        )
    if reference is not None:
        alone = {
            "order=2": order == 2,
            "straight_through=": straight_through is not None,
            "contracts=": contracts is not True,
            "backend=": backend is not None,
        }
        if any(alone.values()):
            raise CallError(
                f"{', '.join([n for n, given in alone.items() if given])} came together with reference=, which judges the values of "
                "the first derivative in the kernel's own dtype: leave it out here. A kernel that takes float64 can be checked so "
                "without reference="
            )
        report = check_kernel(
            f,
            inputs,
            reference,
            vjp=vjp,
            wrt=wrt,
            params=params,
            gy=gy,
            accumulate=accumulate,
            intermediates=intermediates,
            seed=seed,
            note=torch_options("gradcheck", torch).note,
        )
        if raise_exception and report.verdict is Verdict.FAIL:
            raise GradientError(report)
        return report
    if accumulate is not None or intermediates is not None:
        raise CallError(
            "accumulate= and intermediates= are claims on a kernel that is judged beside a reference: pass reference=g"
        )
    options = torch_options("gradcheck", torch)
    names = options.among(contracts_of(contracts, CONTRACTS, ON_REQUEST), USUAL)
    call = Call(stated(f, backend), inputs, vjp, wrt, params, gy, names, seed_of(seed), straight_through)
    with np.errstate(all="ignore"):
        subject = as_subject(call)
        report = check_subject(subject, call, 1, options.note)
    if report.verdict is Verdict.FAIL and subject.composed:
        report = replace(report, note="; ".join(filter(None, (report.note, _which_op(call)))))
    _tried(report, torch)
    if order == 2 and report.verdict is not Verdict.FAIL:
        report = report.with_second(_second(replace(call, gy=None)))
    if raise_exception and report.verdict is Verdict.FAIL:
        raise GradientError(report)
    return report


def gradgradcheck(
    f: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    vjp: Callable[..., Any] | None = None,
    wrt: int | str | Sequence[int | str] | None = None,
    params: Mapping[str, Any] | None = None,
    backend: str | None = None,
    contracts: bool | Collection[str] = True,
    seed: int = 0,
    raise_exception: bool = True,
    **torch: Unpack[TorchOptions],
) -> Report:
    """Check the gradient function `(x, gy) -> gx` as a function in its own right, with a random `gy`.

    Arguments, result and errors as for `gradcheck`; the cotangent is the input named `gy` of the report. For gradcore
    functions and Ops the recorded backward pass is differentiated. With `vjp`, `f` and the rule are run on Tensors: both
    have to be written with NumPy functions that gradcore has rules for.
    grad_outputs: the cotangent, or a tuple with one per floating output, in place of a random `gy`.
    """
    __tracebackhide__ = True
    options = torch_options("gradgradcheck", torch)
    names = options.among(contracts_of(contracts, CONTRACTS, ON_REQUEST), USUAL)
    call = Call(stated(f, backend), inputs, vjp, wrt, params, grad_outputs, names, seed_of(seed))
    report = _second(call, options.note)
    _tried(report, torch)
    if raise_exception and report.verdict is Verdict.FAIL:
        raise GradientError(report)
    return report


USUAL = frozenset(CONTRACTS) - ON_REQUEST
"""Contracts that are tried where none are named."""


def _tried(report: Report, torch: Mapping[str, Any]) -> None:
    """Raises `CallError` where torch's keyword requested a check that could not be made."""
    if torch.get("check_forward_ad"):
        for contract in report.contracts:
            if contract.name == "forward_mode" and contract.status == "skipped" and "has no" in contract.text:
                raise CallError(
                    f"check_forward_ad=True, and {report.name} has no forward-mode derivative: give its Function a jvp, or leave "
                    "this keyword out"
                )


def _second(call: Call, note: str = "") -> Report:
    __tracebackhide__ = True
    # One Tensor in two places has one gradient, so (x, y, gy) -> (gx, gy) is no function of it as two arguments.
    names = set(USUAL if call.contracts is None else call.contracts) - {"aliased_arguments"}
    with np.errstate(all="ignore"):
        report = check_subject(gradient_subject(call), replace(call, gy=None, contracts=names), 2, note)
    if report.verdict is Verdict.FAIL and loses_history(call):
        raise CallError(
            f"{name_of(call.f)} or its rule makes a Python number of an input, as math.sin(x) and float(x) do, and its "
            "gradient cannot be recorded through that: a second order needs NumPy functions throughout, such as np.sin(x)"
        )
    return report


def check_subject(subject: Subject, call: Call, order: int, said: str = "") -> Report:
    """The check itself, within `np.errstate(all="ignore")`: f and its rule are called many times, at hard points on purpose."""
    __tracebackhide__ = True
    obs = Observation(subject, call.seed)
    values: ValueResult | None = None
    results: Sequence[ContractResult] = ()
    try:
        if call.gy is not None:
            obs.given_gys = cotangents_of(arrays_of(call.gy), subject.name, obs.outputs)
        obs.prepare()
        if CONTRACTS["cotangent_shape"](obs) is None:
            values = judge(obs)
        results = examine(obs, call.contracts)
        found = diagnose(obs, values, results)
        if obs.given_changed:
            found = replace(found, faults=(Fault("vjp_keeps_cotangent", GIVEN_CHANGED), *found.faults))
    except ShapeError as error:
        raise CallError(str(error)) from error
    except RuleError as error:
        found = Faults(
            (
                Fault(
                    "raises",
                    f"the gradient of {subject.name} raised {error}, on inputs that its forward takes",
                ),
            ),
            tuple(results),
        )
    verdict = Verdict.FAIL if found.faults or values is None else values.comparison.verdict
    reason = _why(obs, values) if values is not None and verdict is Verdict.INCONCLUSIVE else ""
    covered = coverage(obs)
    if verdict in (Verdict.PASS, Verdict.SUBGRADIENT) and not covered.enough:
        verdict = Verdict.INCONCLUSIVE
        reason = f"only {covered.words()} could be judged, too few for a verdict on the function"
        if obs.turning is not None:
            reason += f"; {explained('free')}"
    snippet = ""
    if verdict is Verdict.FAIL:
        function = "gradcheck" if order == 1 else "gradgradcheck"
        entry = ""
        if found.located is not None and found.evidence is not None and order == 1:
            entry = entry_snippet(obs, call, found.evidence, found.located)
        snippet = call_snippet(function, call, entry)
    return Report(
        name=subject.name,
        gradient=subject.gradient,
        verdict=verdict,
        inputs=_input_results(obs, values, {fault.input for fault in found.faults}, verdict),
        contracts=found.contracts,
        faults=found.faults,
        reason=reason,
        judged=covered.words() if verdict in (Verdict.PASS, Verdict.SUBGRADIENT) else "",
        note="; ".join(
            filter(None, (values.note if values is not None else "", _refused(obs), *subject.notes, said))
        ),
        at_kink=any(e.at_kink() for e in obs.evidence),
        excuses={} if verdict is Verdict.FAIL else {x.name: x.text for x in obs.excuses},
        order=order,
        seed=call.seed,
        evaluations=obs.forwards,
        pulls=obs.pulls,
        snippet=snippet,
        ratio=max([e.comparison.ratio for e in obs.evidence], default=math.nan),
        pictures=of_check(obs, found, verdict is Verdict.FAIL),
    )


@cache
def _name(dtype: np.dtype[Any]) -> str:
    return str(dtype)


def _which_op(call: Call) -> str:
    """Where to go from a wrong gradient of a whole model."""
    f = function_text(call.f, "f")
    return f"to find the op, run print(gradcheck.explain({f}, inputs)): it checks each by itself"


def _refused(obs: Observation) -> str:
    """A note on negative strides that are not taken, "" where they are."""
    if obs.refusal is None or obs.broken & {"any_layout", "negative_strides"}:
        return ""
    who, error = obs.refusal
    return (
        f"{who} takes no negative strides ({error.partition('. ')[0]}): pass contiguous arrays, or contracts='+negative_strides' to make it "
        "count"
    )


def _why(obs: Observation, values: ValueResult) -> str:
    """Why the gradient could not be judged."""
    zero = all(not np.any(g) for e in obs.evidence for g in e.gx if g is not None)
    if values.reason == "noise" and zero:
        return "the claimed gradient is zero at this point, and the numbers show no other: try another point"
    return explained(values.reason)


def _input_results(
    obs: Observation, values: ValueResult | None, wrong: set[str], overall: Verdict
) -> tuple[InputResult, ...]:
    results = []
    undecided = (
        values is not None and Verdict.INCONCLUSIVE in values.verdicts
    )  # some inputs could not be judged by themselves
    for i, item in enumerate(obs.subject.inputs):
        if item.wanted:
            verdict, vacuous = (None, False) if values is None else (values.verdicts[i], values.vacuous[i])
            if item.path in wrong:
                verdict = Verdict.FAIL
            elif overall is Verdict.INCONCLUSIVE and not undecided and verdict is not None:
                verdict = overall if obs.evidence else None
            found = Detectable()
            if values is not None and verdict in (Verdict.PASS, Verdict.SUBGRADIENT):
                found = detectable(obs, i, values.alone.get(i))
            shape, dtype = item.array.shape, _name(item.array.dtype)
            results.append(
                InputResult(
                    item.path,
                    shape,
                    dtype,
                    verdict,
                    found.median,
                    vacuous,
                    found.worst,
                    found.zero,
                    found.hidden,
                )
            )
    return tuple(results)

"""What the commands do: check, print, and return the exit status."""

from __future__ import annotations

import sys
import tempfile
import traceback
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gradcheck.cli import pages
from gradcheck.cli.options import parser
from gradcheck.cli.printing import print_out
from gradcheck.cli.status import INTERRUPTED, MISCALLED, RIGHT, UNDECIDED, WRONG
from gradcheck.errors import NEEDS_HYPOTHESIS, CallError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from gradcheck.report.report import Report
    from gradcheck.report.verification import Verification


def judged(arguments: Sequence[str], folder: str | None = None) -> int:
    """Run one command in this process; its exit status. folder: for temporary files, by default one of its own."""
    options = parser().parse_args(arguments)
    options.folder = folder
    command = f"gradcheck {options.command}"
    try:
        return {"check": _check, "verify": _verify, "op": _op}[options.command](options)
    except CallError as error:
        print(f"{command}: {error}", file=sys.stderr)
    except SystemExit as error:
        print(
            f"{command}: the code under check ended the program (SystemExit: {error.code}); a forward or a "
            "rule has to return or to raise an error",
            file=sys.stderr,
        )
    except KeyboardInterrupt:
        return INTERRUPTED
    except BaseException as error:  # noqa: BLE001 - of ours or of the code under check: Python's own status would be a verdict
        traceback.print_exc()
        words = f"{type(error).__name__}: {error}"
        print(f"{command}: ended by an error that is no verdict ({words})", file=sys.stderr)
    return MISCALLED


def _check(options: argparse.Namespace) -> int:
    from gradcheck.check import gradcheck
    from gradcheck.cli.loading import inputs_of, params_of, wrt_of

    pages.ensure_writable(options.html)
    f, rule = _pair(options)
    inputs, wrt, params = inputs_of(options), wrt_of(options.wrt), params_of(options.params)
    _claimed(options, f, rule, inputs)
    report = gradcheck(
        f,
        inputs,
        vjp=rule,
        wrt=wrt,
        params=params,
        order=options.order,
        seed=options.seed,
        raise_exception=False,
    )
    return _reported(report, options)


def _verify(options: argparse.Namespace) -> int:
    pages.ensure_writable(options.html)
    with _hypothesis(options.folder):
        from gradcheck.cli.loading import inputs_of, params_of, wrt_of
        from gradcheck.explore.verify import verify
        from gradcheck.report.failure import GradientError

        f, rule = _pair(options)
        inputs, wrt, params = inputs_of(options), wrt_of(options.wrt), params_of(options.params)
        if inputs is None:
            if not hasattr(f, "spec"):
                raise CallError(
                    f"{options.function} has no spec to draw inputs from: give an example with --like or --shapes, or mark the "
                    f"function by @gradcheck.checked(like=(x, ...), vjp=rule) and run: gradcheck {options.function}"
                )
            if options.tensors:
                raise CallError("--tensors needs an example of the inputs: give one with --like or --shapes")
        _claimed(options, f, rule, inputs)
        result: Report | Verification
        try:
            result = verify(
                f,
                like=inputs,
                vjp=rule,
                wrt=wrt,
                params=params,
                max_examples=options.examples,
                max_seconds=options.max_seconds,
                edges=options.edges,
                complex=options.complex,
                seed=options.seed,
                raise_exception=False,
            )
        except GradientError as error:  # of the example itself, which no other can be drawn around
            result = error.report
    return _reported(result, options)


def _reported(result: Report | Verification, options: argparse.Namespace) -> int:
    """Print the result and write its page, where one is requested; the exit status."""
    print_out(result.to_json() if options.json else result)
    return (
        _status(result) if pages.written(result, options.html, f"gradcheck {options.command}") else MISCALLED
    )


def _pair(options: argparse.Namespace) -> tuple[Any, Any]:
    """The function and its rule, None where the options name none."""
    from gradcheck.cli.loading import named

    return named(options.function), None if options.vjp is None else named(options.vjp)


def _claimed(options: argparse.Namespace, f: Any, rule: Any, inputs: Any) -> None:
    """Raises `CallError` where the options leave open whose gradient is to be checked."""
    from gradcheck.backends import has_gradient

    if callable(f) and not has_gradient(f, rule, inputs):
        raise CallError(
            f"{options.function} is a function without a rule, and the options do not say whose gradient is to be checked: "
            "give your rule with --vjp MODULE:RULE, or --tensors to check gradcore's own derivative"
        )


@contextmanager
def _hypothesis(folder: str | None) -> Iterator[None]:
    """Hypothesis, where what it keeps goes elsewhere than into the folder that the command is called from."""
    try:
        from hypothesis.configuration import set_hypothesis_home_dir
    except ModuleNotFoundError as error:
        raise CallError(NEEDS_HYPOTHESIS) from error
    with tempfile.TemporaryDirectory(dir=folder) as home:
        set_hypothesis_home_dir(home)
        try:
            yield
        finally:
            set_hypothesis_home_dir(None)


def _status(report: Report | Verification) -> int:
    from gradcheck.verdict.compare import Verdict

    return {Verdict.FAIL: WRONG, Verdict.INCONCLUSIVE: UNDECIDED}.get(report.verdict, RIGHT)


def _op(options: argparse.Namespace) -> int:
    with _hypothesis(options.folder):
        found = [_unit(unit, options.examples, options.seed) for unit in _units(options.name)]
    return WRONG if WRONG in found else UNDECIDED if UNDECIDED in found else RIGHT


def _units(name: str) -> list[Any]:
    """The cases of the op of this name that have a gradient."""
    import gradcore  # noqa: F401 - registers the ops
    from gradcheck.backends.tree import described
    from gradcheck.cli.loading import meant, named
    from gradcheck.verification import cases

    if ":" in name:
        op = named(name)
        every = [unit for unit in cases.ops() if unit.entry is op]
        every = every or [unit for unit in cases.losses() if unit.entry is op]
        if not every:
            what = described(op).removeprefix("a ")
            raise CallError(
                f"{name!r} is a {what}, and no gradcore op: name an op that @gradcore.op has made, or "
                "check a function with its rule by: gradcheck check MODULE:FUNCTION --vjp MODULE:RULE"
            )
        units = [unit for unit in every if unit.takes_gradient]
        if not units:
            raise CallError(
                f"{name!r} is an op without an input that takes a gradient: there is nothing to check"
            )
        return units
    units = [unit for unit in cases.ops() if unit.takes_gradient]
    known = sorted({unit.name for unit in units})
    if name not in known:
        close = meant(name, known)
        raise CallError(
            f"there is no differentiable op named {name!r}{close or ':'} "
            f"{'Choose' if close else 'choose'} among {', '.join(known)}, or write MODULE:OP for one of yours"
        )
    return [unit for unit in units if unit.name == name]


def _unit(unit: Any, count: int, seed: int) -> int:
    """Check one case of an op at drawn examples; prints a line, or the report on the smallest failing example."""
    from gradcheck.campaigns.registered import drawn
    from gradcheck.report.failure import GradientError
    from gradcheck.strategies import examples
    from gradcheck.verification import check_gradient

    counts: Counter[str] = Counter()

    def check(example: Any) -> None:
        counts[check_gradient(unit.entry, example).verdict.value] += 1

    _, error = drawn(unit.id, examples(unit.case), check, count, seed)
    if error is not None:
        print_out(error.report if isinstance(error, GradientError) else error)
        return WRONG
    print_out(f"{unit.id}: {', '.join([f'{n} {verdict}' for verdict, n in counts.items()])}")
    return RIGHT if counts["pass"] + counts["subgradient"] else UNDECIDED

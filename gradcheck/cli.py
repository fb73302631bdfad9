"""The command `gradcheck`: check a function of yours, or a registered op at drawn points."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from gradcore.cli import at_least

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gradcheck.report import Report

RIGHT, WRONG, MISCALLED, UNDECIDED = 0, 1, 2, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status: 0 right, 1 wrong, 2 a call that can't be judged, 3 inconclusive."""
    options = _parser().parse_args(arguments)
    from gradcheck.errors import CallError

    try:
        return int(options.run(options))
    except CallError as error:
        print(f"gradcheck {options.command}: {error}", file=sys.stderr)
        return MISCALLED
    except SystemExit as error:
        print(
            f"gradcheck {options.command}: the code under check ended the program (SystemExit: {error.code}); a forward or a "
            "rule has to return or to raise an error",
            file=sys.stderr,
        )
        return MISCALLED


def _say(text: object) -> None:
    """Print; nothing where the reader has gone, as in `gradcheck ... | head`: the verdict is still to be told."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # what Python flushes at its end goes there


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gradcheck", description="Prove gradients numerically.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    check = commands.add_parser("check", help="check one function at one point")
    check.add_argument("function", metavar="MODULE:FUNCTION", help="the forward function")
    check.add_argument("--vjp", metavar="MODULE:RULE", help="its rule(gy, y, *inputs), for a NumPy function")
    point = check.add_mutually_exclusive_group(required=True)
    point.add_argument(
        "--inputs", metavar="MODULE:INPUTS", help="a tuple of inputs, or a function that returns one"
    )
    point.add_argument(
        "--shapes",
        nargs="+",
        metavar="SHAPE",
        help='random inputs of these shapes, as in: --shapes 4,3 3,5 ""',
    )
    check.add_argument(
        "--dtype",
        default="float64",
        choices=("float16", "float32", "float64"),
        help="of random inputs (default: %(default)s)",
    )
    check.add_argument(
        "--order", type=int, default=1, choices=(1, 2), help="2: the gradient's gradient as well"
    )
    check.add_argument("--json", action="store_true", help="print the report as JSON")
    check.set_defaults(run=_check)

    op = commands.add_parser("op", help="check a registered gradcore op at points drawn from its domain")
    op.add_argument("name", help="name in gradcore.registry.ops")
    op.add_argument(
        "--examples",
        type=at_least(1),
        default=20,
        metavar="N",
        help="points of each case (default: %(default)s)",
    )
    op.set_defaults(run=_op)

    for command in (check, op):
        command.add_argument(
            "--seed", type=at_least(0), default=0, metavar="N", help="(default: %(default)s)"
        )
    return parser


def _named(text: str) -> Any:
    """What `module:name` names, with the current folder among the places to look."""
    from gradcheck.errors import CallError

    module, colon, name = text.partition(":")
    if not (module and colon and name):
        raise CallError(f"{text!r} names no function: write module:name, such as numpy:sin")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise CallError(f"{text!r} can't be loaded: {error}") from error
    except Exception as error:  # anything that a user's module raises when it is run
        raise CallError(f"{text!r} can't be loaded: {type(error).__name__}: {error}") from error
    return found


def _shape(text: str) -> tuple[int, ...]:
    from gradcheck.errors import CallError

    try:
        shape = tuple([int(n) for n in text.split(",") if n.strip()])
    except ValueError:
        shape = (-1,)
    if any(n < 0 for n in shape):
        raise CallError(f"{text!r} is no shape: write sizes from 0 up with commas between them, such as 4,3")
    return shape


def _check(options: argparse.Namespace) -> int:
    import numpy as np

    from gradcheck.check import gradcheck

    if options.inputs is not None:
        inputs = _named(options.inputs)
        inputs = inputs() if callable(inputs) else inputs
    else:
        rng = np.random.default_rng(options.seed)
        inputs = tuple([rng.standard_normal(_shape(s)).astype(options.dtype) for s in options.shapes])
    report = gradcheck(
        _named(options.function),
        inputs,
        vjp=None if options.vjp is None else _named(options.vjp),
        order=options.order,
        seed=options.seed,
        raise_exception=False,
    )
    _say(report.to_json() if options.json else report)
    return _status(report)


def _status(report: Report) -> int:
    from gradcheck.compare import Verdict

    return {Verdict.FAIL: WRONG, Verdict.INCONCLUSIVE: UNDECIDED}.get(report.verdict, RIGHT)


def _op(options: argparse.Namespace) -> int:
    import gradcore  # noqa: F401 - registers the ops
    from gradcheck import cases
    from gradcheck.errors import CallError

    units = [unit for unit in cases.ops() if unit.name == options.name and unit.takes_gradient]
    if not units:
        known = ", ".join(sorted({unit.name for unit in cases.ops() if unit.takes_gradient}))
        raise CallError(f"there is no differentiable op named {options.name!r}: choose among {known}")
    return max([_unit(unit, options.examples, options.seed) for unit in units])


def _unit(unit: Any, count: int, seed: int) -> int:
    """Check one case of an op at drawn examples; prints a line, or the report on the smallest failing example."""
    try:
        from hypothesis import HealthCheck, given, settings
        from hypothesis import seed as seeded
    except ImportError as error:
        from gradcheck.errors import CallError

        raise CallError("drawing points needs Hypothesis: pip install 'gradcore[test]'") from error

    from gradcheck.compare import Verdict
    from gradcheck.errors import GradientError
    from gradcheck.strategies import examples
    from gradcheck.verification import check_gradient

    told: dict[Verdict, int] = dict.fromkeys(Verdict, 0)

    @seeded(seed)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(examples(unit.case))
    def run(example: Any) -> None:
        told[check_gradient(unit.entry, example).verdict] += 1

    try:
        run()
    except GradientError as error:
        _say(error.report)
        return WRONG
    words = ", ".join([f"{n} {verdict.value}" for verdict, n in told.items() if n])
    _say(f"{unit.id}: {words}")
    return RIGHT if told[Verdict.PASS] + told[Verdict.SUBGRADIENT] else UNDECIDED

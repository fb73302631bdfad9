"""Everything that `gradcore train` can be asked for: its names, its defaults and what each may be.

This file loads neither NumPy's random numbers nor the models, so that the command line can check a call at once.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from gradcore import optim
from gradcore.errors import DomainError
from gradcore.nn.models import HIDDEN, MODELS
from gradcore.train.threads import check_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gradcore.optim.schedules import Schedule

OPTIMIZERS: dict[str, tuple[Callable[..., optim.Optimizer], dict[str, float]]] = {
    "adam": (optim.Adam, {"lr": 2e-3, "weight_decay": 0.0}),
    "adamw": (optim.AdamW, {"lr": 2e-3, "weight_decay": 0.01}),
    "rmsprop": (optim.RMSprop, {"lr": 1e-3, "momentum": 0.0, "weight_decay": 0.0}),
    "sgd": (optim.SGD, {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.0}),
}
SCHEDULES: dict[str, Schedule] = {
    "constant": optim.schedules.constant,
    "linear": optim.schedules.linear,
    "cosine": optim.schedules.cosine,
}
_MOST = 2**53
_MOST_WIDTH = 65_536
_MOST_WIDTHS = 64


@dataclass(frozen=True)
class Settings:
    """The settings of a run. None stands for the default of the model or the optimizer, until `complete` puts it in.

    Raises DomainError for what can't be, in the words of the command line.
    """

    data: str = "digits"
    model: str = "mlp"
    hidden: tuple[int, ...] | None = None
    epochs: int = 10
    batch_size: int = 32
    optimizer: str = "adam"
    lr: float | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    clip_norm: float | None = None
    schedule: str = "linear"
    patience: int | None = None
    seed: int = 0
    checkpoint_every: float = 30.0
    sync_batch_norm: bool = False
    threads: int | str | None = None

    def __post_init__(self) -> None:
        _text("data", self.data)
        if self.model not in MODELS and not _names_function(self.model):
            raise DomainError(
                f"--model {self.model}: expected {' or '.join(MODELS)}, or module:function for a model of your own"
            )
        if self.hidden is not None:
            if self.model != "mlp":
                raise DomainError(
                    f"--hidden: only the mlp has hidden layers to choose, and the model is {self.model}"
                )
            if len(self.hidden) > _MOST_WIDTHS:
                raise DomainError(f"--hidden: {len(self.hidden)} layers, expected at most {_MOST_WIDTHS}")
            for width in self.hidden:
                _whole("hidden", width, 1, _MOST_WIDTH)
        _whole("epochs", self.epochs, 0)
        _whole("batch_size", self.batch_size, 1)
        _whole("seed", self.seed, 0, 2**63)
        if self.patience is not None:
            _whole("patience", self.patience, 1)
        _number("checkpoint_every", self.checkpoint_every, 0)
        if type(self.sync_batch_norm) is not bool:
            raise DomainError(f"--sync-batch-norm {self.sync_batch_norm!r:.80}: expected true or false")
        check_threads(self.threads, "--threads")
        if self.optimizer not in OPTIMIZERS:
            raise DomainError(f"--optimizer {self.optimizer}: expected one of {', '.join(OPTIMIZERS)}")
        own = OPTIMIZERS[self.optimizer][1]
        for name, below in (("lr", math.inf), ("momentum", 1.0), ("weight_decay", math.inf)):
            value = getattr(self, name)
            if value is None:
                continue
            if name not in own:
                raise DomainError(f"{_option(name)}: {self.optimizer} has no {name}")
            _number(name, value, 0, below)
        if self.lr == 0:
            raise DomainError("--lr 0: expected a number above 0")
        if self.clip_norm is not None:
            _number("clip_norm", self.clip_norm, 0)
            if self.clip_norm == 0:
                raise DomainError("--clip-norm 0: expected a number above 0")
        schedule(self.schedule)

    def complete(self) -> Settings:
        """The same with the defaults of the model and the optimizer in place of None."""
        changes: dict[str, Any] = {
            name: value
            for name, value in OPTIMIZERS[self.optimizer][1].items()
            if getattr(self, name) is None
        }
        if self.model == "mlp" and self.hidden is None:
            changes["hidden"] = HIDDEN
        return Settings(**{**asdict(self), **changes})

    def hyper(self) -> dict[str, float]:
        """The optimizer's hyperparameters."""
        return {name: getattr(self.complete(), name) for name in OPTIMIZERS[self.optimizer][1]}

    def __str__(self) -> str:
        """All in one line, in the words of the command line."""
        shown = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value is True:
                shown.append(field.name.replace("_", "-"))
            elif value is not None and value is not False:
                text = ",".join(map(str, value)) if isinstance(value, tuple) else value
                shown.append(f"{field.name.replace('_', '-')} {text if text != '' else 'none'}")
        return ", ".join(shown)


def from_json(found: Any) -> Settings:
    """Settings from the JSON that `dataclasses.asdict` gives; raises DomainError where they are not sound."""
    if not isinstance(found, dict):
        raise DomainError(f"settings are an object, got {found!r:.80}")
    known = {field.name: field for field in fields(Settings)}
    if wrong := known.keys() ^ found.keys():
        raise DomainError(f"settings that are missing or unknown: {', '.join(sorted(wrong))[:200]}")
    values: dict[str, Any] = dict(found)
    for name in ("data", "model", "optimizer", "schedule"):
        _text(name, values[name])
    if values["hidden"] is not None:
        if not isinstance(values["hidden"], list):
            raise DomainError(f"--hidden {values['hidden']!r:.80}: expected widths")
        values["hidden"] = tuple(values["hidden"])
    return Settings(**values)


def schedule(text: str) -> Schedule:
    """The schedule of a name, or of `warmup:FRACTION` or `warmup:FRACTION:NAME`; raises DomainError."""
    if text in SCHEDULES:
        return SCHEDULES[text]
    kind, _, rest = text.partition(":")
    fraction, _, after = rest.partition(":")
    try:
        number = float(fraction)
    except ValueError:
        number = math.nan
    if kind != "warmup" or not 0 < number < 1 or (after or "constant") not in SCHEDULES:
        raise DomainError(
            f"--schedule {text:.80}: expected {', '.join(SCHEDULES)}, or warmup:FRACTION:NAME with the part of the run that "
            "warms up, such as warmup:0.1:cosine"
        )
    return optim.schedules.warmup(number, SCHEDULES[after or "constant"])


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the options that are settings."""
    names = {field.name for field in fields(Settings)}
    return {name: value for name, value in options.items() if name in names}


def _names_function(text: str) -> bool:
    module, colon, name = text.partition(":")
    return bool(colon) and all(part.isidentifier() for part in (*module.split("."), *name.split(".")))


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _text(name: str, value: Any) -> None:
    if not isinstance(value, str) or not value or "\0" in value or len(value) > 4096:
        raise DomainError(f"{_option(name)} {value!r:.80}: expected a name")


def _whole(name: str, value: Any, least: int, most: int = _MOST) -> None:
    if type(value) is not int or not least <= value <= most:
        raise DomainError(f"{_option(name)} {value!r:.80}: expected a whole number from {least} to {most}")


def _number(name: str, value: Any, least: float, below: float = math.inf) -> None:
    if type(value) not in (int, float) or not least <= value < below:
        raise DomainError(f"{_option(name)} {value!r:.80}: expected a number from {least}, below {below}")

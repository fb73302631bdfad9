"""Schedulers for loops written by hand: each sets its optimizer's lr to what a schedule gives for the steps so far.

    scheduler = StepLR(optimizer, 30)
    for epoch in range(90):
        ...
        scheduler.step()

The names and the values are PyTorch's. Formulas are in `gradcore.optim.schedules`, which also puts schedules together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from gradcore import names
from gradcore.errors import ArgumentError, DomainError, StateError
from gradcore.modes import callback
from gradcore.optim import schedules
from gradcore.optim.base import Optimizer, check
from gradcore.optim.schedules import Schedule


class LRScheduler:
    """Sets the lr of each group to floor + (base - floor) schedule(steps), where base is its lr at construction.

    schedule: one for all groups, or one for each. Use one scheduler for an optimizer: another takes what it finds as its base.
    Raises ArgumentError for what is no optimizer, no function or not one for each group.
    """

    def __init__(
        self, optimizer: Optimizer, schedule: Schedule | Sequence[Schedule], floor: float = 0.0
    ) -> None:
        _check_optimizer(type(self).__name__, optimizer)
        self.optimizer = optimizer
        self.base_lrs = list(optimizer.lrs)
        self.floor = check("floor", floor)
        self._schedules = self._for_each("schedule", schedule)
        for each in self._schedules:
            if not callable(each):
                raise ArgumentError(
                    f"{type(self).__name__} got {each!r:.60} as a schedule: pass a function of the number of steps"
                )
        self.last_epoch: float = 0
        self._set()

    def step(self, epoch: float | None = None) -> None:
        """Go one step on, or to this number of steps, which may have a fraction."""
        callback(self._go_to, epoch)

    def _go_to(self, epoch: float | None) -> None:
        self.last_epoch = self.last_epoch + 1 if epoch is None else check("epoch", epoch)
        self._set()

    def get_last_lr(self) -> list[float]:
        """The lr of each group."""
        return list(self.optimizer.lrs)

    def state_dict(self) -> dict[str, Any]:
        """The number of steps and each group's base."""
        return {"last_epoch": self.last_epoch, "base_lrs": list(self.base_lrs)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned, and set lr; StateError where it is another's."""
        found = _numbers(self, state, {"last_epoch": None, "base_lrs": len(self.base_lrs)})
        self.last_epoch, self.base_lrs = found["last_epoch"], found["base_lrs"]
        self._set()

    def _set(self) -> None:
        factors = [schedule(self.last_epoch) for schedule in self._schedules]
        self.optimizer.lrs = [
            self.floor + (base - self.floor) * factor
            for base, factor in zip(self.base_lrs, factors, strict=True)
        ]

    def _for_each(self, name: str, value: Any) -> list[Any]:
        """One value for each group."""
        return _for_each(type(self).__name__, self.optimizer, name, value)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(at {self.last_epoch:g}, lr={' / '.join(map(repr, self.get_last_lr()))})"
        )


class LambdaLR(LRScheduler):
    """lr times lr_lambda(steps); one function, or one for each group."""

    def __init__(self, optimizer: Optimizer, lr_lambda: Schedule | Sequence[Schedule]) -> None:
        super().__init__(optimizer, lr_lambda)


class StepLR(LRScheduler):
    """gamma times less after each `step_size` steps (`schedules.every`)."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        super().__init__(optimizer, schedules.every(_count("step_size", step_size), gamma))


class MultiStepLR(LRScheduler):
    """gamma times less from each milestone on (`schedules.steps`)."""

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1) -> None:
        super().__init__(optimizer, schedules.steps(list(milestones), gamma))


class ExponentialLR(LRScheduler):
    """gamma times less after each step (`schedules.exponential`)."""

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        super().__init__(optimizer, schedules.exponential(gamma))


class ConstantLR(LRScheduler):
    """lr times `factor` for `total_iters` steps, then lr itself."""

    def __init__(self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5) -> None:
        factor = check("factor", factor)
        schedule = schedules.joined(
            lambda _done: factor, (_count("total_iters", total_iters), schedules.constant)
        )
        super().__init__(optimizer, schedule)


class LinearLR(LRScheduler):
    """From start_factor to end_factor times lr in a straight line over `total_iters` steps: a linear warm-up."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
    ) -> None:
        ends = (
            (0, check("start_factor", start_factor)),
            (_count("total_iters", total_iters), check("end_factor", end_factor)),
        )
        super().__init__(optimizer, schedules.points(*ends))


class PolynomialLR(LRScheduler):
    """From lr down to 0 over `total_iters` steps, as (1 - steps / total_iters)^power (`schedules.polynomial`)."""

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0) -> None:
        count, schedule = _count("total_iters", total_iters), schedules.polynomial(power)
        super().__init__(optimizer, lambda done: schedule(done / count))


class CosineAnnealingLR(LRScheduler):
    """From lr down to eta_min along half a cosine over T_max steps, and up again after them (`schedules.cosine`)."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        count = _count("T_max", T_max)
        super().__init__(optimizer, lambda done: schedules.cosine(done / count), check("eta_min", eta_min))


class CosineAnnealingWarmRestarts(LRScheduler):
    """From lr down to eta_min along half a cosine over T_0 steps, then again over T_mult times as many each time.

    `schedules.restarts`; Loshchilov and Hutter 2017.
    """

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0) -> None:
        schedule = schedules.restarts(_count("T_0", T_0), _count("T_mult", T_mult))
        super().__init__(optimizer, schedule, check("eta_min", eta_min))


class OneCycleLR(LRScheduler):
    """Up from max_lr / div_factor to max_lr in the first pct_start of the steps, then down to a final_div_factor of the start.

    three_phase: down to the start first, in as many steps as up, then on to the end. anneal_strategy: "cos" or "linear".
    max_lr: one number, or one for each group. Smith and Topin 2019, whose phases are three. cycle_momentum: the momentum goes
    the other way, from max_momentum down to base_momentum and up again; unlike in PyTorch not by default, and for an
    optimizer with `momentum` alone, as Adam's state holds for the betas that it began with. ArgumentError for another.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        cycle_momentum: bool = False,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
    ) -> None:
        _check_optimizer("OneCycleLR", optimizer)
        last = _count("total_steps", total_steps, 2) - 1
        if not (isinstance(pct_start, int | float) and 0 <= pct_start <= 1):
            raise DomainError(
                f"pct_start={pct_start!r} is out of range: it is the part of the steps that goes up, 0 to 1"
            )
        if anneal_strategy not in ("cos", "linear"):
            raise DomainError(f'anneal_strategy={anneal_strategy!r} is none: write "cos" or "linear"')
        start = 1 / check("div_factor", div_factor, low=1e-300)
        end = start / check("final_div_factor", final_div_factor, low=1e-300)
        top = pct_start * total_steps - 1
        # Each point: when, the part of max_lr, and of the way from max_momentum to base_momentum.
        again = [(2 * top, start, 0.0)] if three_phase else []
        at = [(0.0, start, 0.0), (top, 1.0, 1.0), *again, (float(last), end, 0.0)]
        # A phase without a step is left out; the next then begins where it ended, as in PyTorch.
        while at[0][0] >= at[1][0]:
            del at[0]
        while at[-2][0] >= at[-1][0]:
            del at[-1]
        shape = schedules.cosine if anneal_strategy == "cos" else schedules.linear
        if cycle_momentum and "momentum" not in optimizer.hyper:
            raise ArgumentError(
                f"OneCycleLR got cycle_momentum=True, and {type(optimizer).__name__} has no momentum to change: leave it out"
            )
        ends = [
            [check(name, value, high=1.0) for value in _for_each("OneCycleLR", optimizer, name, given)]
            for name, given in (("max_momentum", max_momentum), ("base_momentum", base_momentum))
        ]
        self._momenta = [
            schedules.points(*[(place, high + (low - high) * way) for place, _, way in at], shape=shape)
            for high, low in zip(*ends, strict=True)
            if cycle_momentum
        ]
        lrs = [check("max_lr", lr) for lr in _for_each("OneCycleLR", optimizer, "max_lr", max_lr)]
        optimizer.lrs = lrs
        super().__init__(optimizer, schedules.points(*[(place, lr) for place, lr, _ in at], shape=shape))

    def _set(self) -> None:
        super()._set()
        for group, momentum in zip(self.optimizer.param_groups, self._momenta, strict=False):
            group["momentum"] = momentum(self.last_epoch)


class ReduceLROnPlateau:
    """lr times `factor` where a measure, given to `step`, has not become better for more than `patience` steps.

    mode: "min" where less is better, "max" where more is. Better is by more than `threshold`, of the best so far
    (threshold_mode "rel") or as it is ("abs"). cooldown: steps after a change that do not count. min_lr: one number, or
    one for each group. A change of eps or less is not made.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        _check_optimizer("ReduceLROnPlateau", optimizer)
        if mode not in ("min", "max"):
            raise DomainError(f'mode={mode!r} is none: write "min" or "max"')
        if threshold_mode not in ("rel", "abs"):
            raise DomainError(f'threshold_mode={threshold_mode!r} is none: write "rel" or "abs"')
        self.optimizer, self.mode, self.threshold_mode = optimizer, mode, threshold_mode
        self.factor = check("factor", factor, high=1.0)
        self.patience, self.cooldown = _count("patience", patience, 0), _count("cooldown", cooldown, 0)
        self.threshold, self.eps = check("threshold", threshold), check("eps", eps)
        self.min_lrs = [
            check("min_lr", lr) for lr in _for_each("ReduceLROnPlateau", optimizer, "min_lr", min_lr)
        ]
        self.best = math.inf if mode == "min" else -math.inf
        self.last_epoch, self.num_bad_epochs, self.cooldown_counter = 0, 0, 0

    def step(self, metrics: Any) -> None:
        """Take the measure of one more step, and lower lr where it is time; a NaN is not better."""
        measure = float(metrics)
        self.last_epoch += 1
        better = self._is_better(measure)
        self.best = measure if better else self.best
        self.num_bad_epochs = 0 if better else self.num_bad_epochs + 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            lowered = [
                max(lr * self.factor, low) for lr, low in zip(self.optimizer.lrs, self.min_lrs, strict=True)
            ]
            self.optimizer.lrs = [
                new if old - new > self.eps else old
                for old, new in zip(self.optimizer.lrs, lowered, strict=True)
            ]
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0

    def _is_better(self, measure: float) -> bool:
        sign = 1 if self.mode == "min" else -1
        if self.threshold_mode == "rel":
            return sign * measure < sign * self.best * (1 - sign * self.threshold)
        return sign * measure < sign * self.best - self.threshold

    def get_last_lr(self) -> list[float]:
        """The lr of each group."""
        return list(self.optimizer.lrs)

    def state_dict(self) -> dict[str, Any]:
        """The best measure, the counts, and the lr of each group; an infinite best is None."""
        return {
            "best": self.best if math.isfinite(self.best) else None,
            "last_epoch": self.last_epoch,
            "num_bad_epochs": self.num_bad_epochs,
            "cooldown_counter": self.cooldown_counter,
            "lrs": list(self.optimizer.lrs),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned, and set lr; StateError where it is another's."""
        without = (
            {**state, "best": 0.0} if isinstance(state, Mapping) and state.get("best", 0) is None else state
        )
        counts = dict.fromkeys(("best", "last_epoch", "num_bad_epochs", "cooldown_counter"))
        found = _numbers(self, without, {**counts, "lrs": len(self.optimizer.lrs)})
        self.optimizer.lrs = found.pop("lrs")
        if without is not state:
            found["best"] = math.inf if self.mode == "min" else -math.inf
        vars(self).update(found)

    def __repr__(self) -> str:
        return f"ReduceLROnPlateau(best={self.best:g}, lr={' / '.join(map(repr, self.get_last_lr()))})"


def _check_optimizer(name: str, optimizer: Any) -> None:
    if not isinstance(optimizer, Optimizer):
        raise ArgumentError(f"{name} got {optimizer!r:.60}: pass the optimizer whose lr it is to set")


def _for_each(name: str, optimizer: Optimizer, what: str, value: Any) -> list[Any]:
    """One value for each group of the optimizer; ArgumentError where they are not as many."""
    if not isinstance(value, list | tuple):
        return [value] * len(optimizer.lrs)
    if len(value) != len(optimizer.lrs):
        raise ArgumentError(
            f"{name} got {len(value)} for {what}, and the optimizer has {len(optimizer.lrs)} groups of parameters: pass one "
            "for all, or one for each"
        )
    return list(value)


def _count(name: str, value: Any, least: int = 1) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise DomainError(f"{name}={value!r} is out of range: it must be a whole number of at least {least}")
    return value


def _numbers(scheduler: Any, state: Any, expected: Mapping[str, int | None]) -> dict[str, Any]:
    """The entries of a state: finite numbers, or lists of so many; StateError for anything else."""
    misfit = f"this state does not fit {type(scheduler).__name__}"
    if not isinstance(state, Mapping) or state.keys() != expected.keys():
        got = ", ".join(map(str, state)) if isinstance(state, Mapping) else f"{state!r:.80}"
        raise StateError(f"{misfit}: expected {', '.join(expected)}, got {got}")
    for name, count in expected.items():
        value = state[name]
        entries = [value] if count is None else value
        sound = isinstance(entries, list | tuple) and len(entries) == (1 if count is None else count)
        if not sound or not all(type(n) in (int, float) and math.isfinite(n) for n in entries):
            of = "a number" if count is None else f"a list of {count} numbers"
            raise StateError(f"{misfit}: {name} is {value!r:.80}, expected {of}")
    return {name: state[name] if count is None else list(state[name]) for name, count in expected.items()}


def __getattr__(name: str) -> Any:
    raise names.missing(__name__, name, names.LR_SCHEDULER)

"""Every optimizer and scheduler of gradcore beside the same one of PyTorch, on drawn parameters, gradients and settings.

Trajectories may differ by what rounding does to either, measured (`gradcheck/verification/agreement.py`). Learning rates may
differ by some roundings a step: PyTorch goes from one lr to the next where gradcore starts from the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradcheck.strategies import parameters
from gradcheck.verification import Problem, VerificationError
from gradcheck.verification.agreement import check_agreement
from gradcheck.verification.drawing import problems
from gradcheck.verification.optimizers import run
from gradcore import Tensor, optim, registry

STEPS = 40
"""Of a scheduler; of an optimizer there are up to 8."""
ROUNDINGS = 64
"""Units of eps of the largest lr by which a scheduler's step may differ."""

Counterparts = Mapping[str, Any]


def compare_all(
    count: int, counterparts: Counterparts, lbfgs: Any, schedulers: Counterparts, known: Counterparts
) -> tuple[str, list[str]]:
    """Hold all beside their counterparts at so many examples each; what was compared, and what differs.

    known: of optimizers, the hyperparameters at which PyTorch is wrong or has no such setting, and in which words.
    """
    missed = []
    for name in sorted({*registry.optimizers, *counterparts}):
        if name not in registry.optimizers or name not in counterparts:
            missed.append(f"{name}: it has no counterpart")
        elif counterparts[name] is not None:
            cls, maker = registry.optimizers[name], counterparts[name]
            wrong = known.get(name, (lambda _: False, ""))[0]
            params = parameters(cls.spec.params).filter(lambda params, wrong=wrong: not wrong(params))
            missed += _first_failure(
                st.tuples(problems_of(cls), params),
                count,
                lambda drawn, cls=cls, maker=maker: compare_optimizer(cls, maker, *drawn),
            )
    drawn, seeds = lbfgs_settings(), st.integers(0, 2**32 - 1)
    missed += _first_failure(
        st.tuples(drawn, seeds), count, lambda pair: compare_lbfgs(optim.LBFGS, lbfgs, *pair)
    )
    for name in sorted({*_schedulers(), *schedulers}):
        if name not in _schedulers() or name not in schedulers:
            missed.append(f"{name}: it has no counterpart")
            continue
        maker, drawn = schedulers[name]
        missed += _first_failure(
            st.tuples(drawn, st.integers(0, 2**32 - 1)),
            count,
            lambda pair, name=name, maker=maker: compare_scheduler(_schedulers()[name], maker, *pair),
        )
    alike = sum(maker is not None for maker in counterparts.values())
    without = ", ".join(name for name, maker in counterparts.items() if maker is None)
    words = [
        f"{alike + 1} optimizers and {len(schedulers)} schedulers on {count} examples each; without a counterpart: {without}",
        *[f"not compared: {name}, {what}" for name, (_, what) in known.items()],
    ]
    return "\n".join(words), missed


def lbfgs_settings() -> st.SearchStrategy[dict[str, Any]]:
    """Hyperparameters of L-BFGS."""
    return st.fixed_dictionaries(
        {"max_iter": st.integers(1, 6), "lr": st.sampled_from([0.125, 0.5, 1.0])},
        optional={
            "line_search_fn": st.sampled_from([None, "strong_wolfe"]),
            "history_size": st.integers(1, 3),
            "max_eval": st.integers(1, 9),
            "tolerance_grad": st.sampled_from([1e-7, 0.1]),
            "tolerance_change": st.sampled_from([1e-9, 0.01]),
        },
    )


def problems_of(cls: Any) -> st.SearchStrategy[Problem]:
    """Those of `problems` whose parameters PyTorch takes: its Muon has matrices only, and neither has empty ones."""
    if not cls.spec.least_ndim:
        return problems(st.integers(1, 8))
    shape = st.tuples(st.integers(1, 3), st.integers(1, 3))
    steps, seeds = st.integers(1, 8), st.integers(0, 2**32 - 1)
    return st.builds(Problem.draw, st.lists(shape, min_size=1, max_size=3), steps, seeds)


def compare_optimizer(
    cls: Any, maker: Callable[..., Any], problem: Problem, params: Mapping[str, Any]
) -> None:
    """Hold an optimizer's trajectory beside PyTorch's. Raises `VerificationError`.

    PyTorch's own counts are in double precision here: by default its NAdam keeps the product of momenta in float32.
    """
    import torch

    def theirs(start: Any, factors: Any, one: Problem) -> Any:
        p = torch.tensor(np.array(start))
        optimizer = maker([p], **params)
        lr, seen = params.get("lr", optimizer.defaults["lr"]), []
        for t, factor in enumerate(factors):
            for group in optimizer.param_groups:
                group["lr"] = lr * factor
            p.grad = torch.tensor(np.asarray(one.gradient(t, 0, p.numpy()), p.numpy().dtype))
            optimizer.step()
            seen.append(p.numpy().copy())
        return np.array(seen)

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        _each_parameter(cls, theirs, problem, params)
    finally:
        torch.set_default_dtype(before)


def _each_parameter(
    cls: Any, theirs: Callable[..., Any], problem: Problem, params: Mapping[str, Any]
) -> None:
    def ours(*values: Any) -> Any:
        one = problem.alone(*values)
        return run(cls, one.start, one.gradient, one.factors, params)[0]

    for i, start in enumerate(problem.start):
        named = ", ".join(f"{name}={value!r}" for name, value in params.items())
        what = f"{cls.__name__}({named}) over {problem.steps} steps on {start.dtype} {start.shape}, beside PyTorch's"
        values = (start, problem.a[i], problem.b[i], problem.c[i])
        check_agreement(
            what, ours, lambda *v: theirs(v[0], problem.factors, problem.alone(*v)), values, (True,) * 4
        )


def compare_scheduler(
    cls: Any, maker: Callable[..., Any], given_settings: Mapping[str, Any], seed: int
) -> None:
    """Hold the lr and the momentum of two groups after each step beside PyTorch's, reloaded once on the way. Raises `VerificationError`."""
    import torch

    rng = np.random.default_rng(seed)
    lrs = rng.uniform(0.05, 1.0, 2).tolist()
    measures = np.round(rng.standard_normal(STEPS) + rng.uniform(-0.1, 0.1) * np.arange(STEPS), 1).tolist()
    plateau = issubclass(cls, optim.lr_scheduler.ReduceLROnPlateau)
    mine = optim.SGD([{"params": Tensor(np.ones(1), requires_grad=True), "lr": lr} for lr in lrs])
    its = torch.optim.SGD([{"params": [torch.ones(1, requires_grad=True)], "lr": lr} for lr in lrs])
    our, their = cls(mine, **given_settings), maker(its, **given_settings)
    reload_at = int(rng.integers(STEPS))
    for t in range(STEPS):
        found, expected = mine.lrs, [group["lr"] for group in its.param_groups]
        allowed = ROUNDINGS * (t + 1) * np.finfo(float).eps * max(*expected, *lrs)
        if not np.allclose(found, expected, rtol=0, atol=allowed):
            raise VerificationError(
                f"{cls.__name__}({', '.join(f'{k}={v!r}' for k, v in given_settings.items())}): after {t} steps lr is "
                f"{found}, and PyTorch's {tuple(expected)}"
            )
        moments = [[group["momentum"] for group in o.param_groups] for o in (mine, its)]
        if not np.allclose(*moments, rtol=0, atol=ROUNDINGS * (t + 1) * np.finfo(float).eps):
            raise VerificationError(
                f"{cls.__name__}: after {t} steps momentum is {moments[0]}, and PyTorch's {moments[1]}"
            )
        if t == reload_at:
            state = our.state_dict()
            mine.lrs = lrs
            our = cls(mine, **given_settings)
            our.load_state_dict(state)
        its.step()
        if t < STEPS - 1:
            more = [measures[t]] if plateau else []
            our.step(*more)
            their.step(*more)


def compare_lbfgs(cls: Any, maker: Callable[..., Any], drawn: Mapping[str, Any], seed: int) -> None:
    """Hold L-BFGS beside PyTorch's, on a function of two parameters, after each of three steps. Raises `VerificationError`.

    The function is a sum of a(x - c)^2 / 2 + b exp(-x^2) over entries, and of the squares of neighbours' products.
    """
    import torch

    problem = Problem.draw([(3,), (2, 2)], 1, seed)
    starts = [problem.start[i] for i in (0, 1)]
    values = (*starts, *[part[i][0] for i in (0, 1) for part in (problem.a, problem.b, problem.c)])

    def function(i: int, x: Any, a: Any, b: Any, c: Any) -> tuple[float, Any]:
        bump = b * np.exp(-x * x)
        flat = x.ravel()
        products = flat[1:] * flat[:-1]
        g = np.zeros(flat.shape, flat.dtype)
        g[:-1] += products * flat[1:]
        g[1:] += products * flat[:-1]
        loss = (a * (x - c) ** 2 / 2 + bump).sum() + (products * products).sum() / 2
        return float(loss), a * (x - c) - 2 * x * bump + g.reshape(x.shape)

    def trajectory(make: Callable[..., Any], wrap: Any, values: Any) -> Any:
        params, read, give = wrap(values[:2])
        optimizer = make(params, **drawn)

        def closure() -> float:
            parts = [function(i, x, *values[2 + 3 * i : 5 + 3 * i]) for i, x in enumerate(read())]
            give([g for _, g in parts])
            return sum(loss for loss, _ in parts)

        seen = []
        for _ in range(3):
            optimizer.step(closure)
            seen.append(np.concatenate([x.ravel() for x in read()]))
        return np.array(seen)

    def as_tensors(arrays: Any) -> Any:
        params = [Tensor(np.array(x), requires_grad=True) for x in arrays]

        def give(gradients: Any) -> None:
            for p, g in zip(params, gradients, strict=True):
                p.grad = g

        return params, lambda: [p.data for p in params], give

    def as_torch(arrays: Any) -> Any:
        params = [torch.tensor(np.array(x)) for x in arrays]

        def give(gradients: Any) -> None:
            for p, g in zip(params, gradients, strict=True):
                p.grad = torch.tensor(g)

        return params, lambda: [p.numpy().copy() for p in params], give

    named = ", ".join(f"{name}={value!r}" for name, value in drawn.items())
    check_agreement(
        f"{cls.__name__}({named}) over 3 steps, beside PyTorch's",
        lambda *v: trajectory(cls, as_tensors, v),
        lambda *v: trajectory(maker, as_torch, v),
        values,
        (True,) * len(values),
    )


def _schedulers() -> dict[str, Any]:
    found = vars(optim.lr_scheduler).values()
    kinds = [c for c in found if isinstance(c, type) and hasattr(c, "get_last_lr")]
    return {c.__name__: c for c in kinds if c is not optim.lr_scheduler.LRScheduler}


def _first_failure(strategy: Any, count: int, check: Callable[[Any], None]) -> list[str]:
    """The words of the first drawn example that the check refuses, if there is one; the same in each run."""
    found: list[str] = []

    @settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def holds(example: Any) -> None:
        if not found:
            try:
                check(example)
            except VerificationError as error:
                found.append(str(error))

    holds()
    return found

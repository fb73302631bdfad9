"""Schedulers for loops by hand: lr after each step, states, settings that can't be; tests/reports holds them beside PyTorch's."""

import json
import math
import random

import pytest
from optimizers import parameter

from gradcore.errors import ArgumentError, DomainError, StateError
from gradcore.optim import SGD, Adam, lr_scheduler, schedules


def optimizer(*lrs):
    return SGD([{"params": parameter([1.0]), "lr": lr} for lr in lrs or (1.0,)])


def path(make, steps, *lrs):
    """lr from the start on, by step."""
    sgd = optimizer(*lrs)
    scheduler, seen = make(sgd), []
    for _ in range(steps):
        seen.append(sgd.lrs if lrs else sgd.lr)
        scheduler.step()
    return seen


PATHS = {
    "StepLR": (lambda o: lr_scheduler.StepLR(o, 2, 0.5), [1, 1, 0.5, 0.5, 0.25]),
    "MultiStepLR": (lambda o: lr_scheduler.MultiStepLR(o, (3, 1, 3), 0.5), [1, 0.5, 0.5, 0.125, 0.125]),
    "ExponentialLR": (lambda o: lr_scheduler.ExponentialLR(o, 0.5), [1, 0.5, 0.25, 0.125]),
    "ConstantLR": (lambda o: lr_scheduler.ConstantLR(o, 0.5, 2), [0.5, 0.5, 1, 1]),
    "LinearLR": (lambda o: lr_scheduler.LinearLR(o, 0.5, 1.0, 2), [0.5, 0.75, 1, 1]),
    "PolynomialLR": (lambda o: lr_scheduler.PolynomialLR(o, 4, 2.0), [1, 0.5625, 0.25, 0.0625, 0, 0]),
    "CosineAnnealingLR": (lambda o: lr_scheduler.CosineAnnealingLR(o, 2, 0.5), [1, 0.75, 0.5, 0.75, 1]),
    "CosineAnnealingWarmRestarts": (
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 2, 2),
        [1, 0.5, 1, 0.5 + 0.5 * math.cos(math.pi / 4), 0.5],
    ),
    "OneCycleLR": (
        lambda o: lr_scheduler.OneCycleLR(o, 2.0, 5, 0.6, "linear", 4.0, 2.0),
        [0.5, 1.25, 2.0, 1.125, 0.25, 0.25],
    ),
    "OneCycleLR in three phases": (
        lambda o: lr_scheduler.OneCycleLR(o, 2.0, 7, 3 / 7, "linear", 4.0, 2.0, three_phase=True),
        [0.5, 1.25, 2.0, 1.25, 0.5, 0.375, 0.25],
    ),
    "OneCycleLR that only goes down": (lambda o: lr_scheduler.OneCycleLR(o, 2.0, 3, 0.0, "linear", 4.0, 2.0), [1.4166666666666665, 0.8333333333333333, 0.25]),
    "OneCycleLR that only goes up": (lambda o: lr_scheduler.OneCycleLR(o, 2.0, 3, 1, "linear", 4.0, 2.0), [0.5, 1.25, 2.0, 2.0]),
    "OneCycleLR that goes up, in three phases": (
        lambda o: lr_scheduler.OneCycleLR(o, 2.0, 3, 1.0, "linear", 4.0, 2.0, three_phase=True), [0.5, 1.25, 2.0],
    ),
    "OneCycleLR that only goes down, in three phases": (
        lambda o: lr_scheduler.OneCycleLR(o, 2.0, 3, 1 / 3, "linear", 4.0, 2.0, three_phase=True), [0.5, 0.375, 0.25],
    ),
    "OneCycleLR along half cosines": (
        lambda o: lr_scheduler.OneCycleLR(o, 2.0, 5, 0.8, div_factor=4.0, final_div_factor=2.0),
        [0.5, 0.5 + 1.5 * 0.25, 0.5 + 1.5 * 0.75, 2.0, 0.25],
    ),
    "CosineAnnealingWarmRestarts above 0": (
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 2, eta_min=0.5), [1, 0.75, 1, 0.75],
    ),
    "LambdaLR": (lambda o: lr_scheduler.LambdaLR(o, lambda t: 1 + t), [1, 2, 3]),
}  # fmt: skip


@pytest.mark.parametrize("name", PATHS)
def test_lr_after_each_step(name):
    make, expected = PATHS[name]
    assert path(make, len(expected)) == pytest.approx(expected, abs=1e-15)


def test_each_group_goes_its_own_way_from_its_own_lr():
    assert path(lambda o: lr_scheduler.ExponentialLR(o, 0.5), 3, 1.0, 4.0) == [(1, 4), (0.5, 2), (0.25, 1)]
    each = [lambda t: 1.0, lambda t: 1 / (1 + t)]
    assert path(lambda o: lr_scheduler.LambdaLR(o, each), 2, 1.0, 4.0) == [(1, 4), (1, 2)]
    one = path(lambda o: lr_scheduler.OneCycleLR(o, [2.0, 4.0], 3, 2 / 3, div_factor=2), 2, 1.0, 1.0)
    assert one == [(1, 2), (2, 4)]


MOMENTA = {
    "two phases": ({"pct_start": 0.6}, [0.75, 0.5, 0.25, 0.5, 0.75]),
    "three phases": ({"pct_start": 0.4, "three_phase": True}, [0.75, 0.25, 0.75, 0.75, 0.75]),
    "down alone": ({"pct_start": 0.2}, [0.25, 0.375, 0.5, 0.625, 0.75]),
    "half cosines": ({"pct_start": 0.8, "anneal_strategy": "cos"}, [0.75, 0.625, 0.375, 0.25, 0.75]),
    "a start at the top": ({"pct_start": 0.6, "div_factor": 1.0}, [0.75, 0.5, 0.25, 0.5, 0.75]),
}


@pytest.mark.parametrize("name", MOMENTA)
def test_one_cycle_takes_momentum_the_other_way_and_states_take_it_along(name):
    options, expected = MOMENTA[name]

    def made():
        sgd = optimizer(1.0, 1.0)
        options_of_all = {"anneal_strategy": "linear", "cycle_momentum": True, **options}
        momenta = {"base_momentum": [0.25, 0.5], "max_momentum": [0.75, 0.5]}
        return sgd, lr_scheduler.OneCycleLR(sgd, 2.0, 5, **options_of_all, **momenta)

    sgd, scheduler = made()
    for step, momentum in enumerate(expected):
        assert [g["momentum"] for g in sgd.param_groups] == pytest.approx([momentum, 0.5], abs=1e-15)
        other, loaded = made()
        loaded.load_state_dict(json.loads(json.dumps(scheduler.state_dict())))
        assert [g["momentum"] for g in other.param_groups] == [g["momentum"] for g in sgd.param_groups], step
        scheduler.step()


def test_one_cycle_leaves_the_betas_of_adam_alone_and_takes_lists_and_tuples():
    adam = Adam([{"params": parameter([1.0])}, {"params": parameter([1.0])}])
    lr_scheduler.OneCycleLR(adam, (2.0, 4.0), 5, div_factor=2)
    assert adam.lrs == (1.0, 2.0)
    assert adam.betas == (0.9, 0.999)


def test_a_schedule_of_the_trainer_is_one_here_in_its_own_steps():
    after = schedules.joined(schedules.points((0, 0.5), (2, 1.0)), (2, lambda t: schedules.cosine(t / 4)))
    expected = [0.5, 0.75, 1.0, schedules.cosine(0.25), 0.5]
    assert path(lambda o: lr_scheduler.LRScheduler(o, after), 5) == expected


@pytest.mark.parametrize("name", PATHS)
def test_a_state_goes_on_to_the_bit_and_is_json(name):
    make, expected = PATHS[name]
    sgd = optimizer()
    scheduler = make(sgd)
    scheduler.step()
    state = json.loads(json.dumps(scheduler.state_dict()))
    other = optimizer(0.3)
    loaded = make(other)
    loaded.load_state_dict(state)
    for _ in expected:
        assert other.lr == sgd.lr
        scheduler.step()
        loaded.step()
    state["base_lrs"][0] = 17.0
    assert scheduler.base_lrs != [17.0]


def test_a_step_may_be_named_and_have_a_fraction():
    sgd = optimizer()
    scheduler = lr_scheduler.CosineAnnealingWarmRestarts(sgd, 4)
    scheduler.step(5.5)
    assert sgd.lr == schedules.cosine(1.5 / 4)
    scheduler.step(0)
    assert scheduler.get_last_lr() == [1.0]
    with pytest.raises(DomainError, match="epoch=-1 is out of range"):
        scheduler.step(-1)
    assert repr(scheduler) == "CosineAnnealingWarmRestarts(at 0, lr=1.0)"


# --- a measure that stands still --------------------------------------------------------------------------------------


def test_lr_goes_down_where_a_measure_stands_still():
    sgd = optimizer(1.0, 0.25)
    scheduler = lr_scheduler.ReduceLROnPlateau(sgd, factor=0.5, patience=1, cooldown=1, min_lr=[0.0, 0.2])
    seen = []
    for loss in (3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, float("nan"), 1.0):
        scheduler.step(loss)
        seen.append(sgd.lrs)
    half, quarter = (0.5, 0.2), (0.25, 0.2)
    assert seen == [(1, 0.25)] * 3 + [half] * 3 + [quarter] * 3
    assert scheduler.best == 1.0
    assert repr(scheduler) == "ReduceLROnPlateau(best=1, lr=0.25 / 0.2)"


def test_a_plateaus_state_goes_on_and_is_json():
    sgd, other = optimizer(1.0), optimizer(0.5)
    make = lambda o: lr_scheduler.ReduceLROnPlateau(o, "max", 0.5, 1)  # noqa: E731
    scheduler, loaded = make(sgd), make(other)
    for t, measure in enumerate((1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0)):
        if t in (0, 2, 4):
            loaded = make(other)
            loaded.load_state_dict(json.loads(json.dumps(scheduler.state_dict())))
        scheduler.step(measure)
        loaded.step(measure)
        assert (other.lr, loaded.best) == (sgd.lr, scheduler.best)
    assert sgd.lr == 0.125


def test_a_plateau_is_counted_by_its_threshold_patience_and_cooldown():
    """Beside the words of the class, written out, over walks of a measure."""
    rng = random.Random(0)
    for _ in range(200):
        mode, how = rng.choice(["min", "max"]), rng.choice(["rel", "abs"])
        factor, threshold = rng.choice([0.25, 0.5]), rng.choice([0.0, 0.125, 0.25])
        patience, cooldown, eps = rng.randrange(3), rng.randrange(4), rng.choice([0.0, 0.125, 0.25])
        sgd = optimizer(1.0)
        scheduler = lr_scheduler.ReduceLROnPlateau(
            sgd, mode, factor, patience, threshold, how, cooldown, min_lr=0.125, eps=eps
        )
        lr, best, bad, rest, down = 1.0, None, 0, 0, mode == "min"
        for epoch in range(1, 16):
            measure = rng.randrange(-8, 9) / 4
            scheduler.step(measure)
            if best is None:
                better = True
            else:
                by = threshold * (best if how == "rel" else 1.0)
                better = measure < best - by if down else measure > best + by
            best = measure if better else best
            bad = 0 if better else bad + 1
            if rest:
                rest, bad = rest - 1, 0
            if bad > patience:
                lower = max(lr * factor, 0.125)
                lr = lower if lr - lower > eps else lr
                rest, bad = cooldown, 0
            state = scheduler.state_dict()
            assert state == {
                "best": best,
                "last_epoch": epoch,
                "num_bad_epochs": bad,
                "cooldown_counter": rest,
                "lrs": [lr],
            }
            assert scheduler.get_last_lr() == [sgd.lr]


def test_a_plateau_starts_with_nothing_counted():
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer(1.0), patience=1)
    assert (scheduler.last_epoch, scheduler.num_bad_epochs, scheduler.cooldown_counter) == (0, 0, 0)
    scheduler.step(math.nan)
    assert (scheduler.num_bad_epochs, scheduler.get_last_lr()) == (1, [1.0])
    scheduler.step(math.nan)
    assert scheduler.get_last_lr() == [0.1]


@pytest.mark.parametrize(("mode", "measures"), [("min", (5.0, 6.0)), ("max", (-5.0, -6.0))])
def test_the_state_of_a_plateau_that_has_seen_no_measure_takes_any_as_better(mode, measures):
    make = lambda: lr_scheduler.ReduceLROnPlateau(optimizer(1.0), mode, patience=0)  # noqa: E731
    seen, new = make(), make()
    for measure in measures:
        seen.step(measure)
    seen.load_state_dict(new.state_dict())
    assert math.isinf(seen.best)
    seen.step(measures[0])
    assert (seen.best, seen.get_last_lr()) == (measures[0], [1.0])


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda o: lr_scheduler.StepLR([1], 2), ArgumentError, r"StepLR got \[1\]: pass the optimizer whose lr it is to set"),
        (lambda o: lr_scheduler.OneCycleLR(None, 1.0, 3), ArgumentError, "OneCycleLR got None: pass the optimizer"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(SGD), ArgumentError, "ReduceLROnPlateau got <class"),
        (lambda o: lr_scheduler.LambdaLR(o, 0.5), ArgumentError, r"LambdaLR got 0\.5 as a schedule: pass a function"),
        (lambda o: lr_scheduler.LambdaLR(o, [abs, abs]), ArgumentError, "got 2 for schedule, and the optimizer has 1 groups"),
        (lambda o: lr_scheduler.OneCycleLR(o, [1.0, 2.0], 3), ArgumentError, "OneCycleLR got 2 for max_lr"),
        (lambda o: lr_scheduler.StepLR(o, 0), DomainError, "step_size=0 is out of range: it must be a whole number of at least 1"),
        (lambda o: lr_scheduler.StepLR(o, 2.5), DomainError, r"step_size=2\.5"),
        (lambda o: lr_scheduler.StepLR(o, 2, gamma=0), DomainError, "every got gamma=0: it is a number above 0"),
        (lambda o: lr_scheduler.MultiStepLR(o, [-1]), DomainError, r"steps got milestones=\[-1\]"),
        (lambda o: lr_scheduler.ExponentialLR(o, math.nan), DomainError, "exponential got gamma=nan"),
        (lambda o: lr_scheduler.ConstantLR(o, -1.0), DomainError, r"factor=-1\.0 is out of range"),
        (lambda o: lr_scheduler.LinearLR(o, total_iters=0), DomainError, "total_iters=0 is out of range"),
        (lambda o: lr_scheduler.LinearLR(o, "a"), DomainError, "start_factor='a' is out of range"),
        (lambda o: lr_scheduler.PolynomialLR(o, power=-1), DomainError, "polynomial got power=-1"),
        (lambda o: lr_scheduler.CosineAnnealingLR(o, True), DomainError, "T_max=True is out of range"),
        (lambda o: lr_scheduler.CosineAnnealingLR(o, 5, -0.1), DomainError, r"eta_min=-0\.1 is out of range"),
        (lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 5, 0), DomainError, "T_mult=0 is out of range"),
        (lambda o: lr_scheduler.OneCycleLR(Adam([parameter([1.0])]), 1.0, 3, cycle_momentum=True), ArgumentError, "Adam has no momentum to change"),
        (lambda o: lr_scheduler.OneCycleLR(o, 1.0, 3, cycle_momentum=True, max_momentum=1.0), DomainError, "max_momentum=1.0 is out of range"),
        (lambda o: lr_scheduler.OneCycleLR(o, 1.0, 1), DomainError, "total_steps=1 is out of range: .* at least 2"),
        (lambda o: lr_scheduler.OneCycleLR(o, 1.0, 5, 1.5), DomainError, r"pct_start=1\.5 is out of range"),
        (lambda o: lr_scheduler.OneCycleLR(o, 1.0, 5, "1"), DomainError, r"pct_start='1' is out of range"),
        (lambda o: lr_scheduler.OneCycleLR(o, 1.0, 5, final_div_factor=0.0), DomainError, r"final_div_factor=0\.0 is out of range"),
        (lambda o: lr_scheduler.OneCycleLR(o, 1.0, 5, anneal_strategy="sin"), DomainError, "anneal_strategy='sin' is none"),
        (lambda o: lr_scheduler.OneCycleLR(o, 1.0, 5, div_factor=0), DomainError, "div_factor=0 is out of range"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, "least"), DomainError, "mode='least' is none: write \"min\" or \"max\""),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, threshold_mode="x"), DomainError, "threshold_mode='x' is none"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=1.0), DomainError, r"factor=1\.0 is out of range"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=-1), DomainError, "patience=-1 is out of range"),
        (lambda o: schedules.points((1, 2), (1, 3)), DomainError, "points got .* each further on than the one before"),
        (lambda o: schedules.points(), DomainError, r"points got \(\)"),
        (lambda o: schedules.joined(abs, (0, abs)), DomainError, r"joined got the places \[0\]: they are above 0"),
        (lambda o: schedules.restarts(0), DomainError, "restarts got first=0"),
        (lambda o: schedules.restarts(2, 0.5), DomainError, r"restarts got growth=0\.5: it is a number of at least 1"),
    ],
)  # fmt: skip
def test_settings_that_can_not_be_are_refused(make, error, message):
    sgd = optimizer()
    with pytest.raises(error, match=message):
        make(sgd)
    assert sgd.lr == 1.0


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ([], r"expected last_epoch, base_lrs, got \[\]"),
        ({"last_epoch": 1}, "expected last_epoch, base_lrs, got last_epoch"),
        ({"last_epoch": "1", "base_lrs": [1.0]}, "last_epoch is '1', expected a number"),
        (
            {"last_epoch": 1, "base_lrs": [1.0, 2.0]},
            r"base_lrs is \[1\.0, 2\.0\], expected a list of 1 numbers",
        ),
        ({"last_epoch": 1, "base_lrs": [math.nan]}, "base_lrs is"),
        ({"last_epoch": 1, "base_lrs": None}, "base_lrs is None"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(state, message):
    scheduler = lr_scheduler.StepLR(optimizer(), 3)
    with pytest.raises(StateError, match=rf"this state does not fit StepLR: {message}"):
        scheduler.load_state_dict(state)
    assert scheduler.state_dict() == {"last_epoch": 0, "base_lrs": [1.0]}


def test_each_entry_of_a_list_has_to_be_a_number_and_a_tuple_is_a_list():
    scheduler = lr_scheduler.StepLR(optimizer(1.0, 2.0), 3)
    with pytest.raises(StateError, match=r"base_lrs is \[1\.0, 'x'\], expected a list of 2 numbers"):
        scheduler.load_state_dict({"last_epoch": 1, "base_lrs": [1.0, "x"]})
    scheduler.load_state_dict({"last_epoch": 1, "base_lrs": (1.0, 0.5)})
    assert scheduler.state_dict() == {"last_epoch": 1, "base_lrs": [1.0, 0.5]}


def test_another_schedulers_state_does_not_fit_a_plateau():
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer())
    for state in (
        lr_scheduler.StepLR(optimizer(), 3).state_dict(),
        None,
        {**scheduler.state_dict(), "lrs": [1, 2]},
        {name: value for name, value in scheduler.state_dict().items() if name != "best"},
    ):
        with pytest.raises(StateError, match="this state does not fit ReduceLROnPlateau"):
            scheduler.load_state_dict(state)

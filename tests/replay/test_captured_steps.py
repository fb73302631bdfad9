"""Captured training steps: models, optimizers, and what may change from call to call."""

import threading

import numpy as np
import pytest
from both import run_both
from small import batches

import gradcore
from gradcore import Tensor, nn, optim, registry


def mlp():
    return nn.Sequential(nn.Linear(6, 5, rng=1), nn.ReLU(), nn.Linear(5, 3, rng=2))


def training(model, optimizer, *, each=lambda step: None, clip=None):
    """A step, and a function that tells all that it may change."""

    def step(x, y):
        optimizer.zero_grad()
        loss = gradcore.cross_entropy(model(x), y)
        loss.backward()
        if clip is not None:
            optim.clip_grad_norm(model.parameters(), clip)
        optimizer.step()
        return loss

    def state():
        grads = [p.grad for p in model.parameters()]
        arrays = [v for v in optimizer.state_dict().values() if isinstance(v, np.ndarray)]
        return [model.state_dict(), arrays, grads]

    return step, state


OPTIMIZERS = sorted(set(registry.optimizers) - {"LBFGS"})


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer(name):
    def make():
        model = mlp()
        matrices = [p for p in model.parameters() if p.ndim == 2 and p.shape[0] > 1]
        params = matrices if name == "Muon" else model.parameters()
        return training(model, registry.optimizers[name](params))

    captured = run_both(make, batches(8))
    assert captured.replays, captured.report()


def test_lbfgs_runs_eagerly():
    def make():
        model = mlp()
        optimizer = optim.LBFGS(model.parameters())

        def step(x, y):
            def closure():
                optimizer.zero_grad()
                loss = gradcore.cross_entropy(model(x), y)
                loss.backward()
                return loss

            optimizer.step(closure)

        return step, model.state_dict

    captured = run_both(make, batches(4))
    assert not captured.replays
    assert "read" in captured.report()


@pytest.mark.parametrize("clip", [None, 0.1, 1e-3])
def test_batch_norm_dropout_and_clipping(clip):
    def make():
        model = nn.Sequential(
            nn.Linear(6, 5, rng=1),
            nn.BatchNorm1d(5),
            nn.Dropout(0.4, rng=3),
            nn.ReLU(),
            nn.Linear(5, 3, rng=2),
        )
        return training(model, optim.AdamW(model.parameters(), lr=0.01), clip=clip)

    captured = run_both(make, batches(12))
    assert captured.replays >= 9, captured.report()


def test_groups_momentum_and_accumulated_gradients():
    def make():
        model = mlp()
        optimizer = optim.SGD(
            [{"params": [p], "lr": 0.1 / (i + 1)} for i, p in enumerate(model.parameters())], momentum=0.9
        )

        def step(x, y):
            for half in (slice(0, 4), slice(4, 8)):
                (gradcore.cross_entropy(model(x[half].copy()), y[half].copy()) / 2).backward()
            optimizer.step()
            optimizer.zero_grad()

        return training(model, optimizer)

    assert run_both(make, batches(6)).replays


def test_gradients_that_are_there_are_added_to():
    def make():
        model = mlp()

        def step(x, y):
            gradcore.cross_entropy(model(x), y).backward()

        return step, lambda: [p.grad for p in model.parameters()]

    captured = run_both(make, batches(8))
    assert captured.replays >= 5, captured.report()  # the first has none


def test_other_shapes_and_dtypes_get_programs_of_their_own():
    captured = run_both(lambda: training(model := mlp(), optim.SGD(model.parameters(), lr=0.1)), [
        *batches(4), *batches(4, rows=3), *[(x.astype(np.float64), y.astype(np.int32)) for x, y in batches(4)],
        *[(np.asfortranarray(x), y) for x, y in batches(4)], *batches(2),
    ])  # fmt: skip
    assert "4 programs" in captured.report()
    assert captured.replays == 4 * 2 + 2


def test_a_changed_lr_is_honoured():
    def make():
        model = mlp()
        optimizer = optim.Adam(model.parameters(), lr=0.1)
        step, state = training(model, optimizer)
        lrs = iter([0.1, 0.05, 0.2, 0.2, 0.01, 0.3, 1e-3, 0.5])

        def with_lr(x, y):
            return step(x, y)

        def state_then_lr():
            found = state()
            optimizer.lr = next(lrs)
            return found

        return with_lr, state_then_lr

    captured = run_both(make, batches(8))
    assert captured.replays >= 5, captured.report()


def test_a_schedule_inside_the_step():
    def make():
        model = mlp()
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        scheduler = optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
        step, state = training(model, optimizer)

        def both(x, y):
            loss = step(x, y)
            scheduler.step()
            return loss

        return both, lambda: [state(), np.array(optimizer.lr)]

    captured = run_both(make, batches(8))
    assert captured.replays >= 5, captured.report()


def test_replaced_parameters_are_honoured():
    def make():
        model = mlp()
        start = model.state_dict()
        step, state = training(model, optim.SGD(model.parameters(), lr=0.1))
        count = iter(range(100))

        def change():
            found = state()
            match next(count):
                case 3:
                    model.load_state_dict(start)
                case 5:
                    for p in model.parameters():
                        p.data = p.data * 2
                case 7:
                    next(iter(model.parameters())).data = np.asfortranarray(start["0.weight"])
            return found

        return step, change

    assert run_both(make, batches(10)).replays >= 6


def test_training_and_evaluation_are_told_apart():
    def make():
        model = nn.Sequential(nn.Linear(6, 5, rng=1), nn.BatchNorm1d(5), nn.Linear(5, 3, rng=2))
        step, state = training(model, optim.SGD(model.parameters(), lr=0.1))
        modes = iter([True, True, True, False, False, False, True, False, False, True, True, True])

        def switch():
            found = state()
            model.train(next(modes))
            return found

        return step, switch

    assert run_both(make, batches(12)).replays >= 5


def test_a_frozen_parameter_and_a_thawed_one():
    def make():
        model = mlp()
        first = next(iter(model.parameters()))
        step, state = training(model, optim.SGD(model.parameters(), lr=0.1))
        wants = iter([True, True, False, False, False, True, True, True, True])

        def switch():
            found = state()
            first.requires_grad_(next(wants))
            return found

        return step, switch

    assert run_both(make, batches(9)).replays >= 3


def test_branches_on_values():
    def make():
        w = Tensor(np.ones(3, np.float32), requires_grad=True)

        def step(x):
            w.zero_grad()
            y = (x * w).sum()
            if y > 0:
                y = y * y
            y.backward()
            return y

        return step, lambda: w.grad

    calls = [(np.array([s, 2, 1], np.float32),) for s in (1, 2, -9, -8, 1, -7, 3, -6, -5, 4, 5)]
    captured = run_both(make, calls)
    assert captured.replays == len(calls) - 4, captured.report()
    assert "2 programs" in captured.report()


def test_an_error_leaves_what_it_leaves_eagerly():
    def make():
        model = nn.Sequential(nn.Linear(6, 5, rng=1), nn.Linear(5, 3, rng=2))
        return training(model, optim.SGD(model.parameters(), lr=0.1))

    good = batches(8)
    bad = (good[0][0], np.full(8, 7))
    captured = run_both(make, [*good[:5], bad, *good[5:], bad, good[0]])
    assert captured.replays >= 5


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_error_in_the_optimizer_comes_after_the_gradients():
    def make():
        model = mlp()
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        step, state = training(model, optimizer)
        count = iter(range(100))

        def inner(x, y):
            return step(x, y)

        def fail():
            if next(count) == 4:
                raise ValueError("planned")

        def with_failure(x, y):
            optimizer.zero_grad()
            gradcore.cross_entropy(model(x), y).backward()
            gradcore.callback(fail)
            optimizer.step()

        return with_failure, state

    assert run_both(make, batches(8)).replays >= 4


def test_results_do_not_share_memory_with_later_ones():
    model = mlp()
    step, _ = training(model, optim.SGD(model.parameters(), lr=0.1))
    captured = gradcore.capture(step)
    kept = []
    for x, y in batches(8):
        loss = captured(x, y)
        kept.append((loss, loss.item(), [(p.grad, p.grad.copy()) for p in model.parameters()]))
    assert captured.replays
    for loss, value, grads in kept:
        assert loss.item() == value
        for grad, copied in grads:
            np.testing.assert_array_equal(grad, copied)


def test_a_returned_loss_says_that_its_graph_is_freed():
    model = mlp()
    step, _ = training(model, optim.SGD(model.parameters(), lr=0.1))
    captured = gradcore.capture(step)
    for x, y in batches(5):
        loss = captured(x, y)
        with pytest.raises(gradcore.errors.GraphError, match="freed by an earlier backward pass"):
            loss.backward()
    assert captured.replays


def test_parameters_are_changed_in_place_in_a_replay():
    model = mlp()
    step, _ = training(model, optim.SGD(model.parameters(), lr=0.1))
    captured = gradcore.capture(step)
    for x, y in batches(4):
        captured(x, y)
    before = [id(p.data) for p in model.parameters()]
    replays = captured.replays
    captured(*batches(1)[0])
    assert captured.replays == replays + 1
    assert [id(p.data) for p in model.parameters()] == before


def test_modes_traces_and_threads():
    model = mlp()
    step, _ = training(model, optim.SGD(model.parameters(), lr=0.1))
    captured = gradcore.capture(step)
    (x, y), *_ = batches(1)
    for _ in range(4):
        captured(x, y)
    replays = captured.replays
    with gradcore.anomaly():
        captured(x, y)
    assert captured.replays == replays
    forward = gradcore.capture(lambda x: model(x))
    with gradcore.no_grad():
        for _ in range(4):
            np.testing.assert_array_equal(forward(x).data, model(x).data)
    assert forward.replays == 2
    assert forward(x).requires_grad
    assert forward.replays == 2
    results = []
    threads = [threading.Thread(target=lambda: results.append(captured(x, y))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4

"""Training on ranks that are threads: the same numbers as one process, and planted mistakes that show as others."""

import threading

import numpy as np
import pytest
from ranks import Ended, run, values
from resumable import OPTIMIZERS, Notes
from sharing import close, fit, make, same

import gradcore
from gradcore import nn, optim
from gradcore.data import DataLoader
from gradcore.distributed import buckets, shard
from gradcore.distributed.group import Group
from gradcore.train import Trainer, together

# --- the same numbers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2, 3, 4, 5])
@pytest.mark.parametrize("bucket", [1, 64, 1 << 20])
def test_any_number_of_ranks_comes_to_the_losses_and_weights_of_one_process(monkeypatch, size, bucket):
    monkeypatch.setattr(buckets, "BUCKET_BYTES", bucket)
    expected = fit(None)
    found = values(size, fit)
    assert all(close(each, expected) for each in found)
    assert all(same(each, found[0]) for each in found)
    assert str(found[0].model[2].rng.bit_generator.state) == str(expected.model[2].rng.bit_generator.state)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_with_every_optimizer(optimizer):
    def run_it(communicator):
        # No bias before a BatchNorm: its gradient is rounding alone, which Adam and RMSprop make as large as any.
        model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 5, rng=0), nn.Tanh(), nn.Linear(5, 2, rng=1))
        return fit(communicator, model=model, optimizer=optimizer)

    assert close(values(3, run_it)[1], run_it(None))


def test_a_convolutional_network_and_mean_squares():
    def run_it(communicator):
        model = nn.Sequential(
            nn.Conv2d(1, 3, 3, rng=0), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 2, rng=1)
        )  # fmt: skip
        rng = np.random.default_rng(0)
        x, y = (rng.normal(size=shape).astype(np.float32) for shape in ((7, 1, 6, 6), (7, 2)))
        trainer = Trainer(
            model, optim.SGD(model.parameters(), lr=0.1), gradcore.mse_loss, progress=Notes(), communicator=communicator, sync_batch_norm=True,
        )  # fmt: skip
        trainer.fit(DataLoader(x, y, batch_size=5), 2, DataLoader(x, y, batch_size=2))
        return trainer

    assert close(values(3, run_it)[2], run_it(None))


def test_one_rank_is_one_process_bit_for_bit():
    assert same(values(1, fit)[0], fit(None))


def test_an_average_that_does_not_count_rows_is_seen(monkeypatch):
    monkeypatch.setattr(shard.Shard, "weight", property(lambda self: 1 / 3))
    assert not close(values(3, fit)[0], fit(None))


def test_rows_that_are_computed_twice_must_not_count(monkeypatch):
    real = shard.split
    monkeypatch.setattr(together, "split", lambda *args: real(*args)._replace(counts=True))
    found, shared = run(5, fit)
    assert shared.aborted
    assert all(isinstance(each, Ended) for each in found)  # the number of rows is not the batch's


@pytest.mark.parametrize("what", ["sum", "difference"])
def test_statistics_of_each_ranks_own_rows_are_others(what):
    found = values(3, lambda c: fit(c, sync_batch_norm=False, n=20, batch=8))
    assert not close(found[0], fit(None, n=20, batch=8))
    assert all(same(each, found[0]) for each in found)  # the running averages too


def test_a_sum_of_statistics_without_its_derivative_is_seen(monkeypatch):
    from gradcore.distributed import sums

    monkeypatch.setattr(sums.all_sum, "rules", (lambda gy, y, x, group=None: gy,))
    assert not close(values(3, fit)[0], fit(None))


def test_masks_that_each_rank_draws_for_itself_are_seen(monkeypatch):
    monkeypatch.setattr(shard.Shard, "drawn", lambda self, draw, shape: draw(shape))
    found, _ = run(3, fit)
    assert not any(isinstance(each, Trainer) and close(each, fit(None)) for each in found)


def test_a_parameter_that_is_left_out_of_the_buckets_is_seen(monkeypatch):
    real = buckets.Buckets.__init__
    monkeypatch.setattr(
        buckets.Buckets, "__init__", lambda self, params, group: real(self, params[1:], group)
    )
    found, _ = run(3, fit)
    assert not any(isinstance(each, Trainer) and close(each, fit(None)) for each in found)


def test_each_rank_clips_by_the_norm_of_the_average(monkeypatch):
    assert not close(values(2, lambda c: fit(c, clip_norm=0.01))[0], fit(None, clip_norm=None))
    assert close(values(2, lambda c: fit(c, clip_norm=0.01))[0], fit(None, clip_norm=0.01))


def test_running_averages_are_averaged_by_rows():
    def step(communicator):
        model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2, rng=0))
        trainer, batches, _ = make(communicator, model=model, n=7, batch=7, sync_batch_norm=False)
        trainer.fit(batches, 1)
        (x, _), *_ = DataLoader(batches.images, batches.labels, batch_size=7, shuffle=True, seed=0)
        return model[0].running_mean, model[0].running_var, x

    (mean, variance, x), _ = values(2, step)
    parts = x[:3], x[3:]
    expected = sum(len(part) / 7 * part.var(0, ddof=1) for part in parts)
    np.testing.assert_allclose(mean, 0.1 * x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(variance, 0.9 + 0.1 * expected, rtol=1e-5)


class Counting(nn.Module):
    """Buffers of other kinds, and random numbers of its own."""

    def __init__(self):
        super().__init__()
        self.calls = np.array(0)
        self.wide = np.array([0.1, -1e300])
        self.own = np.random.default_rng(3)
        self.linear = nn.Linear(3, 2, rng=0)
        self.seen = []

    def forward(self, x):
        if self.training:
            self.calls += 1
            self.seen.append(float(self.own.random()))
        return self.linear(x)


def test_other_buffers_count_once_and_own_generators_differ_by_rank_and_stay_together():
    found = values(3, lambda c: fit(c, model=Counting()))
    models = [each.model for each in found]
    assert [int(m.calls) for m in models] == [6, 6, 6]
    assert all(m.wide.tolist() == [0.1, -1e300] for m in models)
    assert len({number for m in models for number in m.seen}) == 18
    assert len({str(m.own.bit_generator.state) for m in models}) == 1


def test_a_parameter_that_only_some_ranks_reach_gets_the_average_of_all():
    class Sometimes(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.other = nn.Linear(3, 2, rng=0), nn.Linear(3, 2, rng=1)
            self.never = nn.Linear(3, 2, rng=2)

        def forward(self, x):
            y = self.linear(x)
            first = x.data[:, 0] if hasattr(x, "data") and isinstance(x, gradcore.Tensor) else x[:, 0]
            large = np.flatnonzero(first > 0.5)
            return y + gradcore.where((first > 0.5)[:, None], self.other(x), 0.0) if len(large) else y

    expected = fit(None, model=Sometimes())
    found = values(4, lambda c: fit(c, model=Sometimes()))
    assert all(close(each, expected) for each in found)
    assert found[0].optimizer.steps == expected.optimizer.steps
    assert expected.optimizer.steps[-1] == 0


def test_what_is_computed_again_in_the_backward_pass_is_of_the_same_shard():
    class Again(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(3, 4, rng=0), nn.BatchNorm1d(4, momentum=0.0), nn.Tanh())
            self.last = nn.Linear(4, 2, rng=1)

        def forward(self, x):
            return self.last(gradcore.checkpoint(self.inner)(x) if self.training else self.inner(x))

    expected = fit(None, model=Again())
    assert all(close(each, expected) for each in values(3, lambda c: fit(c, model=Again())))


# --- while the backward pass goes on ------------------------------------------------------------------------------------


def test_sums_begin_before_the_backward_pass_has_ended(monkeypatch):
    monkeypatch.setattr(buckets, "BUCKET_BYTES", 1)
    events = []

    def rule(gy, y, x):
        events.append("first layer")
        return gy

    passed = gradcore.Op(lambda x, /: x.copy(), (rule,), None, name="passed")

    class Watched(nn.Module):
        def forward(self, x):
            return passed(x)

    real = Group.start
    lock = threading.Lock()

    def start(self, array, *, gradients=False):
        with lock:
            if gradients and self.rank == 0:
                events.append("sum")
        return real(self, array, gradients=gradients)

    monkeypatch.setattr(Group, "start", start)

    def step(communicator):
        model = nn.Sequential(nn.Linear(3, 4, rng=0), Watched(), nn.Linear(4, 2, rng=1))
        trainer, batches, _ = make(communicator, model=model, batch=10)
        trainer.fit(batches, 1)

    values(2, step)
    assert events.index("sum") < len(events) - 1 - events[::-1].index("first layer")
    assert events.count("sum") == 4
    assert events[0] == "sum" or events[1] == "sum"

"""Training on ranks that are threads: the same numbers as one process, and planted mistakes that show as others."""

import shutil
import threading

import numpy as np
import pytest
from ranks import Ended, run, values
from resumable import OPTIMIZERS, Notes

import gradcore
from gradcore import nn, optim
from gradcore.data import DataLoader
from gradcore.distributed import buckets, shard
from gradcore.distributed.group import Group
from gradcore.errors import ArgumentError, DivergenceError, Interrupted, OutputError, StateError
from gradcore.train import Checkpoints, Trainer, together

EPOCHS = 2


def make(communicator, *, n=10, batch=4, seed=0, optimizer="sgd", model=None, **more):
    """A trainer and its batches: 10 rows in batches of 4, 4 and 2."""
    if model is None:
        model = nn.Sequential(
            nn.Linear(3, 4, rng=seed),
            nn.BatchNorm1d(4),
            nn.Dropout(0.3, rng=seed + 1),
            nn.ReLU(),
            nn.Linear(4, 2, rng=seed + 2),
        )
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(n, 3)).astype(np.float32), np.arange(n) % 2
    trainer = Trainer(
        model,
        OPTIMIZERS[optimizer](model.parameters(), 0.05),
        **{
            "clip_norm": 0.5, "progress": Notes(), "communicator": communicator, "sync_batch_norm": True, "every": 0, "keep": 99,
            **more,
        },
    )  # fmt: skip
    return trainer, DataLoader(x, y, batch_size=batch, shuffle=True, seed=0), DataLoader(x, y, batch_size=3)


def fit(communicator, *, epochs=EPOCHS, resume=False, **more):
    trainer, batches, test = make(communicator, **more)
    trainer.fit(batches, epochs, test, resume=resume)
    return trainer


def close(found, expected):
    """Whether two trainers ended with the same weights and losses, to the rounding of float32."""
    pairs = zip(found.model.state_dict().values(), expected.model.state_dict().values(), strict=True)
    records = zip(found.history, expected.history, strict=True)
    return all(np.allclose(a, b, rtol=1e-4, atol=3e-6) for a, b in pairs) and all(
        a.keys() == b.keys() and np.allclose([a[k] - b[k] for k in a if k != "seconds"], 0, atol=1e-5)
        for a, b in records
    )


def same(found, expected):
    """Whether two trainers are equal bit for bit, clocks aside."""
    a, b = (
        (
            {k: v.tobytes() for k, v in t.model.state_dict().items()},
            {k: np.asarray(v).tobytes() for k, v in t.optimizer.state_dict().items()},
            [{k: v for k, v in record.items() if k != "seconds"} for record in t.history],
            [str(m.rng.bit_generator.state) for _, m in t.model.named_modules() if hasattr(m, "rng")],
            t.steps,
        )
        for t in (found, expected)
    )
    return a == b


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


# --- ends ---------------------------------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_on_one_rank_ends_all_alike():
    def diverge(communicator):
        trainer, batches, _ = make(communicator, batch=10)
        batches.images[3] = np.inf
        with pytest.raises(DivergenceError) as caught:
            trainer.fit(batches, 1)
        return str(caught.value)

    first, *others = values(3, diverge)
    assert others == [first, first]
    assert "in epoch 1, batch 1: the input batch itself is not finite" in first
    assert first.startswith("on rank ")


def test_a_test_loss_that_is_not_finite_on_one_rank_ends_all_alike():
    def diverge(communicator):
        trainer, batches, test = make(communicator)
        test.images = np.where(np.arange(10)[:, None] == 4, np.float32(np.nan), test.images)
        with pytest.raises(DivergenceError) as caught:
            trainer.fit(batches, 1, test)
        return str(caught.value)

    first, *others = values(3, diverge)
    assert others == [first, first]
    assert first.startswith("on rank 1 the test loss is nan after epoch 1: the input batch itself")


def test_an_error_on_one_rank_ends_all_with_its_message(capfd, tmp_path):
    class Failing(nn.Module):
        def __init__(self, rank):
            super().__init__()
            self.linear, self.rank = nn.Linear(3, 2, rng=0), rank

        def forward(self, x):
            if self.rank == 1:
                raise RuntimeError("out of luck")
            return self.linear(x)

    found, shared = run(3, lambda c: fit(c, model=Failing(c.rank), checkpoint=tmp_path))
    assert shared.aborted[0] == (1, 1)
    assert all(isinstance(each, Ended) for each in found)
    told = capfd.readouterr().err
    assert "RuntimeError: out of luck" in told
    assert (
        f"rank 1: out of luck. All ranks end. The last checkpoint is in {tmp_path}, and fit(..., resume=True)"
        in told
    )


def test_a_signal_on_one_rank_ends_all_at_the_same_step_with_a_checkpoint(tmp_path, monkeypatch):
    real = Trainer._signal

    def signal(self):
        return 15 if self._ranks.rank == 2 and self.steps >= 4 else real(self)

    expected = fit(None)

    def end(communicator):
        trainer, batches, test = make(communicator, checkpoint=tmp_path, every=1e9)
        with pytest.raises(
            Interrupted, match=r"ended by signal 15 after 5 steps; the checkpoint is in "
        ) as caught:
            trainer.fit(batches, EPOCHS, test)
        return caught.value.signal, trainer.steps

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_signal", signal)
        assert values(3, end) == [(15, 5)] * 3
    assert Checkpoints(tmp_path, 1, print).paths()[0].name == "checkpoint-0000000005.safetensors"
    assert close(values(2, lambda c: fit(c, checkpoint=tmp_path, resume=True))[1], expected)


def test_a_signal_during_evaluation_ends_all(tmp_path, monkeypatch):
    real = Trainer._signal

    def signal(self):
        return (
            1
            if self._ranks.rank == 1 and self._position.batch == 3 and not self.model.training
            else real(self)
        )

    monkeypatch.setattr(Trainer, "_signal", signal)

    def end(communicator):
        trainer, batches, test = make(communicator, checkpoint=tmp_path)
        with pytest.raises(Interrupted):
            trainer.fit(batches, EPOCHS, test)
        return trainer.steps

    assert values(2, end) == [3, 3]


# --- checkpoints --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3])
def test_from_each_checkpoint_any_number_of_ranks_goes_on(tmp_path, size):
    whole = values(3, lambda c: fit(c, checkpoint=tmp_path / "whole"))
    expected = fit(None)
    paths = [path for path in (tmp_path / "whole").iterdir() if path.name.startswith("checkpoint")]
    assert len(paths) == 6 + 1 + EPOCHS  # rank 0 alone wrote
    for path in paths[:: 1 if size == 3 else 3]:
        folder = tmp_path / path.name
        folder.mkdir()
        shutil.copy(path, folder)
        found = values(size, lambda c, folder=folder: fit(c, checkpoint=folder, resume=True, seed=7))
        assert all(close(each, expected) for each in found)
        assert all(each.resumed_at == int(path.name[11:21]) for each in found)
        if size == 3:
            assert all(same(each, whole[0]) for each in found), path.name


def test_ranks_begin_with_the_state_of_rank_0():
    found = values(3, lambda c: fit(c, seed=c.rank))
    assert all(close(each, fit(None)) for each in found)


def test_trouble_with_the_folder_is_raised_on_all_ranks(tmp_path):
    (tmp_path / "file").touch()

    def begin(communicator):
        with pytest.raises(OutputError, match="the folder for checkpoints can't be made"):
            fit(communicator, checkpoint=tmp_path / "file" / "below")

    values(2, begin)


def test_patience_ends_all_ranks_in_the_same_epoch(tmp_path):
    expected = fit(None, patience=1, epochs=30)
    assert len(expected.history) < 30
    found = values(3, lambda c: fit(c, patience=1, epochs=30))
    assert [len(each.history) for each in found] == [len(expected.history)] * 3


# --- wrong calls --------------------------------------------------------------------------------------------------------


def refused(size, call, kind, message):
    def on_rank(communicator):
        with pytest.raises(kind, match=message):
            call(communicator)

    found, shared = run(size, on_rank)
    assert shared.aborted == []
    assert [each for each in found if each is not None] == []


def test_ranks_whose_batches_differ_are_refused():
    def call(communicator):
        trainer, batches, _ = make(communicator)
        batches.seed += communicator.rank
        trainer.fit(batches, 1)

    refused(
        2, call, ArgumentError, "its loader is at .* all ranks must have the same batches in the same order"
    )
    refused(
        2,
        lambda c: fit(c, epochs=2 + c.rank),
        ArgumentError,
        "fit got 3 epochs of 3 batches, and on rank 0 2 of 3",
    )
    refused(
        2,
        lambda c: fit(c, n=10 + 9 * c.rank),
        ArgumentError,
        "fit got 2 epochs of 5 batches, and on rank 0 2 of 3",
    )


def test_another_model_on_one_rank_is_refused_on_all():
    refused(
        3,
        lambda c: fit(c, model=nn.Linear(3, 2 + (c.rank == 2), rng=0)),
        StateError,
        r"(rank 2: )?this checkpoint does not fit Linear: 2 differences",
    )


def test_a_call_that_is_wrong_on_one_rank_is_refused_on_all():
    refused(2, lambda c: fit(c, epochs=1 - 2 * c.rank), ValueError, "(rank 1: )?fit got epochs=-1")


@pytest.mark.parametrize("size", [2, 4])
def test_a_loss_that_is_a_sum_is_refused(size):
    def call(communicator):
        trainer, batches, _ = make(communicator, batch=10)
        trainer.loss = lambda y, t: gradcore.cross_entropy(y, t, reduction="sum")
        trainer.fit(batches, 1)

    refused(size, call, ArgumentError, "ranks share batches only for a loss that is an average over examples")


def test_a_random_loss_and_one_with_a_penalty_are_taken():
    def call(communicator, random):
        trainer, batches, _ = make(communicator)
        rng = np.random.default_rng(0)
        weight = trainer.model[0].weight
        trainer.loss = lambda y, t: (
            gradcore.cross_entropy(y, t) + (rng.random() if random else (weight * weight).sum())
        )
        trainer.fit(batches, 1)

    for random in (True, False):
        values(2, lambda c, random=random: call(c, random))


@pytest.mark.parametrize(
    "batch",
    [([[1.0, 2.0, 3.0]], np.array([1])), (np.ones((2, 3)), np.array([1])), (np.float32(1), np.float32(1)), (np.ones((0, 3)), np.ones(0))],
)  # fmt: skip
def test_a_batch_without_rows_to_share_ends_all_with_a_sentence(batch, capfd):
    def call(communicator):
        trainer, _, _ = make(communicator)
        trainer.fit([batch], 1)

    _, shared = run(2, call)
    assert {status for _, status in shared.aborted} == {1}
    assert "a batch that ranks share must be inputs (n, ...) and targets (n, ...)" in capfd.readouterr().err


def test_parameters_that_differ_at_the_end_of_an_epoch_are_refused():
    def call(communicator):
        class Drifting(Notes):
            def batch(self, epoch, batch, loss):
                if communicator.rank == 0:
                    trainer.model[4].bias.data += 1e-3

        trainer, batches, _ = make(communicator, progress=Drifting())
        trainer.fit(batches, 1)

    refused(2, call, StateError, r"(rank 1: )?after epoch 1 4\.bias are not what they are on rank 0")


def test_what_is_no_communicator_is_refused():
    with pytest.raises(ArgumentError, match=r"has no Get_rank.*pass MPI\.COMM_WORLD"):
        make(4)
    with pytest.raises(ArgumentError, match="pass the module's COMM_WORLD"):
        make(np)


def test_communicators_are_given_back():
    kept = []

    class Keeping:
        def __init__(self, inner):
            self.inner = inner

        def __getattr__(self, name):
            return getattr(self.inner, name)

        def Dup(self):
            kept.append(self.inner.Dup())
            return kept[-1]

    values(2, lambda c: fit(Keeping(c)))
    assert len(kept) == 4
    assert all(each.freed for each in kept)

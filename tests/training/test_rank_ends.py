"""Ends of training on ranks that are threads: alike on all, with a checkpoint from which any number goes on."""

import shutil

import numpy as np
import pytest
from ranks import Ended, run, values
from resumable import Notes
from sharing import EPOCHS, close, fit, make, same

import gradcore
from gradcore import nn
from gradcore.errors import ArgumentError, DivergenceError, Interrupted, OutputError, StateError
from gradcore.train import Checkpoints, Trainer

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

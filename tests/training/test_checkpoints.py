"""Checkpoints: from each of them the run goes on bit for bit, and no moment is the wrong one to be killed."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from resumable import EPOCHS, OPTIMIZERS, STEPS, Notes, fit, make, result

from gradcore import nn, optim
from gradcore.errors import CheckpointError, DataError, DomainError, OutputError, StateError
from gradcore.io import atomic, load_tensors
from gradcore.train import Checkpoints, Trainer, read_checkpoint
from gradcore.train.checkpoints import write_checkpoint


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_from_each_checkpoint_the_run_goes_on_bit_for_bit(tmp_path, optimizer):
    whole = fit(make(tmp_path / "whole", optimizer=optimizer))
    assert result(whole) == result(fit(make(None, optimizer=optimizer)))  # they do not change the run
    paths = [path for path in (tmp_path / "whole").iterdir() if path.name.startswith("checkpoint")]
    assert len(paths) == STEPS + 1 + EPOCHS
    for path in paths:
        folder = tmp_path / path.name
        folder.mkdir()
        shutil.copy(path, folder)
        other = fit(make(folder, seed=7, optimizer=optimizer, lr=0.3), resume=True)
        assert result(other) == result(whole), path.name
        assert other.resumed_at == int(path.name[11:21])
        assert other.optimizer.lrs == make(None, optimizer=optimizer)[0].optimizer.lrs


class Killed(BaseException):
    pass


def test_a_run_that_is_killed_at_any_moment_of_writing_goes_on_bit_for_bit(tmp_path, monkeypatch):
    expected = result(fit(make(tmp_path / "whole")))
    best = (tmp_path / "whole/best.safetensors").read_bytes()
    real = {
        (os, "fsync"): os.fsync,
        (Path, "replace"): Path.replace,
        (Path, "open"): Path.open,
        (Path, "unlink"): Path.unlink,
    }
    left = [0]
    with_remains = 0

    def counted(function, after):
        def run(*args, **kwargs):
            left[0] -= 1
            if left[0] == 0 and not after:
                raise Killed
            found = function(*args, **kwargs)
            if left[0] == 0:
                if found is not None and hasattr(found, "close"):
                    found.close()
                raise Killed
            return found

        return run

    for moment in range(1, 500):
        folder = tmp_path / str(moment)
        left[0] = moment
        with monkeypatch.context() as patch:
            for (owner, name), function in real.items():
                patch.setattr(owner, name, counted(function, moment % 2))
            patch.setattr(
                atomic, "_remove", lambda path: None
            )  # nothing is cleaned up by a process that is killed
            try:
                fit(make(folder, keep=1))
                break
            except Killed:
                pass
        with_remains += any(name.endswith(".tmp") for name in names(folder))
        resumed = fit(make(folder, keep=1), resume=True)
        assert result(resumed) == expected, moment
        assert names(folder) == ["best.safetensors", "checkpoint-0000000006-epoch-2.safetensors"], moment
        assert (folder / "best.safetensors").read_bytes() == best
        assert resumed.progress.messages == []
        shutil.rmtree(folder)
    assert 50 < moment < 499
    assert with_remains > 10


def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_it_is_used(tmp_path):
    expected = result(fit(make(tmp_path)))
    last, before, *_ = Checkpoints(tmp_path, 1, print).paths()
    content = bytearray(last.read_bytes())
    content[-3] ^= 1
    last.write_bytes(content)
    before.write_bytes(before.read_bytes()[:-1])
    resumed = fit(make(tmp_path, seed=3), resume=True)
    assert result(resumed) == expected
    assert resumed.resumed_at == 5
    assert f"{last.name}.damaged" in names(tmp_path)
    assert f"{before.name}.damaged" in names(tmp_path)
    first, second = resumed.progress.messages
    assert "do not agree with the checksum" in first
    assert f"It is set aside as {last.name}.damaged, and what was written before it is used" in first
    assert "truncated" in second


def test_where_all_are_damaged_the_run_begins_anew(tmp_path):
    expected = result(fit(make(tmp_path)))
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    resumed = fit(make(tmp_path), resume=True)
    assert result(resumed) == expected
    assert resumed.resumed_at is None


def test_a_checkpoint_with_a_checksum_and_without_sense_is_set_aside_too(tmp_path):
    expected = result(fit(make(tmp_path)))
    path = Checkpoints(tmp_path, 1, print).paths()[0]
    snapshot = read_checkpoint(path)
    write_checkpoint(path, snapshot._replace(state={**snapshot.state, "batch": -1}))
    resumed = fit(make(tmp_path, seed=3), resume=True)
    assert result(resumed) == expected
    assert "'batch' is -1" in resumed.progress.messages[0]


def test_a_finished_run_is_not_run_again(tmp_path):
    whole = fit(make(tmp_path))
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = make(tmp_path, seed=3)
    assert again[0].fit(*again[1:2], EPOCHS, again[2], resume=True) == whole.history
    assert result(again[0]) == result(whole)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("keep", "every", "expected"),
    [
        (1, 0, ["checkpoint-0000000006-epoch-2"]),
        (2, 0, ["checkpoint-0000000006", "checkpoint-0000000006-epoch-2"]),
        (2, 1e9, ["checkpoint-0000000003-epoch-1", "checkpoint-0000000006-epoch-2"]),
    ],
)
def test_the_last_checkpoints_are_kept(tmp_path, keep, every, expected):
    fit(make(tmp_path, keep=keep, every=every))
    assert names(tmp_path) == ["best.safetensors", *sorted(f"{name}.safetensors" for name in expected)]


def test_the_checkpoint_of_the_last_whole_epoch_stays_beside_the_last_ones(tmp_path):
    seen = []

    class Watching(Notes):
        def batch(self, epoch, batch, loss):
            seen.append([path.name[11:-12] for path in Checkpoints(tmp_path, 1, print).paths()])

    fit(make(tmp_path, keep=1, progress=Watching()))
    assert seen[2] == ["0000000002", "0000000000-epoch-0"]
    assert seen[5] == ["0000000005", "0000000003-epoch-1"]


def test_the_order_of_checkpoints_is_that_of_steps_and_not_of_letters(tmp_path):
    for name in ("9999999999", "10000000000", "9999999999-epoch-10", "0000000003"):
        (tmp_path / f"checkpoint-{name}.safetensors").touch()
    (tmp_path / "checkpoint-5.safetensors").touch()
    (tmp_path / "checkpoint-0000000003.safetensors.damaged").touch()
    assert [path.name[11:-12] for path in Checkpoints(tmp_path, 1, print).paths()] == [
        "10000000000",
        "9999999999-epoch-10",
        "9999999999",
        "0000000003",
    ]


def test_checkpoints_of_another_run_are_neither_used_nor_overwritten(tmp_path):
    fit(make(tmp_path))
    before = names(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"holds checkpoints of another run: continue it by fit\(..., resume=True\)"
    ):
        fit(make(tmp_path))
    assert names(tmp_path) == before


def test_fitting_again_goes_on_in_the_same_folder_and_can_be_resumed(tmp_path):
    trainer, batches, test = make(tmp_path)
    trainer.fit(batches, 1, test)
    trainer.fit(batches, 2, test)
    assert trainer.steps == 9
    other, batches, test = make(tmp_path, seed=4)
    assert len(other.fit(batches, 2, test, resume=True)) == 2
    assert result(other) == result(trainer)


def test_another_number_of_epochs_model_optimizer_or_loader_is_refused_and_changes_nothing(tmp_path):
    fit(make(tmp_path))
    trainer, batches, test = make(tmp_path, seed=4)
    with pytest.raises(
        StateError, match="belongs to a fit of 2 epochs of 3 batches, and this is one of 5 epochs of 3"
    ):
        trainer.fit(batches, 5, test, resume=True)
    with pytest.raises(StateError, match="holds the state of Adam, and the optimizer is SGD"):
        fit(make(tmp_path, optimizer="sgd"), resume=True)
    other = make(tmp_path, seed=4)
    other[1].batch_size = 5
    before = result(other[0])
    with pytest.raises(DataError, match="gives other batches"):
        fit(other, resume=True)
    assert result(other[0]) == before
    model = nn.Linear(3, 2, rng=0)
    wrong = Trainer(model, optim.Adam(model.parameters()), progress=Notes(), checkpoint=tmp_path)
    with pytest.raises(StateError, match=r"this checkpoint does not fit Linear: \d+ differences"):
        wrong.fit(batches, 2, test, resume=True)
    assert not [name for name in names(tmp_path) if name.endswith(".damaged")]


def test_arrays_that_do_not_fit_are_refused_before_they_are_read(tmp_path, monkeypatch):
    fit(make(tmp_path))
    other = make(tmp_path, seed=1)
    other[0].optimizer.params[0].data = np.zeros((7, 4), np.float32)
    monkeypatch.setattr("gradcore.io.tensors._read_arrays", lambda *_: pytest.fail("it read"))
    with pytest.raises(StateError, match="differences"):
        fit(other, resume=True)


def test_batches_in_a_list_are_resumed_by_their_order(tmp_path):
    def run(folder, seed=0, **more):
        trainer, _, test = make(folder, seed=seed)
        pairs = list(make(None)[1])
        pairs[0] = (pairs[0][0] * 3, pairs[0][1])  # so that the first does not pass for another
        trainer.fit(pairs, 2, test, **more)
        return trainer

    whole = run(tmp_path)
    for path in Checkpoints(tmp_path, 1, print).paths()[:6]:
        path.unlink()
    assert result(run(tmp_path, seed=5, resume=True)) == result(whole)


@pytest.mark.parametrize(
    ("count", "message"),
    [(2, "more than 2, and their length said 2"), (4, "only 3, and their length said 4")],
)
def test_a_length_that_is_wrong_is_refused(count, message):
    class Batches(list):
        def __len__(self):
            return count

    trainer, batches, _ = make(None)
    with pytest.raises(DataError, match=message):
        trainer.fit(Batches(batches), 1)


def test_calls_that_can_not_be_are_refused(tmp_path):
    trainer, batches, _ = make(None)
    with pytest.raises(DomainError, match="resume needs a folder"):
        trainer.fit(batches, 1, resume=True)
    with pytest.raises(DomainError, match="patience=0: it is a number of epochs"):
        make(None, patience=0)
    with pytest.raises(DomainError, match="patience looks at the test loss"):
        make(None, patience=1)[0].fit(batches, 1)
    for wrong in ({"every": -1.0}, {"every": float("nan")}, {"keep": 0}):
        with pytest.raises(
            DomainError, match="expected seconds, 0 or more, and a number of files, 1 or more"
        ):
            make(tmp_path, **wrong)
    with pytest.raises(DomainError, match="no checkpoints to rescue"):
        trainer.rescue(batches)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="the folder for checkpoints can't be made"):
        fit(make(tmp_path / "file" / "below"))


def test_the_best_model_by_test_loss_is_kept_beside_the_last(tmp_path):
    trainer, batches, _ = make(tmp_path, metadata={"mine": "too"})
    models = []

    class Test(list):
        """Targets whose loss is lowest after the second epoch."""

        def __iter__(self):
            models.append(trainer.model.state_dict())
            factor = [1.0, 3.0, 2.0, 3.0][len(models) - 1]
            return iter(
                [(np.ones((2, 3), np.float32), np.array([0, 1]) if factor == 3.0 else np.array([0, 0]))]
            )

        def __len__(self):
            return 1

    trainer.loss = lambda outputs, targets: (outputs * 0.0).sum() + (1.0 if targets[1] else 2.0)
    trainer.fit(batches, 4, Test())
    tensors, metadata = load_tensors(tmp_path / "best.safetensors")
    assert all(np.array_equal(tensors[name], models[1][name]) for name in tensors)
    assert metadata == {"mine": "too", "gradcore-best": '{"epoch": 2, "test_loss": 1.0}'}


def test_a_best_model_that_is_gone_or_damaged_is_told_and_the_next_best_is_kept(tmp_path):
    fit(make(tmp_path))
    for path in tmp_path.iterdir():
        if path.name > "checkpoint-0000000004":
            path.unlink()
    (tmp_path / "best.safetensors").write_bytes(b"")
    resumed = fit(make(tmp_path), resume=True)
    assert "The best model so far can't be read" in resumed.progress.messages[0]
    best = load_tensors(tmp_path / "best.safetensors")[0]
    assert all(np.array_equal(best[name], array) for name, array in resumed.model.state_dict().items())


@pytest.mark.parametrize(
    ("losses", "patience", "epochs"),
    [([3, 2, 2, 1, 5, 5], 2, 6), ([3, 2, 2, 2, 1], 2, 4), ([1, 1], 1, 2), ([5, 4, 3, 2], 1, 4)],
)
def test_patience_ends_a_run_after_epochs_without_a_lower_test_loss(monkeypatch, losses, patience, epochs):
    trainer, batches, test = make(None, patience=patience)
    values = iter(losses)
    monkeypatch.setattr(Trainer, "_test", lambda *_: {"loss": float(next(values))})
    assert len(trainer.fit(batches, len(losses), test)) == epochs


def test_a_checkpoint_is_written_within_an_epoch_once_its_time_has_come(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(
        "gradcore.train.trainer.time.monotonic", lambda: now.__setitem__(0, now[0] + 1) or now[0]
    )
    fit(make(tmp_path, every=1.5))
    steps = [path.name[11:21] for path in Checkpoints(tmp_path, 1, print).paths() if "epoch" not in path.name]
    assert steps == ["0000000005", "0000000002"]  # the clock goes on by one at each look
    fit(make(tmp_path / "never", every=1e9))
    assert not [
        name for name in names(tmp_path / "never") if name.startswith("checkpoint") and "epoch" not in name
    ]

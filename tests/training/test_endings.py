"""How a run may end: by signals, by divergence, and without a folder to write to."""

import os
import shutil
import signal
import tempfile
from pathlib import Path

import numpy as np
import pytest
from resumable import Notes, fit, make, result

from gradcore import nn, optim
from gradcore.errors import DivergenceError, Interrupted, OutputError
from gradcore.io import atomic, load_tensors
from gradcore.train import Checkpoints, Trainer
from gradcore.train.signals import SIGNALS, AtOnce, Deferred


def names(folder):
    return sorted(path.name for path in folder.iterdir())


class Acting(Notes):
    """Does something after a step, and keeps what is told."""

    def __init__(self, step, act):
        super().__init__()
        self.left, self.act = step, act

    def batch(self, epoch, batch, loss):
        self.left -= 1
        if self.left == 0:
            self.act()


@pytest.fixture
def no_handlers():
    """The handlers of the system, as a command started by hand has them; afterwards those from before."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


# --- signals ------------------------------------------------------------------------------------------------------


def test_the_signals_are_those_that_ask_a_process_to_end():
    assert {number.name for number in SIGNALS} == {"SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU"}


@pytest.mark.usefixtures("no_handlers")
@pytest.mark.parametrize("step", [1, 2, 3, 6])
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_lets_the_step_end_and_the_run_goes_on_bit_for_bit(tmp_path, number, step):
    expected = result(fit(make(tmp_path / "whole")))
    made = make(tmp_path / "run", progress=Acting(step, lambda: signal.raise_signal(number)), every=1e9)
    with pytest.raises(
        Interrupted, match=rf"ended by signal {number.value} after {step} steps; .*resume=True"
    ) as caught:
        fit(made)
    assert caught.value.signal == number
    assert made[0].steps == step
    assert Checkpoints(tmp_path / "run", 1, print).paths()[0].name == f"checkpoint-{step:010d}.safetensors"
    assert [signal.getsignal(each) for each in SIGNALS] == [signal.SIG_DFL] * len(SIGNALS)
    assert result(fit(make(tmp_path / "run", seed=3), resume=True)) == expected


@pytest.mark.usefixtures("no_handlers")
def test_a_signal_during_the_test_of_an_epoch_does_not_wait_for_its_end(tmp_path):
    expected = result(fit(make(tmp_path / "whole")))
    trainer, batches, test = make(tmp_path / "run")
    seen = []

    class Test(list):
        def __iter__(self):
            for pair in test:
                seen.append(len(seen))
                signal.raise_signal(signal.SIGTERM)
                yield pair

        def __len__(self):
            return 2

    with pytest.raises(Interrupted):
        trainer.fit(batches, 2, Test())
    assert seen == [0]
    assert trainer.history == []
    assert result(fit(make(tmp_path / "run", seed=3), resume=True)) == expected


@pytest.mark.usefixtures("no_handlers")
def test_more_signals_while_a_checkpoint_is_written_do_not_stop_it(tmp_path, monkeypatch):
    fsync = os.fsync

    def interrupted(descriptor):
        signal.raise_signal(signal.SIGINT)
        fsync(descriptor)
        signal.raise_signal(signal.SIGTERM)

    def act():
        signal.raise_signal(signal.SIGHUP)
        monkeypatch.setattr(os, "fsync", interrupted)

    with pytest.raises(Interrupted) as caught:
        fit(make(tmp_path, progress=Acting(2, act), every=1e9))
    assert caught.value.signal == signal.SIGHUP  # the first
    assert names(tmp_path) == [
        "checkpoint-0000000000-epoch-0.safetensors",
        "checkpoint-0000000002.safetensors",
    ]


def test_a_signal_that_is_ignored_stays_ignored(tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        made = make(tmp_path, progress=Acting(1, lambda: signal.raise_signal(signal.SIGHUP)))
        assert len(fit(made).history) == 2
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("no_handlers")
def test_without_checkpoints_signals_do_what_they_did():
    class MarkError(Exception):
        pass

    def handler(*_):
        raise MarkError

    signal.signal(signal.SIGTERM, handler)
    with pytest.raises(MarkError):
        fit(make(None, progress=Acting(1, lambda: signal.raise_signal(signal.SIGTERM))))


@pytest.mark.usefixtures("no_handlers")
def test_a_deferred_signal_is_raised_when_the_context_is_left():
    seen = []
    with pytest.raises(Interrupted) as caught, Deferred() as signals:  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        seen.append(signals.received)
        signal.raise_signal(signal.SIGTERM)
    assert (seen, caught.value.signal) == ([signal.SIGINT], signal.SIGINT)
    with pytest.raises(KeyError), Deferred():  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        raise KeyError
    with pytest.raises(Interrupted, match=f"ended by signal {signal.SIGTERM.value}"), AtOnce():  # noqa: PT012
        signal.raise_signal(signal.SIGTERM)
        pytest.fail("it went on")
    assert isinstance(caught.value, KeyboardInterrupt)


# --- divergence ---------------------------------------------------------------------------------------------------


def finite(folder):
    last = load_tensors(Checkpoints(folder, 1, print).paths()[0])[0]
    return all(np.isfinite(array).all() for name, array in last.items() if name.startswith("model."))


def spoiled(trainer, value=np.nan):
    trainer.model[3].weight.data[1, 0] = value


def test_a_parameter_that_is_not_finite_after_the_last_step_is_a_divergence(tmp_path):
    trainer, batches, test = make(tmp_path, every=1e9)
    trainer.progress = Acting(6, lambda: spoiled(trainer))
    with pytest.raises(
        DivergenceError,
        match=r"parameter 3.weight of shape \(4, 2\) is not finite after the last step of epoch 2: .*--clip-norm 1",
    ):
        trainer.fit(batches, 2, test)
    assert len(trainer.history) == 1
    assert names(tmp_path)[-1] == "checkpoint-0000000003-epoch-1.safetensors"
    assert finite(tmp_path)


def test_a_checkpoint_of_parameters_that_are_not_finite_is_never_written(tmp_path):
    trainer, batches, test = make(tmp_path)
    trainer.progress = Acting(2, lambda: spoiled(trainer, np.inf))
    with pytest.raises(DivergenceError, match=r"is not finite after step 2"):
        trainer.fit(batches, 2, test)
    assert finite(tmp_path)


def test_a_test_loss_that_is_not_finite_is_a_divergence_and_the_op_is_named(tmp_path):
    trainer, batches, _ = make(tmp_path, every=1e9)
    x = np.full((5, 3), 1e38, np.float32)
    x[:, 1] = -1e38
    with pytest.raises(
        DivergenceError,
        match=r"the test loss is \w+ after epoch 1: the first op whose output is not finite is",
    ):
        trainer.fit(batches, 2, [(x * 3, np.zeros(5, int))])
    assert trainer.history == []
    assert "best.safetensors" not in names(tmp_path)


def test_a_divergence_leaves_the_best_model_as_it_was(tmp_path):
    trainer, batches, test = make(tmp_path)
    trainer.fit(batches, 1, test)
    before = (tmp_path / "best.safetensors").read_bytes()
    trainer.loss = lambda outputs, targets: (outputs * np.float32(np.nan)).sum()
    with pytest.raises(DivergenceError, match="the loss is nan in epoch 2, batch 1"):
        trainer.fit(batches, 1, test)
    assert (tmp_path / "best.safetensors").read_bytes() == before


# --- trouble with the folder --------------------------------------------------------------------------------------


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path / "temporary"


def vanish(folder):
    shutil.rmtree(folder)


def become_a_file(folder):
    shutil.rmtree(folder)
    folder.touch()


@pytest.mark.parametrize("trouble", [vanish, become_a_file])
def test_a_folder_that_is_gone_is_told_once_and_the_run_is_saved_elsewhere(tmp_path, temporary, trouble):
    expected = result(fit(make(tmp_path / "whole")))
    made = make(tmp_path / "run", progress=Acting(4, lambda: trouble(tmp_path / "run")))
    with pytest.raises(OutputError, match=r"The last checkpoint is in .*temporary.* instead"):
        fit(made)
    assert [text.startswith("A checkpoint could not be written: ") for text in made[0].progress.messages] == [
        True
    ]
    assert "Training goes on, and each checkpoint tries it again" in made[0].progress.messages[0]
    assert result(made[0]) == expected
    assert made[0].rescued.parent == temporary
    assert made[0].rescued.name.startswith("gradcore-run-")
    assert names(made[0].rescued) == ["best.safetensors", "checkpoint-0000000006-epoch-2.safetensors"]
    assert result(fit(make(made[0].rescued, seed=4), resume=True)) == expected


@pytest.mark.usefixtures("no_handlers")
def test_a_signal_without_a_folder_saves_elsewhere_as_well(tmp_path, temporary):
    expected = result(fit(make(tmp_path / "whole")))

    def act():
        vanish(tmp_path / "run")
        signal.raise_signal(signal.SIGTERM)

    made = make(tmp_path / "run", progress=Acting(2, act))
    with pytest.raises(Interrupted, match=r"the checkpoint is in .*temporary"):
        fit(made)
    assert result(fit(make(made[0].rescued, seed=4), resume=True)) == expected


def test_a_disk_that_is_full_for_a_while_costs_nothing(tmp_path, monkeypatch):
    real, real_remove = os.fsync, atomic._remove

    def full(descriptor):
        raise OSError(28, "No space left on device")

    steps = []

    class Filling(Notes):
        def batch(self, epoch, batch, loss):
            steps.append(batch)
            monkeypatch.setattr(os, "fsync", full if len(steps) in (2, 3) else real)

    # Where the folder is read-only for a while, the temporary file can't be removed at first.
    monkeypatch.setattr(
        "gradcore.io.atomic._remove", lambda path: real_remove(path) if len(steps) > 3 else None
    )
    made = make(tmp_path, progress=Filling())
    fit(made)
    assert not [name for name in names(tmp_path) if name.endswith(".tmp")]
    first, second = made[0].progress.messages
    assert "No space left on device" in first
    assert second == f"Checkpoints are written again to {tmp_path}"
    assert made[0].rescued is None
    assert result(fit(make(tmp_path, seed=2), resume=True)) == result(made[0])
    assert (tmp_path / "best.safetensors").exists()


def test_where_nothing_can_be_written_at_all_both_places_are_named(tmp_path, temporary, monkeypatch):
    made = make(
        tmp_path / "run", progress=Acting(2, lambda: (vanish(tmp_path / "run"), shutil.rmtree(temporary)))
    )
    with pytest.raises(OutputError, match="no folder can be made among the system's temporary files"):
        fit(made)


def test_the_first_checkpoint_must_be_written(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    made = make(tmp_path)
    with pytest.raises(OutputError, match="No space left on device"):
        fit(made)
    assert made[0].steps == 0
    assert made[0].progress.messages == []  # the error says it
    assert names(tmp_path) == []


def test_a_model_that_is_not_finite_at_the_start_is_not_trained(tmp_path):
    made = make(tmp_path)
    spoiled(made[0])
    with pytest.raises(DivergenceError, match=r"parameter 3.weight .* is not finite after the start"):
        fit(made)
    assert names(tmp_path) == []


def test_output_that_nobody_takes_leaves_a_checkpoint(tmp_path):
    def act():
        raise BrokenPipeError(32, "Broken pipe")

    expected = result(fit(make(tmp_path / "whole")))
    with pytest.raises(BrokenPipeError):
        fit(make(tmp_path / "run", progress=Acting(5, act), every=1e9))
    resumed = fit(make(tmp_path / "run", seed=3), resume=True)
    assert (resumed.resumed_at, result(resumed)) == (5, expected)


def test_a_message_that_nobody_takes_does_not_end_training(tmp_path, temporary):
    class Deaf(Acting):
        def message(self, text):
            raise OSError(5, "Input/output error")

    made = make(tmp_path / "run", progress=Deaf(1, lambda: vanish(tmp_path / "run")))
    with pytest.raises(OutputError, match="instead"):
        fit(made)
    assert len(made[0].history) == 2


def test_an_old_checkpoint_that_can_not_be_removed_is_told(tmp_path, monkeypatch):
    unlink = Path.unlink

    def refuse(self, *args, **kwargs):
        if "checkpoint-0000000000" in self.name and not self.name.endswith(".tmp"):
            raise PermissionError(13, "Permission denied")
        unlink(self, *args, **kwargs)

    monkeypatch.setattr(Path, "unlink", refuse)
    made = make(tmp_path, keep=1)
    fit(made)
    assert "an old checkpoint can't be removed: Permission denied" in made[0].progress.messages[0]


def test_seconds_are_those_of_training_alone(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("gradcore.train.trainer.time.perf_counter", lambda: now[0])
    monkeypatch.setattr(Trainer, "_test", lambda *_: now.__setitem__(0, now[0] + 100) or {"loss": 1.0})
    model = nn.Linear(3, 2, rng=0)
    step = optim.SGD.step
    monkeypatch.setattr(optim.SGD, "step", lambda self: (now.__setitem__(0, now[0] + 1), step(self))[1])
    trainer = Trainer(model, optim.SGD(model.parameters()), progress=Notes())
    _, batches, test = make(None)
    assert [record["seconds"] for record in trainer.fit(batches, 2, test)] == [3.0, 3.0]

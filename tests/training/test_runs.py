"""The folder of a run, and `gradcore train` from its start to its end, whatever comes between."""

import json
import shutil
import signal
import tempfile

import numpy as np
import pytest
from running import WHOLE, names, on_epoch, result, resume, train, write_data

from gradcore.cli import main
from gradcore.errors import CheckpointError, OutputError
from gradcore.runs import folder as folders
from gradcore.runs import training
from gradcore.runs.folder import RESULTS, locked, next_folder, read_config
from gradcore.train.signals import SIGNALS

# --- a folder for each run ----------------------------------------------------------------------------------------


def test_a_run_leaves_its_settings_its_checkpoints_and_its_results(data, tmp_path, capsys):
    assert train("--seed", "3", "--optimizer", "sgd") == 0
    assert names(tmp_path / "out") == WHOLE
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert config["gradcore-run"] == 1
    assert config["settings"] == {
        "data": str(data), "model": "mlp", "hidden": [128, 64], "epochs": 3, "batch_size": 8, "optimizer": "sgd", "lr": 0.05,
        "momentum": 0.9, "weight_decay": 0.0, "clip_norm": None, "schedule": "linear", "patience": None, "seed": 3, "sync_batch_norm": False, "threads": None,
        "checkpoint_every": 30.0,
    }  # fmt: skip
    assert {key: config["data"][key] for key in ("name", "train", "test")} == {
        "name": "data",
        "train": 24,
        "test": 10,
    }
    assert set(config["versions"]) == {"gradcore", "numpy", "python", "machine"}
    assert config["versions"]["numpy"] == np.__version__
    assert config["threads"] == 1
    assert config["model"]["input_shape"] == [1, 3, 4]
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Run ")]
    assert line.startswith(
        f"Run out: data {data}, model mlp, hidden 128,64, epochs 3, batch-size 8, optimizer sgd, lr 0.05"
    )
    assert f"seed 3, checkpoint-every 30.0, gradcore 0.1.0, numpy {np.__version__}" in line


def test_runs_without_a_name_are_numbered(tmp_path):
    for name in ("0003", "notes", "12", "9999x"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    assert [next_folder(tmp_path / "runs").name for _ in range(2)] == ["0004", "0005"]
    assert next_folder(tmp_path / "new" / "one").name == "0001"
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="it exists and is not a folder"):
        next_folder(tmp_path / "file")


def test_two_runs_that_begin_at_once_get_two_numbers(tmp_path, monkeypatch):
    mkdir = folders.Path.mkdir
    taken = []

    def other_first(self, *args, **kwargs):
        if self.name == "0001" and not taken:
            taken.append(mkdir(self))
        return mkdir(self, *args, **kwargs)

    monkeypatch.setattr(folders.Path, "mkdir", other_first)
    assert next_folder(tmp_path).name == "0002"


@pytest.mark.parametrize(
    "name", [*RESULTS, "config.json", "best.safetensors", "checkpoint-0000000000-epoch-0.safetensors"]
)
def test_a_folder_that_holds_a_run_is_refused_before_anything_is_done(
    data, tmp_path, capsys, name, monkeypatch
):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).touch()
    monkeypatch.setattr(training, "_Run", lambda *_: pytest.fail("it loaded"))
    assert train() == 1
    said = capsys.readouterr().err
    assert (
        "out holds a run: continue it with --resume out, replace it with --overwrite, or choose another --out"
        in said
    )
    assert names(tmp_path / "out") == [name]


def test_a_folder_with_other_files_takes_a_run(data, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").touch()
    assert train() == 0
    assert names(tmp_path / "out") == [*WHOLE, "notes.txt"]


def test_overwriting_replaces_the_run_once_the_new_one_has_ended(data, tmp_path):
    assert train("--seed", "1") == 0
    (tmp_path / "out/notes.txt").touch()
    before = result(tmp_path / "out")
    assert train("--overwrite") == 0
    assert names(tmp_path / "out") == WHOLE
    assert result(tmp_path / "out") != before
    assert names(tmp_path / "out.previous-1") == ["notes.txt"]  # what is not ours stays
    assert train("--overwrite") == 0
    assert names(tmp_path) == ["data", "out", "out.previous-1"]


def test_a_run_that_diverges_costs_no_good_model(data, tmp_path, capsys):
    assert train() == 0
    before = result(tmp_path / "out")
    assert train("--overwrite", "--optimizer", "sgd", "--lr", "1e30") == 1
    assert "not finite" in capsys.readouterr().err
    assert result(tmp_path / "out.previous-1") == before
    assert "model.safetensors" not in names(tmp_path / "out")
    assert main(["evaluate", "out", "--data", "data"]) == 0  # the last good checkpoint


def test_one_process_at_a_time_writes_a_run(data, tmp_path, capsys):
    assert train() == 0
    with locked(tmp_path / "out"):
        assert resume() == 1
        assert "another process writes this run at this moment" in capsys.readouterr().err
        assert train("--overwrite") == 1
        assert names(tmp_path / "out") == WHOLE
    assert resume() == 0
    with pytest.raises(OutputError, match="can't be opened"), locked(tmp_path / "nowhere"):
        pytest.fail("it went on")


def test_what_killed_runs_left_is_removed_by_the_next(data, tmp_path):
    assert train() == 0
    (tmp_path / f"out/.model.safetensors.{'a' * 16}.tmp").touch()
    assert resume() == 0
    assert names(tmp_path / "out") == WHOLE


# --- going on -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("epoch", [1, 3])
def test_a_run_ended_by_a_signal_goes_on_bit_for_bit(data, tmp_path, capsys, monkeypatch, number, epoch):
    assert train(out="whole") == 0
    with monkeypatch.context() as patch:
        on_epoch(patch, epoch, lambda: signal.raise_signal(number))
        assert train() == 128 + number
    said = capsys.readouterr().err
    assert "Continue with: gradcore train --resume out" in said
    assert f"gradcore train: ended by signal {number.value}" in said
    assert "model.safetensors" not in names(tmp_path / "out")
    assert resume() == 0
    assert "Resuming out from checkpoint-00" in capsys.readouterr().out
    assert result(tmp_path / "out") == result(tmp_path / "whole")
    assert names(tmp_path / "out") == WHOLE


def test_a_finished_run_says_so(data, tmp_path, capsys):
    assert train() == 0
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert resume() == 0
    assert "out is finished, after 3 epochs: there is nothing to resume" in capsys.readouterr().out
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before


def test_results_that_are_missing_are_written_when_the_run_is_resumed(data, tmp_path, capsys):
    assert train() == 0
    before = result(tmp_path / "out")
    for name in ("model.safetensors", "mistakes.png", "history.jsonl"):
        (tmp_path / "out" / name).unlink()
    assert resume() == 0
    assert result(tmp_path / "out") == before
    assert names(tmp_path / "out") == WHOLE


def test_a_run_that_was_killed_before_its_first_checkpoint_begins(data, tmp_path, capsys):
    assert train(out="whole") == 0
    (tmp_path / "out").mkdir()
    shutil.copy(tmp_path / "whole/config.json", tmp_path / "out")
    assert resume() == 0
    assert "from the start, as no checkpoint was reached" in capsys.readouterr().out
    assert result(tmp_path / "out") == result(tmp_path / "whole")


def test_a_run_whose_data_changed_is_not_continued(data, tmp_path, capsys):
    assert train() == 0
    write_data(data, seed=1)
    assert resume() == 1
    assert f"{data} is not the data that the run in out was trained on" in capsys.readouterr().err


def test_other_versions_and_threads_are_told(data, tmp_path, capsys):
    assert train() == 0
    config = json.loads((tmp_path / "out/config.json").read_text())
    config["versions"]["numpy"] = "1.0"
    del config["threads"]
    (tmp_path / "out/config.json").write_text(json.dumps(config))
    assert resume() == 0
    said = capsys.readouterr().out
    assert "Note: the versions were {" in said
    assert "Note: the threads were None and are 1 now" in said


def test_what_is_no_run_is_refused(data, tmp_path, capsys):
    (tmp_path / "runs/0001").mkdir(parents=True)
    (tmp_path / "file").touch()
    for folder, message in [
        ("nowhere", "expected the folder of a run, found nothing there"),
        ("file", "expected the folder of a run, found a file there"),
        ("runs/0001", "expected the folder of a run, found no config.json in it"),
    ]:
        assert resume(folder) == 1
        assert message in capsys.readouterr().err
    (tmp_path / "runs/0001/config.json").touch()
    assert resume("runs") == 1
    assert "runs is not the folder of one run, but holds 0001: name one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update({"gradcore-run": 2}), "'gradcore-run' is not 1"),
        (lambda c: c.update({"gradcore-run": True}), "'gradcore-run' is not 1"),
        (lambda c: c.pop("settings"), "settings are an object"),
        (lambda c: c["settings"].pop("lr"), "settings that are missing or unknown: lr"),
        (lambda c: c["settings"].update(more=1), "settings that are missing or unknown: more"),
        (lambda c: c["settings"].update(hidden=128), "--hidden 128: expected widths"),
        (lambda c: c["settings"].update(model=None), "--model None: expected a name"),
        (lambda c: c["settings"].update(epochs="3"), "--epochs '3': expected a whole number from 0"),
        (lambda c: c["settings"].update(data="a\0"), "expected a name"),
        (lambda c: c.pop("data"), "its 'data' has no name and fingerprint"),
        (lambda c: c["data"].pop("fingerprint"), "its 'data' has no name and fingerprint"),
        (lambda c: c.update(threads=0), "its threads 0: expected a whole number"),
        (lambda c: c["settings"].update(threads="2"), "--threads '2': expected a whole number"),
    ],
)
def test_a_configuration_that_is_damaged_is_refused(data, tmp_path, change, message):
    assert train() == 0
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert read_config(tmp_path / "out")[0].data == str(data)
    change(config)
    (tmp_path / "out/config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=f"config.json: damaged, or of another version: .*{message}"):
        read_config(tmp_path / "out")


def test_resume_takes_the_runs_own_settings_and_no_others(data, capsys):
    for options, named in [
        (["--lr", "1"], "--lr"),
        (["--out", "a"], "--out"),
        (["--hidden", "3", "--overwrite"], "--hidden, --overwrite"),
    ]:
        with pytest.raises(SystemExit, match="2"):
            main(["train", "--resume", "out", *options])
        assert f"--resume goes on with the run's own settings: leave out {named}" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["train", "--overwrite"])
    assert "--overwrite replaces the run in a folder: name it by --out DIR" in capsys.readouterr().err


# --- without a folder ---------------------------------------------------------------------------------------------


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path / "temporary"


def test_a_run_that_loses_its_folder_ends_up_whole_in_a_named_place(
    data, tmp_path, temporary, capsys, monkeypatch
):
    assert train(out="whole") == 0
    on_epoch(monkeypatch, 1, lambda: shutil.rmtree(tmp_path / "out"))
    assert train() == 1
    (rescued,) = temporary.iterdir()
    said = capsys.readouterr().err
    assert f"The whole run is in {rescued} instead: move it to a place that lasts" in said
    assert said.count("A checkpoint could not be written") == 1
    assert result(rescued) == result(tmp_path / "whole")
    assert resume(rescued) == 0


def test_a_signal_without_a_folder_says_where_the_run_is(data, tmp_path, temporary, capsys, monkeypatch):
    assert train(out="whole") == 0

    def act():
        shutil.rmtree(tmp_path / "out")
        signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        on_epoch(patch, 1, act)
        assert train() == 128 + signal.SIGTERM
    (rescued,) = temporary.iterdir()
    assert f"Continue with: gradcore train --resume {rescued}" in capsys.readouterr().err
    assert resume(rescued) == 0
    assert result(rescued) == result(tmp_path / "whole")


def test_results_that_can_not_be_written_are_written_elsewhere(
    data, tmp_path, temporary, capsys, monkeypatch
):
    assert train(out="whole") == 0
    save = training.save_model

    def lost(path, *rest):
        if path.parent.name == "out":
            raise OutputError("out is gone")
        save(path, *rest)

    monkeypatch.setattr(training, "save_model", lost)
    assert train() == 1
    (rescued,) = temporary.iterdir()
    assert f"out is gone. The whole run is in {rescued} instead" in capsys.readouterr().err
    assert result(rescued) == result(tmp_path / "whole")


@pytest.mark.parametrize(
    "error", [BrokenPipeError(32, "Broken pipe"), OSError(28, "No space left on device")]
)
def test_output_that_nobody_takes_costs_nothing(data, tmp_path, monkeypatch, error):
    def fail():
        raise error

    assert train(out="whole") == 0
    with monkeypatch.context() as patch:
        on_epoch(patch, 2, fail)
        assert train() == 1
    assert resume() == 0
    assert result(tmp_path / "out") == result(tmp_path / "whole")

"""The command line when something is wrong: a sentence, an exit status, and nothing lost."""

import os
import subprocess
import sys

import pytest

from gradcore import cli, runs
from gradcore.cli import main
from gradcore.train import Trainer


def said(capsys):
    return capsys.readouterr().err


def test_an_output_folder_that_cannot_be_written_is_told_before_training(tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(Trainer, "fit", lambda *_a, **_k: pytest.fail("it trained"))
    assert main(["train", "--out", str(tmp_path / "file/below"), "--no-preflight"]) == 1
    assert "file is not a folder" in said(capsys)


def test_an_unknown_data_set_is_told_with_those_that_there_are(capsys, tmp_path):
    assert main(["train", "--data", "digit", "--out", str(tmp_path)]) == 1
    assert "did you mean digits?" in said(capsys)


def test_a_wrong_option_exits_with_2(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["train", "--epochs", "-1"])
    assert "-1 is below 0" in said(capsys)


def test_a_model_of_another_data_set_is_refused(tmp_path, capsys):
    assert main(["train", "--epochs", "0", "--out", str(tmp_path), "--no-preflight"]) == 0
    assert main(["evaluate", str(tmp_path / "model.safetensors"), "--data", "synthetic"]) == 1
    assert "does not fit this model: its examples have shape (784,)" in said(capsys)


def test_a_model_file_that_is_none_is_refused(tmp_path, capsys):
    (tmp_path / "model.safetensors").write_bytes(b"not a model")
    assert main(["predict", str(tmp_path / "model.safetensors"), "--data", "digits"]) == 1
    assert "not a safetensors file" in said(capsys)


def test_an_interrupted_run_keeps_what_was_reached(tmp_path, capsys, monkeypatch):
    def interrupted(self, record):
        if record["epoch"] == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("gradcore.progress.Lines.epoch", interrupted)
    assert main(["train", "--out", str(tmp_path), "--no-preflight"]) == 130
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == 2
    assert main(["evaluate", str(tmp_path / "model.safetensors"), "--data", "digits"]) == 0
    assert "interrupted" in said(capsys)


def test_a_diverging_run_says_why_and_keeps_the_epochs_before(tmp_path, capsys):
    arguments = ["--optimizer", "sgd", "--lr", "1e20", "--out", str(tmp_path), "--no-preflight"]
    assert main(["train", *arguments]) == 1
    assert "not finite" in said(capsys)
    assert (tmp_path / "history.jsonl").exists()


def test_the_optimizers_and_schedules_of_the_help_are_those_that_run():
    assert set(cli.OPTIMIZERS) == set(runs._OPTIMIZERS)
    assert all(callable(getattr(runs.optim.schedules, name)) for name in cli.SCHEDULES)


def test_a_reader_that_leaves_early_is_no_traceback(tmp_path):
    assert main(["train", "--epochs", "0", "--out", str(tmp_path), "--no-preflight"]) == 0
    command = [sys.executable, "-m", "gradcore.cli", "predict", str(tmp_path / "model.safetensors")]
    process = subprocess.Popen(
        [*command, "--data", "digits", "--limit", "360"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    process.stdout.readline()
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait()

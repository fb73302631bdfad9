"""The command line when something is wrong: a sentence, an exit status, and nothing lost."""

import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gradcore import progress
from gradcore.cli import main
from gradcore.data import encode_idx
from gradcore.errors import ModelFileError
from gradcore.model_file import load_model, save_model
from gradcore.nn.models import build
from gradcore.train import Trainer

pytestmark = pytest.mark.usefixtures("undrawn")


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


def test_a_diverging_run_says_why_and_keeps_the_epochs_before(tmp_path, capsys):
    arguments = ["--optimizer", "sgd", "--lr", "1e20", "--out", str(tmp_path), "--no-preflight"]
    assert main(["train", *arguments]) == 1
    assert re.search(
        r"not finite.*clip_norm=1.0, on the command line --clip-norm 1.*The last good checkpoint, after \d",
        said(capsys),
    )
    assert (tmp_path / "history.jsonl").exists()
    assert not (tmp_path / "model.safetensors").exists()


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


def test_a_learning_rate_that_is_no_number_is_told_in_words(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["train", "--lr", "fast"])
    assert "argument --lr: fast is not a number above zero" in said(capsys)


def test_an_empty_output_folder_is_no_wish_for_the_default(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["train", "--out", ""])
    assert "argument --out: the folder's name is empty" in said(capsys)


def test_a_folder_in_the_place_of_a_result_is_told_before_training(tmp_path, capsys, monkeypatch):
    (tmp_path / "curves.png").mkdir()
    monkeypatch.setattr(Trainer, "fit", lambda *_a, **_k: pytest.fail("it trained"))
    assert main(["train", "--out", str(tmp_path), "--no-preflight"]) == 1
    assert "curves.png is a folder" in said(capsys)


def test_the_folder_that_the_data_is_in_gives_its_name_to_the_results(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "shapes"
    folder.mkdir()
    for part in ("train", "t10k"):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(
            encode_idx(np.eye(12, 64, dtype=np.uint8).reshape(12, 8, 8))
        )
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(encode_idx(np.arange(12, dtype=np.uint8) % 10))
    monkeypatch.chdir(folder)
    for number in ("0001", "0002"):
        assert main(["train", "--data", ".", "--epochs", "1", "--no-preflight"]) == 0
        assert (folder / f"runs/shapes-mlp/{number}/model.safetensors").exists()
    assert re.search(
        r"1 epoch, \d+\.\d s of training\. In runs/shapes-mlp/0002: curves.png, .*, best.safetensors",
        capsys.readouterr().out,
    )


def test_a_terminal_without_the_letters_of_a_folder_is_no_traceback(tmp_path):
    command = [
        sys.executable,
        "-m",
        "gradcore.cli",
        "train",
        "--epochs",
        "0",
        "--no-preflight",
        "--out",
        "für",
    ]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert r"In f\xfcr: curves.png, history.jsonl, mistakes.png, model.safetensors" in done.stdout


def test_the_bar_has_no_loss_before_the_first_step_and_tells_what_goes_wrong():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    bar = progress.Bar(stream)
    with bar.start(3, 10):
        bar.message("[bold]trouble[/bold]")
        assert bar._bar.tasks[0].fields["loss"] == ""
        bar.batch(2, 1, 0.5)
        assert bar._bar.tasks[0].fields["loss"] == "loss 0.5000"
    assert "nan" not in stream.getvalue()
    assert "[bold]trouble[/bold]" in stream.getvalue()


def test_closed_output_shows_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert isinstance(progress.automatic(), progress.Silent)


def test_a_line_of_an_epoch_is_not_broken_on_a_narrow_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    stream = io.StringIO()
    progress.Bar(stream).epoch({"epoch": 1, "train_loss": 1.0, "train_accuracy": 0.5, "test_accuracy": 0.5})
    assert stream.getvalue() == "Epoch 1: Loss = 1.0000, accuracy 50.00%, test accuracy 50.00%\n"


def test_a_model_file_with_values_that_are_not_finite_is_refused(tmp_path):
    model = build("mlp", (4,), 2, 0)
    next(iter(model.parameters())).data[1, 2] = np.nan
    save_model(tmp_path / "m", model, {"model": "mlp", "input_shape": [4], "classes": ["a", "b"]})
    with pytest.raises(
        ModelFileError, match=r"2.weight of shape \(4, 128\) is not finite, first at index \[1, 2\]"
    ):
        load_model(tmp_path / "m")


def test_classes_that_are_one_string_are_refused(tmp_path):
    save_model(
        tmp_path / "m", build("mlp", (4,), 2, 0), {"model": "mlp", "input_shape": [4], "classes": "ab"}
    )
    with pytest.raises(ModelFileError, match="not one that this version builds"):
        load_model(tmp_path / "m")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((0, 8, 8), np.uint8), "holds no examples"),
        (
            np.zeros((1, 8, 9), np.uint8),
            "holds an array of shape (1, 8, 9), and the model takes examples of shape (1, 8, 8)",
        ),
        (np.full((1, 8, 8), 1e300), "holds numbers beyond what float32 holds"),
        (np.full((1, 8, 8), np.nan, np.float32), r"is not finite, first at index [0, 0, 0]"),
    ],
)
def test_images_that_can_not_be_classified_are_refused(images, message, tmp_path, capsys):
    assert main(["train", "--epochs", "0", "--out", str(tmp_path), "--no-preflight"]) == 0
    (tmp_path / "images").write_bytes(encode_idx(images))
    assert main(["predict", str(tmp_path / "model.safetensors"), "--data", str(tmp_path / "images")]) == 1
    assert message in said(capsys)


def test_the_commands_in_the_readme_run_one_after_the_other(tmp_path, monkeypatch, capsys):
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^gradcore (.+)$", readme, re.MULTILINE)
    assert {line.split()[0] for line in commands} == {"train", "evaluate", "predict"}
    monkeypatch.chdir(tmp_path)
    for line in commands:
        assert main(shlex.split(line)) == 0, line

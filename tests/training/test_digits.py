"""Real handwritten digits: what the README's first command promises."""

import json

import numpy as np
import pytest

from gradcore.cli import main
from gradcore.data import encode_idx, load
from gradcore.model_file import load_model


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    assert main(["train", "--out", str(folder), "--no-preflight"]) == 0
    return folder


def history(folder):
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def test_ten_epochs_reach_97_percent_on_the_test_digits(run):
    assert len(history(run)) == 10
    assert history(run)[-1]["test_accuracy"] >= 0.97


def test_the_loss_falls_to_less_than_a_tenth_of_its_first_value(run):
    losses = [record["train_loss"] for record in history(run)]
    assert losses[-1] < losses[0] / 10


def test_the_run_leaves_a_model_its_history_and_two_pictures(run):
    assert sorted(path.name for path in run.iterdir()) == [
        "best.safetensors",
        "checkpoint-0000000405-epoch-9.safetensors",
        "checkpoint-0000000450-epoch-10.safetensors",
        "config.json",
        "curves.png",
        "history.jsonl",
        "mistakes.png",
        "model.safetensors",
    ]
    for name in ("curves.png", "mistakes.png"):
        assert (run / name).read_bytes().startswith(b"\x89PNG")


def test_evaluate_gives_the_accuracy_that_training_ended_with(run, capsys):
    assert main(["evaluate", str(run / "model.safetensors"), "--data", "digits"]) == 0
    train, test = capsys.readouterr().out.splitlines()
    assert train.startswith("digits (train): Loss = ")
    assert f"accuracy {history(run)[-1]['test_accuracy']:.2%} of 360" in test


def test_predict_names_the_class_of_each_example(run, capsys):
    assert (
        main(["predict", str(run / "model.safetensors"), "--data", "digits", "--limit", "100", "--json"]) == 0
    )
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["index"] for record in records] == list(range(100))
    assert np.mean([record["class"] == record["true"] for record in records]) > 0.9
    assert all(abs(sum(record["probabilities"]) - 1) < 1e-9 for record in records)


def test_a_loaded_model_computes_what_the_saved_one_did(run):
    model, config = load_model(run / "model.safetensors")
    again, _ = load_model(run / "model.safetensors")
    x = np.random.default_rng(0).random((5, *config["input_shape"]), dtype=np.float32)
    assert np.array_equal(model(x).data, again(x).data)
    assert config["classes"] == [str(i) for i in range(10)]


@pytest.mark.usefixtures("undrawn")
def test_the_convolutional_network_learns_digits_in_three_epochs(tmp_path):
    assert main(["train", "--model", "cnn", "--epochs", "3", "--out", str(tmp_path), "--no-preflight"]) == 0
    assert history(tmp_path)[-1]["test_accuracy"] >= 0.95


@pytest.mark.usefixtures("undrawn")
@pytest.mark.nightly(each_time=2)
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop", "sgd"])
def test_each_optimizer_of_the_command_learns_digits_in_three_epochs(optimizer, tmp_path):
    arguments = ["train", "--optimizer", optimizer, "--epochs", "3", "--out", str(tmp_path), "--no-preflight"]
    assert main(arguments) == 0
    assert history(tmp_path)[-1]["test_accuracy"] >= 0.9


def test_a_file_of_images_is_predicted_on_the_scale_that_the_model_was_trained_on(run, tmp_path, capsys):
    test = load("digits").test
    raw = (test.images[:50, 0] * 16).round().astype(np.uint8)
    (tmp_path / "images").write_bytes(encode_idx(raw))
    model = str(run / "model.safetensors")
    assert main(["predict", model, "--data", str(tmp_path / "images"), "--limit", "50", "--json"]) == 0
    from_file = [json.loads(line)["probabilities"] for line in capsys.readouterr().out.splitlines()]
    assert main(["predict", model, "--data", "digits", "--limit", "50", "--json"]) == 0
    from_set = [json.loads(line)["probabilities"] for line in capsys.readouterr().out.splitlines()]
    assert np.allclose(from_file, from_set, atol=1e-6)

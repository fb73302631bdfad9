"""The synthetic sets: random labels can be run through but not learned, prototypes can be learned."""

import json

import pytest

from gradcore.cli import main

pytestmark = pytest.mark.usefixtures("undrawn")


def train(folder, *more):
    assert main(["train", "--out", str(folder), "--no-preflight", *more]) == 0
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def test_random_labels_complete_ten_epochs_and_stay_near_chance_on_the_test_set(tmp_path):
    records = train(tmp_path, "--data", "synthetic")
    assert [record["epoch"] for record in records] == list(range(1, 11))
    assert 0.02 < records[-1]["test_accuracy"] < 0.22


def test_random_labels_can_be_learned_by_heart(tmp_path):
    assert train(tmp_path, "--data", "synthetic", "--epochs", "20")[-1]["train_accuracy"] > 0.95


def test_the_learnable_set_is_learned(tmp_path):
    assert train(tmp_path, "--data", "synthetic-learnable", "--epochs", "5")[-1]["test_accuracy"] > 0.9


def test_the_cnn_reads_square_vectors_as_pictures(tmp_path):
    records = train(tmp_path, "--data", "synthetic-learnable", "--model", "cnn", "--epochs", "2")
    assert records[-1]["train_loss"] < records[0]["train_loss"]

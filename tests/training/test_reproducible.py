"""Same seed, same losses, to the bit."""

import json
import subprocess
import sys

import pytest


def losses(folder, seed):
    command = [sys.executable, "-m", "gradcore.cli", "train", "--epochs", "2", "--no-preflight"]
    subprocess.run([*command, "--seed", str(seed), "--out", str(folder)], check=True, capture_output=True)
    records = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return [(record["train_loss"], record["test_loss"]) for record in records]


def test_two_processes_with_one_seed_give_the_same_losses_to_the_bit(tmp_path):
    assert losses(tmp_path / "a", seed=5) == losses(tmp_path / "b", seed=5)
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()


def test_another_seed_gives_other_losses(tmp_path):
    assert losses(tmp_path / "a", seed=5) != losses(tmp_path / "b", seed=6)


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_the_seed_decides_the_initial_weights(model):
    import numpy as np

    from gradcore.nn.models import build

    one, same, other = (build(model, (1, 8, 8), 10, seed).state_dict() for seed in (1, 1, 2))
    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert any(not np.array_equal(one[name], other[name]) for name in one)

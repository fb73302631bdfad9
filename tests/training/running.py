"""What the tests of runs share: a folder of data, and `gradcore train` called on it."""

import json

import numpy as np

from gradcore.cli import main
from gradcore.data import encode_idx


def write_data(folder, seed=0):
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    for part, n in (("train", 24), ("t10k", 10)):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(
            encode_idx(rng.integers(0, 255, (n, 3, 4)).astype(np.uint8))
        )
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(encode_idx((np.arange(n) % 10).astype(np.uint8)))


def train(*options, out="out", data="data"):
    return main(
        [
            "train",
            "--data",
            str(data),
            "--no-preflight",
            "--epochs",
            "3",
            "--batch-size",
            "8",
            "--out",
            str(out),
            *options,
        ]
    )


def resume(folder="out"):
    return main(["train", "--resume", str(folder)])


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def result(folder):
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    models = [(folder / name).read_bytes() for name in ("model.safetensors", "best.safetensors")]
    return models, [{k: v for k, v in record.items() if k != "seconds"} for record in history]


WHOLE = [
    "best.safetensors",
    "checkpoint-0000000006-epoch-2.safetensors",
    "checkpoint-0000000009-epoch-3.safetensors",
    "config.json",
    "curves.png",
    "history.jsonl",
    "mistakes.png",
    "model.safetensors",
]


def on_epoch(monkeypatch, number, act):
    def epoch(self, record):
        if record["epoch"] == number:
            act()

    monkeypatch.setattr("gradcore.progress.Lines.epoch", epoch)

"""What the commands `gradcore train`, `evaluate` and `predict` do."""

from gradcore.runs.training import train
from gradcore.runs.using import evaluate, predict

__all__ = ["evaluate", "predict", "train"]

"""Training: the loop, its checkpoints, and averages over batches."""

from gradcore.train.checkpoints import Checkpoints, Snapshot, read_checkpoint
from gradcore.train.evaluation import Batches, evaluate, explain_nonfinite
from gradcore.train.trainer import Trainer

__all__ = [
    "Batches",
    "Checkpoints",
    "Snapshot",
    "Trainer",
    "evaluate",
    "explain_nonfinite",
    "read_checkpoint",
]

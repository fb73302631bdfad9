"""What the tests of checkpoints share: a small run with everything in it that has a state."""

import numpy as np

from gradcore import nn, optim
from gradcore.data import DataLoader
from gradcore.progress import Silent
from gradcore.train import Trainer

EPOCHS = 2
STEPS = 6
OPTIMIZERS = {
    "adam": lambda p, lr: optim.Adam(p, lr=lr),
    "adamw": lambda p, lr: optim.AdamW(p, lr=lr),
    "sgd": lambda p, lr: optim.SGD(p, lr=lr, momentum=0.9),
    "rmsprop": lambda p, lr: optim.RMSprop(p, lr=lr, momentum=0.5),
}


def grouped(params, lr):
    first, *others = params
    return optim.Adam([{"params": [first], "lr": lr / 2, "weight_decay": 0.1}, {"params": others}], lr=lr)


OPTIMIZERS["adam in groups"] = grouped


class Notes(Silent):
    """Keeps what is told."""

    def __init__(self):
        self.messages = []

    def message(self, text):
        self.messages.append(text)


def make(folder, seed=0, optimizer="adam", lr=0.05, progress=None, **more):
    """A trainer and its batches. Another seed and lr give other ones, which a checkpoint must replace."""
    model = nn.Sequential(
        nn.Linear(3, 4, rng=seed),
        nn.BatchNorm1d(4),
        nn.Dropout(0.3, rng=seed + 1),
        nn.Linear(4, 2, rng=seed + 2),
    )
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(10, 3)).astype(np.float32), np.arange(10) % 2
    trainer = Trainer(
        model,
        OPTIMIZERS[optimizer](model.parameters(), lr),
        schedule=optim.schedules.warmup(0.4, optim.schedules.cosine),
        clip_norm=0.5,
        progress=progress or Notes(),
        checkpoint=folder,
        **{"every": 0, "keep": 99, **more},
    )
    return trainer, DataLoader(x, y, batch_size=4, shuffle=True, seed=seed), DataLoader(x, y, batch_size=5)


def fit(made, **more):
    trainer, batches, test = made
    trainer.fit(batches, EPOCHS, test, **more)
    return trainer


def result(trainer):
    """All that a run comes to, without what depends on the clock."""
    history = [{k: v for k, v in record.items() if k != "seconds"} for record in trainer.history]
    parts = [*trainer.model.state_dict().items(), *trainer.optimizer.state_dict().items()]
    state = {f"{i} {name}": getattr(v, "tobytes", lambda v=v: v)() for i, (name, v) in enumerate(parts)}
    return history, state, str(trainer.model[2].rng.bit_generator.state), trainer.steps

"""What the tests of ranks share: a run small enough for uneven shards, and how two runs compare."""

import numpy as np
from resumable import OPTIMIZERS, Notes

from gradcore import nn
from gradcore.data import DataLoader
from gradcore.train import Trainer

EPOCHS = 2


def make(communicator, *, n=10, batch=4, seed=0, optimizer="sgd", model=None, **more):
    """A trainer and its batches: 10 rows in batches of 4, 4 and 2."""
    if model is None:
        model = nn.Sequential(
            nn.Linear(3, 4, rng=seed),
            nn.BatchNorm1d(4),
            nn.Dropout(0.3, rng=seed + 1),
            nn.ReLU(),
            nn.Linear(4, 2, rng=seed + 2),
        )
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(n, 3)).astype(np.float32), np.arange(n) % 2
    trainer = Trainer(
        model,
        OPTIMIZERS[optimizer](model.parameters(), 0.05),
        **{
            "clip_norm": 0.5, "progress": Notes(), "communicator": communicator, "sync_batch_norm": True, "every": 0, "keep": 99,
            **more,
        },
    )  # fmt: skip
    return trainer, DataLoader(x, y, batch_size=batch, shuffle=True, seed=0), DataLoader(x, y, batch_size=3)


def fit(communicator, *, epochs=EPOCHS, resume=False, **more):
    trainer, batches, test = make(communicator, **more)
    trainer.fit(batches, epochs, test, resume=resume)
    return trainer


def close(found, expected):
    """Whether two trainers ended with the same weights and losses, to the rounding of float32."""
    pairs = zip(found.model.state_dict().values(), expected.model.state_dict().values(), strict=True)
    records = zip(found.history, expected.history, strict=True)
    return all(np.allclose(a, b, rtol=1e-4, atol=3e-6) for a, b in pairs) and all(
        a.keys() == b.keys() and np.allclose([a[k] - b[k] for k in a if k != "seconds"], 0, atol=1e-5)
        for a, b in records
    )


def same(found, expected):
    """Whether two trainers are equal bit for bit, clocks aside."""
    a, b = (
        (
            {k: v.tobytes() for k, v in t.model.state_dict().items()},
            {k: np.asarray(v).tobytes() for k, v in t.optimizer.state_dict().items()},
            [{k: v for k, v in record.items() if k != "seconds"} for record in t.history],
            [str(m.rng.bit_generator.state) for _, m in t.model.named_modules() if hasattr(m, "rng")],
            t.steps,
        )
        for t in (found, expected)
    )
    return a == b

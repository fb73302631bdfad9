"""`Trainer(capture=True)` gives the bits that it gives without."""

import numpy as np
import pytest

from gradcore import data, nn, optim
from gradcore.errors import DivergenceError
from gradcore.train import Trainer


def trained(capture, *, model=None, epochs=3, **more):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 6)).astype(np.float32)
    y = rng.integers(0, 3, 50)
    model = model or nn.Sequential(
        nn.Linear(6, 8, rng=1), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2, rng=2), nn.Linear(8, 3, rng=3)
    )
    loader = data.DataLoader(x, y, batch_size=16, shuffle=True, seed=4)
    trainer = Trainer(
        model, optim.Adam(model.parameters(), lr=0.01), capture=capture, clip_norm=1.0,
        schedule=optim.schedules.cosine, **more,
    )  # fmt: skip
    history = trainer.fit(loader, epochs, test=loader)
    return trainer, [{k: v for k, v in record.items() if k != "seconds"} for record in history]


def test_the_same_history_and_weights():
    plain, expected = trained(False)
    captured, found = trained(True)
    assert found == expected
    for name, array in plain.model.state_dict().items():
        np.testing.assert_array_equal(captured.model.state_dict()[name], array)
    assert captured._ranks.captured.replays >= 3, captured._ranks.captured.report()


def test_divergence_is_reported_in_the_same_words():
    def model():
        return nn.Sequential(nn.Linear(6, 8, rng=1), nn.ReLU(), nn.Linear(8, 3, rng=3))

    messages = []
    for capture in (False, True):
        broken = model()
        count = iter(range(100))

        def blow_up(*_, broken=broken, count=count):
            if next(count) == 9:
                for p in broken.parameters():
                    p.data = p.data * np.float32(1e30)

        rng = np.random.default_rng(0)
        x, y = rng.standard_normal((64, 6)).astype(np.float32), rng.integers(0, 3, 64)
        loader = data.DataLoader(x, y, batch_size=8, shuffle=False)
        trainer = Trainer(broken, optim.SGD(broken.parameters(), lr=0.1), capture=capture)
        show = trainer.progress.batch
        trainer.progress.batch = lambda *a, show=show: (show(*a), blow_up())
        with pytest.raises(DivergenceError) as caught:
            trainer.fit(loader, 3)
        messages.append(str(caught.value))
        assert all(p.grad is None for p in broken.parameters())
    assert messages[0] == messages[1]

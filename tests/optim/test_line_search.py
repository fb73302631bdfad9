"""The strong Wolfe search tries the lengths that PyTorch's does, on lines of waves and a parabola.

wolfe.json holds what PyTorch 2.13 tries on them; `python tests/optim/test_line_search.py` writes it.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from gradcore.optim import line_search
from gradcore.optim.line_search import Trial, strong_wolfe

RECORD = Path(__file__).with_name("wolfe.json")
RECORDED = (
    {int(seed): trials for seed, trials in json.loads(RECORD.read_text()).items()} if RECORD.exists() else {}
)


class Line:
    """A function of one variable that falls at 0, and how it is searched: first length, evaluations, size, tolerance."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.height, self.rate, self.phase = (
            rng.normal(size=4),
            np.exp(rng.normal(size=4)),
            rng.uniform(0, 6, 4),
        )
        self.curvature = float(np.abs(rng.normal()) * 10 ** rng.uniform(-3, 1))
        self.first, self.most = float(10 ** rng.uniform(-3, 1.5)), int(rng.integers(1, 26))
        self.size, self.tolerance = float(10 ** rng.uniform(-2, 2)), float(10 ** rng.uniform(-9, 0))
        self.way = 1.0
        self.way = -1.0 if self.slope(0.0) > 0 else 1.0

    def value(self, t):
        t = self.way * t
        return self.curvature * t * t + float((self.height * np.sin(self.rate * t + self.phase)).sum())

    def slope(self, t):
        t = self.way * t
        waves = self.height * self.rate * np.cos(self.rate * t + self.phase)
        return self.way * (2 * self.curvature * t + float(waves.sum()))


def ours(line):
    """The lengths that are tried, and the one that is taken at the end."""
    tried = []

    def at(t):
        tried.append(t)
        return Trial(t, line.value(t), None, line.slope(t))

    found, count = strong_wolfe(at, at(0.0), line.first, line.most, line.size, line.tolerance)
    assert count == len(tried) - 1
    return [*tried[1:], found.t]


def pytorchs(line):
    """The same of `torch.optim.LBFGS`."""
    import torch
    from torch.optim.lbfgs import _strong_wolfe

    tried = []

    def at(_x, t, _d):
        tried.append(float(t))
        return line.value(float(t)), torch.tensor([line.slope(float(t)) / line.size], dtype=torch.float64)

    d, slope = torch.tensor([line.size], dtype=torch.float64), line.slope(0.0)
    gradient = torch.tensor([slope / line.size], dtype=torch.float64)
    found = _strong_wolfe(
        at,
        None,
        line.first,
        d,
        line.value(0.0),
        gradient,
        gradient.dot(d),
        tolerance_change=line.tolerance,
        max_ls=line.most,
    )
    return [*tried, float(found[2])]


def test_the_record_has_searches_of_every_length():
    lengths = {len(trials) - 1 for trials in RECORDED.values()}
    assert lengths >= {1, 2, 3, 4, 5, 6, 8, 10}
    assert len(RECORDED) >= 300


def test_the_lengths_that_are_tried_are_pytorchs():
    for seed in RECORDED:
        np.testing.assert_allclose(ours(Line(seed)), RECORDED[seed], rtol=1e-7, atol=1e-12, err_msg=str(seed))


def test_what_is_recorded_is_what_pytorch_does():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    for seed, trials in RECORDED.items():
        np.testing.assert_allclose(pytorchs(Line(seed)), trials, rtol=1e-7, atol=1e-12, err_msg=str(seed))


@pytest.mark.parametrize("constant", ["DECREASE", "CURVATURE"])
def test_a_search_for_other_conditions_is_detected(monkeypatch, constant):
    monkeypatch.setattr(line_search, constant, 0.3)
    with pytest.raises(AssertionError):
        test_the_lengths_that_are_tried_are_pytorchs()


def write():
    """Record up to 30 searches of each number of evaluations, where rounding decides nothing: both agree to ten digits."""
    found, counts = {}, {}
    for seed in range(20_000):
        line = Line(seed)
        theirs = pytorchs(line)
        counts[len(theirs)] = counts.get(len(theirs), 0) + 1
        mine = ours(line)
        if (
            counts[len(theirs)] <= 30
            and len(mine) == len(theirs)
            and np.allclose(mine, theirs, rtol=1e-10, atol=1e-14)
        ):
            found[seed] = theirs
    text = ",\n".join(f'"{seed}": {json.dumps(trials)}' for seed, trials in found.items())
    RECORD.write_text("{\n" + text + "\n}\n")
    print(len(found), "of", sum(min(n, 30) for n in counts.values()), sorted(counts.items()))


if __name__ == "__main__":
    write()

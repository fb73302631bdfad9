"""Trains for many steps and watches what grows: memory, Python objects, open files.

    python ci/reports/soak.py [--steps 20000] [WAY ...]

Ways: `loop` (a loop by hand, MLP with batch norm and dropout, Adam), `trainer` (`Trainer.fit` with a checkpoint every second and after
each epoch),
`second` (a gradient of a gradient in each step). After a tenth of the steps memory may grow by 2 MB and objects by 500, files not.
Exits with 1 where anything grows more.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import time
from pathlib import Path

import common
import numpy as np

from gradcore import Tensor, cross_entropy, grad, nn, optim
from gradcore.data import DataLoader, load
from gradcore.progress import Silent
from gradcore.train import Trainer

MEMORY, OBJECTS = 2 * 2**20, 500


def state():
    """Resident bytes, objects that Python's collector knows, open files."""
    while gc.collect():  # what is freed may free more: figures that are closed take three times
        pass
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(gc.get_objects()), len(os.listdir("/proc/self/fd"))


def batches():
    digits = load("digits").train
    return digits, DataLoader(digits, batch_size=32, shuffle=True, seed=0)


def model():
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 32, rng=0),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        nn.Dropout(0.1, rng=1),
        nn.Linear(32, 10, rng=2),
    )


def loop():
    net, (_, loader) = model(), batches()
    optimizer = optim.Adam(net.parameters(), lr=1e-3)
    while True:
        for images, labels in loader:
            loss = cross_entropy(net(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield


def second():
    x = np.linspace(-1, 1, 16)
    w = Tensor(np.array([0.5, -0.25]), requires_grad=True)
    while True:
        slope = grad(lambda t: (w[0] * t * t + w[1] * np.sin(t)).sum())(Tensor(x, requires_grad=True))
        (slope * slope).sum().backward()
        w.grad = None
        yield


def watched(ways, steps):
    """{way: [state, ...]} at ten moments after a tenth of the steps."""
    every = max(steps // 10, 1)
    for way in ways:
        begun, seen = time.perf_counter(), []
        if way == "trainer":
            seen = trained(steps, every)
        else:
            step = {"loop": loop, "second": second}[way]()
            for k in range(1, steps + 1):
                next(step)
                if k % every == 0:
                    seen.append(state())
        yield way, seen, time.perf_counter() - begun


def trained(steps, every):
    net, (digits, loader) = model(), batches()
    seen, done = [], 0

    def loss(logits, labels):
        nonlocal done
        done += 1
        if done % every == 0:
            seen.append(state())
        return cross_entropy(logits, labels)

    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            net, optim.Adam(net.parameters(), lr=1e-3), loss, progress=Silent(), checkpoint=folder, every=1.0
        )
        trainer.fit(loader, epochs=-(-steps * 32 // len(digits)))
    return seen


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ways", nargs="*", help="loop, trainer, second; all by default")
    parser.add_argument("--steps", type=common.at_least_one, default=20000)
    options = parser.parse_args()
    known = ("loop", "trainer", "second")
    common.require_known(parser, "ways", options.ways, known)
    grown = []
    for way, seen, seconds in watched(options.ways or known, options.steps):
        (memory, objects, files), last = seen[0], seen[-1]
        print(
            f"{way}: {options.steps} steps in {seconds:.0f} s; from step {options.steps // 10} on memory {memory / 2**20:.1f} -> "
            f"{last[0] / 2**20:.1f} MB, objects {objects} -> {last[1]}, files {files} -> {last[2]}",
            flush=True,
        )
        if last[0] - memory > MEMORY or last[1] - objects > OBJECTS or last[2] > files:
            grown.append(way)
    print(f"grows: {', '.join(grown) or 'nothing'}")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())

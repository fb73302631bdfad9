"""The commands `gradcore evaluate` and `gradcore predict`: what a trained model says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.data import DataLoader, load
from gradcore.model_file import load_model
from gradcore.modes import no_grad
from gradcore.ops.reduce import softmax
from gradcore.runs.images import check_fits, read_examples
from gradcore.runs.own import make_own
from gradcore.runs.threads import choose
from gradcore.train.evaluation import evaluate as evaluated
from gradcore.train.threads import held

if TYPE_CHECKING:
    import argparse

    from numpy.typing import NDArray

    from gradcore.nn.module import Module

EVALUATION_BATCH = 256


def evaluate(options: argparse.Namespace) -> int:
    """Loss and accuracy of a saved model on the parts of a data set."""
    model, config = _model(options)
    data = load(options.data, options.seed)
    data = data.as_pictures() if config["model"] == "cnn" else data
    for part in (data.train, data.test):
        check_fits(config, part)
        with held(choose(None, model, EVALUATION_BATCH)):
            found = evaluated(model, DataLoader(part, batch_size=EVALUATION_BATCH))
        print(f"{part.name}: Loss = {found['loss']:.4f}, accuracy {found['accuracy']:.2%} of {len(part)}")
    return 0


def predict(options: argparse.Namespace) -> int:
    """Classes of examples, one line each."""
    model, config = _model(options)
    classes = config["classes"]
    examples = read_examples(options.data, config, options.seed, options.limit)
    with held(choose(None, model, EVALUATION_BATCH)):
        found = probabilities(model, examples.images)
    for i, row in enumerate(found):
        best = int(row.argmax())
        true = None if examples.labels is None else classes[examples.labels[i]]
        if options.json:
            record = {
                "index": i,
                "name": examples.names[i],
                "class": classes[best],
                "probabilities": [float(p) for p in row],
                "true": true,
            }
            print(json.dumps(record))
        else:
            right = "" if true is None else f", true {true}" + ("" if true == classes[best] else "  <- wrong")
            print(f"{examples.names[i]}: {classes[best]} ({row[best]:.1%}){right}")
    return 0


def probabilities(model: Module, images: NDArray[Any]) -> NDArray[Any]:
    """The probabilities of the classes, (n, classes), as float64."""
    model.eval()
    with no_grad():
        parts = [
            model(images[k : k + EVALUATION_BATCH]).data for k in range(0, len(images), EVALUATION_BATCH)
        ]
    return np.asarray(softmax(np.concatenate(parts).astype(np.float64)))


def _model(options: argparse.Namespace) -> tuple[Module, dict[str, Any]]:
    make = None if options.model is None else make_own(options.model, np.random.default_rng(0))
    return load_model(options.model_file, make)

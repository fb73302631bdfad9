"""Ready-made models: their layers, their sizes, where their weights come from."""

import itertools

import numpy as np
import pytest

from gradcore import nn
from gradcore.errors import DomainError, ShapeError
from gradcore.nn.models import build


def the_same(model, expected):
    assert repr(model) == repr(expected)
    state, other = model.state_dict(), expected.state_dict()
    assert list(state) == list(other)
    for name, array in state.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def perceptron(*widths, front=()):
    rng = np.random.default_rng(7)
    layers = [*front, nn.Flatten()]
    for i, (inner, outer) in enumerate(itertools.pairwise(widths)):
        layers += [nn.ReLU()] if i else []
        layers += [nn.Linear(inner, outer, rng=rng)]
    return nn.Sequential(*layers)


def convolutional(channels, features, classes, front=()):
    rng = np.random.default_rng(7)
    return nn.Sequential(
        *front,
        nn.Conv2d(channels, 16, 3, padding=1, rng=rng),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1, rng=rng),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(features, 64, rng=rng),
        nn.ReLU(),
        nn.Linear(64, classes, rng=rng),
    )


def test_a_model_is_its_layers_with_weights_from_one_generator_in_order():
    the_same(nn.mlp(rng=7), perceptron(784, 128, 64, 10))
    the_same(nn.mlp((5, 3, 3, 2), rng=7), perceptron(5, 3, 3, 2))
    the_same(nn.cnn(rng=7), convolutional(1, 32 * 7 * 7, 10))
    the_same(nn.cnn((3, 9, 13), 4, rng=7), convolutional(3, 32 * 2 * 3, 4))


def test_a_model_by_its_name_has_its_standardisation_in_front():
    standardize = type(build("mlp", (4,), 2)[0])
    the_same(build("mlp", (2, 3, 4), 5, 7), perceptron(24, 128, 64, 5, front=[standardize(0.0, 1.0)]))
    front = [standardize(0.5, 2.0)]
    the_same(build("mlp", (4,), 2, 7, mean=0.5, std=2.0), perceptron(4, 128, 64, 2, front=front))
    the_same(build("cnn", (2, 8, 4), 3, 7, mean=0.5, std=2.0), convolutional(2, 64, 3, front=front))


@pytest.mark.parametrize("shape", [(1, 4, 5), (2, 5, 4)])
def test_the_cnn_takes_images_of_four_by_four_and_more(shape):
    assert nn.cnn(shape, classes=3)(np.zeros((2, *shape), np.float32)).shape == (2, 3)


@pytest.mark.parametrize("shape", [(1, 3, 8), (1, 8, 3), (8, 8), (1, 1, 8, 8)])
def test_the_cnn_refuses_what_is_no_image_of_four_by_four(shape):
    with pytest.raises(ShapeError, match=r"\(channels, height, width\), each side at least 4, and got"):
        nn.cnn(shape)


def test_a_model_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(DomainError, match="no model named 'rnn': choose one of mlp, cnn"):
        build("rnn", (4,), 2)

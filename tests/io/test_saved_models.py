"""Model files with their architecture: what comes back, and what is refused."""

import json

import numpy as np
import pytest

from gradcore.errors import ModelFileError, StateError
from gradcore.io import load_tensors, save_tensors
from gradcore.model_file import load_model, save_model
from gradcore.nn.models import build

CONFIG = {"model": "mlp", "input_shape": [1, 4, 4], "classes": ["a", "b", "c"], "scale": 16.0}


@pytest.fixture
def saved(tmp_path):
    model = build("mlp", (1, 4, 4), 3, rng=0, mean=0.5, std=2.0)
    save_model(tmp_path / "model", model, CONFIG)
    return tmp_path / "model", model


def rewritten(path, **changes):
    tensors, _ = load_tensors(path)
    save_tensors(path, tensors, {"gradcore-model-1": json.dumps({**CONFIG, **changes})})


def test_a_saved_model_comes_back_with_its_weights_standardisation_and_configuration(saved):
    path, model = saved
    loaded, config = load_model(path)
    x = np.random.default_rng(0).random((2, 1, 4, 4), dtype=np.float32)
    assert np.array_equal(loaded(x).data, model(x).data)
    assert config == {**CONFIG, "input_shape": (1, 4, 4)}


def test_equal_models_are_equal_files(saved, tmp_path):
    path, model = saved
    for i in range(5):
        save_model(tmp_path / str(i), model, CONFIG)
        assert (tmp_path / str(i)).read_bytes() == path.read_bytes()


def test_a_file_without_our_metadata_is_not_guessed_at(tmp_path):
    save_tensors(tmp_path / "model", {"w": np.zeros(3, np.float32)}, {"framework": "other"})
    with pytest.raises(ModelFileError, match=r"not one of gradcore's models.*only framework"):
        load_model(tmp_path / "model")


def test_weights_of_another_architecture_are_listed(saved):
    path, _ = saved
    rewritten(path, input_shape=[1, 5, 5])
    with pytest.raises(StateError, match=r"2.weight, expected float32 \(25, 128\), got float32 \(16, 128\)"):
        load_model(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "transformer"},
        {"input_shape": [1, 0, 4]},
        {"input_shape": [1, 2**40, 4]},
        {"input_shape": "big"},
        {"input_shape": [1, 60_000, 60_000]},
        {"classes": []},
        {"classes": [1, 2, 3]},
        {"scale": 0},
        {"scale": "much"},
        {"model": ["mlp"]},
    ],
)
def test_a_configuration_that_can_not_be_built_is_refused_before_anything_is_allocated(saved, changes):
    path, _ = saved
    rewritten(path, **changes)
    with pytest.raises(ModelFileError, match="configuration"):
        load_model(path)

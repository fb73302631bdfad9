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
        {"scale": 10**39},
        {"scale": True},
        {"scale": float("nan")},
        {"hidden": 3},
        {"hidden": [0]},
        {"hidden": [True]},
        {"hidden": [65_537]},
        {"hidden": [1] * 65},
        {"input_shape": []},
        {"input_shape": [4] * 5},
        {"input_shape": [True, 4, 4]},
        {"model": "cnn", "input_shape": [16]},
        {"model": "cnn", "input_shape": [1, 3, 4]},
        {"classes": "abc"},
        {"classes": ["a"] * 65_537},
        {"model": ["mlp"]},
    ],
)
def test_a_configuration_that_can_not_be_built_is_refused_before_anything_is_allocated(saved, changes):
    path, _ = saved
    rewritten(path, **changes)
    with pytest.raises(ModelFileError, match="configuration"):
        load_model(path)


@pytest.mark.parametrize(
    "text", ["[" * 10_000 + "]" * 10_000, '{"scale": 1' + "0" * 400 + "}", "[1]", "{}", '"a"', "null"]
)
def test_a_configuration_that_is_no_object_of_ours_is_refused(saved, text):
    path, _ = saved
    save_tensors(path, load_tensors(path)[0], {"gradcore-model-1": text})
    with pytest.raises(ModelFileError, match="its configuration can't be read"):
        load_model(path)


def test_the_shapes_are_compared_before_any_weights_are_made(saved, monkeypatch):
    path, _ = saved
    rewritten(path, input_shape=[1, 4096, 4096], hidden=[65_536, 65_536])
    before = np.zeros

    def small(shape, *args, **kwargs):
        assert np.prod(shape, dtype=float) <= 65_536
        return before(shape, *args, **kwargs)

    monkeypatch.setattr(np, "zeros", small)
    monkeypatch.setattr("gradcore.io.tensors._read_arrays", lambda *_: pytest.fail("it read"))
    with pytest.raises(
        StateError, match=r"2.weight, expected float32 \(16777216, 65536\), got float32 \(16, 128\)"
    ):
        load_model(path)


def test_weights_of_a_file_are_the_models_own_and_can_be_trained(saved):
    loaded, _ = load_model(saved[0])
    for parameter in loaded.parameters():
        parameter.data += 1
    assert all(np.isfinite(array).all() for array in loaded.state_dict().values())


def test_a_standard_deviation_of_zero_is_refused(saved):
    path, model = saved
    model[0].std = np.zeros((), np.float32)
    save_model(path, model, CONFIG)
    with pytest.raises(
        ModelFileError, match=r"its standardisation divides by 0\.0, expected a number above 0"
    ):
        load_model(path)


def test_hidden_layers_are_those_of_the_file(tmp_path):
    model = build("mlp", (1, 4, 4), 3, rng=0, hidden=(7, 6, 5))
    save_model(tmp_path / "m", model, {**CONFIG, "hidden": [7, 6, 5]})
    assert [p.shape for p in load_model(tmp_path / "m")[0].parameters()] == [
        p.shape for p in model.parameters()
    ]
    save_model(tmp_path / "m", build("mlp", (1, 4, 4), 3, rng=0, hidden=()), {**CONFIG, "hidden": []})
    assert load_model(tmp_path / "m")[0](np.zeros((2, 1, 4, 4), np.float32)).shape == (2, 3)


def test_a_file_makes_nobody_run_code(saved):
    path, model = saved
    rewritten(path, model="antigravity:fly_egg")
    with pytest.raises(
        ModelFileError, match="does not make gradcore run code: pass --model antigravity:fly_egg if you trust"
    ):
        load_model(path)
    seen = []
    loaded, _ = load_model(
        path, lambda shape, classes: seen.append((shape, classes)) or build("mlp", shape, classes)
    )
    assert seen == [((1, 4, 4), 3)]
    x = np.ones((2, 1, 4, 4), np.float32)
    assert np.array_equal(loaded(x).data, model(x).data)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ModelFileError, match="found a folder without a model"):
        load_model(tmp_path)


def test_more_arrays_than_a_model_has_are_not_read(saved, monkeypatch):
    path, _ = saved
    tensors = {f"model.{name}": array for name, array in load_tensors(path)[0].items()}
    tensors |= {"state": np.zeros(40_000_000, np.uint8)}
    save_tensors(path, tensors, {"gradcore-model-1": json.dumps(CONFIG)})
    monkeypatch.setattr("gradcore.io.tensors._read_arrays", lambda *_: pytest.fail("it read"))
    with pytest.raises(ModelFileError, match="it holds far more than the model that it names"):
        load_model(path)

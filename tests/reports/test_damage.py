"""The reports on damaged files and ended runs detect what they look for, when it is planted."""

import random
import shutil

import numpy as np
import pytest
from programs import load

from gradcore.cli import main
from gradcore.errors import DataError, ModelFileError
from gradcore.io import load_tensors, save_tensors, write_atomically
from gradcore.runs import training


@pytest.fixture(scope="module")
def fuzz():
    return load("reports/fuzz_files")


@pytest.fixture(scope="module")
def changes():
    return load("reports/file_changes")


@pytest.fixture(scope="module")
def killed():
    return load("reports/killed_runs")


def work(fuzz, folder, read, count=5):
    fuzz.READERS["planted"] = fuzz.Reader(read, [lambda rng, data: data + b"x"], (DataError,), [b"abc"])
    _, outcomes, findings = fuzz.work(("planted", 0, 0, count, str(folder)))
    return dict(outcomes), [text for text, _ in findings]


def test_a_file_that_is_read_or_refused_is_no_finding(fuzz, tmp_path):
    def read(path):
        if b"x" in path.read_bytes():
            raise DataError("refused")

    outcomes, findings = work(fuzz, tmp_path, read, 20)
    assert findings == []
    assert sum(outcomes.values()) == 20
    assert set(outcomes) == {"read", "DataError"}


def test_an_error_that_is_not_documented_is_a_finding(fuzz, tmp_path):
    def read(path):
        raise KeyError("planted")

    outcomes, findings = work(fuzz, tmp_path, read)
    assert (outcomes, len(findings)) == ({}, 5)
    assert "KeyError: 'planted'" in findings[0]


def test_a_file_that_takes_long_is_a_finding(fuzz, tmp_path, monkeypatch):
    def read(path):
        while True:
            pass

    monkeypatch.setattr(fuzz, "SECONDS", 0.05)
    _, findings = work(fuzz, tmp_path, read, 1)
    assert "TooLongError: more than 0.05 s" in findings[0]


def test_a_file_that_takes_much_memory_is_a_finding(fuzz, tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(fuzz, "MEMORY", 1 << 20)
    _, findings = work(fuzz, tmp_path, lambda path: kept.append(np.ones(60_000_000)), 1)
    assert findings == [f"more than {1 << 20} bytes"]


def test_a_refused_checkpoint_that_changed_something_is_a_finding(fuzz, tmp_path, monkeypatch):
    def restore(snapshot, model, optimizer, batches):
        model[0].weight.data += 1
        raise ModelFileError("too late")

    (tmp_path / "f").write_bytes(fuzz.checkpoint_seeds()[0])
    read = fuzz.checkpoint_reader()
    read(tmp_path / "f")
    monkeypatch.setattr(fuzz, "restore", restore)
    with pytest.raises(RuntimeError, match="a refused checkpoint has changed the trainer"):
        read(tmp_path / "f")


def test_changes_of_structure_get_past_the_checksum(fuzz, changes, tmp_path):
    save_tensors(tmp_path / "f", {"a": np.ones(3)}, {"gradcore-a": '{"b": 1}'})
    data = (tmp_path / "f").read_bytes()
    header, arrays = changes.unpack(data)
    assert changes.pack(changes.as_text(random.Random(1), header), arrays)[8:].startswith(b"{")
    changed = {changes.change_inner("gradcore-a")(random.Random(seed), data) for seed in range(30)}
    assert len(changed) > 10
    seen = set()
    for each in changed:
        (tmp_path / "f").write_bytes(each)
        try:
            seen.add(load_tensors(tmp_path / "f")[1]["gradcore-a"])
        except ModelFileError as error:
            assert "checksum" not in str(error)  # noqa: PT017 (it may be refused, for another reason)
    assert len(seen) > 10


@pytest.mark.parametrize(
    "name",
    [
        "idx",
        "folder",
        "tensors",
        "model",
        "checkpoint",
        "config",
        "png",
        "csv",
        "csv pairs",
        "npz",
        "npz pairs",
    ],
)
def test_whole_files_are_read_and_each_reader_refuses_some_of_the_changed(fuzz, tmp_path, name):
    pytest.importorskip("PIL")
    fuzz.READERS.update(fuzz.readers())
    reader = fuzz.READERS[name]
    folder = tmp_path / "whole"
    folder.mkdir()
    for other, content in {**reader.beside, reader.name: reader.seeds[0]}.items():
        (folder / other).write_bytes(content)
    reader.read(folder / reader.name)
    _, outcomes, findings = fuzz.work((name, 0, 0, 40, str(tmp_path)))
    assert findings == []
    assert sum(outcomes.values()) == 40
    assert outcomes["read"] < 40


def test_a_run_that_differs_in_one_bit_or_left_a_file_is_a_finding(killed, tmp_path, monkeypatch, capsys):
    for drawn in ("save_curves", "save_mistakes"):
        monkeypatch.setattr(training, drawn, lambda path, *_a, **_k: write_atomically(path, b"a picture"))
    killed.write_data(tmp_path / "data")
    out = tmp_path / "out"
    assert (
        main(
            ["train", "--data", str(tmp_path / "data"), "--epochs", "1", "--no-preflight", "--out", str(out)]
        )
        == 0
    )
    bench = object.__new__(killed.Bench)
    bench.problems, bench.expected = [], {"whole": killed.result(out)}
    bench.compare("planted", "whole", out)
    assert bench.problems == []
    tensors, metadata = load_tensors(out / "model.safetensors")
    tensors["2.weight"].view(np.uint32)[0, 0] ^= 1
    shutil.copy(out / "model.safetensors", tmp_path / "model")
    save_tensors(out / "model.safetensors", tensors, metadata)
    bench.compare("planted", "whole", out)
    (text,) = bench.problems
    assert text.startswith("planted: arrays differs ['model.safetensors:2.weight']")
    shutil.copy(tmp_path / "model", out / "model.safetensors")
    (out / ".model.0123456789abcdef.tmp").touch()
    bench.compare("planted", "whole", out)
    assert "left ['.model.0123456789abcdef.tmp']" in bench.problems[1]
    (out / "history.jsonl").unlink()
    bench.compare("planted", "whole", out)
    assert len(bench.problems) == 3


def test_values_that_are_put_in_are_not_changed_themselves(changes):
    before = str(changes.OTHERS)
    rng = random.Random(0)
    tree = {"a": [1, {"b": [2, 3]}], "c": []}
    for _ in range(3000):
        tree = changes.change_tree(rng, tree)
        if not isinstance(tree, dict) or len(str(tree)) > 100_000:
            tree = {"a": [1, {"b": [2, 3]}], "c": []}
        changes.as_text(rng, tree)
    assert str(changes.OTHERS) == before

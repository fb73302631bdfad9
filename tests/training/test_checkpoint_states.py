"""What a checkpoint holds: a state without sense is refused and changes nothing, and generators come back."""

import numpy as np
import pytest
from resumable import fit, make, result

from gradcore.errors import CheckpointError, DataError, ModelFileError, StateError
from gradcore.train import Checkpoints, read_checkpoint
from gradcore.train.state import restore

CHANGES = {
    "plan": [None, [], [1, 2], [1, 2, -3], [1, 2, 3.0], [True, 2, 3], [1, 2, 2**60], [9, 2, 3]],
    "step": [None, -1, 1.0, 2**53, True],
    "batch": [None, -1, 4, "1"],
    "seconds": [None, "1", True],
    "threads": [0, "1", True, 1.0],
    "seen": [
        None,
        [],
        [0.0, 4, 5, True],
        [0.0, 0, 0, True],
        [0.0, 4, -1, True],
        [0.0, 4, 1, 1],
        [0.0, 2**53, 1, True],
    ],
    "optimizer": [None, {}, {"name": "Adam"}, {"name": "Adam", "state": []}],
    "generators": [None, [], {"2.rng": 1}, {"2.rng": {}}],
    "loader": [None, [], {}, {"epoch": 1}],
    "history": [
        None,
        {},
        [1],
        [{}],
        [{"epoch": 2, "train_loss": 1.0, "seconds": 1.0}],
        [{"epoch": 1, "seconds": 1}],
    ],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in CHANGES.items() for value in values]
)
def test_a_state_that_makes_no_sense_is_refused_and_changes_nothing(tmp_path, field, value):
    fit(make(tmp_path))
    snapshot = read_checkpoint(tmp_path / "checkpoint-0000000004.safetensors")
    trainer, batches, _ = make(None, seed=5)
    restore(snapshot, trainer.model, trainer.optimizer, batches)  # as it is, it fits
    trainer, batches, _ = make(None, seed=5)
    before, position = result(trainer), batches.state_dict()
    with pytest.raises((CheckpointError, StateError, DataError)):
        restore(
            snapshot._replace(state={**snapshot.state, field: value}),
            trainer.model,
            trainer.optimizer,
            batches,
        )
    assert (result(trainer), batches.state_dict()) == (before, position)


@pytest.mark.parametrize("missing", sorted(CHANGES))
def test_a_state_that_lacks_one_field_where_another_makes_no_sense_is_refused(tmp_path, missing):
    fit(make(tmp_path))
    snapshot = read_checkpoint(tmp_path / "checkpoint-0000000004.safetensors")
    trainer, batches, _ = make(None)
    for field in CHANGES.keys() - {missing}:
        state = {**snapshot.state, field: CHANGES[field][2]}
        del state[missing]
        with pytest.raises((CheckpointError, StateError, DataError)):
            restore(snapshot._replace(state=state), trainer.model, trainer.optimizer, batches)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s["state"].update(state=-1),
        lambda s: s["state"].update(state=2**128),
        lambda s: s["state"].update(state=1.5),
        lambda s: s.update(bit_generator="MT19937"),
        lambda s: s.update(more=1),
        lambda s: s.pop("uinteger"),
    ],
)
def test_a_damaged_random_generator_is_refused(tmp_path, change):
    fit(make(tmp_path))
    snapshot = read_checkpoint(tmp_path / "checkpoint-0000000004.safetensors")
    change(snapshot.state["generators"]["2.rng"])
    trainer, batches, _ = make(None)
    with pytest.raises(CheckpointError, match=r"the state of the random generator 2\.rng can't be used"):
        restore(snapshot, trainer.model, trainer.optimizer, batches)


@pytest.mark.parametrize("kind", ["PCG64", "MT19937", "Philox", "SFC64"])
def test_each_bit_generator_of_numpys_comes_back(tmp_path, kind):
    def run(folder, seed, **more):
        made = make(folder, seed=seed)
        made[0].model[2].rng = np.random.Generator(getattr(np.random, kind)(seed))
        return fit(made, **more)

    expected = result(run(tmp_path, 0))
    for path in Checkpoints(tmp_path, 1, print).paths()[:4]:
        path.unlink()
    assert result(run(tmp_path, 5, resume=True)) == expected


def test_other_files_are_no_checkpoints(tmp_path):
    fit(make(tmp_path))
    with pytest.raises(CheckpointError, match="is no checkpoint that this version reads"):
        read_checkpoint(tmp_path / "best.safetensors")
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(ModelFileError, match="truncated"):
        read_checkpoint(tmp_path / "x")

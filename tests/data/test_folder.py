"""A folder of IDX files: how they may be called, and what is refused."""

import numpy as np
import pytest

from gradcore.data import encode_idx, load, load_folder, load_test_part
from gradcore.errors import DataError

USUAL = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
]


def images(n, start=0):
    return (np.arange(start, start + n * 12) % 256).astype(np.uint8).reshape(n, 3, 4)


def labels(n):
    return (np.arange(n) % 10).astype(np.uint8)


CONTENT = dict(zip(USUAL, [images(21), labels(21), images(11, 7), labels(11)], strict=True))


def write(folder, content=CONTENT, rename=str, compress=False):
    folder.mkdir(exist_ok=True)
    for name, array in content.items():
        (folder / rename(name)).write_bytes(encode_idx(array, compress=compress))
    return folder


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("dotted", [False, True])
def test_every_usual_spelling_of_the_file_names_is_read(tmp_path, dotted, compress):
    def rename(name):
        return (name.replace("-idx", ".idx") if dotted else name) + (".gz" if compress else "")

    split = load(write(tmp_path / "mnist", rename=rename, compress=compress))
    assert split.train.images.shape == (21, 1, 3, 4)
    assert split.test.images.shape == (11, 1, 3, 4)
    assert split.train.images.dtype == np.float32
    np.testing.assert_array_equal(split.test.images[:, 0], images(11, 7) / np.float32(255))
    np.testing.assert_array_equal(split.train.labels, labels(21))
    assert split.train.images.max() == np.float32(251 / 255)
    assert split.train.classes[9] == "9"


def test_a_folder_called_fashion_has_garments_for_classes(tmp_path):
    assert load(write(tmp_path / "Fashion-MNIST")).test.classes[9] == "Ankle boot"


def test_missing_files_are_listed_with_those_found(tmp_path):
    folder = write(tmp_path / "mnist")
    (folder / "train-labels-idx1-ubyte").unlink()
    (folder / "t10k-images-idx3-ubyte").rename(folder / "t10k-images")
    with pytest.raises(DataError) as caught:
        load(folder)
    assert str(caught.value) == (
        f"{folder}: missing train-labels-idx1-ubyte, t10k-images-idx3-ubyte (each may also end in .gz), "
        "and no folders train and test of PNG pictures; "
        "found t10k-images, t10k-labels-idx1-ubyte, train-images-idx3-ubyte"
    )


def test_an_empty_folder_is_refused_and_says_what_it_should_hold(tmp_path):
    with pytest.raises(
        DataError, match=r"missing train-images-idx3-ubyte, .*found nothing: the folder is empty"
    ):
        load(tmp_path)


def test_a_crowded_folder_is_listed_in_part(tmp_path):
    for k in range(25):
        (tmp_path / f"file{k:02}").touch()
    with pytest.raises(DataError, match=r"file19 and 5 more$"):
        load(tmp_path)


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    path = write(tmp_path / "mnist") / USUAL[0]
    with pytest.raises(DataError, match=r"expected a folder with IDX files, found a file there"):
        load(path)
    with pytest.raises(DataError, match=r"expected a folder with IDX files, found nothing there"):
        load_folder(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        (
            USUAL[0],
            labels(21),
            r"expected images, uint8 of rank 3 .* got uint8 of rank 1 \(21,\); these look like lab",
        ),
        (USUAL[0], images(21).astype(np.int32), r"expected images, uint8 of rank 3 .*, got int32 of rank 3"),
        (
            USUAL[1],
            images(21),
            r"expected labels, uint8 of rank 1 .* rank 3 \(21, 3, 4\); these look like images",
        ),
        (
            USUAL[1],
            labels(20),
            r"21 images in .*train-images.* but 20 labels in .*train-labels.*: expected one label",
        ),
        (USUAL[3], labels(11) + 3, r"label 10 at index 7 is out of range, expected 0 to 9 \(3 of 11"),
        (
            USUAL[2],
            images(11)[:, :2],
            r"mnist: the images to train on are of shape \(1, 3, 4\), and those to test on of shape \(1, 2, 4\)",
        ),
        (USUAL[2], images(0), r"the data set is empty: its images have shape \(0, 3, 4\)"),
        (USUAL[2], images(11)[:, :0], r"the data set is empty: its images have shape \(11, 0, 4\)"),
    ],
    ids=["labels as images", "dtype", "images as labels", "counts", "range", "kinds", "empty", "no pixels"],
)
def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path, name, array, message):
    with pytest.raises(DataError, match=message) as caught:
        load(write(tmp_path / "mnist", CONTENT | {name: array}))
    if "shape (1," not in str(caught.value):
        assert name in str(caught.value)


def test_a_truncated_file_in_the_folder_is_named(tmp_path):
    folder = write(tmp_path / "mnist")
    path = folder / USUAL[2]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte: truncated: .* 1 missing"):
        load(folder)


def test_only_the_rows_asked_for_are_read_of_the_part_for_testing(tmp_path, monkeypatch):
    folder = write(tmp_path / "mnist")
    for name in USUAL[:2]:
        (folder / name).unlink()
    allocated = []
    empty = np.empty
    monkeypatch.setattr(np, "empty", lambda shape, dtype: (allocated.append(shape), empty(shape, dtype))[1])
    part = load_test_part(folder, 4)
    assert allocated == [(4, 3, 4), (4,)]
    np.testing.assert_array_equal(part.images[:, 0], images(11, 7)[:4] / np.float32(255))
    np.testing.assert_array_equal(part.labels, labels(4))
    assert len(load_test_part(folder, 99)) == 11

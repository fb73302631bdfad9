"""PNG pictures in a folder for each class."""

import os

import numpy as np
import pytest

from gradcore.data import load, load_pictures, load_test_part, png
from gradcore.errors import DataError, DomainError, MissingExtraError

PIL = pytest.importorskip("PIL.Image")


def picture(path, value=0, mode="L", size=(4, 3)):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.new(mode, size, value).save(path, "PNG")


@pytest.fixture
def folder(tmp_path):
    for name, value in {"cats/2.png": 51, "cats/10.png": 102, "dogs/a.PNG": 255}.items():
        picture(tmp_path / "pets" / name, value)
    return tmp_path / "pets"


def test_each_folder_is_a_class_and_its_pictures_follow_by_number(folder):
    found = load_pictures(folder)
    assert repr(found) == f"Dataset({str(folder)!r}, 3 x (1, 3, 4), 2 classes)"
    assert (found.classes, found.labels.tolist(), found.scale) == (("cats", "dogs"), [0, 0, 1], 255.0)
    np.testing.assert_array_equal(found.images[:, 0, 0, 0], np.float32([51, 102, 255]) / np.float32(255))
    assert len(load_pictures(folder, rows=2)) == 2


def test_pictures_are_in_colour_where_one_of_them_is(folder):
    picture(folder / "dogs/b.png", (0, 51, 255), "RGB")
    found = load_pictures(folder)
    assert found.images.shape == (4, 3, 3, 4)
    np.testing.assert_allclose(found.images[3, :, 0, 0], [0, 0.2, 1])
    np.testing.assert_allclose(found.images[0, :, 0, 0], [0.2, 0.2, 0.2])
    assert load_pictures(folder, 1).images.shape == (4, 1, 3, 4)
    np.testing.assert_array_equal(load_pictures(folder, 4).images[:, 3], 1)


def test_names_that_start_with_a_dot_and_files_beside_the_classes_are_passed_over(folder):
    (folder / ".cache").mkdir()
    (folder / "cats/.DS_Store").touch()
    (folder / "README.txt").touch()
    assert load_pictures(folder).classes == ("cats", "dogs")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: picture(f / "dogs/b.png", size=(3, 4)),
         r"b.png is 4 pixels high and 3 wide, and .*cats/2.png 3 x 4: expected one size for all, resize them"),
        (lambda f: (f / "birds").mkdir(), "birds: the class has no pictures: expected files whose names end in .png"),
        (lambda f: (f / "dogs/b.jpg").touch(), "b.jpg: expected PNG pictures alone in the folder of a class"),
        (lambda f: (f / "dogs/more.png").mkdir(), "more.png: expected PNG pictures alone"),
        (lambda f: os.mkfifo(f / "dogs/p.png"), "p.png: expected PNG pictures alone"),
        (lambda f: picture(f / "c.png"), "c.png is in no class: expected a folder of pictures for each class"),
        (lambda f: (f / "dogs/b.png").write_bytes(b"\x89PNG\r\n\x1a\n"), "b.png: can't be read as a PNG picture"),
        (lambda f: (f / "dogs/b.png").write_bytes(b"GIF89a"), "b.png: can't be read as a PNG picture"),
    ],
)  # fmt: skip
def test_a_folder_that_is_no_such_set_is_refused_and_the_file_named(folder, spoil, message):
    spoil(folder)
    with pytest.raises(DataError, match=message):
        load_pictures(folder)


def test_where_there_is_no_folder_or_no_class_it_is_said(tmp_path):
    with pytest.raises(
        DataError, match="expected a folder with a folder for each class, found nothing there"
    ):
        load_pictures(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="found a file there"):
        load_pictures(tmp_path / "file")
    with pytest.raises(DataError, match="there are no classes: expected a folder of PNG pictures for each"):
        load_pictures(tmp_path)


def test_other_channels_are_refused(folder):
    with pytest.raises(DomainError, match="load_pictures got channels=2: it is 1, 3, 4 or None"):
        load_pictures(folder, 2)


def test_sizes_are_held_against_the_limit_before_any_picture_is_unpacked(folder, monkeypatch):
    assert len(load_pictures(folder, limit=3 * 12 * 4)) == 3
    monkeypatch.setattr(PIL.Image, "load", lambda *_: pytest.fail("it was unpacked"))
    monkeypatch.setattr(png.np, "empty", lambda *_: pytest.fail("it was allocated"))
    with pytest.raises(
        DataError, match=r"its pictures \(3, 1, 3, 4\) take 144 bytes as float32, more than the limit"
    ):
        load_pictures(folder, limit=143)


def test_a_picture_that_unpacks_to_much_is_refused_by_its_header(folder):
    head = b"IHDR" + (5000).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    content = b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4, "big") + head + png.zlib.crc32(head).to_bytes(4, "big")
    (folder / "dogs/b.png").write_bytes(content + b"\0\0\0\0IDAT\x35\xaf\x06\x1e")
    with pytest.raises(
        DataError, match=r"b.png: a picture of 25000000 pixels, more than the limit of 16000000"
    ):
        load_pictures(folder)


def test_without_pillow_it_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with pytest.raises(
        MissingExtraError, match=r'reading pictures needs PIL: pip install "gradcore\[images\]"'
    ):
        load_pictures(folder)


# --- train and test ---------------------------------------------------------------------------------------------


@pytest.fixture
def parts(tmp_path):
    for part, count in {"train": 3, "test": 2}.items():
        for name in ("cats", "dogs"):
            for k in range(count):
                picture(tmp_path / "set" / part / name / f"{k}.png", 10 * k)
    return tmp_path / "set"


def test_folders_train_and_test_are_a_split(parts):
    train, test = load(parts)
    assert (len(train), len(test), test.classes) == (6, 4, ("cats", "dogs"))
    assert test.labels.tolist() == [0, 0, 1, 1]


def test_the_test_part_has_the_channels_of_the_training_part(parts):
    picture(parts / "train/cats/9.png", (1, 2, 3), "RGB")
    assert load(parts).test.images.shape == (4, 3, 3, 4)
    assert load_test_part(parts, 3, 3).images.shape == (3, 3, 3, 4)


def test_parts_with_other_classes_are_refused(parts):
    picture(parts / "test/birds/0.png")
    with pytest.raises(DataError, match="classes differ"):
        load(parts)

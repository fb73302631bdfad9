"""What `gradcore predict` reads: no more than it needs, and only what fits."""

import io
import json
import zlib

import numpy as np
import pytest

from gradcore.cli import main
from gradcore.data import encode_idx
from gradcore.data.png import read_png
from gradcore.errors import DataError
from gradcore.model_file import save_model
from gradcore.nn.models import build

PIL = pytest.importorskip("PIL.Image")
DIGITS = [str(i) for i in range(10)]


@pytest.fixture
def model(tmp_path):
    config = {"model": "mlp", "input_shape": [1, 3, 4], "classes": DIGITS, "hidden": [5], "scale": 255.0}
    save_model(tmp_path / "m", build("mlp", (1, 3, 4), 10, 0, hidden=(5,)), config)
    return str(tmp_path / "m")


def picture(path, mode="L", size=(4, 3), value=None):
    image = PIL.new(mode, size)
    raw = np.arange(size[0] * size[1] * len(image.getbands())) * 5 % 256
    image.putdata(
        [tuple(p) if len(p) > 1 else int(p[0]) for p in raw.reshape(-1, len(image.getbands())).tolist()]
    )
    image.save(path, "PNG")
    return raw


def predicted(capsys, *arguments):
    assert main(["predict", *arguments, "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_picture_is_read_as_the_same_bytes_in_an_idx_file_are(model, tmp_path, capsys):
    raw = picture(tmp_path / "p.png")
    (tmp_path / "idx").write_bytes(encode_idx(raw.reshape(1, 3, 4).astype(np.uint8)))
    (from_picture,) = predicted(capsys, model, "--data", str(tmp_path / "p.png"))
    (from_idx,) = predicted(capsys, model, "--data", str(tmp_path / "idx"))
    assert from_picture["probabilities"] == from_idx["probabilities"]
    assert (from_picture["name"], from_picture["true"]) == ("p.png", None)


def test_a_folder_of_pictures_is_read_in_the_order_of_their_numbers_and_no_further_than_asked(
    model, tmp_path, capsys
):
    (tmp_path / "f").mkdir()
    for name in ("p10.png", "p9.PNG", "p2.png"):
        picture(tmp_path / "f" / name)
    (tmp_path / "f/p11.png").write_bytes(b"damaged")
    (tmp_path / "f/notes.txt").touch()
    assert [r["name"] for r in predicted(capsys, model, "--data", str(tmp_path / "f"), "--limit", "3")] == [
        "p2.png",
        "p9.PNG",
        "p10.png",
    ]
    assert main(["predict", model, "--data", str(tmp_path / "f"), "--limit", "4"]) == 1
    assert "p11.png: can't be read as a PNG picture" in capsys.readouterr().err


def test_the_test_part_of_pictures_by_classes_is_read_in_the_model_s_channels(model, tmp_path, capsys):
    for part, name in [(part, name) for part in ("train", "test") for name in DIGITS]:
        (tmp_path / f"set/{part}/{name}").mkdir(parents=True)
        picture(tmp_path / f"set/{part}/{name}/1.png", "RGB")
    found = predicted(capsys, model, "--data", str(tmp_path / "set"), "--limit", "3")
    assert [row["true"] for row in found] == ["0", "1", "2"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_only_the_rows_asked_for_are_read(model, tmp_path, capsys, monkeypatch, kind):
    images, labels = np.zeros((1000, 3, 4), np.uint8), np.zeros(1000, np.uint8)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(encode_idx(images))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(encode_idx(labels))
    read = []
    fill = __import__("gradcore.data.idx", fromlist=["_fill"])._fill
    monkeypatch.setattr(
        "gradcore.data.idx._fill", lambda stream, array: (read.append(array.nbytes), fill(stream, array))[1]
    )
    source = tmp_path if kind == "folder" else tmp_path / "t10k-images-idx3-ubyte"
    assert len(predicted(capsys, model, "--data", str(source), "--limit", "2")) == 2
    assert sum(read) <= 2 * 12 + 2


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("RGBA", 4)])
def test_channels_come_first(tmp_path, mode, channels):
    raw = picture(tmp_path / "p", mode)
    expected = np.moveaxis(raw.reshape(3, 4, channels), -1, 0) / np.float32(255)
    found = read_png(tmp_path / "p", (channels, 3, 4))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected.astype(np.float32))


def test_pictures_of_16_bits_and_in_colour_become_grey_from_0_to_1(tmp_path):
    PIL.fromarray(np.array([[0, 65535], [32768, 1]], np.uint16)).save(tmp_path / "p", "PNG")
    np.testing.assert_allclose(
        read_png(tmp_path / "p", (2, 2)), np.array([[0, 1], [32768 / 65535, 1 / 65535]])
    )
    PIL.new("RGB", (2, 2), (255, 255, 255)).save(tmp_path / "p", "PNG")
    np.testing.assert_array_equal(read_png(tmp_path / "p", (4,)), np.ones(4))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_grey_of_16_bits_keeps_its_levels_in_every_number_of_channels(tmp_path, channels):
    levels = np.array([[0, 65535, 257], [32768, 1, 12345]], np.uint16)
    PIL.fromarray(levels).save(tmp_path / "p", "PNG")
    found = read_png(tmp_path / "p", (channels, 2, 3))
    assert found.dtype == np.float32
    for plane in found[:3]:
        np.testing.assert_array_equal(plane, levels / np.float32(65535))
    np.testing.assert_array_equal(found[3:], np.ones((max(0, channels - 3), 2, 3)))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 4, 3), "p is 3 pixels high and 4 wide, expected 4 x 3: resize it"),
        ((5,), r"takes examples of shape \(5,\), and these are no pictures"),
        ((2, 3, 4), r"takes examples of shape \(2, 3, 4\), and these are no pictures"),
    ],
)
def test_pictures_that_do_not_fit_are_refused(tmp_path, shape, message):
    picture(tmp_path / "p")
    with pytest.raises(DataError, match=message):
        read_png(tmp_path / "p", shape)


def test_each_cut_and_each_changed_byte_of_a_picture_is_read_or_refused(tmp_path):
    stream = io.BytesIO()
    picture(stream)
    whole = stream.getvalue()
    refused = 0
    for place in range(len(whole)):
        for content in (whole[:place], whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :]):
            (tmp_path / "p").write_bytes(content)
            try:
                assert read_png(tmp_path / "p", (3, 4)).shape == (3, 4)
            except DataError:
                refused += 1
    assert refused > len(whole)


def test_a_small_file_that_unpacks_to_much_is_refused(tmp_path, monkeypatch):
    header = (20_000).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    body = b"".join(
        len(c).to_bytes(4, "big") + n + c + zlib.crc32(n + c).to_bytes(4, "big") for n, c in chunks
    )
    (tmp_path / "p").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    monkeypatch.setattr(PIL.Image, "load", lambda *_: pytest.fail("it was unpacked"))
    with pytest.raises(DataError, match="p"):
        read_png(tmp_path / "p", (1, 20_000, 20_000))


def test_what_is_no_file_of_images_is_refused(model, tmp_path, capsys):
    import os

    os.mkfifo(tmp_path / "pipe")
    for source, message in [
        ("pipe", "found no regular file there"),
        ("nowhere", "no data set"),
        ("m", "not an IDX file"),
    ]:
        assert main(["predict", model, "--data", str(tmp_path / source)]) == 1
        assert message in capsys.readouterr().err


def test_a_folder_of_another_shape_is_refused(model, tmp_path, capsys):
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(encode_idx(np.zeros((3, 3, 5), np.uint8)))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(encode_idx(np.zeros(3, np.uint8)))
    assert main(["predict", model, "--data", str(tmp_path)]) == 1
    assert "does not fit this model: its examples have shape (1, 3, 5)" in capsys.readouterr().err

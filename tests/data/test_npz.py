"""NPZ files: arrays come back, and damaged, lying or pickled archives cost no memory and run nothing."""

import io
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from gradcore.data import load_npz, read_npz
from gradcore.errors import DataError

RNG = np.random.default_rng(0)
ARRAYS = {
    "bytes": RNG.integers(0, 256, (3, 4, 5)).astype(np.uint8),
    "doubles": RNG.normal(size=(2, 3)),
    "singles": np.asfortranarray(RNG.normal(size=(4, 3)).astype(np.float32)),
    "other order of bytes": np.arange(3, dtype=">i4"),
    "empty": np.zeros((0, 3)),
    "one": np.array(7),
    "texts": np.array(["a", "bc"]),
    "complex": np.array([1 + 2j]),
    "flags": np.array([True, False]),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "arrays.npz"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back(path, save):
    save(path, **ARRAYS)
    found = read_npz(path)
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert (found[name].dtype, found[name].shape) == (array.dtype.newbyteorder("="), array.shape)
        assert found[name].flags.c_contiguous and found[name].flags.writeable  # noqa: PT018
    assert list(read_npz(path, ["one", "bytes"])) == ["one", "bytes"]


def npy(array=None, shape=None, dtype="<f8", data=b"", version=b"\x01\x00", order="False"):
    if array is not None:
        stream = io.BytesIO()
        np.save(stream, array)
        return stream.getvalue()
    header = f"{{'descr': {dtype!r}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(header)) + header + data


def archive(path, compress=zipfile.ZIP_STORED, **members):
    with zipfile.ZipFile(path, "w", compress) as made:
        for name, data in members.items():
            made.writestr(name.replace("_DOT_", "."), data)


class Evil:
    def __reduce__(self):
        return print, ("this must not run",)


def refused(path, message, **more):
    tracemalloc.start()
    with pytest.raises(DataError, match=message):
        read_npz(path, **more)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a_DOT_npy": npy(shape="(4,)", data=bytes(24))}, r"a declares float64 \(4,\), 32 bytes, and the archive 24 of"),
        ({"a_DOT_npy": npy(shape="(4,)", data=bytes(40))}, "a declares float64"),
        ({"a_DOT_npy": npy(shape="(100000000000,)", data=bytes(8))}, "800000000000 bytes"),
        ({"a_DOT_npy": npy(shape="(0, 100000000000000)")}, "its arrays take 800000000000000 bytes, more than the limit"),
        ({"a_DOT_npy": npy(shape="(-1,)", data=b"")}, r"a declares the shape \(-1,\)"),
        ({"a_DOT_npy": npy(shape="(1,)", dtype="|O", data=pickle.dumps(Evil()))}, "a is an array of object, which is not read"),
        ({"a_DOT_npy": npy(shape="(1,)", dtype="|V8", data=bytes(8))}, "expected numbers or texts"),
        ({"a_DOT_npy": npy(shape="(1,)", version=b"\x03\x00", data=bytes(8))}, r"of the format \(3, 0\)"),
        ({"a_DOT_npy": npy(shape="__import__('os')")}, "the archive is damaged"),
        ({"a_DOT_npy": npy(shape="(" * 5000)}, "the header of a is damaged|the archive is damaged|do not fit into memory"),
        ({"a_DOT_npy": b"\x93NUMPY"}, "the archive is damaged"),
        ({"a_DOT_npy": pickle.dumps(Evil())}, "the archive is damaged"),
        ({"a_DOT_txt": b"x"}, "no NPZ file: it holds 'a.txt', expected names that end in .npy"),
    ],
)  # fmt: skip
def test_a_lying_header_and_a_pickle_are_refused(path, members, message, capsys):
    archive(path, **members)
    refused(path, message)
    assert "this must not run" not in capsys.readouterr().out


def test_an_array_of_objects_is_refused(path, capsys):
    np.savez(path, a=np.array([Evil()], object))
    refused(path, "a is an array of object, which is not read")
    assert capsys.readouterr().out == ""


def test_a_bomb_is_refused_before_it_is_unpacked(path):
    np.savez_compressed(path, a=np.zeros(50_000_000, np.uint8))
    assert path.stat().st_size < 100_000
    refused(path, "its arrays take 50000000 bytes, more than the limit of 1000000 bytes", limit=1_000_000)


def test_members_that_overlap_or_have_one_name_are_refused(path):
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("a.npy", npy(np.ones(2)))
        with pytest.warns(UserWarning, match="Duplicate name"):
            made.writestr("a.npy", npy(np.ones(2)))
    refused(path, "two of its arrays have one name")
    archive(path, a_DOT_npy=npy(np.ones(2000)), b_DOT_npy=npy(np.ones(2000)))
    with zipfile.ZipFile(path) as made:
        infos = made.infolist()
    data = bytearray(path.read_bytes())
    start = infos[1].header_offset
    directory = data.index(b"PK\x01\x02")
    second = data.index(b"PK\x01\x02", directory + 4)
    struct.pack_into("<I", data, second + 42, 0)
    cut = data[:start] + data[directory:]
    struct.pack_into("<I", cut, len(cut) - 6, start)
    path.write_bytes(cut)
    refused(path, "its arrays overlap|the archive is damaged")


def test_a_flipped_byte_never_gives_other_values_nor_another_error(path):
    np.savez_compressed(path, a=np.arange(50.0), b=np.ones((3, 4), np.float32))
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    seen = 0
    for _ in range(400):
        bad = bytearray(good)
        bad[rng.integers(len(bad))] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(bad[: rng.integers(len(bad))]) if rng.random() < 0.1 else bad)
        try:
            found = read_npz(path)
        except DataError:
            seen += 1
        else:
            for array in found.values():
                assert np.array_equal(array, np.arange(50.0)) or np.array_equal(array, np.ones((3, 4)))
    assert seen > 200


def test_other_files_and_names_are_refused(path, tmp_path):
    with pytest.raises(DataError, match="expected an NPZ file, found nothing there"):
        read_npz(path)
    path.write_bytes(b"1,2\n")
    with pytest.raises(DataError, match="the archive is damaged"):
        read_npz(path)
    np.savez(path, x=np.ones(2), y=np.ones(2))
    with pytest.raises(DataError, match="there is no array 'images', it holds x, y"):
        load_npz(path)


# --- data sets --------------------------------------------------------------------------------------------------------


def test_kerass_form_of_mnist_is_a_data_set(path):
    np.savez_compressed(path, x_train=ARRAYS["bytes"], y_train=np.array([2, 0, 1], np.uint8))
    found = load_npz(path, "x_train", "y_train")
    assert (found.images.shape, found.labels.tolist(), found.classes, found.scale) == (
        (3, 1, 4, 5), [2, 0, 1], ("0", "1", "2"), 255.0,
    )  # fmt: skip
    np.testing.assert_array_equal(found.images[:, 0], np.float32(ARRAYS["bytes"]) / np.float32(255))


def test_numbers_stay_as_they_are_and_classes_may_have_names(path):
    np.savez(path, images=np.array([[1.5, 2.0], [3.0, 4.0]]), labels=np.array([[1], [0]]))
    found = load_npz(path, classes=("no", "yes", "perhaps"))
    assert (found.images.tolist(), found.labels.tolist()) == ([[1.5, 2], [3, 4]], [1, 0])
    assert (found.classes, found.scale) == (("no", "yes", "perhaps"), 1.0)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.ones(3), np.zeros(3, int), r"images is float64 \(3,\), expected numbers of shape \(n, ...\)"),
        (np.array([["a"]]), np.zeros(1, int), "images is <U1"),
        (
            np.ones((3, 2)),
            np.zeros(2, int),
            r"labels is int64 \(2,\), expected whole numbers of shape \(3,\)",
        ),
        (np.ones((3, 2)), np.zeros(3), "labels is float64"),
        (np.ones((0, 2)), np.zeros(0, int), r"the data set is empty: images has shape \(0, 2\)"),
        (np.ones((2, 2)), np.array([0, -1]), "labels go from -1 to 0, expected 0 to 999 at most"),
        (np.ones((2, 2)), np.array([0, 2**40]), "labels go from 0 to 1099511627776, expected 0 to 999"),
        (np.array([[np.nan]]), np.zeros(1, int), "images holds values that are not finite"),
        (np.array([[1e39]]), np.zeros(1, int), "or too large for float32"),
    ],
)
def test_what_is_no_data_set_is_refused(path, images, labels, message):
    np.savez(path, images=images, labels=labels)
    with pytest.raises(DataError, match=message):
        load_npz(path)
    if "labels go" in message:
        with pytest.raises(DataError, match="expected 0 to 1 at most"):
            load_npz(path, classes=("a", "b"))

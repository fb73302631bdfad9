"""Model files: what is saved comes back bit for bit; what is damaged or does not fit is refused and says why."""

import os
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gradcore.errors import ModelFileError, OutputError
from gradcore.io import load_tensors, save_tensors

DTYPES = [
    "bool",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "float16",
    "uint32",
    "int32",
    "float32",
    "uint64",
    "int64",
    "float64",
]
SMALL = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.arange(3, dtype=np.float64)}

arrays = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("model") / "a-model"


@given(
    tensors=st.dictionaries(
        st.text(max_size=5).filter(lambda s: s.isprintable()), arrays, min_size=1, max_size=4
    ),
    metadata=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
)
@settings(deadline=None)
def test_tensors_and_metadata_come_back_bit_for_bit(file, tensors, metadata):
    save_tensors(file, tensors, metadata)
    found, found_metadata = load_tensors(file)
    assert found_metadata == metadata
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape)
        assert found[name].tobytes() == tensor.tobytes()
        assert found[name].flags.writeable


@pytest.mark.parametrize(
    "tensor",
    [
        np.arange(12.0).reshape(3, 4).T,
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.arange(12.0).reshape(3, 4)[::-1, ::2],
        np.broadcast_to(np.arange(3.0), (4, 3)),
        np.arange(12, dtype=">f4").reshape(3, 4),
        np.float32(2.5) * np.ones(()),
    ],
    ids=["transposed", "fortran", "strided", "broadcast", "big-endian", "0-d"],
)
def test_memory_layout_and_byte_order_do_not_matter(file, tensor):
    save_tensors(file, {"x": tensor})
    found = load_tensors(file)[0]["x"]
    assert found.shape == tensor.shape
    np.testing.assert_array_equal(found, tensor)


def test_the_file_is_what_the_safetensors_library_reads(file):
    from safetensors.numpy import load_file

    save_tensors(file, SMALL, {"model": "mlp"})
    for name, tensor in load_file(file).items():
        np.testing.assert_array_equal(tensor, SMALL[name])


def test_saving_over_a_model_that_is_loaded_leaves_the_loaded_one_alone(file):
    save_tensors(file, SMALL)
    first = load_tensors(file)[0]
    save_tensors(file, {"weight": -SMALL["weight"], "bias": -SMALL["bias"]})
    np.testing.assert_array_equal(first["weight"], SMALL["weight"])


@pytest.mark.parametrize(
    ("tensors", "metadata", "message"),
    [
        ({"x": np.zeros(2, complex)}, {}, "x: expected an array of bool, uint8, .*, got complex128"),
        ({"x": np.array([None])}, {}, "x: expected an array of .*, got object"),
        ({"x": [1.0]}, {}, "x: expected an array of .*, got list"),
        ({3: np.zeros(2)}, {}, "a tensor's name is a string other than '__metadata__', got 3"),
        (
            {"__metadata__": np.zeros(2)},
            {},
            "a tensor's name is a string other than '__metadata__', got '__meta",
        ),
        ({}, {}, "there are no tensors to save"),
        (SMALL, {"epoch": 3}, "metadata holds strings by name, got 'epoch': 3"),
    ],
)
def test_what_the_format_can_not_hold_is_refused_and_the_old_file_kept(file, tensors, metadata, message):
    save_tensors(file, SMALL)
    with pytest.raises(ModelFileError, match=message):
        save_tensors(file, tensors, metadata)
    assert load_tensors(file)[0].keys() == SMALL.keys()


def test_a_folder_that_is_missing_is_told_when_saving(tmp_path):
    with pytest.raises(OutputError, match="nowhere does not exist"):
        save_tensors(tmp_path / "nowhere" / "model", SMALL)


def test_a_model_cut_at_any_byte_is_refused_by_name(file):
    save_tensors(file, SMALL)
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(ModelFileError, match="a-model: truncated"):
            load_tensors(file)


def test_a_model_with_trailing_bytes_is_refused(file):
    save_tensors(file, SMALL)
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(ModelFileError, match="a-model: damaged: trailing bytes: its header describes"):
        load_tensors(file)


@given(position=st.integers(0, 10_000), value=st.integers(0, 255))
@settings(deadline=None, max_examples=300)
def test_a_damaged_byte_gives_arrays_or_a_model_file_error_but_never_a_crash(file, position, value):
    save_tensors(file, SMALL, {"a": "b"})
    damaged = bytearray(file.read_bytes())
    damaged[position % len(damaged)] = value
    file.write_bytes(damaged)
    try:
        tensors, metadata = load_tensors(file)
    except ModelFileError:
        return
    assert all(isinstance(tensor, np.ndarray) for tensor in tensors.values())
    assert all(isinstance(text, str) for text in metadata.values())


def with_header(text, data=b""):
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "truncated: a safetensors file starts with 8 bytes for its header's length, got 0"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), r"not a safetensors file: .* announce a header of \d+ bytes, expected at most 50"),
        (struct.pack("<Q", 2**63) + bytes(50), "announce a header of 9223372036854775808 bytes"),
        (with_header(b"not json"), "not a safetensors file: its header is not JSON"),
        (with_header(b"\xff\xfe"), "not a safetensors file: its header is not JSON"),
        (with_header(b"[1, 2]"), "its header is not a JSON object"),
        (with_header(b"[" * 100_000), "its header is not JSON"),
        (with_header(b'{"x": 3}'), "damaged: x is not described by dtype, shape and data_offsets"),
        (with_header(b'{"__metadata__": {"a": 1}}'), "its metadata are not strings by name"),
        (with_header(b'{"__metadata__": {"a": "1"}}'), "its header describes no arrays"),
        (
            with_header(b'{"x":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}', b"\0\0"),
            "x: dtype BF16, expected one of BOOL, U8",
        ),
        (
            with_header(b'{"x":{"dtype":"F32","shape":[4000000000,4000000000],"data_offsets":[0,4]}}', bytes(4)),
            "x has the shape .*, more than fits any memory",
        ),
    ],
    ids=[
        "empty", "png", "huge header", "no json", "no utf-8", "list", "deep", "number", "metadata", "no arrays", "bf16", "huge shape",
    ],
)  # fmt: skip
def test_a_foreign_file_is_refused_and_says_why(file, content, message):
    file.write_bytes(content)
    with pytest.raises(ModelFileError, match=message):
        load_tensors(file)


def test_a_header_as_large_as_the_file_allows_is_still_bounded(file):
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", 4_000_001))
        stream.truncate(200_000_000)
    with pytest.raises(ModelFileError, match="expected at most 4000000"):
        load_tensors(file)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(ModelFileError, match="nowhere: expected a model file, found nothing there"):
        load_tensors(tmp_path / "nowhere")
    with pytest.raises(ModelFileError, match="expected a model file, found a folder there"):
        load_tensors(tmp_path)


def test_a_file_that_the_system_refuses_to_read_is_a_model_file_error(file, monkeypatch):
    save_tensors(file, SMALL)

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(ModelFileError, match="a-model: can't be read: Permission denied"):
        load_tensors(file)


def described(shape, span, data=b"", dtype="U8", more=""):
    entry = f'{{"dtype":"{dtype}","shape":{shape},"data_offsets":{span}}}'
    return with_header(f'{{"x":{entry}{more}}}'.encode(), data)


Y = ',"y":{"dtype":"U8","shape":[2],"data_offsets":%s}'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (described([1] * 65, [0, 1], b"0"), r"x has the shape .* at most 64 sizes"),
        (described([2**63], [0, 2**63]), "more than fits any memory"),
        (described([0, 2**40, 2**40], [0, 0]), "more than fits any memory"),
        (described([-1], [0, 1], b"0"), r"the shape \[-1\]"),
        (described("[true]", [0, 1], b"0"), r"the shape \[True\]"),
        (described("[1.0]", [0, 1], b"0"), r"the shape \[1.0\]"),
        (described([1], [0, 1, 1], b"0"), r"the offsets \[0, 1, 1\]"),
        (described([1], [1, 0], b"0"), r"takes 1 bytes, and its offsets \[1, 0\] leave -1"),
        (described([2], [0, 1], b"0"), r"takes 2 bytes, and its offsets \[0, 1\] leave 1"),
        (described([2], [0, 2], b"000", more=Y % "[1,3]"), "y starts at byte 1, expected 2: arrays overlap"),
        (described([2], [0, 2], b"00000", more=Y % "[3,5]"), "y starts at byte 3, expected 2"),
        (described([1], [1, 2], b"00"), "x starts at byte 1, expected 0"),
        (described([2], [0, 2], b"00", more=(Y % "[0,2]").replace("y", "x")), "the name 'x' comes twice"),
        (described([1], [0, 1], b"\2", "BOOL"), "x is boolean and holds bytes other than 0 and 1"),
        (described([10**50], [0, 1], b"0"), "a number of 51 digits"),
        (described("[1e999]", [0, 1], b"0"), "beyond what float64 holds"),
        (described("[NaN]", [0, 1], b"0"), "NaN is not a number of JSON's"),
        (with_header(b'{"__metadata__":{"\\ud800":"a"}}'), "its header is not JSON"),
        (described([2], [0, 2], b"0"), "truncated: its header describes"),
    ],
)  # fmt: skip
def test_a_header_that_lies_is_refused_before_anything_is_allocated(file, monkeypatch, content, message):
    if "boolean" not in message:
        monkeypatch.setattr(np, "empty", lambda *_a, **_k: pytest.fail("it allocated"))
    file.write_bytes(content)
    with pytest.raises(ModelFileError, match=message):
        load_tensors(file)


def test_each_flipped_bit_of_a_file_of_ours_is_detected(file):
    save_tensors(file, {"x": np.arange(3, dtype=np.int16)}, {"gradcore-model-1": "b"})
    whole = file.read_bytes()
    for position in range(len(whole)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << bit
            file.write_bytes(damaged)
            with pytest.raises(ModelFileError):
                load_tensors(file)


def test_a_file_without_our_checksum_is_read_and_one_with_another_is_not(file):
    file.write_bytes(described([2], [0, 2], b"ab"))
    assert load_tensors(file)[0]["x"].tobytes() == b"ab"
    more = ',"__metadata__":{"gradcore-sha256":"%s"}' % ("1" * 64)
    file.write_bytes(described([2], [0, 2], b"ab", more=more))
    with pytest.raises(ModelFileError, match="do not agree with the checksum"):
        load_tensors(file)


def test_the_checksum_is_no_one_elses_metadata(file):
    with pytest.raises(ModelFileError, match="metadata holds strings by name, got 'gradcore-sha256'"):
        save_tensors(file, SMALL, {"gradcore-sha256": "mine"})
    save_tensors(file, SMALL, {"b": '"gradcore-sha256":"' + "0" * 64 + '"', "a": "0" * 64})
    assert load_tensors(file)[1] == {"b": '"gradcore-sha256":"' + "0" * 64 + '"', "a": "0" * 64}


def test_a_file_beyond_the_limit_is_refused_before_memory_is_taken(file, monkeypatch):
    save_tensors(file, {"x": np.zeros(1000, np.uint8)})
    monkeypatch.setattr(np, "empty", lambda *_a, **_k: pytest.fail("it allocated"))
    with pytest.raises(ModelFileError, match="its arrays take 1000 bytes, more than the limit of 999"):
        load_tensors(file, limit=999)


def test_the_layouts_are_seen_before_anything_is_read(file, monkeypatch):
    save_tensors(file, SMALL, {"a": "b"})
    monkeypatch.setattr(np, "empty", lambda *_a, **_k: pytest.fail("it allocated"))
    seen = []

    def refuse(layouts, metadata):
        seen.append(({name: (str(each.dtype), each.shape) for name, each in layouts.items()}, metadata))
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        load_tensors(file, check=refuse)
    assert seen == [({"bias": ("float64", (3,)), "weight": ("float32", (2, 3))}, {"a": "b"})]


def test_memory_that_is_not_there_is_a_model_file_error(file, monkeypatch):
    def refuse(*_a, **_k):
        raise MemoryError

    save_tensors(file, SMALL)
    monkeypatch.setattr(np, "empty", refuse)
    with pytest.raises(ModelFileError, match=r"bias of float64 \(3,\) does not fit into memory"):
        load_tensors(file)


def test_a_pipe_and_a_sparse_file_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelFileError, match="found no regular file there"):
        load_tensors(tmp_path / "pipe")
    with (tmp_path / "sparse").open("wb") as stream:
        stream.truncate(1 << 30)
    with pytest.raises(ModelFileError, match="its header is not JSON"):
        load_tensors(tmp_path / "sparse")


def test_names_that_utf_8_lacks_and_headers_too_long_to_read_again_are_not_written(file):
    with pytest.raises(ModelFileError, match="half a surrogate pair"):
        save_tensors(file, {"\ud800": np.zeros(2)})
    with pytest.raises(
        ModelFileError, match=r"the header of 1 tensors would take \d+ bytes, at most 4000000"
    ):
        save_tensors(file, {"x" * 4_000_000: np.zeros(2)})


def test_arrays_stand_at_multiples_of_their_items_size(file):
    tensors = {"a": np.zeros(3, np.uint8), "b": np.zeros(5, np.float64), "c": np.zeros(1, np.float16)}
    save_tensors(file, tensors)
    (length,) = struct.unpack("<Q", file.read_bytes()[:8])
    assert length % 8 == 0
    assert list(load_tensors(file)[0]) == ["b", "c", "a"]

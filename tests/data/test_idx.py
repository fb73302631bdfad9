"""The IDX reader and encoder: what they hold, and every way a file can be wrong."""

import gzip
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gradcore.data import encode_idx, read_idx
from gradcore.errors import DataError, DtypeError

IDX_DTYPES = [np.uint8, np.int8, np.int16, np.int32, np.float32, np.float64]
SMALL = np.arange(6, dtype=np.int16).reshape(2, 3)

arrays = st.sampled_from(IDX_DTYPES).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("idx") / "a-file"


@given(array=arrays, compress=st.booleans())
@settings(deadline=None)
def test_any_array_comes_back_bit_for_bit_from_its_encoding(file, array, compress):
    file.write_bytes(encode_idx(array, compress=compress))
    back = read_idx(file)
    assert back.dtype == array.dtype
    assert back.dtype.isnative
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()
    assert back.flags.writeable
    assert back.flags.c_contiguous


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", IDX_DTYPES)
def test_byte_order_and_memory_layout_of_the_input_do_not_matter(file, dtype, order):
    array = np.arange(12, dtype=dtype).reshape(3, 4)
    file.write_bytes(encode_idx(array.astype(np.dtype(dtype).newbyteorder(order)).T[::-1]))
    np.testing.assert_array_equal(read_idx(file), array.T[::-1])


@pytest.mark.parametrize(
    ("code", "letter", "value", "dtype"),
    [
        (0x08, "B", 200, np.uint8),
        (0x09, "b", -100, np.int8),
        (0x0B, "h", -12345, np.int16),
        (0x0C, "i", -123456789, np.int32),
        (0x0D, "f", -1.5, np.float32),
        (0x0E, "d", 1e-300, np.float64),
    ],
)
def test_each_dtype_code_is_read_big_endian_as_the_format_says(file, code, letter, value, dtype):
    file.write_bytes(bytes([0, 0, code, 1, 0, 0, 0, 2]) + struct.pack(f">2{letter}", value, 1))
    found = read_idx(file)
    assert found.dtype == dtype
    assert found.tolist() == [value, 1]


def test_gzip_is_told_by_its_content_and_not_by_the_name(tmp_path):
    (tmp_path / "plain.gz").write_bytes(encode_idx(SMALL))
    (tmp_path / "zipped").write_bytes(encode_idx(SMALL, compress=True))
    np.testing.assert_array_equal(read_idx(tmp_path / "plain.gz"), SMALL)
    np.testing.assert_array_equal(read_idx(tmp_path / "zipped"), SMALL)


def test_the_same_array_gives_the_same_compressed_bytes():
    first = encode_idx(SMALL, compress=True)
    assert first == encode_idx(SMALL, compress=True)
    assert first[4:8] == bytes(4), "the gzip header holds a time stamp"


@pytest.mark.parametrize("compress", [False, True])
def test_a_file_cut_at_any_byte_is_refused_by_name(file, compress):
    whole = encode_idx(SMALL, compress=compress)
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"a-file: .*truncated"):
            read_idx(file)


def test_a_gzipped_file_whose_content_was_cut_at_any_byte_is_refused(file):
    whole = encode_idx(SMALL)
    for length in range(len(whole)):
        file.write_bytes(gzip.compress(whole[:length]))
        with pytest.raises(DataError, match="truncated"):
            read_idx(file)


def test_a_truncated_file_is_refused_and_says_how_many_bytes_are_missing(file):
    file.write_bytes(encode_idx(SMALL)[:-5])
    with pytest.raises(
        DataError, match=r"int16 \(2, 3\) with its header takes 24 bytes, found 19, 5 missing"
    ):
        read_idx(file)


@pytest.mark.parametrize("wrap", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_trailing_bytes_are_refused(file, wrap):
    file.write_bytes(wrap(encode_idx(SMALL) + b"\0"))
    with pytest.raises(DataError, match=r"trailing bytes: .* takes 24 bytes, the file goes on"):
        read_idx(file)


def test_a_flipped_bit_in_a_gzipped_file_never_gives_other_numbers(file):
    whole = encode_idx(SMALL, compress=True)
    for position in range(len(whole)):
        for bit in (1, 16, 128):
            damaged = bytearray(whole)
            damaged[position] ^= bit
            file.write_bytes(damaged)
            try:
                found = read_idx(file)
            except DataError:
                continue
            np.testing.assert_array_equal(
                found, SMALL
            )  # the flip hit the header's time, name or system field


@given(
    content=st.binary(max_size=40).flatmap(
        lambda tail: st.sampled_from([b"", b"\0\0\x08", b"\x1f\x8b\x08\0"]).map(lambda head: head + tail)
    )
)
@settings(deadline=None, max_examples=300)
def test_arbitrary_bytes_are_read_or_refused_but_never_crash(file, content):
    file.write_bytes(content)
    try:
        found = read_idx(file)
    except DataError:
        return
    assert encode_idx(found) == content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG\r\n\x1a\n", r"not an IDX file: it starts with b'\\x89PNG', expected two zero bytes"),
        (b"\0\0\x0a\x01\0\0\0\0", "unknown IDX dtype code 0x0a; known are 0x08 uint8, 0x09 int8, 0x0b int16"),
        (b"\0\0\x08\x41" + bytes(65 * 4), "declares 65 dimensions, NumPy holds at most 64"),
        (b"\0\0\x08\x03\0\0\0\x01", "truncated in the header: 3 dimensions need 12 bytes, 4 left"),
    ],
)
def test_what_is_no_idx_file_is_refused_and_says_why(file, content, message):
    file.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_idx(file)


HUGE = b"\0\0\x08\x03" + struct.pack(">3I", 1000, 1000, 1000)
BEYOND = b"\0\0\x0e\x04" + struct.pack(">4I", 0, 2**32 - 1, 2**32 - 1, 2**32 - 1)


@pytest.mark.parametrize("wrap", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_header_that_lies_is_refused_before_memory_is_taken(file, wrap, monkeypatch):
    file.write_bytes(wrap(HUGE + bytes(100)))
    monkeypatch.setattr(np, "empty", lambda *args, **kwargs: pytest.fail("memory was taken"))
    with pytest.raises(DataError, match=r"uint8 \(1000, 1000, 1000\)"):
        read_idx(file)


@pytest.mark.parametrize("wrap", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_header_beyond_the_limit_is_refused(file, wrap):
    file.write_bytes(wrap(encode_idx(SMALL)))
    with pytest.raises(DataError, match="more than the limit of 11 bytes"):
        read_idx(file, limit=11)
    np.testing.assert_array_equal(read_idx(file, limit=12), SMALL)


def test_a_zero_dimension_does_not_hide_absurd_ones(file):
    file.write_bytes(BEYOND)
    with pytest.raises(DataError, match="more than the limit"):
        read_idx(file)


def test_a_gzip_bomb_behind_a_small_header_is_not_unpacked(file):
    bomb = gzip.compress(encode_idx(SMALL) + bytes(50 << 20))
    file.write_bytes(bomb)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="trailing bytes"):
            read_idx(file)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 << 20


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(DataError, match="nowhere: expected an IDX file, found nothing there"):
        read_idx(tmp_path / "nowhere")
    with pytest.raises(DataError, match="expected an IDX file, found a folder there"):
        read_idx(tmp_path)


def test_a_file_that_the_system_refuses_to_read_is_a_data_error(file, monkeypatch):
    file.write_bytes(encode_idx(SMALL))

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(DataError, match="a-file: can't be read: Permission denied"):
        read_idx(file)


def test_a_dtype_that_idx_lacks_is_refused():
    with pytest.raises(DtypeError, match="IDX has no code for int64; it holds 0x08 uint8"):
        encode_idx(np.arange(3))


@pytest.mark.parametrize("wrap", [bytes, gzip.compress])
@pytest.mark.parametrize("rows", [0, 1, 3, 4, 9])
def test_the_first_rows_can_be_read_alone(file, wrap, rows):
    array = np.arange(12, dtype=np.uint8).reshape(4, 3)
    file.write_bytes(wrap(encode_idx(array)))
    np.testing.assert_array_equal(read_idx(file, rows=rows), array[:rows])


def test_rows_below_the_limit_are_read_of_a_file_beyond_it(file):
    file.write_bytes(encode_idx(np.zeros((10, 100), np.uint8)))
    assert read_idx(file, rows=2, limit=200).shape == (2, 100)
    with pytest.raises(DataError, match="more than the limit of 199 bytes"):
        read_idx(file, rows=2, limit=199)


def test_a_plain_file_that_is_cut_is_refused_even_where_the_rows_are_there(file):
    file.write_bytes(encode_idx(np.zeros((10, 100), np.uint8))[:-1])
    with pytest.raises(DataError, match="truncated"):
        read_idx(file, rows=1)


def test_a_number_without_axes_has_no_rows_to_choose(file):
    file.write_bytes(encode_idx(np.array(5, np.uint8)))
    assert read_idx(file, rows=1) == 5


def test_memory_that_is_not_there_is_a_data_error(file, monkeypatch):
    file.write_bytes(encode_idx(np.zeros(4, np.uint8)))

    def refuse(*_a, **_k):
        raise MemoryError

    monkeypatch.setattr(np, "empty", refuse)
    with pytest.raises(DataError, match=r"uint8 \(4,\), which does not fit into memory"):
        read_idx(file)

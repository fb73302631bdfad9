"""A text by characters: codes and back, windows and lanes, and files that are no text."""

import tracemalloc

import numpy as np
import pytest

from gradcore.data import DataLoader, Text, load_text, text, utf8
from gradcore.errors import DataError, DomainError, DtypeError, ShapeError

ABRA = Text.of("abracadabra")


def written(tmp_path, content):
    path = tmp_path / "t.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# --- codes ------------------------------------------------------------------------------------------------------


def test_characters_are_numbered_in_the_order_of_unicode():
    assert (ABRA.vocabulary, ABRA.codes.tolist()) == ("abcdr", [0, 1, 4, 0, 2, 0, 3, 0, 1, 4, 0])
    assert repr(ABRA) == "Text('text', 11 characters, 5 different)"


@pytest.mark.parametrize("string", ["abracadabra", "é😀\n\tZa", "\ud800x"])
def test_decoding_gives_the_text_back(string):
    found = Text.of(string)
    assert found.decode(found.codes) == string
    assert found.decode(found.encode(string[::-1])) == string[::-1]


def test_a_vocabulary_in_any_order_numbers_by_its_order():
    found = Text.of("cab", "bca")
    assert found.codes.tolist() == [1, 2, 0]
    assert found.decode(found.codes) == "cab"


def test_one_code_and_none_are_decoded():
    assert (ABRA.decode(4), ABRA.decode([]), ABRA.encode("").tolist()) == ("r", "", [])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ABRA.encode("abé"), DomainError, r"'é' \(U\+00E9\), character 2, is not in the vocabulary of 5"),
        (lambda: ABRA.encode("z"), DomainError, r"'z' \(U\+007A\), character 0, is not in the vocabulary"),
        (lambda: Text.of("abc", "ab"), DomainError, "character 2, is not in the vocabulary of 2: 'ab'"),
        (lambda: Text.of("ab", "aba"), DomainError, "holds 1 characters more than once: 'aba'"),
        (lambda: ABRA.decode([0, 5]), DomainError, "code 5 at index 1 is out of range: .* from 0 to 4"),
        (lambda: ABRA.decode(-1), DomainError, "code -1 at index 0 is out of range"),
        (lambda: ABRA.decode([0.0]), DtypeError, "decode takes whole numbers, got float64"),
        (lambda: ABRA.decode([[0]]), ShapeError, r"decode takes codes \(n,\), got \(1, 1\): decode row by row"),
        (lambda: Text.of(""), DataError, "text: the text is empty"),
        (lambda: Text(np.array([0], np.int32), "a"), DtypeError, "expected int64 codes, got int32"),
        (lambda: Text(np.array([[0]]), "a"), ShapeError, r"expected codes \(n,\), got \(1, 1\)"),
        (lambda: Text(np.array([1]), "a"), DomainError, "code 1 at index 0 is out of range"),
    ],
)  # fmt: skip
def test_what_is_no_text_of_this_vocabulary_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


# --- parts and windows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("test", [3, 0.3])
def test_a_split_is_by_position_and_keeps_the_vocabulary(test):
    train, held_out = ABRA.split(test)
    assert (train.decode(train.codes), held_out.decode(held_out.codes)) == ("abracada", "bra")
    assert train.vocabulary == held_out.vocabulary == "abcdr"
    assert (train.name, held_out.name) == ("text (train)", "text (test)")


def test_a_split_that_leaves_a_part_empty_is_refused():
    with pytest.raises(DomainError, match="split got test=11"):
        ABRA.split(11)


@pytest.mark.parametrize(
    ("length", "stride", "expected"),
    [
        (4, None, ["abra", "cada"]),
        (5, None, ["abrac", "adabr"]),
        (4, 3, ["abra", "acad", "dabr"]),
        (9, 1, ["abracadab", "bracadabr"]),
        (10, None, ["abracadabr"]),
        (1, None, list("abracadabr")),
    ],
)
def test_windows_are_pieces_and_the_same_pieces_one_character_later(length, stride, expected):
    found = ABRA.windows(length, stride)
    assert [ABRA.decode(x) for x in found.x] == expected
    starts = range(0, 99, stride or length)
    wanted = ["abracadabra"[s + 1 : s + 1 + length] for s in starts][: len(expected)]
    assert [ABRA.decode(y) for y in found.y] == wanted


def test_random_windows_are_their_seed_s_and_an_epoch_has_each_once():
    def drawn(seed):
        return [
            x.tolist()
            for x, _ in DataLoader(ABRA.windows(4, stride=1), batch_size=3, shuffle=True, seed=seed)
        ]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert sorted(ABRA.decode(x) for batch in drawn(1) for x in batch) == sorted(
        "abracadabra"[s : s + 4] for s in range(7)
    )


def test_windows_that_overlap_take_no_memory_of_their_own_neither_in_a_loader():
    long = Text(np.zeros(200_000, np.int64), "a")
    tracemalloc.start()
    for k, _ in enumerate(DataLoader(long.windows(500, stride=1), batch_size=8, shuffle=True)):
        if k == 3:
            break
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10 * long.codes.nbytes


def test_rows_of_lanes_go_on_from_batch_to_batch():
    long = Text.of("".join(map(chr, range(65, 65 + 43))))
    batches = list(DataLoader(long.lanes(4, 3), batch_size=4))
    assert [x.shape for x, _ in batches] == [(4, 3)] * 3
    for lane in range(4):
        xs = np.concatenate([x[lane] for x, _ in batches])
        ys = np.concatenate([y[lane] for _, y in batches])
        np.testing.assert_array_equal(xs, lane * 10 + np.arange(9))
        np.testing.assert_array_equal(ys, xs + 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ABRA.windows(11), "windows of 11 characters and the one after each take a text of at least 12, got 11"),
        (lambda: ABRA.windows(0), "windows got length=0: it is a whole number of at least 1"),
        (lambda: ABRA.windows(2.0), "windows got length=2.0"),
        (lambda: ABRA.windows(2, 0), "windows got stride=0"),
        (lambda: ABRA.windows(True), "windows got length=True"),
        (lambda: ABRA.lanes(0, 2), "lanes got count=0"),
        (lambda: ABRA.lanes(3, 4), "lanes of 4 characters and the one after each take a text of at least 13, got 11"),
    ],
)  # fmt: skip
def test_windows_that_there_are_none_of_are_refused(call, message):
    with pytest.raises(DomainError, match=message):
        call()


def test_the_least_text_that_is_named_is_enough():
    assert len(Text.of("a" * 12).windows(11)) == 1
    assert len(Text.of("a" * 13).lanes(3, 4)) == 3
    assert (
        len(Text.of("a" * 40).lanes(4, 5)) == 4
    )  # a second window of the last lane would have no last target


# --- files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [1, 2, 3, 1 << 20])
def test_a_file_is_read_whatever_falls_on_the_edge_of_a_block(tmp_path, monkeypatch, block):
    monkeypatch.setattr(utf8, "_BLOCK", block)
    found = load_text(written(tmp_path, "é😀a\r\nb\rc\n"))
    assert found.decode(found.codes) == "é😀a\nb\nc\n"
    assert found.name == str(tmp_path / "t.txt")


def test_a_byte_order_mark_is_no_character(tmp_path):
    found = load_text(written(tmp_path, b"\xef\xbb\xbfa\xef\xbb\xbf"))
    assert found.decode(found.codes) == "a\ufeff"


def test_a_file_is_read_with_the_vocabulary_of_another(tmp_path):
    found = load_text(written(tmp_path, "bad"), ABRA.vocabulary)
    assert (found.vocabulary, found.codes.tolist()) == ("abcdr", [1, 0, 3])
    with pytest.raises(
        DataError, match=r"t.txt: 'x' \(U\+0078\), character 1, is not in the vocabulary of 5"
    ):
        load_text(written(tmp_path, "axb"), ABRA.vocabulary)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "t.txt: the file is empty"),
        (b"\xef\xbb\xbf", "t.txt: the file is empty"),
        (b"ab\xffcd", "no text in UTF-8: invalid start byte at byte 2; save it as UTF-8"),
        ("aé".encode() + b"\xc3", "no text in UTF-8: unexpected end of data at byte 3"),
        ("é".encode("utf-16"), "no text in UTF-8: .* at byte 0"),
        ("abc".encode("utf-16-le"), "it holds a NUL, character 1: no text, or one in UTF-16"),
    ],
)
def test_a_file_that_is_no_text_is_refused(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        load_text(written(tmp_path, content))


@pytest.mark.parametrize("block", [1, 4, 5, 7])
def test_the_place_of_a_wrong_byte_is_that_in_the_whole_file(tmp_path, monkeypatch, block):
    monkeypatch.setattr(utf8, "_BLOCK", block)
    with pytest.raises(DataError, match="at byte 9;"):
        load_text(written(tmp_path, "aé😀bc".encode() + b"\xe2\x28\xa1"))


def test_a_missing_file_a_folder_and_a_file_that_can_t_be_read_are_refused(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="expected a text file, found nothing there"):
        load_text(tmp_path / "none")
    with pytest.raises(DataError, match="expected a text file, found a folder there"):
        load_text(tmp_path)
    path = written(tmp_path, "a")
    monkeypatch.setattr(type(path), "open", lambda *_: (_ for _ in ()).throw(OSError(5, "no disk")))
    with pytest.raises(DataError, match="can't be read: no disk"):
        load_text(path)


@pytest.mark.parametrize(
    ("limit", "message"),
    [(99, "it has 100 bytes, more than the limit of 99 bytes"), (799, "its 100 characters take 800 bytes as codes")],
)  # fmt: skip
def test_a_text_over_the_limit_is_refused_before_anything_is_allocated(tmp_path, monkeypatch, limit, message):
    path = written(tmp_path, "a" * 100)
    monkeypatch.setattr(text, "_fill", lambda *_: pytest.fail("it was read"))
    with pytest.raises(DataError, match=message):
        load_text(path, limit=limit)
    monkeypatch.undo()
    assert len(load_text(path, limit=800)) == 100


@pytest.mark.parametrize(
    ("second", "message"), [("abc", "it grew"), ("a", "it lost text"), ("az", "'z' .* is not in the vocab")]
)
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch, second, message):
    path = written(tmp_path, "ab")
    survey = text._survey

    def surveyed(path):
        found = survey(path)
        path.write_text(second)
        return found

    monkeypatch.setattr(text, "_survey", surveyed)
    with pytest.raises(DataError, match=message):
        load_text(path)

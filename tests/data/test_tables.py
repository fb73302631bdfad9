"""CSV files: numbers and texts, the class column, and lines that are no part of a table."""

import numpy as np
import pytest

from gradcore.data import DataLoader, load_csv, read_csv, tables
from gradcore.errors import DataError, DomainError


def written(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode(encoding))
    return path


FLOWERS = "length,width,kind\n5.1,3.5,setosa\n7.0,3.2,versicolor\n\n6.3,3.3,virginica\n4.9,3.0,setosa\n"


def test_a_table_with_names_is_a_data_set(tmp_path):
    found = load_csv(written(tmp_path, FLOWERS))
    np.testing.assert_array_equal(found.images, np.float32([[5.1, 3.5], [7, 3.2], [6.3, 3.3], [4.9, 3]]))
    assert (found.labels.tolist(), found.classes) == ([0, 1, 2, 0], ("setosa", "versicolor", "virginica"))
    assert len(DataLoader(found, batch_size=2)) == 2


@pytest.mark.parametrize("label", ["kind", 0, -3])
def test_the_class_may_be_any_column(tmp_path, label):
    found = load_csv(written(tmp_path, "kind,a,b\nx,1,2\ny,3,4\n"), label)
    assert (found.images.tolist(), found.labels.tolist()) == ([[1, 2], [3, 4]], [0, 1])


def test_classes_that_are_numbers_are_in_their_order(tmp_path):
    found = load_csv(written(tmp_path, "0.5,10\n1.5,9\n2.5,10\n"))
    assert (found.classes, found.labels.tolist()) == (("9", "10"), [1, 0, 1])


@pytest.mark.parametrize(
    ("text", "more", "expected"),
    [
        ("1,2\n3,4\n", {}, {"0": [1, 3], "1": [2, 4]}),
        ("a,b\n3,4\n", {}, {"a": [3], "b": [4]}),
        ("\ufeffa,b\r\n3,4\r\n", {}, {"a": [3], "b": [4]}),
        ("1,2\n3,4\n", {"header": True}, {"1": [3], "2": [4]}),
        ("a,1\nb,2\n", {}, {"0": ["a", "b"], "1": [1, 2]}),
        ("a,x\n1,y\n2,z", {}, {"a": [1, 2], "x": ["y", "z"]}),
        ("a,x\n1,y\n2,z", {"header": False}, {"0": ["a", "1", "2"], "1": ["x", "y", "z"]}),
        ('1;"a;b"\n2; c ', {"delimiter": ";"}, {"0": [1, 2], "1": ["a;b", "c"]}),
        ("1e3\n-2.5\n 7 \n", {}, {"0": [1000, -2.5, 7]}),
        ("1_000\n2\n", {"header": False}, {"0": ["1_000", "2"]}),
        ("only\n", {}, {"0": ["only"]}),
    ],
)
def test_columns_are_numbers_or_texts(tmp_path, text, more, expected):
    found = read_csv(written(tmp_path, text), **more)
    assert {name: column.tolist() for name, column in found.items()} == expected
    assert {column.dtype.kind for column in found.values()} <= {"f", "U"}


@pytest.mark.parametrize(
    ("text", "call", "message"),
    [
        ("", read_csv, "there are no rows"),
        ("a,b\n", lambda p: read_csv(p, header=True), "there are no rows below the header"),
        ("1,2\n3\n", read_csv, "line 2 has 1 entries, and line 1 2"),
        ("1,2\n3,4,5\n", read_csv, "line 2 has 3 entries, and line 1 2"),
        ("a,a\n1,2\n", read_csv, "two columns are called 'a'"),
        ('1,"2\n', read_csv, "no CSV file: unexpected end of data"),
        ("a,b,kind\n1,2,x\n3,oh,y\n", load_csv, "line 3 holds 'oh' in column 'b', expected a number"),
        ("a,b,kind\n1,,x\n", load_csv, "line 2 holds '' in column 'b'"),
        (
            "a,b\n1,x\nnan,y\n",
            load_csv,
            "column 'a' holds nan in row 1 of its data, expected a finite number",
        ),
        ("a,b\n1,x\n1e39,y\n", load_csv, r"column 'a' holds 1e\+39 in row 1"),
        ("a\n1\n", load_csv, "there is only the column 'a'"),
        ("a,b\n1,x\n", lambda p: load_csv(p, "kind"), "there is no column 'kind': it has 2, 'a', 'b'"),
        ("a,b\n1,x\n", lambda p: load_csv(p, 2), "there is no column 2"),
        ("a,b\n1,x\n", lambda p: read_csv(p, limit=7), "it has 8 bytes, more than the limit of 7 bytes"),
    ],
)
def test_what_is_no_table_is_refused_with_its_line(tmp_path, text, call, message):
    path = written(tmp_path, text)
    with pytest.raises(DataError, match=f"table.csv: {message}"):
        call(path)


def test_one_long_text_among_many_lines_is_refused_before_it_is_allocated(tmp_path):
    path = written(tmp_path, "x" * 10_000 + "\n" + "y\n" * 10_000)
    with pytest.raises(
        DataError, match=r"its columns take 400040000 bytes, more than the limit of 1000000 bytes"
    ):
        read_csv(path, limit=1_000_000)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(DataError, match="expected a CSV file, found a folder there"):
        read_csv(tmp_path)
    with pytest.raises(DataError, match="no text in UTF-8"):
        read_csv(written(tmp_path, "\u00e4,1\n", "latin-1"))
    with pytest.raises(DataError, match="invalid continuation byte at byte 40000; save it as UTF-8"):
        read_csv(written(tmp_path, "1,2\n" * 10_000 + "\u00e4,1\n", "latin-1"))
    with pytest.raises(DomainError, match="delimiter=', ' is no single character"):
        read_csv(written(tmp_path, "1, 2\n"), delimiter=", ")


def test_a_file_that_changes_between_the_passes_is_refused(tmp_path, monkeypatch):
    path = written(tmp_path, "1,2\n3,4\n")
    survey = tables._survey
    for text, message in (
        ("1,2\n", "lost lines"),
        ("1,2\n3,x\n", "line 2 changed"),
        ("1,2\n3,4\n5,6\n", "line 3 changed"),
    ):

        def changed(*args, text=text):
            found = survey(*args)
            path.write_text(text)
            return found

        path.write_text("1,2\n3,4\n")
        monkeypatch.setattr(tables, "_survey", changed)
        with pytest.raises(DataError, match=message):
            read_csv(path)

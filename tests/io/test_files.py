"""Writing: whole or not at all, and told before the work when it can't be done."""

import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from gradcore.errors import GradcoreError, MissingExtraError, OutputError
from gradcore.extras import load_extra
from gradcore.io import (
    ensure_writable,
    parse_json,
    read_json,
    remove_temporaries,
    write_atomically,
    write_jsonl,
)


def fail_with(error):
    def fail(*args, **kwargs):
        raise error

    return fail


def names(folder):
    return sorted(os.listdir(folder))


def test_bytes_and_what_a_writer_writes_arrive(tmp_path):
    write_atomically(tmp_path / "a", b"one")
    write_atomically(tmp_path / "b", lambda file: file.write(b"two"))
    assert ((tmp_path / "a").read_bytes(), (tmp_path / "b").read_bytes()) == (b"one", b"two")
    assert names(tmp_path) == ["a", "b"]


def test_a_file_is_replaced(tmp_path):
    (tmp_path / "a").write_bytes(b"old and longer")
    write_atomically(str(tmp_path / "a"), b"new")
    assert (tmp_path / "a").read_bytes() == b"new"


class CustomError(Exception):
    pass


@pytest.mark.parametrize("error", [CustomError("halfway"), KeyboardInterrupt()])
def test_a_writer_that_fails_halfway_leaves_the_old_file_and_no_other(tmp_path, error):
    (tmp_path / "a").write_bytes(b"old")

    def write_half(file):
        file.write(b"half")
        raise error

    with pytest.raises(type(error)):
        write_atomically(tmp_path / "a", write_half)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("step", ["os.fsync", "pathlib.Path.replace"])
def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, step):
    (tmp_path / "a").write_bytes(b"old")
    monkeypatch.setattr(step, fail_with(OSError(28, "No space left on device")))
    with pytest.raises(OutputError, match="a: can't be written: No space left on device"):
        write_atomically(tmp_path / "a", b"new")
    monkeypatch.undo()
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_the_content_is_on_disk_before_it_takes_the_name_and_the_name_after(tmp_path, monkeypatch):
    events = []
    fsync, replace = os.fsync, Path.replace

    def spy_fsync(descriptor):
        mode = os.fstat(descriptor)
        events.append("folder" if stat.S_ISDIR(mode.st_mode) else f"file of {mode.st_size}")
        fsync(descriptor)

    def spy_replace(self, target):
        events.append("rename")
        assert self.parent == target.parent
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(Path, "replace", spy_replace)
    write_atomically(tmp_path / "a", b"12345")
    assert events == ["file of 5", "rename", "folder"]


def test_a_file_system_that_syncs_no_folders_will_do_but_a_failing_disk_will_not(tmp_path, monkeypatch):
    fsync = os.fsync

    def fsync_files_only(error):
        def run(descriptor):
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                raise error
            fsync(descriptor)

        return run

    monkeypatch.setattr(os, "fsync", fsync_files_only(OSError(22, "Invalid argument")))
    write_atomically(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    monkeypatch.setattr(os, "fsync", fsync_files_only(OSError(5, "Input/output error")))
    with pytest.raises(OutputError, match="can't be flushed to disk: Input/output error"):
        write_atomically(tmp_path / "a", b"newer")


def test_a_symbolic_link_keeps_pointing_and_its_target_is_written(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "a")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path / "real") == ["a"]


def test_permissions_follow_the_umask_as_for_any_new_file(tmp_path):
    (tmp_path / "usual").write_bytes(b"")
    write_atomically(tmp_path / "a", b"new")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_long_name_is_no_problem(tmp_path):
    write_atomically(tmp_path / ("a" * 250), b"new")
    assert names(tmp_path) == ["a" * 250]


def test_where_no_file_can_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match=r"can't be written: the folder .*nowhere does not exist"):
        write_atomically(tmp_path / "nowhere" / "a", b"")
    with pytest.raises(OutputError, match=r"can't be written: .*file is not a folder"):
        write_atomically(tmp_path / "file" / "a", b"")
    with pytest.raises(OutputError, match="folder: can't be written: Is a directory"):
        write_atomically(tmp_path / "folder", b"")
    assert names(tmp_path) == ["file", "folder"]


def test_a_folder_is_made_and_left_empty(tmp_path):
    folder = ensure_writable(tmp_path / "a" / "b")
    assert folder == tmp_path / "a" / "b"
    assert names(folder) == []
    assert ensure_writable(str(folder)) == folder


def test_a_folder_that_can_not_be_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        OutputError, match="file: no files can be written there: it exists and is not a folder"
    ):
        ensure_writable(tmp_path / "file")
    with pytest.raises(OutputError, match=r"no files can be written there: .*file is not a folder"):
        ensure_writable(tmp_path / "file" / "below" / "that")


@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        ("pathlib.Path.mkdir", PermissionError(13, "Permission denied"), "Permission denied"),
        ("pathlib.Path.write_bytes", OSError(30, "Read-only file system"), "Read-only file system"),
        ("pathlib.Path.write_bytes", OSError(28, "No space left on device"), "No space left on device"),
    ],
)
def test_a_folder_that_the_system_guards_is_told(tmp_path, monkeypatch, step, error, message):
    monkeypatch.setattr(step, fail_with(error))
    with pytest.raises(OutputError, match=f"out: no files can be written there: {message}"):
        ensure_writable(tmp_path / "out")


def test_an_output_error_is_an_os_error_and_one_of_ours():
    assert issubclass(OutputError, OSError)
    assert issubclass(OutputError, GradcoreError)


def test_json_lines_hold_one_record_a_line_and_numpys_numbers(tmp_path):
    records = [
        {
            "epoch": 1,
            "loss": np.float32(0.5),
            "counts": np.arange(2),
            "nested": {"x": [np.int64(3)]},
            "name": "é",
        },
        {"epoch": np.int64(2), "loss": 0.1 + 0.2, "done": True, "pair": (1, None)},
    ]
    write_jsonl(tmp_path / "history.jsonl", records)
    lines = (tmp_path / "history.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"epoch": 1, "loss": 0.5, "counts": [0, 1], "nested": {"x": [3]}, "name": "é"},
        {"epoch": 2, "loss": 0.1 + 0.2, "done": True, "pair": [1, None]},
    ]


def test_numbers_that_are_not_finite_become_null(tmp_path):
    write_jsonl(tmp_path / "h", [{"a": float("nan"), "b": np.float64("inf"), "c": np.array([1.0, -np.inf])}])
    assert json.loads((tmp_path / "h").read_text()) == {"a": None, "b": None, "c": [1.0, None]}


def test_a_record_that_json_can_not_hold_leaves_the_old_file(tmp_path):
    write_jsonl(tmp_path / "h", [{"a": 1}])
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_jsonl(tmp_path / "h", [{"a": object()}])
    assert (tmp_path / "h").read_text() == '{"a": 1}\n'


def test_a_library_that_is_not_installed_is_named_with_the_command_that_installs_it():
    with pytest.raises(
        MissingExtraError, match=r'drawing needs nolib: pip install "gradcore\[train\]" .*No module'
    ):
        load_extra("nolib.sub", "drawing")


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr("gradcore.io.atomic._remove", lambda path: None)
    monkeypatch.setattr(Path, "replace", fail_with(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "model\n", b"new")
    ensure_writable(tmp_path)
    monkeypatch.undo()
    for name in ("a.tmp", ".a.tmp", f".a.{'0' * 15}.tmp", f"a.{'0' * 16}.tmp"):
        (tmp_path / name).touch()
    (tmp_path / f".folder.{'0' * 16}.tmp").mkdir()
    assert len(names(tmp_path)) == 7
    remove_temporaries(tmp_path)
    assert names(tmp_path) == sorted(
        [f".a.{'0' * 15}.tmp", ".a.tmp", f".folder.{'0' * 16}.tmp", f"a.{'0' * 16}.tmp", "a.tmp"]
    )
    remove_temporaries(tmp_path / "nowhere")


def test_a_folder_that_becomes_a_file_while_a_file_is_written_is_an_output_error(tmp_path, monkeypatch):
    (tmp_path / "f").mkdir()

    def write(file):
        file.write(b"half")
        (next((tmp_path / "f").iterdir())).unlink()
        (tmp_path / "f").rmdir()
        (tmp_path / "f").touch()

    with pytest.raises(OutputError, match="f is not a folder"):
        write_atomically(tmp_path / "f" / "a", write)


def test_a_folder_that_goes_after_the_file_was_written_is_an_output_error(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "gradcore.io.atomic.os.open", fail_with(FileNotFoundError(2, "No such file or directory"))
    )
    with pytest.raises(OutputError, match="can't be flushed to disk: No such file"):
        write_atomically(tmp_path / "a", b"new")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "b": {"c": 2, "c": 3}}', "the name 'c' comes twice in one object"),
        ("[NaN]", "NaN is not a number of JSON's"),
        ("-Infinity", "-Infinity is not a number"),
        ("1e400", "the number 1e400 is beyond what float64 holds"),
        ("1" * 41, "a number of 41 digits: at most 40 are taken"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('"\\ud800"', "surrogates not allowed"),
        ('"\\uD800"', "surrogates not allowed"),
        (b"\xff", "can't decode byte"),
        ("", "Expecting value"),
        ("1 2", "Extra data"),
    ],
)
def test_json_that_readers_take_differently_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_json(text)


def test_sound_json_is_read():
    text = '{"a": [1.5, -2, ' + "9" * 40 + ', true, null], "b": "\\ud83d\\ude00 é"}'
    found = parse_json(text.encode())
    assert found == {"a": [1.5, -2, int("9" * 40), True, None], "b": "\U0001f600 é"}
    assert parse_json(text) == found


def test_a_json_file_that_can_not_be_read_is_told(tmp_path, monkeypatch):
    (tmp_path / "f").write_text("[1, 2]")
    assert read_json(tmp_path / "f", 6) == [1, 2]
    with pytest.raises(ValueError, match="more than 5 bytes"):
        read_json(tmp_path / "f", 5)
    with pytest.raises(ValueError, match="there is nothing"):
        read_json(tmp_path / "nowhere", 5)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="it is no regular file"):
        read_json(tmp_path / "pipe", 5)
    monkeypatch.setattr("pathlib.Path.open", fail_with(PermissionError(13, "Permission denied")))
    with pytest.raises(ValueError, match="it can't be read: Permission denied"):
        read_json(tmp_path / "f", 6)

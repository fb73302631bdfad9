"""BLAS threads of trainers and commands: what is asked for, restored, recorded and resumed."""

import json
import os
import subprocess
import sys

import pytest
import threadpoolctl
from resumable import fit, make
from running import on_epoch, resume, train
from timed_blas import Library

from gradcore import nn
from gradcore.cli import main
from gradcore.errors import DomainError, MissingExtraError
from gradcore.runs import threads as rule
from gradcore.threads import BLAS_VARIABLES, VARIABLE, asked, for_ops
from gradcore.train import threads
from gradcore.train.threads import AUTO, held


@pytest.fixture(autouse=True)
def _not_asked(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def library(monkeypatch):
    """A BLAS of 4 threads, in whose steps alone time goes by."""
    library = Library()
    monkeypatch.setattr(threads, "blas", lambda: library)
    monkeypatch.setattr(rule, "blas", lambda: library)
    return library


# --- a Trainer ----------------------------------------------------------------------------------------------------------


def numbers_in(trainer, library):
    """The number at each step of a trainer from now on; a step takes the time that the library says."""
    gradients, found = trainer._ranks.gradients, []

    def step(*arguments):
        found.append(library.number)
        library.step()
        return gradients(*arguments)

    trainer._ranks.gradients = step
    return found


def test_a_trainer_measures_its_steps_tells_and_restores(library, monkeypatch):
    monkeypatch.setattr(threads.time, "perf_counter", library.clock)
    trainer, batches, test = make(None, threads=AUTO)
    found = numbers_in(trainer, library)
    trainer.fit(batches, 5, test)
    assert found == [1, 4] * 6 + [4] * 3
    assert trainer.progress.messages == ["BLAS threads: 4 (a step takes 10 ms with 1, 4 ms with 4)"]
    library.number = 2
    trainer.fit(batches, 1, test)  # goes on with it
    assert found[15:] == [4, 4, 4]
    assert library.number == 2


def test_a_run_that_measured_goes_on_with_the_number_of_its_checkpoint(library, tmp_path, monkeypatch):
    monkeypatch.setattr(threads.time, "perf_counter", library.clock)
    trainer, batches, test = make(tmp_path, threads=AUTO)
    found = numbers_in(trainer, library)
    library.seconds[4] = 0.001

    def stop(epoch, batch, _value):
        if epoch == 5 and batch == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(trainer.progress, "batch", stop)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(batches, 6, test)
    assert library.number == 4  # as it was
    library.seconds[4] = 0.25
    other, batches, test = make(tmp_path, threads=AUTO)
    found = numbers_in(other, library)
    other.fit(batches, 6, test, resume=True)
    assert other.resumed_at == 12
    assert found == [4] * 6


@pytest.mark.parametrize(
    ("given", "environment", "expected"),
    [(None, None, 4), (None, "3", 3), (AUTO, "3", 3), (2, "3", 2), (2, None, 2), (None, " ", 4)],
)
def test_what_a_trainer_takes(library, monkeypatch, given, environment, expected):
    if environment is not None:
        monkeypatch.setenv(VARIABLE, environment)
    library.seconds = dict.fromkeys(range(1, 5), 0.01)
    trainer, batches, test = make(None, threads=given)
    found = numbers_in(trainer, library)
    trainer.fit(batches, 2, test)
    assert set(found) == {expected}
    assert library.number == 4


@pytest.mark.parametrize("given", [1, 3, AUTO])
def test_ops_have_the_number_of_blas(library, monkeypatch, given):
    monkeypatch.setattr(threads.time, "perf_counter", library.clock)
    library.seconds = dict.fromkeys(range(1, 5), 0.01)
    trainer, batches, test = make(None, threads=given)
    found, gradients = [], trainer._ranks.gradients

    def step(*arguments):
        found.append((library.number, for_ops()))
        library.step()
        return gradients(*arguments)

    trainer._ranks.gradients = step
    trainer.fit(batches, 5, test)
    assert all(of_blas == of_ops for of_blas, of_ops in found)
    assert {number for number, _ in found} == ({1, 4} if given == AUTO else {given})
    assert for_ops() is None


def test_ops_have_the_number_that_the_environment_gave_blas(without, monkeypatch):
    for name in BLAS_VARIABLES:
        monkeypatch.setenv(name, "2")
    with held(2):
        assert for_ops() == 2
    assert for_ops() is None


def test_ranks_measure_nothing(library):
    used = threads.Threads(AUTO, 2, pytest.fail)
    trainer, *_ = make(None)
    with used.running(trainer._position):
        assert (library.number, trainer._position.threads) == (1, 1)
    assert library.number == 4


@pytest.mark.parametrize("given", [0, -1, 1025, 2.0, True, "2", "many"])
def test_a_number_that_is_none_is_refused(given):
    with pytest.raises(
        DomainError, match=r"Trainer got threads .*expected a whole number from 1 to 1024, or auto"
    ):
        make(None, threads=given)


@pytest.mark.parametrize("text", ["0", "two", "-1", "1.0", "1025", "auto", "²"])
def test_an_environment_variable_that_is_no_number_is_refused(monkeypatch, text, capsys, tmp_path):
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(
        DomainError, match=f"{VARIABLE}={text}: expected a whole number of threads from 1 to 1024"
    ):
        asked()
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--no-preflight", "--epochs", "0"]) == 1
    assert f"gradcore train: {VARIABLE}={text}: expected" in capsys.readouterr().err


# --- the real one -------------------------------------------------------------------------------------------------------


def real():
    return {library["num_threads"] for library in threads.blas().info()}


@pytest.mark.parametrize("error", [None, ZeroDivisionError, KeyboardInterrupt])
@pytest.mark.parametrize("given", [1, AUTO])
def test_blas_has_the_number_during_fit_alone_whatever_ends_it(error, given, monkeypatch):
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = real()
        assert before == {2}, "this machine's BLAS can't be set, and the test shows nothing"
        trainer, batches, test = make(None, threads=given)
        during = []

        def batch(*_):
            during.append(real())
            if error is not None and len(during) > 1:
                raise error

        monkeypatch.setattr(trainer.progress, "batch", batch)
        if error is None:
            trainer.fit(batches, 2, test)
        else:
            with pytest.raises(error):
                trainer.fit(batches, 2, test)
        assert {1} in during
        assert ({2} in during) is (given == AUTO)
        assert real() == before


# --- without threadpoolctl ----------------------------------------------------------------------------------------------


@pytest.fixture
def without(monkeypatch):
    """No threadpoolctl, no environment variable of BLAS, and a process that is not replaced; the calls to replace it."""
    calls = []
    for name in BLAS_VARIABLES:
        monkeypatch.setenv(name, "")
    for module in (threads, rule):
        monkeypatch.setattr(module, "blas", lambda: None)
    monkeypatch.setattr(rule, "find_spec", lambda _: None)
    monkeypatch.setattr(rule.os, "execv", lambda *call: calls.append(call))
    monkeypatch.setattr(rule.sys, "orig_argv", ["python", "-m", "gradcore", "its", "call"])
    return calls


def start(monkeypatch, *arguments):
    """The command as a process of its own."""
    monkeypatch.setattr("sys.argv", ["gradcore", *map(str, arguments)])
    return main()


@pytest.mark.parametrize("given", [2, AUTO])
def test_a_number_that_can_not_be_set_is_refused(without, given):
    trainer, batches, test = make(None, threads=given)
    with pytest.raises(MissingExtraError, match=r'gradcore\[threads\]", or set OPENBLAS_NUM_THREADS, OMP'):
        trainer.fit(batches, 1, test)


def test_the_number_that_the_environment_gave_is_taken(without, monkeypatch):
    for name in BLAS_VARIABLES:
        monkeypatch.setenv(name, "2")
    fit(make(None, threads=2))
    with pytest.raises(MissingExtraError), held(1):
        pass
    monkeypatch.setenv(BLAS_VARIABLES[1], "3")
    with pytest.raises(MissingExtraError), held(2):
        pass


@pytest.mark.parametrize(
    ("options", "environment", "number"),
    [([], "", "1"), (["--threads", "3"], "2", "3"), ([], "2", "2"), (["--threads", "auto"], "2", "2")],
)
def test_the_command_starts_again_with_the_environment_set_once(
    without, data, monkeypatch, options, environment, number, capsys
):
    monkeypatch.setenv(VARIABLE, environment)
    call = ["train", "--data", data, "--no-preflight", "--epochs", "1", *options]
    for _ in range(2):  # a process that was replaced would not return
        assert start(monkeypatch, *call) == 0
    assert [arguments[1:] for _, arguments in without] == [["-m", "gradcore", "its", "call"]]
    assert {rule.os.environ[name] for name in BLAS_VARIABLES} == {number}
    assert f"BLAS threads: {number} " in capsys.readouterr().out


def test_a_real_process_starts_again_once(data, tmp_path):
    code = (
        "import os, sys; sys.modules['threadpoolctl'] = None; from gradcore.cli import main; "
        "print('process', os.getpid(), os.environ['MKL_NUM_THREADS']); sys.exit(main())"
    )
    options = ["train", "--data", str(data), "--no-preflight", "--epochs", "0", "--out", "out"]
    environment = {**os.environ, **dict.fromkeys(BLAS_VARIABLES, "2")}
    done = subprocess.run(
        [sys.executable, "-c", code, *options],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    first, second = [line.split() for line in done.stdout.splitlines() if line.startswith("process")]
    assert (first[1], first[2], second[2]) == (second[1], "2", "1")
    assert "BLAS threads: 1 (" in done.stdout


def test_a_call_from_python_does_not_replace_the_process(without, data, capsys):
    assert train() == 0
    assert without == []
    assert (
        "BLAS threads: as many as BLAS takes, as threadpoolctl finds none to set" in capsys.readouterr().out
    )


def test_measuring_needs_threadpoolctl(without, data, monkeypatch, capsys):
    assert start(monkeypatch, "train", "--data", data, "--no-preflight", "--threads", "auto") == 1
    assert 'measured (threads="auto") need threadpoolctl' in capsys.readouterr().err
    assert without == []


def test_predicting_starts_again_only_where_a_number_is_asked_for(without, data, monkeypatch):
    assert train() == 0
    call = ["predict", "out/model.safetensors", "--data", data]
    assert start(monkeypatch, *call) == 0
    assert without == []
    monkeypatch.setenv(VARIABLE, "1")
    assert start(monkeypatch, *call) == 0
    assert len(without) == 1


# --- the command --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "rows", "ranks", "number"),
    [
        ((784, 128, 10), 32, 1, 1),
        ((1024, 1024), 256, 1, 4),
        ((1024, 1024), 256, 2, 1),
        ((1024, 1024), 128, 1, 1),
    ],
)
def test_the_number_follows_from_the_largest_product(library, sizes, rows, ranks, number):
    assert rule.choose(None, nn.mlp(sizes), rows, ranks) == number


def test_what_is_no_product_does_not_count():
    model = nn.Sequential(nn.Embedding(10, 7), nn.Linear(7, 3), nn.BatchNorm1d(3))
    assert rule.largest_product(model, 4) == 2 * 4 * 7 * 3
    assert rule.largest_product(nn.ReLU(), 4) == 0


@pytest.mark.parametrize(
    ("options", "environment", "expected"), [([], None, 1), ([], "3", 3), (["--threads", "2"], "3", 2)]
)
def test_a_run_records_its_number_and_is_resumed_with_it(
    data, tmp_path, monkeypatch, capsys, library, options, environment, expected
):
    if environment is not None:
        monkeypatch.setenv(VARIABLE, environment)
    during = []
    on_epoch(monkeypatch, 3, lambda: during.append(library.number))
    assert train(*options) == 0
    assert json.loads((tmp_path / "out/config.json").read_text())["threads"] == expected
    assert f"BLAS threads: {expected} (--threads or {VARIABLE} for another number)" in capsys.readouterr().out
    assert (during, library.number) == ([expected], 4)
    (tmp_path / "out/checkpoint-0000000009-epoch-3.safetensors").unlink()
    monkeypatch.setenv(VARIABLE, "4")
    library.number = 7
    assert resume() == 0
    assert f"BLAS threads: {expected}, as the run recorded" in capsys.readouterr().out
    assert (during, library.number) == ([expected] * 2, 7)


def test_on_other_ranks_the_number_is_chosen_anew(data, tmp_path, library, capsys):
    assert train("--epochs", "1") == 0
    config = json.loads((tmp_path / "out/config.json").read_text()) | {"ranks": 2, "threads": 3}
    (tmp_path / "out/config.json").write_text(json.dumps(config))
    assert resume() == 0
    assert "Note: the threads were 3 and are 1 now" in capsys.readouterr().out


def test_a_run_that_measures_says_what_that_costs(data, tmp_path, capsys):
    assert train("--threads", "auto") == 0
    assert json.loads((tmp_path / "out/config.json").read_text())["threads"] == AUTO
    said = capsys.readouterr().out
    assert "BLAS threads: by measuring, so another run of the same seed may be rounded differently" in said
    assert resume() == 0


def test_predict_and_evaluate_use_one_thread_for_a_small_model(data, library, monkeypatch):
    assert train() == 0
    during = []
    call = nn.Module.__call__
    monkeypatch.setattr(nn.Module, "__call__", lambda *a: (during.append(library.number), call(*a))[1])
    for command in ("evaluate", "predict"):
        assert main([command, "out", "--data", str(data)]) == 0
    assert set(during) == {1}
    assert library.number == 4

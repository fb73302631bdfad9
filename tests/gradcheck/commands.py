"""Modules of functions to check by the command, and the command in a process of its own."""

import subprocess
import sys

import pytest

MODULE = """
import ctypes
import os
import signal
import sys

import numpy as np

inputs = (np.array([0.5, 2.0]),)

def drawn():
    return inputs

def rule(gy, y, x):
    return gy * np.cos(x)

def wrong(gy, y, x):
    return 2 * gy * np.cos(x)

def step(x):
    return np.floor(x)

def flat(gy, y, x):
    return gy * 0

whole = (np.array([1.0, 2.0]),)

def leaves(gy, y, x):
    raise SystemExit(0)

def spread(gy, y, x, *, axis=None):
    if axis == 0:
        return np.broadcast_to(gy, x.shape)
    return np.broadcast_to(np.expand_dims(gy, axis), x.shape)

def first_only(gy, y, a, b):
    return gy * b, None

def softplus(x):
    return np.log1p(np.exp(x))

def raises():
    return 1 / 0

def quits_with_0(x):
    os._exit(0)

def quits_with_1(x):
    os._exit(1)

def killed(x):
    os.kill(os.getpid(), signal.SIGKILL)

def reads_no_memory(x):
    ctypes.string_at(0)

def overflows(x):
    sys.setrecursionlimit(10**9)
    return next(map(overflows, [x]))

def replaced(x):
    os.execv(sys.executable, [sys.executable, "-c", ""])

forked = []

def forks(x):
    if not forked:
        forked.append(os.getpid())
        if os.fork() == 0:
            return np.sin(x)
    return np.sin(x)

def rule_quits(gy, y, x):
    os._exit(0)

def closes_the_output(gy, y, x):
    sys.stdout.close()
    return 2 * gy * np.cos(x)

def hangs(x):
    import time
    print("hanging", os.getpid(), flush=True)
    time.sleep(60)
"""

OPS_OF_MINE = """
import numpy as np
import gradcore
from gradcore.spec import OpSpec, case, interval, reals

ANY = OpSpec(case(reals("...")), reference=np.sin)

@gradcore.op(vjp=lambda gy, y, x: gy * np.cos(x), spec=ANY)
def my_sine(x, /):
    return np.sin(x)

@gradcore.op(vjp=lambda gy, y, x: 2 * gy * np.cos(x), spec=ANY)
def my_wrong_sine(x, /):
    return np.sin(x)

@gradcore.op(
    vjp=lambda gy, y, x: gy * (2 if x.ndim == 2 else 0),
    spec=OpSpec(case(reals("n 2")), case(interval(1.0, 2.0, "n", specials=()), sizes={"n": (2, 3)}), reference=np.sin),
)
def wrong_or_unclear(x, /):
    return np.sin(x) if x.ndim == 2 else np.sin(1e200 * x)
"""


@pytest.fixture
def folder_with_modules(tmp_path, monkeypatch):
    (tmp_path / "mine_to_check.py").write_text(MODULE)
    (tmp_path / "ops_of_mine.py").write_text(OPS_OF_MINE)  # loaded in processes of their own only
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def command(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "gradcheck", *arguments],
        capture_output=True,
        text=True,
        **{"timeout": 60, **options},
    )

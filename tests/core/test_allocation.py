"""Freed memory stays with the process: page faults, counted in fresh interpreters."""

import os
import platform
import subprocess
import sys

import pytest

COUNT = """
import resource, numpy as np
{first}
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def step():
    arrays = [np.ones(1 << 21, np.uint8) for _ in range(4)]
for _ in range(3):
    step()
before = faults()
for _ in range(10):
    step()
print(faults() - before)
"""


def faults(first):
    # Not what an embedding process may have set for its own children.
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_TUNABLES"))}
    run = subprocess.run(
        [sys.executable, "-c", COUNT.format(first=first)], capture_output=True, text=True, check=True, env=env
    )
    return int(run.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the limit is glibc's")
def test_arrays_of_a_step_cost_the_next_one_no_page_faults_once_gradcore_is_imported():
    with_gradcore, without = faults("import gradcore"), faults("")
    assert without > 40  # else there is nothing to gain, and this test shows nothing
    assert with_gradcore < without / 10

"""ci/reports/blame.py: a wrong op is named in small models, and one that explain does not blame makes it fail."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLANTED = """
import sys
sys.path.insert(0, "ci/reports")
sys.argv = ["blame.py", "--models", "2", "--ops", "20", "--only", "gradcore"]
import blame, blamed_models
from gradcheck import Explanation
blamed_models.explain = lambda root: Explanation("model", 20, 20)
sys.exit(blame.main())
"""


@pytest.mark.parametrize("kind", ["gradcore", "torch"])
def test_the_wrong_op_of_small_models_is_named(kind):
    if kind == "torch":
        pytest.importorskip("torch")
    command = [sys.executable, "ci/reports/blame.py", "--models", "2", "--ops", "20", "--only", kind]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert (
        "2 of 2 wrong ops named, and only these; 0 of 2 right models with an op blamed, 0 without a verdict on one"
        in done.stdout
    ), done


def test_an_op_that_is_not_blamed_makes_it_fail():
    done = subprocess.run(
        [sys.executable, "-c", PLANTED], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 1, done
    assert done.stdout.startswith("gradcore  0 of 2 wrong ops named")

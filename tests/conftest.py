"""Settings for all tests."""

import argparse
import ast
import os
import re
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.database import DirectoryBasedExampleDatabase

pytest_plugins = ["pytester"]

# Hundreds of tests start pytest in a process of its own, which compiles two hundred modules (2 s) where none of them is kept.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# JAX spends most of the time of its tests in LLVM's optimisations of programs that run once.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)

# What tests of one folder share: with --import-mode=importlib pytest leaves the path alone.
sys.path += [
    str(Path(__file__).parent / folder)
    for folder in ("gradcheck", "optim", "replay", "training", "verification")
]

# --hypothesis-profile chooses one of these. `ci` draws the same examples every time, `dev` and `nightly` others each time,
# unless --hypothesis-seed says which.
_COMMON = {
    "deadline": None,
    "print_blob": True,
    "suppress_health_check": [HealthCheck.too_slow],
    # Phase.explain traces every line from the first failure on: shrinking takes many times as long
    "phases": [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
}
_RANDOM = {  # said in so many words: where CI is set, Hypothesis's own defaults are those of `ci`
    "derandomize": False,
    "database": DirectoryBasedExampleDatabase(".hypothesis/examples"),
    **_COMMON,
}
settings.register_profile("dev", max_examples=10, **_RANDOM)
settings.register_profile("ci", max_examples=20, derandomize=True, database=None, **_COMMON)
settings.register_profile("nightly", max_examples=300, **_RANDOM)  # for each check; an op has five or more
settings.load_profile("ci")

_DECORATOR = re.compile(r"@?reproduce_failure\(('[^']*'), (b'[^']*')\)")


def _replay(text):
    found = _DECORATOR.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(
            f"expected \"reproduce_failure('...', b'...')\" as Hypothesis prints it, got {text!r}"
        )
    return tuple(map(ast.literal_eval, found.groups()))


def _positive(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of examples, 1 or more, got {text!r}")
    return int(text)


def pytest_addoption(parser):
    parser.addoption(
        "--replay",
        metavar="BLOB",
        type=_replay,
        help="run the selected check of stage 1 on the one example of this reproduce_failure(...)",
    )
    parser.addoption(
        "--examples",
        metavar="N",
        type=_positive,
        help="so many examples for each check of stage 1, in place of the profile's number",
    )
    parser.addoption(
        "--list-nightly",
        action="store_true",
        help="run nothing, and say which tests run in part unless the profile is nightly",
    )


LISTED = pytest.StashKey()


@pytest.hookimpl(trylast=True)  # after -k and -m: of what they leave, some are run
def pytest_collection_modifyitems(config, items):
    families = {}
    for item in items:
        mark = item.get_closest_marker("nightly")
        if mark is not None:
            families.setdefault((item.parent.nodeid, item.originalname), (mark, []))[1].append(item)
    left_out, lines = set(), []
    for (file, name), (mark, family) in families.items():
        spread = {i * len(family) // mark.kwargs["each_time"] for i in range(mark.kwargs["each_time"])}
        left_out.update(item for i, item in enumerate(family) if i not in spread)
        if len(spread) < len(family):
            lines.append(f"{len(spread):4} of {len(family):4}  {file}::{name}")
    if config.getoption("list_nightly"):
        total = f"{len(items) - len(left_out)} of {len(items)} tests run each time; all with --hypothesis-profile=nightly"
        config.stash[LISTED] = [*lines, total]
        left_out = set(items)
    elif config.getoption("hypothesis_profile") == "nightly":
        return
    if left_out:
        config.hook.pytest_deselected(items=[item for item in items if item in left_out])
        items[:] = [item for item in items if item not in left_out]


def pytest_runtest_setup():
    """PyTorch's own generator, from which layers and torch.randn draw, begins each test alike, whatever ran before it."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(0)


def pytest_report_collectionfinish(config):
    return config.stash.get(LISTED, None)


def pytest_sessionfinish(session):
    if LISTED in session.config.stash:
        session.exitstatus = pytest.ExitCode.OK


@pytest.hookimpl(trylast=True)  # after Hypothesis has loaded the profile
def pytest_configure(config):
    if config.getoption("list_nightly"):
        config.option.collectonly = True  # for plugins that look whether tests are to be run
    count = config.getoption("examples")
    if count is not None:
        settings.register_profile("counted", settings(), max_examples=count)
        settings.load_profile("counted")
    config.addinivalue_line(
        "markers",
        "checks(property, kind=, entry=): what a test of stage 1 checks: its column in the summary, and its row.",
    )
    config.addinivalue_line(
        "markers",
        "nightly(each_time=): of this test's parameters so many are run each time; all with --hypothesis-profile=nightly.",
    )

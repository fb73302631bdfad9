"""Examples of the README and the guide that need a package which is not installed are skipped, all others are run."""

from __future__ import annotations

import re
import tomllib
from importlib import resources

import pytest
from programs import module

readme = module("ci.readme")

PAGE = """
```python
>>> import no_such_package
>>> 1 + 1
3

```

```python
>>> import sys
>>> 2 + 2
4

```
"""


def test_a_block_that_needs_a_missing_package_is_left_out():
    text, missing = readme.without_missing(PAGE)
    assert missing == ["no_such_package"]
    assert "2 + 2" in text
    assert "1 + 1" not in text


def test_an_example_that_does_not_hold_is_a_failure(tmp_path, monkeypatch, capsys):
    page = tmp_path / "README.md"
    page.write_text(PAGE.replace("no_such_package", "os"), encoding="utf-8")
    monkeypatch.setattr(readme, "PAGE", page)
    monkeypatch.setattr(readme, "PAGES", (page,))
    assert readme.main() == 1
    assert "4 examples, 1 failed" in capsys.readouterr().out


GUIDE = {page.name: page for page in readme.PAGES[1:]}


@pytest.mark.parametrize(
    ("name", "package", "least"), [("kernels.md", "torch", 15), ("campaigns.md", "numpy", 5)]
)
def test_the_examples_of_the_guide_hold(name, package, least):
    pytest.importorskip(package)
    attempted, failed = readme.run(GUIDE[name])
    assert attempted > least
    assert failed == 0


def test_there_is_no_page_of_the_guide_whose_examples_nobody_runs():
    assert set(GUIDE) == {"kernels.md", "campaigns.md"}


def test_the_guide_is_a_part_of_the_package_and_of_the_readme():
    settings = tomllib.loads((readme.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "guide/*.md" in settings["tool"]["setuptools"]["package-data"]["gradcheck"]
    assert all(resources.files("gradcheck").joinpath("guide", name).is_file() for name in GUIDE)
    linked = re.findall(r"\]\(([\w/.]+)\)", readme.PAGE.read_text(encoding="utf-8"))
    assert {f"gradcheck/guide/{name}" for name in GUIDE} <= set(linked)
    assert all((readme.ROOT / path).is_file() for path in linked)


def test_the_guide_names_every_cause_of_a_kernel():
    source = "".join(
        [path.read_text(encoding="utf-8") for path in (readme.ROOT / "gradcheck" / "kernels").glob("*.py")]
    )
    named = set(re.findall(r'(?:Cause|Fault)\(\s*"(\w[\w ]*)"', source))
    assert len(named) > 12
    listed = re.findall(r"^\| `([\w ]+)` \|", GUIDE["kernels.md"].read_text(encoding="utf-8"), re.MULTILINE)
    assert named <= set(listed)

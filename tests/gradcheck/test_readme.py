"""Examples of the README and the guide that need a package which is not installed are skipped, all others are run."""

from __future__ import annotations

import builtins
import re
import tomllib
from importlib import resources

import pytest
from programs import module

import gradcheck
import gradcore.errors
import gradcore.registry
from gradcheck import cli
from gradcheck.contracts import CONTRACTS
from gradcheck.diagnosis.causes import CAUSES
from gradcheck.verdict.excuses import OF_DIFFERENCE, OF_POINT

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


GUIDE = {page.stem: page for page in readme.PAGES[1:]}
OF = {"kernels": "torch", "pytorch": "torch", "gallery": "torch", "jax": "jax"}


@pytest.mark.nightly(each_time=3)  # ci/readme.py runs them all, each time
@pytest.mark.parametrize("topic", GUIDE)
def test_the_examples_of_the_guide_hold(topic):
    if topic in OF:
        pytest.importorskip(OF[topic])
    attempted, failed = readme.run(GUIDE[topic])
    assert failed == 0
    assert attempted >= (topic not in ("contents", "cost"))


def test_the_page_of_contents_is_what_the_registries_say(monkeypatch, capsys):
    contents = module("ci.contents")
    monkeypatch.setattr("sys.argv", ["contents.py", "--check"])
    assert contents.main() == 0
    monkeypatch.delitem(gradcore.registry.ops, "tanh")
    assert contents.main() == 1
    assert "python ci/contents.py writes it anew" in capsys.readouterr().out


def test_the_guide_is_a_part_of_the_package_and_of_the_readme():
    settings = tomllib.loads((readme.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "guide/*.md" in settings["tool"]["setuptools"]["package-data"]["gradcheck"]
    linked = re.findall(r"\]\(([\w/.]+)\)", readme.PAGE.read_text(encoding="utf-8"))
    assert all((readme.ROOT / path).is_file() for path in linked)
    for topic in GUIDE:
        assert resources.files("gradcheck").joinpath("guide", f"{topic}.md").is_file()
        assert f"gradcheck/guide/{topic}.md" in linked


def test_the_command_lists_the_guide_and_shows_a_page(capsys):
    assert cli.main(["guide"]) == 0
    listed = capsys.readouterr().out
    for topic, page in GUIDE.items():
        title = page.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        assert re.search(rf"^  {topic} +{re.escape(title)}$", listed, re.MULTILINE)
    assert cli.main(["guide", "bound"]) == 0
    assert capsys.readouterr().out == GUIDE["bound"].read_text(encoding="utf-8")
    assert cli.main(["guide", "boundary"]) == 2
    assert "no topic 'boundary': choose one of bound, campaigns" in capsys.readouterr().err


def test_links_within_the_guide_hold():
    for page in GUIDE.values():
        for link in re.findall(r"\]\(([\w/.]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).is_file(), f"{page.name} links to {link}"


def test_the_guide_has_a_section_for_every_cause_and_every_contract():
    headings = re.findall(r"^## (.+)$", GUIDE["causes"].read_text(encoding="utf-8"), re.MULTILINE)
    described = {name for heading in headings for name in heading.split(", ")}
    assert described == set(CAUSES) | set(CONTRACTS) | {"raises"}


def test_the_guide_lists_every_excuse():
    listed = re.findall(r"^\| `(\w+)` \|", GUIDE["verdicts"].read_text(encoding="utf-8"), re.MULTILINE)
    assert listed == [excuse.__name__ for excuse in (*OF_DIFFERENCE, *OF_POINT)]


def test_the_guide_names_every_cause_of_a_kernel():
    source = "".join(
        [path.read_text(encoding="utf-8") for path in (readme.ROOT / "gradcheck" / "kernels").glob("*.py")]
    )
    named = set(re.findall(r'(?:Cause|Fault)\(\s*"(\w[\w ]*)"', source))
    assert len(named) > 12
    listed = re.findall(r"^\| `([\w ]+)` \|", GUIDE["kernels"].read_text(encoding="utf-8"), re.MULTILINE)
    assert named <= set(listed)


@pytest.mark.parametrize("page", readme.PAGES, ids=lambda page: page.stem)
def test_every_error_that_a_page_names_exists(page):
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"`(?:[a-z]+\.)*([A-Z]\w*Error)`", text))
    known = {*dir(builtins), *dir(gradcheck), *dir(gradcore.errors)}
    assert named <= known

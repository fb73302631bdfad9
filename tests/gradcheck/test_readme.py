"""Examples of the README that need a package which is not installed are skipped, all others are run."""

from __future__ import annotations

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
    assert readme.main() == 1
    assert "4 examples, 1 failed" in capsys.readouterr().out

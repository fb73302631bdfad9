"""The picture of the page in the README: small, there, and made by its program."""

import browser
import pytest
from programs import load

page = load("pictures/page")


def test_the_picture_in_the_readme_is_there_and_small():
    readme = (page.ROOT / "README.md").read_text(encoding="utf-8")
    assert f"]({page.OUT.relative_to(page.ROOT).as_posix()})" in readme
    data = page.OUT.read_bytes()
    assert data.startswith(b"\x89PNG")
    assert 20_000 < len(data) < 200_000


@pytest.mark.skipif(browser.find() is None, reason="no Chromium on this machine: apt-get install chromium")
def test_it_is_made_by_its_program(tmp_path, capsys):
    assert page.main(["--out", str(tmp_path / "p.png")]) == 0
    assert (tmp_path / "p.png").stat().st_size > 20_000
    assert "wrote " in capsys.readouterr().out


def test_without_a_browser_it_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(browser, "NAMES", ())
    assert page.main(["--out", str(tmp_path / "p.png")]) == 1
    assert "apt-get install chromium" in capsys.readouterr().out

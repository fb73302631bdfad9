"""The chart of errors of sums: measured numbers, and a status that shows where they are not as they have to be."""

import pytest
from programs import load

pytest.importorskip("ml_dtypes")
chart = load("reports/kernel_chart")


def test_a_long_sum_in_bfloat16_is_wrong_and_one_in_float32_is_right():
    short, long = chart.point(4, 2), chart.point(512, 2)
    assert (short.low_wrong, short.wide_wrong) == (0, 0)
    assert (long.low_wrong, long.wide_wrong) == (2, 0)
    assert long.low > 4 * long.allowed > long.wide > 0.4


def test_the_chart_is_drawn_and_small(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(chart, "LENGTHS", (4, 256))
    status = chart.main(["--seeds", "1", "--out", str(tmp_path / "chart.svg")])
    assert status == 0
    assert "called wrong of 1" in capsys.readouterr().out
    pytest.importorskip("matplotlib")
    assert 5_000 < (tmp_path / "chart.svg").stat().st_size < 200_000
    assert 5_000 < chart.OUT.stat().st_size < 200_000


def test_lengths_that_show_nothing_are_a_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(chart, "LENGTHS", (4,))
    assert chart.main(["--seeds", "1", "--out", str(tmp_path / "chart.svg")]) == 1


def test_without_matplotlib_there_is_the_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(chart, "LENGTHS", (4, 256))
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    assert chart.main(["--seeds", "1", "--out", str(tmp_path / "chart.svg")]) == 0
    assert "no chart: matplotlib is not installed" in capsys.readouterr().out
    assert not (tmp_path / "chart.svg").exists()

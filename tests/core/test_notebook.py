"""How tensors and modules look in a notebook."""

import re

import numpy as np
import pytest

import gradcore
from gradcheck import derivative
from gradcore import nn


def cells(text):
    return re.findall(r"<td[^>]*>(?:<code>)?(.*?)(?:</code>)?</td>", text)


def test_a_small_tensor_is_shown_whole():
    x = gradcore.tensor([[1.5, -2.0], [0.0, 4.0]], requires_grad=True)
    text = x._repr_html_()
    assert cells(text) == ["1.5", "-2", "0", "4"]
    assert "(2, 2) float32, requires_grad=True" in text
    assert "op=mul" in (x * 2)._repr_html_()


def test_a_large_tensor_is_shown_by_its_edges_and_the_first_matrix():
    text = gradcore.tensor(np.arange(3 * 100 * 50).reshape(3, 100, 50))._repr_html_()
    assert len(cells(text)) == 81
    assert "the first of 3 matrices" in text
    assert {"0", "49", "4999", "..."} <= set(cells(text))


@pytest.mark.parametrize(("data", "shown"), [(3.0, []), ([1, 2], ["1", "2"]), (np.zeros((0, 3)), [])])
def test_tensors_of_few_axes_and_of_none(data, shown):
    text = gradcore.tensor(data)._repr_html_()
    assert cells(text) == shown
    assert ("<p>3</p>" in text) is (np.ndim(data) == 0)


def test_a_module_has_a_row_for_each_part_with_shapes_and_counts():
    text = nn.mlp((4, 3, 2), rng=0)._repr_html_()
    assert "23 parameters" in text
    rows = [cells(row) for row in text.split("<tr>")[2:]]
    assert ["1", "Linear(4 -&gt; 3)", "weight (4, 3), bias (1, 3)", "15"] in rows
    assert sum(int(row[-1]) for row in rows) == 23


def test_a_derivative_is_a_table_of_value_and_bound():
    text = derivative(lambda x: (np.abs(x), x.sum()), np.array([0.0, 2.0]), np.ones(2))._repr_html_()
    rows = [cells(row) for row in text.split("<tr>")[2:]]
    assert [row[0] for row in rows] == ["output 0 [0]", "output 0 [1]", "output 1"]
    assert rows[0][2:] == ["0 ± 1", "kink"]
    assert re.fullmatch(r"1 ± \de-1\d", rows[1][2])
    many = derivative(np.exp, np.ones(50), np.ones(50))._repr_html_()
    assert "and 30 more entries" in many
    assert " + 0.8414709848i ± " in derivative(np.exp, np.array([1j]), np.ones(1))._repr_html_()

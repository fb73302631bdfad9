"""Figures: written as PNG, showing what they should, with no trace left in matplotlib's global state."""

import subprocess
import sys

import numpy as np
import pytest

from gradcore import figures
from gradcore.errors import MissingExtraError, ShapeError
from gradcore.figures import save_curves, save_mistakes

PNG = b"\x89PNG\r\n\x1a\n"
HISTORY = [
    {"epoch": k, "train_loss": 2.0 / k, "test_loss": 2.2 / k, "test_accuracy": 1 - 0.5 / k}
    for k in range(1, 6)
]


@pytest.fixture
def drawn(monkeypatch):
    """The figures saved in a test, as objects."""
    saved = []
    save = figures.save_figure
    monkeypatch.setattr(
        figures, "save_figure", lambda figure, path: (saved.append(figure), save(figure, path))
    )
    return saved


def lines(ax):
    return {line.get_label(): (list(line.get_xdata()), np.asarray(line.get_ydata())) for line in ax.lines}


def texts(figure):
    return [text.get_text() for text in figure.texts + [text for ax in figure.axes for text in ax.texts]]


def pictures(figure):
    return [(ax.get_title(), np.asarray(ax.images[0].get_array())) for ax in figure.axes if ax.images]


def test_curves_show_every_recorded_series_against_the_epoch(tmp_path, drawn):
    save_curves(tmp_path / "curves.png", HISTORY, title="a run")
    assert (tmp_path / "curves.png").read_bytes().startswith(PNG)
    loss, accuracy = drawn[0].axes
    assert list(lines(loss)) == ["train, 0.4", "test, 0.44"]
    assert list(lines(accuracy)) == ["test, 90.0%"]
    epochs, values = lines(loss)["train, 0.4"]
    assert epochs == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(values, [2 / k for k in range(1, 6)])
    assert drawn[0].get_suptitle() == "a run"


def test_values_that_are_missing_or_not_finite_are_gaps(tmp_path, drawn):
    history = [*HISTORY, {"epoch": 6, "train_loss": float("inf")}, {"epoch": 7, "train_loss": None}]
    save_curves(tmp_path / "curves.png", history)
    _, values = lines(drawn[0].axes[0])["train, 0.4"]
    assert np.isnan(values).tolist() == [False] * 5 + [True] * 2


@pytest.mark.parametrize("history", [[], [{"epoch": 1}], [{"epoch": 1, "train_loss": float("nan")}]])
def test_a_history_without_numbers_gives_a_page_that_says_so(tmp_path, drawn, history):
    save_curves(tmp_path / "curves.png", history)
    assert texts(drawn[0]) == ["not recorded", "not recorded"]


def test_a_single_epoch_is_drawn_between_whole_epochs(tmp_path, drawn):
    save_curves(tmp_path / "curves.png", HISTORY[:1])
    assert drawn[0].axes[0].get_xlim() == (0, 2)


IMAGES = np.random.default_rng(0).random((5, 1, 3, 3))
LABELS = np.array([0, 1, 2, 0, 1])
PREDICTIONS = np.array([0, 2, 1, 1, 1])
PROBABILITIES = np.array(
    [[0.8, 0.1, 0.1], [0.2, 0.3, 0.5], [0.05, 0.9, 0.05], [0.2, 0.6, 0.2], [0.1, 0.8, 0.1]],
)


def test_mistakes_are_drawn_the_most_confident_first_and_nothing_else_is(tmp_path, drawn):
    save_mistakes(tmp_path / "m.png", IMAGES, LABELS, PREDICTIONS, PROBABILITIES)
    assert (tmp_path / "m.png").read_bytes().startswith(PNG)
    found = pictures(drawn[0])
    assert [title for title, _ in found] == [
        "true: 2\npredicted: 1\nconfidence 90%",
        "true: 0\npredicted: 1\nconfidence 60%",
        "true: 1\npredicted: 2\nconfidence 50%",
    ]
    for (_, picture), k in zip(found, [2, 3, 1], strict=True):
        np.testing.assert_allclose(picture, IMAGES[k, 0])
    assert drawn[0].get_suptitle() == "3 of 5 images misread (60.0%), the most confident first"


def test_the_order_is_that_of_the_confidence_shown_and_not_of_the_true_class(tmp_path, drawn):
    probabilities = np.array([[0.0, 0.5, 0.5], [0.01, 0.39, 0.6], [0.3, 0.7, 0.0]])
    save_mistakes(tmp_path / "m.png", IMAGES[:3], [0, 0, 0], [1, 2, 1], probabilities)
    assert [title.split("confidence ")[1] for title, _ in pictures(drawn[0])] == ["70%", "60%", "50%"]


def test_without_probabilities_the_order_is_that_of_the_images(tmp_path, drawn):
    save_mistakes(tmp_path / "m.png", IMAGES, LABELS, PREDICTIONS, classes=["cat", "dog", "owl"])
    assert [title for title, _ in pictures(drawn[0])] == [
        "true: dog\npredicted: owl",
        "true: owl\npredicted: dog",
        "true: cat\npredicted: dog",
    ]
    assert drawn[0].get_suptitle() == "3 of 5 images misread (60.0%)"


def test_a_limit_keeps_the_worst_and_says_so(tmp_path, drawn):
    save_mistakes(tmp_path / "m.png", IMAGES, LABELS, PREDICTIONS, PROBABILITIES, limit=1)
    assert [title for title, _ in pictures(drawn[0])] == ["true: 2\npredicted: 1\nconfidence 90%"]
    assert drawn[0].get_suptitle() == "3 of 5 images misread (60.0%), 1 shown, the most confident first"


@pytest.mark.parametrize("shape", [(5, 9), (5, 3, 3), (5, 1, 3, 3)])
def test_every_shape_of_pictures_gives_the_same_page(tmp_path, shape):
    save_mistakes(tmp_path / "reference.png", IMAGES, LABELS, PREDICTIONS)
    save_mistakes(tmp_path / "m.png", IMAGES.reshape(shape), LABELS, PREDICTIONS)
    assert (tmp_path / "m.png").read_bytes() == (tmp_path / "reference.png").read_bytes()


@pytest.mark.parametrize("n", [0, 5])
def test_no_mistakes_give_a_page_that_says_so(tmp_path, drawn, n):
    save_mistakes(tmp_path / "m.png", IMAGES[:n], LABELS[:n], LABELS[:n], PROBABILITIES[:n])
    assert (tmp_path / "m.png").read_bytes().startswith(PNG)
    assert texts(drawn[0]) == [f"No mistakes: all {n} images were read right"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((5, 8)), LABELS, PREDICTIONS), r"expected images \(n, h, w\), .* got \(5, 8\)"),
        ((np.zeros((5, 3, 8, 8)), LABELS, PREDICTIONS), r"got \(5, 3, 8, 8\)"),
        (
            (IMAGES, LABELS[:4], PREDICTIONS),
            r"labels and predictions \(5,\) .* for 5 images, got \(4,\), \(5,\)",
        ),
        ((IMAGES, LABELS, PREDICTIONS, PROBABILITIES[:4]), r"got \(5,\), \(5,\) and \(4, 3\)"),
        ((IMAGES, LABELS, PREDICTIONS, PROBABILITIES[:, :2]), r"\(5, 2\) are for 2 classes, .* go up to 2"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(tmp_path, arguments, message):
    with pytest.raises(ShapeError, match=message):
        save_mistakes(tmp_path / "m.png", *arguments)
    assert not (tmp_path / "m.png").exists()


def test_drawing_uses_neither_pyplot_nor_global_settings(tmp_path):
    code = (
        "import sys, matplotlib, gradcore.figures as f;"
        "names = set(matplotlib.rcParams) - {'backend'};"  # looking the backend up is what loads pyplot
        "before = {name: matplotlib.rcParams[name] for name in names};"
        f"f.save_curves({str(tmp_path / 'c.png')!r}, [{{'epoch': 1, 'train_loss': 1.0}}]);"
        "print('matplotlib.pyplot' in sys.modules); print(all(matplotlib.rcParams[name] == before[name] for name in names))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["False", "True"]


def test_importing_figures_and_io_loads_neither_matplotlib_nor_safetensors():
    code = (
        "import sys, gradcore.figures, gradcore.io; print({'matplotlib', 'safetensors'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "set()"


def test_without_matplotlib_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(
        MissingExtraError, match=r'drawing figures needs matplotlib: pip install "gradcore\[train\]"'
    ):
        save_curves(tmp_path / "c.png", HISTORY)

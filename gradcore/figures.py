"""Figures of a training run as PNG files: its curves, and the pictures it misread. No pyplot, no global state."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gradcore.errors import ShapeError
from gradcore.extras import load_extra
from gradcore.io import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["new_figure", "save_curves", "save_figure", "save_mistakes"]

_PathLike = str | os.PathLike[str]
_TRAIN, _TEST, _INK, _FAINT = "#3b6ea5", "#d1662a", "#222222", "#dddddd"
_DPI = 150


def save_curves(path: _PathLike, history: Sequence[Mapping[str, Any]], *, title: str = "") -> None:
    """Draw loss and accuracy against the epoch, for the training and the test part.

    A record of `history` holds `epoch` and any of `train_loss`, `test_loss` and `train_accuracy`, `test_accuracy`
    (from 0 to 1). What no record holds is left out; what is missing or not finite in some is a gap.
    """
    figure = new_figure((10, 4.2))
    if title:
        figure.suptitle(title, color=_INK, fontsize=12)
    left, right = figure.subplots(1, 2)
    epochs = [record["epoch"] for record in history]
    _draw_curves(left, epochs, history, "loss")
    _draw_curves(right, epochs, history, "accuracy")
    save_figure(figure, path)


def save_mistakes(
    path: _PathLike,
    images: npt.ArrayLike,
    labels: npt.ArrayLike,
    predictions: npt.ArrayLike,
    probabilities: npt.ArrayLike | None = None,
    *,
    classes: Sequence[str] | None = None,
    limit: int = 40,
) -> None:
    """Draw a page of misread pictures, each titled with its true and its predicted class, at most `limit`.

    images: `(n, h * w)` with `h = w`, `(n, h, w)` or `(n, 1, h, w)`. labels, predictions: integers `(n,)`.
    probabilities: `(n, classes)`; then the titles show the confidence, which is the probability of the prediction, and the
    highest comes first. Without them the order is that of the images.

    Raises ShapeError when the shapes do not fit each other.
    """
    pictures = _as_pictures(np.asarray(images))
    true, predicted = np.asarray(labels), np.asarray(predictions)
    sure = None if probabilities is None else np.asarray(probabilities)
    n = len(pictures)
    if (
        true.shape != (n,)
        or predicted.shape != (n,)
        or (sure is not None and (sure.ndim != 2 or len(sure) != n))
    ):
        raise ShapeError(
            f"expected labels and predictions ({n},) and probabilities ({n}, classes) for {n} images, got "
            f"{true.shape}, {predicted.shape}" + ("" if sure is None else f" and {sure.shape}")
        )
    if sure is not None and n and max(true.max(), predicted.max()) >= sure.shape[1]:
        raise ShapeError(
            f"probabilities {sure.shape} are for {sure.shape[1]} classes, but labels or predictions go up to "
            f"{max(true.max(), predicted.max())}"
        )
    wrong = np.flatnonzero(true != predicted)
    if sure is not None:
        wrong = wrong[np.argsort(-sure[wrong, predicted[wrong]], kind="stable")]
    shown = wrong[:limit]
    titles = []
    for k in shown:
        title = f"true: {_name(classes, true[k])}\npredicted: {_name(classes, predicted[k])}"
        titles.append(title if sure is None else f"{title}\nconfidence {sure[k, predicted[k]]:.0%}")
    _draw_page(path, pictures[shown], titles, _headline(n, len(wrong), len(shown), ranked=sure is not None))


def _headline(n: int, wrong: int, shown: int, *, ranked: bool) -> str:
    if not wrong:
        return f"No mistakes: all {n:,} images were read right"
    text = f"{wrong:,} of {n:,} images misread ({wrong / n:.1%})"
    if shown < wrong:
        text += f", {shown} shown"
    return f"{text}, the most confident first" if ranked and wrong > 1 else text


def _draw_page(path: _PathLike, pictures: npt.NDArray[Any], titles: list[str], headline: str) -> None:
    if not titles:
        figure = new_figure((6, 1.5))
        figure.text(0.5, 0.5, headline, color=_INK, fontsize=13, ha="center", va="center")
        save_figure(figure, path)
        return
    widest = max(len(line) for title in titles for line in title.split("\n"))
    columns = min(8, max(4, len(titles)))
    rows = math.ceil(len(titles) / columns)
    cell = max(1.2, 0.066 * widest)
    lines = 1 + max(title.count("\n") for title in titles)
    figure = new_figure((cell * columns, (cell - 0.12 + 0.155 * lines) * rows + 0.4))
    figure.suptitle(headline, color=_INK, fontsize=12)
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06)  # type: ignore[union-attr, call-arg]
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes[len(titles) :]:
        ax.set_axis_off()
    for ax, picture, title in zip(axes, pictures, titles, strict=False):
        ax.imshow(picture, cmap="gray_r", interpolation="nearest")
        ax.set_title(title, fontsize=8.5, color=_INK, pad=3)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_color(_FAINT)
    save_figure(figure, path)


def _draw_curves(ax: Axes, epochs: list[int], history: Sequence[Mapping[str, Any]], what: str) -> None:
    for part, color, marker in (("train", _TRAIN, "o"), ("test", _TEST, "s")):
        key = f"{part}_{what}"
        values = [np.nan if record.get(key) is None else float(record[key]) for record in history]
        drawn = np.where(np.isfinite(values), values, np.nan)
        if np.isnan(drawn).all():
            continue
        last = drawn[~np.isnan(drawn)][-1]
        label = f"{part}, {last:.1%}" if what == "accuracy" else f"{part}, {last:.3g}"
        ax.plot(epochs, drawn, color=color, marker=marker, markersize=4, linewidth=1.6, label=label)
    ax.set_title(what.capitalize(), color=_INK, fontsize=11)
    ax.set_xlabel("epoch")
    ax.grid(color=_FAINT, linewidth=0.7)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    if not ax.lines:
        ax.set(xticks=[], yticks=[])
        ax.text(0.5, 0.5, "not recorded", ha="center", va="center", transform=ax.transAxes, color="#888888")
        return
    ax.legend(frameon=False)
    ticker = load_extra("matplotlib.ticker", "drawing figures")
    ax.xaxis.set_major_locator(ticker.MaxNLocator("auto", integer=True))
    if len(epochs) == 1:
        ax.set_xlim(epochs[0] - 1, epochs[0] + 1)
    if what == "accuracy":
        ax.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{100 * value:.4g}%"))
    elif min([np.nanmin(line.get_ydata()) for line in ax.lines]) >= 0:
        ax.set_ylim(bottom=0)


def _as_pictures(images: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """`images` as `(n, h, w)`."""
    if images.ndim == 4 and images.shape[1] == 1:
        return images[:, 0]
    if images.ndim == 3:
        return images
    side = math.isqrt(images.shape[1]) if images.ndim == 2 else 0
    if images.ndim != 2 or side * side != images.shape[1]:
        raise ShapeError(
            f"expected images (n, h, w), (n, 1, h, w), or (n, h * w) with h = w, got {images.shape}"
        )
    return images.reshape(-1, side, side)


def _name(classes: Sequence[str] | None, index: Any) -> str:
    return str(index) if classes is None else classes[index]


def new_figure(size: tuple[float, float]) -> Figure:
    """An empty figure of this size in inches; MissingExtraError without matplotlib."""
    figure: Figure = load_extra("matplotlib.figure", "drawing figures").Figure(
        figsize=size, dpi=_DPI, layout="constrained", facecolor="white"
    )
    return figure


def save_figure(figure: Figure, path: _PathLike) -> None:
    """Write it as a PNG file, whole or not at all."""
    # The default metadata names matplotlib's version; without it the same data gives the same bytes.
    write_atomically(path, lambda file: figure.savefig(file, format="png", metadata={"Software": None}))

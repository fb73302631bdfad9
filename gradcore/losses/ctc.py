"""Connectionist temporal classification: the loss of a sequence of labels whose places in time are not known."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import numpy as np

from gradcore.convert import plain
from gradcore.errors import DomainError, DtypeError, ShapeError
from gradcore.losses.reductions import REDUCTIONS, Reduction, as_values, reduced, reduced_by_list
from gradcore.op import Array, op
from gradcore.ops._rows import are_arrays
from gradcore.ops.choice import where
from gradcore.ops.index import scatter_add
from gradcore.ops.shape import reshape
from gradcore.registry import loss
from gradcore.spec import Case, Derived, LossSpec, OneOf, OpSpec, Param, case, integers, interval


def _by_paths(log_probs: Any, targets: Any, inputs: Any, lengths: Any, blank: int = 0) -> Any:
    """The sum over every path of classes that reads as the target without its repetitions and then its blanks."""
    found = []
    for n, (steps, length) in enumerate(zip(inputs.tolist(), lengths.tolist(), strict=True)):
        rows, total = log_probs[:steps, n].tolist(), []
        for path in itertools.product(range(log_probs.shape[2]), repeat=steps):
            read = [c for c, _ in itertools.groupby(path) if c != blank]
            if read == targets[n, :length].tolist():
                total.append(math.exp(math.fsum(row[c] for row, c in zip(rows, path, strict=True))))
        found.append(-math.log(math.fsum(total)))
    return np.array(found)


def _loss_by_paths(
    log_probs: Any,
    targets: Any,
    inputs: Any,
    lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Any:
    del zero_infinity  # the domain has a path for every target
    rows = _by_paths(log_probs, targets, inputs, lengths, blank).tolist()
    if reduction == "mean":
        rows = [row / max(length, 1) for row, length in zip(rows, lengths.tolist(), strict=True)]
    return reduced_by_list(rows, lengths.shape, reduction)


def _cases(least: int = 0, **params: Param) -> tuple[Case, Case]:
    """Two labels at most, so that 3 steps are enough; the blank is the first class, or the last."""
    first, last = [
        case(
            interval(-3.0, 0.0, "t n c"),
            integers(*classes, "n s"),
            integers(3, "t", "n"),
            integers(0, "s", "n"),
            params={"blank": blank, **params},
            sizes={"t": (3, 5), "n": (least, 3), "c": (2, 3), "s": (0, 2)},
        )
        for classes, blank in (
            ((1, "c-1"), OneOf(0)),
            ((0, "c-2"), Derived(lambda env: [env["c"] - 1])),
        )
    ]
    return first, last


# --- the sums over all paths ------------------------------------------------------------------------------------------
# A path goes through the states blank, label, blank, ..., label, blank. At each step it stays, or goes on by one; it passes
# over a blank between two labels that differ. All of it runs on arrays, and on Tensors where the rule itself is recorded.


def _log_sum(*terms: Array) -> Array:
    """log(e^a + e^b + ...), of terms that may all be -inf."""
    if are_arrays(terms[0]):
        return functools.reduce(np.logaddexp, terms)
    top = plain(terms[0])
    for term in terms[1:]:
        top = np.maximum(top, plain(term))
    top = np.where(np.isfinite(top), top, 0)
    total = np.exp(terms[0] - top)
    for term in terms[1:]:
        total = total + np.exp(term - top)
    some = plain(total) != 0
    return np.where(some, np.log(np.where(some, total, 1)) + top, np.asarray(-np.inf, top.dtype))


def _onward(states: Array, skips: Array) -> Array:
    """Each state's sum over those that lead to it: itself, the one before, and the one before that with `skips`."""
    behind = np.concatenate([np.full((len(states), 2), -np.inf, states.dtype), states], axis=1)
    return _log_sum(states, behind[:, 1:-1], behind[:, :-2] + skips)


def _log(of: Any, dtype: Any) -> Any:
    """0 where true, -inf where false."""
    return np.where(of, 0.0, -np.inf).astype(dtype)


def _states(targets: Any, lengths: Any, blank: int, dtype: Any) -> tuple[Any, Any, Any]:
    """Each state's class (n, states); whether it is reached from two before; whether a path may end there."""
    n, s = targets.shape
    classes = np.full((n, 2 * s + 1), blank)
    classes[:, 1::2] = np.where(np.arange(s) < lengths[:, None], targets, blank)
    skips = np.zeros(classes.shape, bool)
    skips[:, 2:] = classes[:, 2:] != classes[:, :-2]  # to a blank there is none: two before it is another
    number = np.arange(2 * s + 1)
    ends = (number == 2 * lengths[:, None]) | (number == 2 * lengths[:, None] - 1)
    return classes, _log(skips, dtype), _log(ends, dtype)


def _forward(scores: Array, skips: Any) -> Array:
    """Of all paths to each state, up to and with each step (t + 1, n, states): before the first they stand at state 0."""
    so_far = [_log(np.arange(skips.shape[1]) == 0, skips.dtype) + np.zeros_like(skips)]
    for score in scores:
        so_far.append(_onward(so_far[-1], skips) + score)
    return np.stack(so_far)


def _backward(scores: Array, skips: Any, ends: Any, inputs: Any) -> Array:
    """Of all paths from each state to an end, after each step (t, n, states): the same way, from the last state down."""
    scores, ends = scores[:, :, ::-1], ends[:, ::-1]
    skips = np.concatenate([np.full((len(skips), 2), -np.inf, skips.dtype), skips[:, ::-1]], axis=1)[:, :-2]
    states, found = np.full_like(ends, -np.inf), []
    for step in reversed(range(len(scores))):
        states = np.where((inputs == step + 1)[:, None], ends, states)
        found.append(states)
        states = _onward(states + scores[step], skips)
    return np.stack(found[::-1])[:, :, ::-1]


def _total(so_far: Array, ends: Any, inputs: Any) -> Array:
    """Of all whole paths (n,)."""
    last = so_far[inputs, np.arange(len(inputs))] + ends
    return _log_sum(*[last[:, k] for k in range(ends.shape[1])])


def _rule(
    gy: Array, _y: Array, log_probs: Array, targets: Array, inputs: Array, lengths: Array, blank: int = 0
) -> Array:
    # d/d log p of -log sum_paths p is minus the share of the paths that are there at that step: Graves et al. 2006, section 4.2.
    if not log_probs.shape[0]:
        return log_probs * 0
    classes, skips, ends = _states(targets, lengths, blank, log_probs.dtype)
    steps, n = log_probs.shape[:2]
    places = (np.arange(steps)[:, None, None], np.arange(n)[:, None], classes)
    scores = log_probs[places]
    paths = _forward(scores, skips)[1:] + _backward(scores, skips, ends, inputs)
    top = np.maximum.reduce(plain(paths), axis=2, keepdims=True)
    # Over their sum at this step, which is that of all paths: what rounding did to both cancels.
    shares = np.exp(paths - np.where(np.isfinite(top), top, 0))
    total = np.add.reduce(shares, axis=2, keepdims=True)
    shares = shares / np.where(plain(total) == 0, np.asarray(1, total.dtype), total)
    return scatter_add(-gy[:, None] * shares, places, log_probs.shape)


@op(
    name="ctc_loss",
    vjp=(_rule, *[lambda *_, **__: None] * 3),
    spec=OpSpec(*_cases(), reference=_by_paths),
)
def ctc_op(
    log_probs: Array, targets: Array, input_lengths: Array, target_lengths: Array, /, blank: int = 0
) -> Array:
    """`ctc_loss` of each sequence, for targets (n, s) that are known to fit."""
    classes, skips, ends = _states(targets, target_lengths, blank, log_probs.dtype)
    scores = np.take_along_axis(log_probs, classes[None], 2)
    return -_total(_forward(scores, skips), ends, input_lengths)


# --- the loss ---------------------------------------------------------------------------------------------------------


@loss(spec=LossSpec(*_cases(1, zero_infinity=OneOf(False, True), **REDUCTIONS), reference=_loss_by_paths))
def ctc_loss(
    log_probs: Array,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: Reduction = "mean",
    zero_infinity: bool = False,
) -> Array:
    """-log of the probability that a sequence reads as its target: the sum over all alignments, Graves et al. 2006.

    log_probs: (t, n, classes), such as those of `log_softmax`. targets: (n, s), of which each row counts up to its length, or
    all of them one after another (sum of lengths,); none is the blank. input_lengths, target_lengths: (n,). One sequence:
    (t, classes), (s,), and two numbers. An alignment gives each step a class; it reads as what remains without repetitions
    and then without blanks.
    The mean is that of each loss over its target's length (1 for none). A target that has no alignment, as the steps are too
    few, has a loss of inf and a derivative of 0; with zero_infinity a loss of 0.
    Raises ShapeError, DtypeError or DomainError where shapes, lengths or labels do not fit.

    >>> loss = ctc_loss(np.log([[0.5, 0.5], [0.25, 0.75]]), [1], 2, 1)  # 11, 01 and 10
    >>> round(float(np.exp(-loss)), 12)
    0.875
    """
    log_probs = as_values(log_probs)
    alone = len(log_probs.shape) == 2
    if alone:
        steps, count = log_probs.shape
        log_probs = reshape(log_probs, (steps, 1, count))
    if log_probs.dtype.kind != "f":
        raise DtypeError(
            f"ctc_loss takes floating-point log-probabilities, and got {log_probs.dtype}: apply log_softmax to the scores"
        )
    if len(log_probs.shape) != 3:
        raise ShapeError(
            f"ctc_loss takes log-probabilities of shape (t, n, classes) or (t, classes), and got {log_probs.shape}"
        )
    steps, n, count = log_probs.shape
    if not 0 <= blank < count:
        raise DomainError(f"ctc_loss got blank={blank}: with {count} classes it is one from 0 to {count - 1}")
    inputs = _lengths("input_lengths", input_lengths, n, steps, alone)
    labels = _whole("targets", targets)
    most = labels.shape[-1] if labels.ndim == 2 or alone else labels.size
    lengths = _lengths("target_lengths", target_lengths, n, most, alone)
    rows = ctc_op(log_probs, _rows(labels, lengths, alone, blank, count), inputs, lengths, blank=blank)
    if zero_infinity:
        rows = where(np.isposinf(plain(rows)), 0.0, rows)
    if reduction == "mean":
        return reduced(rows / np.maximum(lengths, 1).astype(rows.dtype), reduction)
    return reduced(reshape(rows, ()) if alone else rows, reduction)


def _whole(what: str, values: Any) -> Any:
    found = np.asarray(plain(values))
    if found.dtype.kind not in "iu" and found.size:
        raise DtypeError(
            f"ctc_loss takes whole numbers as {what}, and got {found.dtype}: convert with {what}.astype(int)"
        )
    return found.astype(np.int64)


def _lengths(what: str, values: Any, n: int, most: int, alone: bool) -> Any:
    found = _whole(what, values)
    if alone and not found.ndim:
        found = found.reshape(1)
    if found.shape != (n,):
        raise ShapeError(
            f"ctc_loss got {what} of shape {found.shape}: one for each sequence, of shape ({n},)"
        )
    if ((found < 0) | (found > most)).any():
        raise DomainError(f"ctc_loss got {what} of {found.tolist()}: they go from 0 to {most}")
    return found


def _rows(labels: Any, lengths: Any, alone: bool, blank: int, count: int) -> Any:
    """The targets as (n, s), with the blank behind the end of each."""
    n = len(lengths)
    fits = labels.shape[0] == n if labels.ndim == 2 else labels.ndim == 1
    whole = labels.ndim == 2 or alone or labels.size == lengths.sum()
    if not (fits and whole):
        raise ShapeError(
            f"ctc_loss got targets of shape {labels.shape} for {n} sequences whose targets have {lengths.sum()} labels in all: "
            f"pass ({n}, s), or ({lengths.sum()},), one after another"
        )
    inside = np.arange(lengths.max(initial=0)) < lengths[:, None]
    rows = np.full(inside.shape, blank)
    rows[inside] = labels[:, : inside.shape[1]][inside] if labels.ndim == 2 else labels[: lengths.sum()]
    used = rows[inside]
    wrong = used[(used < 0) | (used >= count) | (used == blank)]
    if wrong.size:
        raise DomainError(
            f"ctc_loss got the label {wrong[0]}: with {count} classes and blank={blank}, labels are the other numbers from 0 to "
            f"{count - 1}"
        )
    return rows

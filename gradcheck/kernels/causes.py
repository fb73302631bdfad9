"""Why an array of a kernel is wrong: hypotheses that explain all of its entries, the clearest first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from gradcheck.backends.protocol import Array
from gradcheck.diagnosis.case import Cause
from gradcheck.diagnosis.numbers import factor
from gradcheck.kernels.allowance import Judged, root
from gradcheck.kernels.formats import FORMATS, Claims
from gradcheck.kernels.measured import Measured
from gradcheck.kernels.results import Results
from gradcheck.kernels.where import block, regions

COARSE = 0.2
"""A relative error of the whole array below this may be one of precision."""

TYPICAL = 0.4
"""The rms error of rounding to nearest, in units of the N(0, 1) roundings that stand for it."""

SLIGHT = 0.03
"""The same for statistics kept in 16 bits."""

FEW = 6
"""Noisy runs for a hypothesis on precision."""

DTYPES = {
    "accumulated": "accumulated in the dtype of the inputs: its error is that of sums in {low}, and accumulate={claimed!r} is claimed. "
    "Add up in float32, and round once at the end",
    "rounded twice": "rounded twice: its error is that of intermediate results stored in {low}. Keep them in float32 until the "
    "last operation, or claim intermediates='stored' where they are stored on purpose",
}


def why(m: Measured, j: Judged) -> Cause | None:
    """The cause of a wrong array, None where no hypothesis explains it."""
    for hypothesis in HYPOTHESES:
        cause = hypothesis(m, j)
        if cause is not None:
            return cause
    return None


def holds(j: Judged, actual: Array, scale: float = 1.0) -> bool:
    """Whether another array would be right; `scale`: by how much its own errors were made larger."""
    changed = replace(j, actual=actual)
    return bool(changed.norm_ratio <= scale * 1.2 and np.all(changed.ratios <= scale * 1.5))


def nonfinite(_: Measured, j: Judged) -> Cause | None:
    """NaN or infinity where the truth is a number of the format."""
    at = ~np.isfinite(j.actual) & j.bad
    if not at.any():
        return None
    rows = " A row of which all is masked gives 0/0: give it 0" if np.isnan(j.actual[at]).any() else ""
    return Cause(
        "nonfinite",
        f"{np.count_nonzero(at)} entries are {'NaN' if rows else 'infinite'} where the reference is finite: look for an overflow "
        f"of {j.format.name} (above {j.format.largest:.3g}), 0/0 or inf - inf inside.{rows}",
    )


def contiguous(m: Measured, j: Judged) -> Cause | None:
    """Wrong with one memory layout of the cotangent, right with another."""
    dense = next(
        (o for o in m.judged if o.path == j.path and o.layout in ("dense", "dense copy") and not o.wrong),
        None,
    )
    if not j.layout or j.layout.endswith(("dense", "copy")) or dense is None:
        return None
    if j.which and not _right_on_a_copy(m, j):
        return None
    words = {
        "gaps": "with gaps between its entries",
        "transposed": "with transposed strides",
        "broadcast": "with strides of 0",
        "given": "with the strides of gy=",
    }
    return Cause(
        "contiguous",
        f"the cotangent is assumed contiguous: with one in C order the result is right, and with one {words[j.layout]} it is wrong. "
        "Use its strides, or call gy.contiguous() (np.ascontiguousarray(gy)) first",
    )


def _right_on_a_copy(m: Measured, j: Judged) -> bool:
    place = [v.path for v in m.kernel.inputs].index(j.path)
    gx = m.pull(j.which, "dense").pulled[place]
    return gx is not None and not replace(j, actual=gx.array).wrong


def missing(_: Measured, j: Judged) -> Cause | None:
    """Zero throughout."""
    if np.any(j.actual) or not np.any(j.truth):
        return None
    return Cause("missing", "it is zero throughout, and the reference is not")


def one_factor(_: Measured, j: Judged) -> Cause | None:
    """A sign, or one number that explains all."""
    t, a = _finite(j)
    square = float(t @ t)
    c = float(t @ a) / square if square else 0.0
    if not np.isfinite(c) or c == 0 or abs(c - 1) < 4 * j.format.unit / t.size**0.5:
        return None
    if t.size < 2 and _named(1 / c, j) == factor(1 / c):  # of one number any other is a multiple
        return None
    if not holds(j, j.actual / c, 1 / min(abs(c), 1.0)):
        return None
    if abs(c + 1) < 4 * j.format.unit:
        return Cause("sign", "every entry has the wrong sign")
    return Cause(
        "factor", f"a scale is missing or wrong: multiplied by {_named(1 / c, j)} every entry is right"
    )


def _named(value: float, j: Judged) -> str:
    near = 8 * j.format.unit
    for n in {2, 3, 4, *j.truth.shape, j.truth.size}:
        for power, text in ((1.0, f"{n}"), (-1.0, f"1/{n}"), (0.5, f"sqrt({n})"), (-0.5, f"1/sqrt({n})")):
            for sign in (1, -1):
                if n > 1 and abs(value - sign * n**power) <= near * n**power:
                    return text if sign > 0 else f"-{text}"
    return factor(value)


def missing_input(m: Measured, j: Judged) -> Cause | None:
    """Another input by which every entry has to be multiplied, or divided."""
    for v in m.kernel.inputs:
        if v.format is None or not np.all(np.isfinite(v.array)) or v.array.size < 2:
            continue
        try:
            scale = np.broadcast_to(v.array, j.truth.shape)
        except ValueError:
            continue
        with np.errstate(all="ignore"):
            for turned, word in ((j.actual * scale, "multiplied"), (j.actual / scale, "divided")):
                if np.all(np.isfinite(turned)) and holds(j, turned, 4.0):
                    return Cause(
                        "factor",
                        f"the scale {v.path} is missing or used twice: {word} by it every entry is right",
                    )
    return None


def shifted(_: Measured, j: Judged) -> Cause | None:
    """The right values one place further, or only the first or last index right."""
    for axis, n in enumerate(j.truth.shape):
        if n < 3 or np.count_nonzero(j.bad) < 2:
            continue
        for step in (1, -1):
            moved = np.roll(j.actual, step, axis)
            inner = [slice(None)] * j.truth.ndim
            inner[axis] = slice(1, None) if step > 0 else slice(None, -1)
            place = tuple(inner)
            part = replace(j, actual=moved[place], truth=j.truth[place], rms=_cut(j.rms, place))
            if not part.wrong and np.any(part.truth) and not _constant(part.truth, axis):
                return Cause(
                    "shifted",
                    f"shifted by one along axis {axis}: the right values lie one place {'before' if step > 0 else 'after'}",
                )
    return None


def other_mask(m: Measured, j: Judged) -> Cause | None:
    """The reference with a mask, or whole numbers, of the inputs moved by one."""
    at = [k for k, v in enumerate(m.kernel.inputs) if v.array.dtype.kind in "biu" and v.array.size > 1]
    for k in at[:2]:
        values = m.kernel.inputs[k].array
        for axis in range(values.ndim):
            for step in (1, -1):
                if not m.affords(3):
                    return None
                truth = m.truth_with(k, np.roll(values, step, axis), j)
                if truth is not None and holds(replace(j, truth=truth), j.actual):
                    return Cause(
                        "mask shifted",
                        f"with {m.kernel.inputs[k].path} shifted by one along axis {axis} the reference gives the same: look for < in place of <=",
                    )
    return None


def duplicates(m: Measured, j: Judged) -> Cause | None:
    """Wrong in the places only that an index input names more than once."""
    for v in m.kernel.inputs:
        if (
            v.array.dtype.kind not in "iu"
            or not j.layout
            or not v.array.size
            or v.array.min(initial=0) < -j.truth.shape[0]
        ):
            continue
        names, counts = np.unique(v.array, return_counts=True)
        twice = set(names[counts > 1].tolist())
        for axis, n in enumerate(j.truth.shape):
            touched = j.bad.any(axis=tuple([a for a in range(j.bad.ndim) if a != axis]))
            wrong = set(np.flatnonzero(touched).tolist())
            named = {int(t) % n for t in twice}
            off = root(j.error[j.bad]) > COARSE * root(j.truth[j.bad])
            if off and wrong <= named and len(wrong) >= 0.8 * len(named) and len(wrong) < n:
                return Cause(
                    "overwritten",
                    f"duplicates are overwritten: wrong are only those that {v.path} names more than once. Add them up "
                    "(np.add.at, index_add_, an atomic add)",
                )
    return None


def tile(_: Measured, j: Judged) -> Cause | None:
    """Wrong in one interval of an axis: a remainder, a first block, a block in the middle."""
    for r in regions(j.bad):
        inside = [slice(None)] * j.bad.ndim
        inside[r.axis] = slice(r.start, r.stop)
        place = tuple(inside)
        if np.mean(j.bad[place]) < 0.5 or root(j.error[place]) < COARSE * root(j.truth[place]):
            continue
        rest = np.delete(j.truth, np.s_[r.start : r.stop], r.axis)
        if not np.any(rest):
            continue
        size = block(r)
        what = r.words(j.bad.ndim)
        if r.stop == r.size and r.start > 1:
            if size is not None:
                return Cause(
                    "tile",
                    f"a tile or remainder is not handled: wrong from {_from(r.axis, r.start, j)} on: blocks of {size}?",
                )
            if r.size - r.start <= 2:
                return Cause(
                    "boundary",
                    f"wrong at the end of axis {r.axis} only ({what}): look for a bound that is off by one",
                )
        elif r.start == 0 and r.stop < r.size:
            one = next((b for b in (256, 128, 64, 32, 16, 8, 4) if r.stop % b == 0), None)
            if one is not None:
                return Cause(
                    "tile",
                    f"a tile is not handled: right from {_from(r.axis, r.stop, j)} on: blocks of {one}?",
                )
            if r.stop == r.size - 1:
                return Cause(
                    "mask shifted", f"only the last of axis {r.axis} is right: is a mask shifted by one?"
                )
            if r.stop <= 2:
                return Cause(
                    "boundary",
                    f"wrong at the start of axis {r.axis} only ({what}): look for a bound that is off by one",
                )
        elif r.start == 1 and r.stop == r.size:
            return Cause(
                "mask shifted", f"only the first of axis {r.axis} is right: is a mask shifted by one?"
            )
    return None


def _from(axis: int, start: int, j: Judged) -> str:
    return f"{ {j.truth.ndim - 2: 'row', j.truth.ndim - 1: 'column'}.get(axis, f'index {axis}:') if j.truth.ndim > 1 else 'entry' } {start}"


def statistics(m: Measured, j: Judged) -> Cause | None:
    """The error of each row is a combination of the row, of the inputs' rows and of ones: statistics of the row are off."""
    if j.truth.ndim < 1 or not np.all(np.isfinite(j.error)) or root(j.error) > SLIGHT * root(j.truth):
        return None
    alike = [v.array for v in m.kernel.inputs if v.format is not None and v.array.shape == j.truth.shape]
    if j.layout and m.gys:
        alike += [gy for gy in m.gys[j.which] if gy is not None and gy.shape == j.truth.shape]
    alike = [a for a in alike if np.all(np.isfinite(a))][:3]
    for axis, n in enumerate(j.truth.shape):
        if n < 4 * (len(alike) + 2):
            continue
        columns = [np.moveaxis(a, axis, -1).reshape(-1, n) for a in (j.truth, *alike)]
        basis = np.stack([*columns, np.ones_like(columns[0])], -1)
        error = np.moveaxis(j.actual - j.truth, axis, -1).reshape(-1, n)
        fitted = (basis @ (np.linalg.pinv(basis) @ error[..., None]))[..., 0]
        # What the fit itself loses to the rounding of the entries that it is made of.
        fuzz = (
            4
            * TYPICAL
            * j.format.unit
            * np.sqrt(np.mean(columns[0] ** 2, -1, keepdims=True) * basis.shape[-1] / n)
        )
        limit = np.moveaxis(j.limit, axis, -1).reshape(-1, n) + fuzz
        if np.any(np.abs(error) > 1.5 * limit) and np.all(np.abs(error - fitted) <= 1.5 * limit):
            return Cause(
                "statistics",
                f"statistics are kept too coarse: along axis {axis} all entries are off together, as by a log-sum-exp, mean or rstd "
                "stored in the inputs' dtype. Keep them in float32",
            )
    return None


def precision(m: Measured, j: Judged) -> Cause | None:
    """What would be allowed if sums, or all results, were as coarse as the inputs."""
    if not _is_precision(j):
        return None
    low = max(
        [v.format for v in m.kernel.inputs if v.format], key=lambda f: f.unit, default=FORMATS["float32"]
    )
    if low.unit <= m.claims.sums:
        low = FORMATS["float16"]  # of float32 inputs: a sum that is coarser than they
    likely: list[tuple[float, str]] = []
    for word, claims in (
        ("rounded twice", Claims(low.unit, m.claims.sums)),
        ("accumulated", Claims(m.claims.result, low.unit)),
    ):
        known = claims in m.known or m.affords(FEW)
        slack = _of(m.noise(claims, FEW), m, j) if claims != m.claims and known else None
        if slack is not None and not replace(j, rms=slack).wrong:
            likely.append((abs(float(np.log(root(j.error) / (TYPICAL * root(slack))))), word))
    if likely:
        word = min(likely)[1]
        return Cause(word, DTYPES[word].format(low=low.name, claimed="float32"))
    if root(j.error) < 0.05 * root(j.truth):
        return Cause(
            "precision",
            "precision is lost: the error is small beside the values and larger than rounding explains",
        )
    return None


def _of(slack: Results, m: Measured, j: Judged) -> Array | None:
    """The noise in the place of a judged array."""
    if not j.layout:
        paths = [v.path for v in m.outputs]
        return slack.outputs[paths.index(j.path)]
    paths = [v.path for v in m.kernel.inputs]
    return slack.pulled[j.which][paths.index(j.path)]


def _is_precision(j: Judged) -> bool:
    finite = np.isfinite(j.error) & np.isfinite(j.truth)
    return bool(finite.all()) and root(j.error) < COARSE * root(j.truth)


def _finite(j: Judged) -> tuple[Array, Array]:
    keep = np.isfinite(j.truth) & np.isfinite(j.actual)
    top = float(np.max(np.abs(j.truth[keep]), initial=0.0)) or 1.0
    return j.truth[keep] / top, j.actual[keep] / top


def _cut(rms: Array, place: tuple[slice, ...]) -> Array:
    return rms[place] if isinstance(rms, np.ndarray) and rms.ndim else rms


def _constant(values: Array, axis: int) -> bool:
    return bool(np.all(np.isclose(values, np.take(values, [0], axis))))


def _all() -> Iterator[Callable[[Measured, Judged], Cause | None]]:
    yield from (
        contiguous,
        nonfinite,
        missing,
        one_factor,
        missing_input,
        duplicates,
        shifted,
        other_mask,
        tile,
        statistics,
        precision,
    )


HYPOTHESES = tuple(_all())

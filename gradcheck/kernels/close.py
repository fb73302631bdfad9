"""Forward values alone, beside a reference: a tolerance that nobody has to set, for tests of kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradcheck.kernels.check import check_kernel
from gradcheck.report.failure import GradientError
from gradcheck.report.report import Report
from gradcheck.verdict.compare import Verdict


def assert_close(
    actual: Any,
    reference: Callable[..., Any],
    inputs: Any,
    *,
    params: Any = None,
    accumulate: str | None = None,
    intermediates: str | None = None,
    seed: int = 0,
) -> Report:
    """Assert that `actual` is `reference(*inputs)` but for what rounding must do, in the dtype of `actual`.

    actual: what a kernel returned: an array of NumPy or ml_dtypes, a tensor, or a tuple or dict of them; a function is called
    with the inputs. reference: the same mathematics, run in float64 on the same inputs. accumulate, intermediates: as for
    `gradcheck`.

    Raises `GradientError`, an AssertionError, with the cause and where the wrong entries are; `CallError` where it can't be judged.

    >>> import numpy as np
    >>> x = np.linspace(0, 1, 8, dtype=np.float32)
    >>> bool(assert_close(np.exp(x), np.exp, (x,)))
    True
    """
    __tracebackhide__ = True

    def output(*_: Any, **__: Any) -> Any:
        return actual

    report = check_kernel(
        actual if callable(actual) else output,
        inputs,
        reference,
        params=params,
        accumulate=accumulate,
        intermediates=intermediates,
        seed=seed,
        backward=False,
    )
    if report.verdict is Verdict.FAIL:
        raise GradientError(report)
    return report

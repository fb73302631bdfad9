"""Examples drawn by Hypothesis for a function that checks them, outside of any test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from hypothesis.errors import FailedHealthCheck, Unsatisfiable

from gradcheck.errors import CallError

T = TypeVar("T")


class Found(Exception):  # noqa: N818
    """An example is one of those that are searched for: smaller ones are tried."""


class Stop(Exception):  # noqa: N818
    """Enough examples were checked."""


def run_examples(
    strategy: st.SearchStrategy[T], visit: Callable[[T], None], phases: Sequence[Phase], count: int, seed: int
) -> None:
    """Call `visit` with up to `count` examples, and more while it raises `Found` and Hypothesis shrinks; until it raises `Stop`.

    Other exceptions of `visit` go to the caller. Raises `CallError` where the strategy can't be drawn from.
    """
    wrong: list[Exception] = []
    stopped: list[Stop] = []

    def body(example: T) -> None:
        # Hypothesis repeats the last call, which may go another way now: it took too long, and is cached
        if stopped:
            raise stopped[0]
        try:
            visit(example)
        except Found:
            raise
        except Stop as stop:
            stopped.append(stop)
            raise
        except Exception as error:
            wrong.append(error)
            stopped.append(Stop())
            raise stopped[0] from error

    quietly = settings(
        max_examples=count,
        phases=phases,
        deadline=None,
        database=None,
        verbosity=Verbosity.quiet,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    try:
        quietly(seeded(seed)(given(strategy)(body)))()
    except (Stop, Found):
        if wrong:
            raise wrong[0] from None
    except CallError:
        raise
    except FailedHealthCheck as error:
        raise CallError(
            "verify draws examples of its own, and was called inside a test that draws some as well (@given): call "
            "gradcheck on what the test draws, or suppress HealthCheck.nested_given in the settings of that test"
        ) from error
    except Unsatisfiable as error:
        raise CallError(
            "the domain has no example, or Hypothesis finds none: its shapes and predicates (where=, values_where=, "
            "filters) refuse all that is drawn. Make them weaker"
        ) from error
    except Exception as error:
        raise CallError(
            f"no example can be drawn from the domain, which raised {type(error).__name__}: {error}"
        ) from error

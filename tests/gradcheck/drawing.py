"""What a default run of a strategy draws, for the tests of strategies."""

from collections import Counter

from hypothesis import given, settings

RUN = settings(max_examples=200, deadline=None, derandomize=True, database=None)


def seen(strategy, classify, run=RUN):
    """How many of a default run's examples fall in each class."""
    counts = Counter()

    @run
    @given(strategy)
    def collect(value):
        counts.update(set(classify(value)))

    collect()
    return counts


def drawn(strategy, run=RUN):
    """The examples of a default run."""
    values = []

    @run
    @given(strategy)
    def collect(value):
        values.append(value)

    collect()
    return values

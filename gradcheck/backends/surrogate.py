"""A straight-through rule: one that is meant to be the derivative of another function than its own forward."""

from __future__ import annotations

from collections.abc import Sequence

from gradcheck.backends.protocol import Array, Input, Run, Subject, differentiable
from gradcheck.errors import CallError


class StraightThrough:
    """A subject whose gradient is judged against the derivative of `surrogate`; all else is its own."""

    def __init__(self, subject: Subject, surrogate: Subject) -> None:
        self._subject, self._surrogate = subject, surrogate
        self.name = subject.name
        self.gradient = (
            f"{subject.gradient}, against the derivative of the function passed as straight_through"
        )
        self.inputs: tuple[Input, ...] = subject.inputs
        self.accumulates = subject.accumulates
        self.composed = False
        self.primal: Subject | None = None
        self.output_paths = subject.output_paths
        self.traits, self.notes = subject.traits, subject.notes

    def run(self, arrays: Sequence[Array]) -> Run:
        """Forward of the function itself. Raises `CallError` where the surrogate returns other shapes."""
        run = self._subject.run(arrays)
        self.output_paths = self._subject.output_paths
        mine = [y.shape for y in differentiable(run.outputs)]
        other = [y.shape for y in self.values(arrays)]
        if mine != other:
            raise CallError(
                f"straight_through= returns outputs of the shapes {other}, and {self.name} of {mine}: pass "
                "the smooth function that stands for it, on the same inputs, such as lambda x: x for np.round"
            )
        return run

    def by_rule(
        self, arrays: Sequence[Array], outputs: Sequence[Array], gys: Sequence[Array | None]
    ) -> list[Array | None] | None:
        """The rule of the function itself."""
        return self._subject.by_rule(arrays, outputs, gys)

    def values(self, arrays: Sequence[Array]) -> tuple[Array, ...]:
        """Those of the surrogate."""
        return self._surrogate.values(arrays)

"""The mutants of a source: every operator of `general` and `gradients` takes a node and gives what may stand in its place."""

from __future__ import annotations

import ast
import difflib
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import general
import gradients
from source import Owner, Source, digest

if TYPE_CHECKING:
    from collections.abc import Iterator

OPERATORS = {
    operator.__name__: operator
    for operator in (
        gradients.arithmetic, gradients.sign, gradients.dropped, gradients.swapped, general.number, general.truth,
        general.comparison, general.condition, gradients.axis, gradients.twin, general.call, gradients.transposed,
        general.argument, gradients.accumulation, gradients.cotangent, general.variable, general.bound, general.statement,
        gradients.enrolment,
    )
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change of one source file: `new` in the place of the bytes from `begin` to `end`."""

    source: Source
    operator: str
    owner: Owner
    begin: int
    end: int
    new: str
    occurrence: int = 1

    @property
    def text(self) -> str:
        """The whole changed source."""
        data = self.source.data
        return (data[: self.begin] + self.new.encode() + data[self.end :]).decode()

    @property
    def line(self) -> int:
        """The number of the first changed line."""
        return self.source.line(self.begin)

    @property
    def lines(self) -> tuple[str, str]:
        """The changed lines before and after, without indentation, joined where they are several."""
        data = self.source.data
        first = data.rfind(b"\n", 0, self.begin) + 1
        last = data.find(b"\n", self.end)
        before, after = (
            data[first : self.begin].decode(),
            data[self.end : last if last >= 0 else None].decode(),
        )
        return _joined(before + data[self.begin : self.end].decode() + after), _joined(
            before + self.new + after
        )

    @property
    def refusal(self) -> bool:
        """Whether it changes what is refused: the condition of an error, or the raising of it."""
        return any(begin <= self.begin and self.end <= end for begin, end in self.source.refusals)

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        """What names it in equivalent.toml: stable as long as the line and its function are."""
        return (self.source.name, self.owner.name, *self.lines, self.occurrence)

    @property
    def id(self) -> str:
        """A fingerprint of the file and the change."""
        return digest(self.source.name, self.text)

    def diff(self) -> str:
        """The change as a unified diff."""
        return "\n".join(
            difflib.unified_diff(
                self.source.text.splitlines(),
                self.text.splitlines(),
                f"a/{self.source.name}",
                f"b/{self.source.name}",
                lineterm="",
                n=1,
            )
        )


def _joined(text: str) -> str:
    return " ".join(line.strip() for line in text.strip().splitlines())


def mutants(source: Source) -> list[Mutant]:
    """All mutants of a file, in the file's order; none that reads as the file does, and no two that read alike."""
    keys: Counter[tuple[str, ...]] = Counter()
    found = []
    for top in source.tree.body:
        first, last = source.whole(top)
        seen = {ast.dump(ast.parse(source.data[first:last]))}
        for node in _targets(source, top):
            for name, operator in OPERATORS.items():
                for begin, end, new in operator(source, node):
                    text = source.data[first:begin] + new.encode() + source.data[end:last]
                    try:
                        dump = ast.dump(ast.parse(text))
                    except SyntaxError:
                        continue
                    if dump in seen:
                        continue
                    seen.add(dump)
                    made = Mutant(source, name, source.owner(source.line(begin)), begin, end, new)
                    key = (made.owner.name, *made.lines)
                    keys[key] += 1
                    found.append(replace(made, occurrence=keys[key]))
    return sorted(found, key=lambda m: (m.begin, m.end))


def _targets(source: Source, node: ast.AST) -> Iterator[ast.AST]:
    if source.no_target(node):
        return
    yield node
    if isinstance(node, ast.Raise):
        return  # its words; that it is raised at all is changed by `statement`
    for child in ast.iter_child_nodes(node):
        yield from _targets(source, child)

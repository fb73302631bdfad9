"""Record: a frozen class with named fields.

A dataclass writes and compiles its methods anew for each class, which takes a millisecond; every program that imports this
library would wait for that.
"""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn, Self, dataclass_transform


@dataclass_transform(frozen_default=True)
class Record:
    """Base of classes whose annotated names are fields, with the value that stands there as the default.

    >>> class Point(Record):
    ...     x: float
    ...     y: float = 0.0
    >>> Point(1.0)
    Point(x=1.0, y=0.0)
    >>> Point(1.0).replaced(y=2.0) == Point(1.0, 2.0)
    True
    """

    _names: ClassVar[tuple[str, ...]] = ()
    _known: ClassVar[frozenset[str]] = frozenset()
    _defaults: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        own = cls.__dict__
        cls._names = (*cls._names, *cls.__annotations__)
        cls._known = frozenset(cls._names)
        cls._defaults = {**cls._defaults, **{n: own[n] for n in cls.__annotations__ if n in own}}

    def __init__(self, *values: Any, **fields: Any) -> None:
        names = self._names
        given = dict(zip(names, values, strict=False)) | fields
        if len(given) < len(values) + len(fields) or not given.keys() <= self._known:
            raise TypeError(
                f"{type(self).__name__} has the fields {', '.join(names)}, and got {len(values)} values by position"
                f"{' and ' + ', '.join(fields) if fields else ''}: give each of them once"
            )
        found = self._defaults | given
        if len(found) < len(names):
            missing = ", ".join([name for name in names if name not in found])
            raise TypeError(f"{type(self).__name__} needs {missing} as well: give a value for each")
        self.__dict__.update(found)
        self._check()

    def _check(self) -> None:
        """Refuse values that cannot be."""

    def replaced(self, **fields: Any) -> Self:
        """The same with other values for these fields."""
        return type(self)(**{**self.__dict__, **fields})

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(
            f"{type(self).__name__} can't be changed: `.replaced({name}=...)` gives one with another value"
        )

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} can't be changed: {name} stays")

    def __eq__(self, other: object) -> bool:
        return self.__dict__ == other.__dict__ if type(self) is type(other) else NotImplemented

    def __hash__(self) -> int:
        return hash((type(self), *[self.__dict__[name] for name in self._names]))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join([f'{n}={self.__dict__[n]!r}' for n in self._names])})"

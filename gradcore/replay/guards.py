"""What a step uses besides its arguments: found once, and compared before each replay."""

from __future__ import annotations

import dis
import functools
import operator
import random
import sys
import types
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcore.optim.base import Optimizer
from gradcore.replay.program import NotCapturable
from gradcore.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_LIMIT = 256  # entries: a list that is longer is looked at as a whole, as it holds data
_MOST = 50_000
# Not looked through. Of pytest there is a module in each function that asserts: it writes that in when it imports tests.
_LIBRARIES = ("gradcore", "gradcheck", "numpy", "builtins", "_pytest", "pytest")
_SIMPLE = (bool, int, float, complex, str, bytes, type(None), np.generic, np.dtype)


class Place:
    """One object that holds others: a module's attributes, a function's variables, a list.

    watched: it may be another one in each call, as an optimizer's lr may, but the step itself must not change it.
    named: of attributes that no code of the step names, the same is true.
    """

    __slots__ = ("known", "name", "named", "read", "watched")

    def __init__(
        self,
        name: str,
        read: Callable[[], Mapping[Any, Any] | list[Any]],
        watched: bool = False,
        named: bool = False,
    ) -> None:
        self.name = name
        self.named = named
        self.read = read
        self.known: dict[Any, Any] = _entries(read())
        self.watched = watched


class Surroundings:
    """All that can be reached from a function, and from other objects: its variables, and what modules, optimizers, objects and containers hold.

    Looked through are functions, bound methods and `functools.partial`, Modules, Optimizers, lists, tuples and dicts of up to
    256 entries, and other objects by their attributes.
    """

    def __init__(self, step: Any, others: Iterable[Any] = ()) -> None:
        self.places: list[Place] = []
        self.tensors: dict[int, Any] = {}
        self.arrays: dict[int, Any] = {}
        self.generators: list[np.random.Generator] = []
        self._seen: set[int] = set()
        self._kept: list[Any] = []
        self._names = {
            "forward",
            "__call__",
        }  # attributes that the code of the step reads, and those that Python does
        self._all_names = False  # whether it reads others, by names that it computes
        self._waiting: dict[Any, list[tuple[str, Any]]] = {}  # what is found where some code reads the name
        self._walk("the step", step)
        for other in others:
            self._walk("an argument", other)

    # --- finding ------------------------------------------------------------------------------------------------------

    def _walk(self, name: str, start: Any) -> None:
        todo = [(name, start)]
        while todo:
            name, value = todo.pop()
            if isinstance(value, np.generic):
                self.arrays[id(value)] = value
            if isinstance(value, _SIMPLE) or id(value) in self._seen:
                continue
            if len(self._seen) > _MOST:
                raise NotCapturable(
                    f"what the step uses reaches more than {_MOST:,} objects, by way of {name}: hand it less"
                )
            self._seen.add(id(value))
            self._kept.append(value)  # an id is one for as long as its object lives
            if isinstance(value, Tensor):
                self.tensors[id(value)] = value
                self.arrays[id(value.data)] = value.data
            elif isinstance(value, np.ndarray):
                self.arrays[id(value)] = value
            elif isinstance(value, np.random.Generator):
                self.generators.append(value)
            else:
                todo += self._inside(name, value)
            if self._all_names:
                todo += [found for waiting in self._waiting.values() for found in waiting]
                self._waiting.clear()

    def _inside(self, name: str, value: Any) -> list[tuple[str, Any]]:
        if isinstance(value, types.MethodType):
            return [(name, value.__self__), (name, value.__func__)]
        if isinstance(value, types.FunctionType):
            return self._function(name, value)
        if isinstance(value, functools.partial):
            return [(name, value.func), (name, value.args), (name, value.keywords)]
        if isinstance(value, list | tuple | dict | types.MappingProxyType):
            if len(value) > _LIMIT:
                return []
            if isinstance(value, tuple):
                return [(f"{name}[{i}]", part) for i, part in enumerate(value)]
            if isinstance(value, list):
                return self._place(name, lambda: value)
            return self._place(name, lambda: value)
        if isinstance(value, types.BuiltinFunctionType):
            own = getattr(value, "__self__", None)
            return [] if own is None or isinstance(own, types.ModuleType) else [(name, own)]
        if isinstance(value, type | types.ModuleType):
            own_name = value.__module__ if isinstance(value, type) else value.__name__
            return [] if _of_library(own_name) else self._place(name, lambda: vars(value), named=True)
        attributes = getattr(value, "__dict__", None)
        found: list[tuple[str, Any]] = []
        ours = type(value).__module__.partition(".")[0] == "gradcore"  # whose code is not looked through
        slots = [n for cls in type(value).__mro__ for n in _slots(cls) if hasattr(value, n)]
        if slots:
            found += self._place(name, lambda: {n: getattr(value, n, None) for n in slots}, named=True)
        if isinstance(attributes, dict):
            watched = isinstance(value, Optimizer)
            inner = self._place(name, lambda: attributes, watched, not ours)
            found += [(f"{name}.params", value.params)] if watched else inner
        return found + [
            (f"class {cls.__name__}", cls) for cls in type(value).__mro__ if not _of_library(cls.__module__)
        ]

    def _function(self, name: str, value: types.FunctionType) -> list[tuple[str, Any]]:
        found: list[tuple[str, Any]] = [(name, value.__defaults__), (name, value.__kwdefaults__)]
        cells = dict(zip(value.__code__.co_freevars, value.__closure__ or (), strict=True))
        if cells:
            variables = _Cells(cells)
            found += self._place(name, lambda: variables)
        if not _of_library(value.__module__ or ""):
            space = value.__globals__
            globals_, attributes = _names_of(value.__code__)
            names = [n for n in globals_ if n in space]
            self._all_names |= not {"getattr", "vars", "attrgetter", "__dict__"}.isdisjoint(
                globals_ | attributes
            )
            for new in attributes - self._names:
                found += self._waiting.pop(new, [])
            self._names |= attributes
            if names:
                found += self._place(name, lambda: {n: space.get(n) for n in names})
        return found

    def _place(
        self,
        name: str,
        read: Callable[[], Mapping[Any, Any] | list[Any]],
        watched: bool = False,
        named: bool = False,
    ) -> list[tuple[str, Any]]:
        place = Place(name, read, watched, named)
        self.places.append(place)
        found = []
        for key, value in place.known.items():
            if named and not self._all_names and key not in self._names:
                self._waiting.setdefault(key, []).append((f"{name}.{key}", value))
            else:
                found.append((f"{name}.{key}", value))
        return found

    # --- comparing ----------------------------------------------------------------------------------------------------

    def snapshot(self) -> list[dict[Any, Any]]:
        """What each place holds now."""
        return [_entries(place.read()) for place in self.places]

    def draws(self) -> list[Any]:
        """The states of the generators, Python's and NumPy's global ones among them."""
        return [*[g.bit_generator.state for g in self.generators], random.getstate(), np.random.get_state()]  # noqa: NPY002

    def differences(self, before: list[Any], after: list[Any]) -> list[tuple[int, Any]]:
        """The places and keys at which two snapshots differ."""
        return [
            (i, key)
            for i, (old, new) in enumerate(zip(before, after, strict=True))
            for key in {**old, **new}
            if key not in old or key not in new or not same(old[key], new[key])
        ]

    def guards(self, free: set[tuple[int, Any]]) -> list[Guard]:
        """One for each place; `free` are keys that callbacks change."""
        return [
            Guard(
                place,
                [k for k in place.known if (i, k) not in free and self._reads(place, k)],
                place.named or any(i == j for j, _ in free),
            )
            for i, place in enumerate(self.places)
            if not place.watched and not (place.named and not any(self._reads(place, k) for k in place.known))
        ]

    def _reads(self, place: Place, key: Any) -> bool:
        return not place.named or self._all_names or key in self._names


class Guard:
    """Compares what a place holds with what it held."""

    __slots__ = ("_get", "_keys", "_known", "_mapping", "_read", "_size", "name")

    def __init__(self, place: Place, keys: list[Any], is_open: bool) -> None:
        self.name = place.name
        self._read = place.read
        # The same dict each time, as an object's attributes are, or one that is made when it is looked at.
        self._mapping = place.read() if place.read() is place.read() else None
        self._keys = keys
        self._size = -1 if is_open else len(place.known)
        self._known: tuple[Any, ...] = tuple([place.known[k] for k in keys])
        self._get = _getter(keys)

    def holds(self) -> bool:
        """Whether each attribute is the same object, or an equal number or text."""
        now = self._mapping
        if now is None:
            now = self._read()
        if self._size >= 0 and len(now) != self._size:
            return False
        try:
            found = self._get(now)
        except LookupError:
            return False
        if all(map(operator.is_, found, self._known)):
            return True
        if not all(map(same, found, self._known)):
            return False
        self._known = found
        return True

    def compared(self, number: int, space: dict[str, Any]) -> list[str]:
        """Python's text for `holds` but for equal numbers, with the names that it uses put into `space`."""
        if self._mapping is None:
            space[f"holds{number}"] = self.holds
            return [f"holds{number}()"]
        space[f"m{number}"] = self._mapping
        found = [f"len(m{number}) == {self._size}"] if self._size >= 0 else []
        for i, (key, known) in enumerate(zip(self._keys, self._known, strict=True)):
            space[f"k{number}_{i}"] = known
            space[f"n{number}_{i}"] = key
            where = f"m{number}[{repr(key) if type(key) in (str, int) else f'n{number}_{i}'}]"
            if isinstance(self._mapping, _Cells):
                space[f"c{number}_{i}"] = self._mapping.cells[key]
                where = f"c{number}_{i}.cell_contents"
            found.append(f"{where} is k{number}_{i}")
        return found

    def difference(self) -> str:
        """What no longer holds, for the report."""
        now = _entries(self._read())
        for key, known in zip(self._keys, self._known, strict=True):
            if key not in now or not same(now[key], known):
                return f"{self.name}.{key} has changed"
        return f"{self.name} holds more, or less"


def all_hold(guards: list[Guard]) -> Callable[[], bool]:
    """Whether all guards hold with the same objects, in one function; where it says no, equal numbers may hold as well."""
    space: dict[str, Any] = {}
    tests = [test for i, guard in enumerate(guards) for test in guard.compared(i, space)]
    lines = [
        "def holds():",
        "    try:",
        f"        return {' and '.join(tests) or 'True'}",
        "    except (LookupError, ValueError):",
        "        return False",
    ]
    exec("\n".join(lines), space)  # noqa: S102 (the source is made here, of names and keys)
    made: Callable[[], bool] = space["holds"]
    return made


def _getter(keys: list[Any]) -> Callable[[Any], tuple[Any, ...]]:
    if not keys:
        return lambda _: ()
    if len(keys) == 1:
        (key,) = keys
        return lambda found: (found[key],)
    return operator.itemgetter(*keys)


def same(x: Any, y: Any) -> bool:
    """Whether two attributes are the same: the same object, or equal numbers or texts."""
    if x is y:
        return True
    if isinstance(x, _SIMPLE):
        return type(x) is type(y) and bool(x == y)
    if isinstance(x, types.MethodType):
        return bool(x == y)
    return isinstance(x, tuple) and isinstance(y, tuple) and len(x) == len(y) and all(map(same, x, y))


def _of_library(module: str) -> bool:
    root = module.partition(".")[0]
    return root in _LIBRARIES or (root in sys.stdlib_module_names and root != "__main__")


def _slots(cls: type) -> tuple[str, ...]:
    names = cls.__dict__.get("__slots__", ())
    names = (names,) if isinstance(names, str) else tuple(names)
    return tuple([n for n in names if not n.startswith("__")])


def _entries(held: Mapping[Any, Any] | list[Any]) -> dict[Any, Any]:
    return dict(enumerate(held)) if isinstance(held, list) else dict(held)


class _Cells(Mapping[str, Any]):
    """The variables that a function has from those around it."""

    def __init__(self, cells: dict[str, Any]) -> None:
        self.cells = cells

    def __getitem__(self, name: str) -> Any:
        try:
            return self.cells[name].cell_contents
        except ValueError:  # empty
            return None

    def __iter__(self) -> Iterator[str]:
        return iter(self.cells)

    def __len__(self) -> int:
        return len(self.cells)


def _names_of(code: types.CodeType) -> tuple[set[str], set[str]]:
    """Names of globals, and of attributes, that a function and those inside of it read."""
    globals_: set[str] = set()
    attributes: set[str] = set()
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            globals_.add(instruction.argval)
        elif instruction.opname.startswith(("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER")):
            attributes.add(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            inner = _names_of(constant)
            globals_ |= inner[0]
            attributes |= inner[1]
    return globals_, attributes

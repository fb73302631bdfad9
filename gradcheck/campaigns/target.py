"""From the text of a target to what is declared there. Runs the target's own code: only in a process that may end by it."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from gradcheck.campaigns import COMMANDS
from gradcheck.campaigns.check import Check, Unchecked
from gradcheck.campaigns.marks import REGISTER, marks_of
from gradcheck.errors import NEEDS_HYPOTHESIS, CallError


@dataclass(frozen=True, slots=True)
class Declared:
    """What a target declares. versions: of what is loaded, and a hash of the target's file, by name."""

    checks: tuple[Check, ...]
    unchecked: tuple[Unchecked, ...]
    versions: dict[str, str]


def collected(target: str, examples: int = 0) -> Declared:
    """The checks of FILE.py, module or module:function. Raises `CallError` where nothing of the kind is there."""
    try:
        importlib.import_module("hypothesis")
    except ModuleNotFoundError as error:
        raise CallError(NEEDS_HYPOTHESIS) from error
    place, colon, name = _parts(target)
    file = str(Path(place).resolve()) if place.endswith(".py") else ""
    module = loaded("" if file else place, file)
    checks = _marked(module, file, examples) + _registered(module, file, examples)
    unchecked = _unmarked(module)
    if colon:
        found = _named(module, name, target)
        unchecked = [u for u in unchecked if u.name == f"{module.__name__}:{name}"]
        checks = _of(found, checks)
        if not checks and not unchecked:
            raise CallError(
                f"{target!r} names a {type(found).__name__} that is not marked, and no op, layer, loss or optimizer of gradcore: "
                "put @gradcheck.checked(like=(x, ...), vjp=rule) above it"
            )
    if not checks and not unchecked:
        raise CallError(
            f"{target!r} declares nothing to check: mark a function with its rule by @gradcheck.checked(like=(x, ...), "
            "vjp=rule), an autograd.Function or a custom_vjp function by @gradcheck.checked(like=(x, ...))"
        )
    return Declared(tuple(checks), tuple(unchecked), _versions(module))


def loaded(module: str, file: str) -> ModuleType:
    """A module by its name, or from a file, under the file's name or that in its package. Raises `CallError`."""
    if file:
        path = Path(file)
        root, module = _package(path)
        if not path.is_file():
            raise CallError(
                f"there is no file {file}: write the path from this folder (another machine needs it in the same place)"
            )
        if root not in sys.path:
            sys.path.insert(0, root)
    known = sys.modules.get(module)
    if known is not None and file and not _same(known, file):
        raise CallError(
            f"{file} can't be loaded as {module!r}, which is the name of another module ({getattr(known, '__file__', 'built in')}): "
            "rename the file"
        )
    try:
        if file and known is None and "." not in module:  # whatever else has its name and comes before it
            return _from_file(module, file)
        return importlib.import_module(module)
    except CallError:
        raise
    except ModuleNotFoundError as error:
        if error.name and (module == error.name or module.startswith(f"{error.name}.")):
            close = get_close_matches(module, COMMANDS, n=1)
            raise CallError(
                f"there is no command, file or module {module!r}{f': did you mean {close[0]}?' if close else ''}"
            ) from error
        raise CallError(f"{file or module} can't be loaded: {error}") from error
    except Exception as error:  # anything that a user's module raises when it is run
        raise CallError(f"{file or module} can't be loaded: {type(error).__name__}: {error}") from error


def _parts(target: str) -> tuple[str, str, str]:
    place, colon, name = target.rpartition(":")
    if not colon or (len(place) == 1 and name[:1] in "\\/"):  # the drive of a path
        return target, "", ""
    if not (place and name):
        raise CallError(f"{target!r} names no target: write FILE.py, a module, or module:function")
    return place, colon, name


def _package(path: Path) -> tuple[str, str]:
    """The folder to look in, and the module's name from there: a file in a package is its submodule."""
    parts, folder = [path.stem], path.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    return str(folder), ".".join(parts)


def _from_file(name: str, file: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise CallError(f"{file} is no Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _same(module: ModuleType, file: str) -> bool:
    found = getattr(module, "__file__", None)
    return found is not None and Path(found).resolve() == Path(file).resolve()


def _inside(name: str, module: ModuleType) -> bool:
    return name == module.__name__ or name.startswith(f"{module.__name__}.")


def _marked(module: ModuleType, file: str, examples: int) -> list[Check]:
    """Of the module and of what is loaded below it."""
    found = []
    for name, known in sorted(sys.modules.items()):
        if known is not None and _inside(name, module) and REGISTER in getattr(known, "__dict__", {}):
            place = file if known is module else ""
            found += [Check("marked", name, mark, "", place, examples) for mark in marks_of(known)]
    return found


def _registered(module: ModuleType, file: str, examples: int) -> list[Check]:
    if "gradcore" not in sys.modules:
        return []
    from gradcheck.campaigns.registered import RUNS, entries

    found = []
    for kind, place, name, _, properties in entries():
        if _inside(place, module):
            of_file = file if place == module.__name__ else ""
            names = [p.name for p in properties] + [RUNS] * (kind == "optimizer")
            found += [Check(kind, place, name, what, of_file, examples) for what in names]
    return found


def _unmarked(module: ModuleType) -> list[Unchecked]:
    """What has a derivative by hand, and no example to check it with."""
    marked = [mark.function for mark in marks_of(module).values()]
    found = []
    for name, value in vars(module).items():
        kind = _by_hand(value)
        if (
            kind
            and getattr(value, "__module__", None) == module.__name__
            and not any(m is value for m in marked)
        ):
            words = f"{kind}, no example: put @gradcheck.checked(like=(x, ...)) above it"
            found.append(Unchecked(f"{module.__name__}:{name}", words))
    return found


def _by_hand(value: Any) -> str:
    torch = sys.modules.get("torch")
    if isinstance(value, type):
        base = getattr(getattr(torch, "autograd", None), "Function", None)
        return "a torch.autograd.Function" if base is not None and issubclass(value, base) else ""
    kind = type(value)
    if kind.__module__.partition(".")[0] == "jax" and kind.__name__ in ("custom_vjp", "custom_jvp"):
        return f"a jax.{kind.__name__} function"
    return ""


def _named(module: ModuleType, name: str, target: str) -> Any:
    found: Any = module
    if name in marks_of(module):
        return marks_of(module)[name].function
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            close = get_close_matches(name, [*vars(module), *marks_of(module)], n=1)
            meant = f": did you mean {module.__name__}:{close[0]}?" if close else ""
            raise CallError(f"{target!r} can't be found: {error}{meant}") from error
    return found


def _of(found: Any, checks: list[Check]) -> list[Check]:
    """Those of the checks that are of one marked function or registered entry."""
    registered: set[tuple[str, str, str]] = set()
    if any(check.kind != "marked" for check in checks):
        from gradcheck.campaigns.registered import entries

        registered = {
            (kind, place, called)
            for kind, place, called, entry, _ in entries()
            if getattr(entry, "entry", entry) is found
        }

    def is_of(check: Check) -> bool:
        if check.kind == "marked":
            return marks_of(sys.modules[check.module])[check.name].function is found
        return (check.kind, check.module, check.name) in registered

    return [check for check in checks if is_of(check)]


def _versions(module: ModuleType) -> dict[str, str]:
    import platform
    from importlib.metadata import version

    found = {"python": platform.python_version(), "gradcheck": version("gradcore")}
    for name in ("numpy", "hypothesis", "torch", "jax", "autograd", "mygrad"):
        known = sys.modules.get(name)
        if known is not None:
            found[name] = str(getattr(known, "__version__", "")) or version(name)
    source = getattr(module, "__file__", None)
    if source and Path(source).is_file():
        found["source"] = hashlib.sha256(Path(source).read_bytes()).hexdigest()[:16]
    return found

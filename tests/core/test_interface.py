"""Names, parameters and defaults of everything public, against the list in interface.txt: a change of it is made on purpose.

`python tests/core/test_interface.py > tests/core/interface.txt` writes the list anew; read what has changed.
"""

import inspect
from pathlib import Path

import pytest

import gradcore
from gradcore import Tensor, losses, nn, optim, registry
from gradcore.nn import init
from gradcore.optim import lr_scheduler, schedules
from gradcore.tensor import FUNCTIONS, UFUNCS

PUBLIC = {"gradcore": gradcore, "losses": losses, "nn": nn, "init": init, "optim": optim}
PUBLIC |= {"lr_scheduler": lr_scheduler, "schedules": schedules}


def name_of(line):
    return line.partition("(")[0].rpartition(" ")[2]


def by_name(lines):
    return {name_of(line): line for line in lines}


WRITTEN = by_name((Path(__file__).parent / "interface.txt").read_text().splitlines())


def bare(function):
    """Its parameters with their defaults, without annotations; functions and types among these by name."""
    parameters = []
    for p in inspect.signature(function).parameters.values():
        named = p.default is not p.empty and callable(p.default)
        default = Written(p.default.__name__) if named else p.default
        parameters.append(p.replace(annotation=p.empty, default=default))
    return str(inspect.Signature(parameters))


class Written(str):
    """A text that is its own representation."""

    __repr__ = str.__str__


def of_op(entry):
    """What else an op is called by: functions of NumPy, methods, whether it broadcasts, and the ufunc in its place."""
    forward = getattr(entry, "forward", None)
    called = [f"np.{f.__name__}" for f, stands in {**UFUNCS, **FUNCTIONS}.items() if stands is entry]
    methods = [
        name
        for name, method in vars(Tensor).items()
        if method is entry or (forward is not None and getattr(method, "__wrapped__", None) is forward)
    ]
    more = ["broadcasts"] * bool(getattr(entry, "broadcasts", False))
    if getattr(entry, "ufunc", None) is not None:
        more.append(f"is {entry.ufunc.__name__}")
    return ["; ".join(found) for found in (called, [f"x.{name}" for name in methods], more) if found]


def of_class(name, cls):
    """Its public methods that have a default of their own."""
    for method, function in vars(cls).items():
        if method.startswith("_") or not inspect.isfunction(function):
            continue
        if function in registry.ops.values() or method == "function":
            continue
        if any(p.default is not p.empty for p in inspect.signature(function).parameters.values()):
            yield f"{name}.{method}{bare(function)}"


def own(module):
    """The public names of what is defined there."""
    found = vars(module).items()
    return [n for n, v in found if not n.startswith("_") and getattr(v, "__module__", "") == module.__name__]


def described():
    """A line for each op, public function, class and method."""
    for name, entry in sorted(registry.ops.items()):
        yield " | ".join([f"op {name}{bare(entry)}", *of_op(entry)])
    for module, found in PUBLIC.items():
        for name in sorted(getattr(found, "__all__", None) or own(found)):
            entry = getattr(found, name)
            ours = getattr(entry, "__module__", "").startswith("gradcore")
            if not (ours and callable(entry)) or entry in registry.ops.values():
                continue
            yield f"{module}.{name}{bare(entry)}"
            if inspect.isclass(entry):
                yield from of_class(f"{module}.{name}", entry)


@pytest.fixture(scope="module")
def found():
    return by_name(described())


@pytest.mark.parametrize("name", WRITTEN)
def test_the_values_of_what_is_left_out_and_the_names_are_as_written(name, found):
    assert found.get(name) == WRITTEN[name]


def test_nothing_public_is_missing_from_the_list(found):
    assert list(found) == list(WRITTEN)


if __name__ == "__main__":
    print("\n".join(described()))

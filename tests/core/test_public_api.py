"""The public interface: complete, documented, and there at run time."""

import ast
import importlib
import inspect
import pkgutil
import pydoc
from pathlib import Path

import numpy as np
import pytest

import gradcore
from gradcore import Op, Tensor, nn, optim, registry
from gradcore.attached import Attached


def modules():
    for found in pkgutil.walk_packages(gradcore.__path__, "gradcore."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def public_members():
    """(dotted name, object) for what each module of gradcore defines without a leading underscore."""
    for module in modules():
        for name, value in vars(module).items():
            if getattr(value, "__module__", None) != module.__name__ or name.startswith("_"):
                continue
            if callable(value):
                yield f"{module.__name__}.{name}", value
                if inspect.isclass(value):
                    for attribute, member in vars(value).items():
                        if not attribute.startswith("_") and (
                            inspect.isfunction(member) or isinstance(member, property)
                        ):
                            yield f"{module.__name__}.{name}.{attribute}", member


def test_every_module_says_in_one_line_what_it_is():
    for module in modules():
        first = (module.__doc__ or "").strip().partition("\n")[0]
        assert first.endswith((".", ":")), f"{module.__name__}: {first!r}"


def test_every_public_function_class_and_method_has_a_docstring():
    # A method that overrides a documented one is documented by it.
    missing = [name for name, value in public_members() if not inspect.getdoc(value) and not overrides(name)]
    assert not missing


def overrides(name):
    path, _, method = name.rpartition(".")
    module, _, cls = path.rpartition(".")
    owner = getattr(importlib.import_module(module), cls, None) if module.startswith("gradcore.") else None
    return inspect.isclass(owner) and any(
        inspect.getdoc(getattr(base, method, None)) for base in owner.__mro__[1:]
    )


def test_every_op_has_a_docstring_and_a_signature_of_its_own():
    for name, op in registry.ops.items():
        assert inspect.getdoc(op), name
        assert "self" not in inspect.signature(op).parameters, name


def test_help_of_an_op_shows_its_signature_and_what_it_does():
    assert str(inspect.signature(gradcore.relu)).startswith("(x")
    assert "The positive part: max(x, 0)" in inspect.getdoc(gradcore.relu)
    assert list(inspect.signature(gradcore.sum).parameters) == ["x", "axis", "keepdims"]
    text = pydoc.plain(pydoc.render_doc(gradcore.relu))
    assert text.index("relu(x") < text.index("The positive part: max(x, 0)") < 300


def test_help_of_a_method_shows_its_parameters():
    assert str(inspect.signature(Tensor([1.0]).sum)).startswith("(axis: ")
    assert list(inspect.signature(Tensor.softmax).parameters) == ["x", "axis"]
    assert "The sum over `axis`" in pydoc.plain(pydoc.render_doc(Tensor.sum))


def declared_on_tensor():
    """Names that attached.py declares for type checkers only."""
    source = Path(inspect.getfile(Attached)).read_text()
    (cls,) = (n for n in ast.parse(source).body if isinstance(n, ast.ClassDef))
    for node in cls.body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from (n for n in node.body if isinstance(n, ast.FunctionDef))


def test_every_method_declared_for_type_checkers_is_there_at_run_time_and_documented():
    names = [node.name for node in declared_on_tensor()]
    assert len(names) > 40
    for name in names:
        member = inspect.getattr_static(Tensor, name, None)
        assert member is not None, f"Tensor.{name} is declared and does not exist"
        if not name.startswith("__"):
            assert inspect.getdoc(member), f"Tensor.{name} has no docstring"


def test_every_method_attached_at_run_time_is_declared_for_type_checkers():
    declared = {node.name for node in declared_on_tensor()}
    source = Path(inspect.getfile(Tensor)).read_text()
    (cls,) = (n for n in ast.parse(source).body if isinstance(n, ast.ClassDef) and n.name == "Tensor")
    written = {n.name for n in cls.body if isinstance(n, ast.FunctionDef)}
    written |= {target.id for n in cls.body if isinstance(n, ast.Assign) for target in n.targets}
    attached = {n for n, v in vars(Tensor).items() if callable(v) or isinstance(v, property)} - written
    assert attached - {"__class__", "__hash__"} <= declared


OTHER_NAMES = {
    "clamp",
    "gather",
    "movedim",
    "T",
    "view",
    "flatten",
    "permute",
    "t",
    "clone",
    "argmax",
    "argmin",
    "numpy",
    "dim",
    "numel",
}
"""Those without a function of the same name; tests/core/test_torch_names.py has them."""

CALLS = {
    "unsqueeze": (0,), "swapaxes": (0, 1), "pow": (2.0,), "add": (1.0,), "sub": (1.0,), "mul": (2.0,), "div": (2.0,), "mul_scalar": (2.0,), "maximum": (0.0,),
    **dict.fromkeys(("remainder", "fmod", "fmax", "fmin", "logaddexp", "logaddexp2", "arctan2", "hypot"), (0.3,)),
    "dot": (np.eye(2),), "roll": (1,), "tile": (2,), "moveaxis": (0, 1), "cummax": (0,), "cummin": (1,), "take": (1,), "topk": (1,),
    "take_along_axis": (np.array([[1, 0]]), 1),
    "minimum": (0.0,), "matmul": (np.eye(2),), "reshape": (4,), "broadcast_to": ((3, 2, 2),), "astype": (np.float32,),
}  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [n.name for n in declared_on_tensor() if not n.name.startswith("__") and n.name not in OTHER_NAMES],
)
def test_every_method_gives_what_the_function_of_its_name_gives(name):
    values = np.array([[1.0, 2.0], [3.0, 4.0]]) / 10
    x = Tensor(values + 1 if name == "arccosh" else values, requires_grad=True)
    args = CALLS.get(name, ())
    y = getattr(x, name)(*args)
    assert y.requires_grad
    function = getattr(gradcore, "mul" if name == "mul_scalar" else name)
    shape_first = (args,) if name == "reshape" else args
    np.testing.assert_array_equal(y.data, function(x.data, *shape_first))


@pytest.mark.parametrize("module", [gradcore, nn, optim])
def test_all_names_exist_and_come_once(module):
    assert len(module.__all__) == len(set(module.__all__))
    for name in module.__all__:
        assert hasattr(module, name)


def test_what_is_registered_can_be_reached_under_its_name():
    for name, layer in registry.layers.items():
        assert getattr(nn, name) is layer
        assert name in nn.__all__
    for name, optimizer in registry.optimizers.items():
        assert getattr(optim, name) is optimizer
        assert name in optim.__all__
    for name, loss in registry.losses.items():
        assert getattr(gradcore, name) is loss
        assert name in gradcore.__all__


def test_what_the_package_imports_by_name_is_in_all():
    source = ast.parse(Path(gradcore.__file__).read_text())
    imported = {
        alias.asname or alias.name
        for node in source.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name not in ("*", "__all__") and not (alias.asname or "").startswith("_")
    }
    assert imported <= set(gradcore.__all__)


@pytest.mark.parametrize(
    "name",
    [
        "Tensor",
        "tensor",
        "zeros",
        "ones",
        "full",
        "arange",
        "eye",
        "rand",
        "randn",
        "zeros_like",
        "ones_like",
        "full_like",
        "rand_like",
        "randn_like",
        "no_grad",
        "matmul",
        "add",
        "sub",
        "mul",
        "div",
        "neg",
        "pow",
        "relu",
        "sigmoid",
        "tanh",
        "exp",
        "log",
        "sum",
        "mean",
        "max",
        "reshape",
        "transpose",
        "broadcast_to",
        "getitem",
        "concatenate",
        "where",
        "maximum",
        "logsumexp",
        "log_softmax",
        "softmax",
        "conv2d",
        "max_pool2d",
        "cross_entropy",
        "mse_loss",
        "nn.Module",
        "nn.Linear",
        "nn.Conv2d",
        "nn.BatchNorm1d",
        "nn.BatchNorm2d",
        "nn.ReLU",
        "nn.Sigmoid",
        "nn.Tanh",
        "nn.Flatten",
        "nn.MaxPool2d",
        "nn.Dropout",
        "nn.Sequential",
        "nn.mlp",
        "nn.cnn",
        "optim.SGD",
        "optim.RMSprop",
        "optim.Adam",
        "optim.AdamW",
        "optim.clip_grad_norm",
        "optim.clip_grad_value",
        "nn.init.xavier_uniform",
        "nn.init.xavier_normal",
        "nn.init.kaiming_uniform",
        "nn.init.kaiming_normal",
    ],
)
def test_the_names_that_people_know_are_there(name):
    found = gradcore
    for part in name.split("."):
        found = getattr(found, part)
    assert isinstance(found, Op) or callable(found)

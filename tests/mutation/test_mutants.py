"""The mutants: what is changed, what is left alone, which tests run for it, and what is declared."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import settings

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "ci" / "mutation"

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(str(TOOL))
    import declared
    import forks
    import mutants
    import run
    import selection
    from source import Source
    from tests_run import marked


def changes(code, operator=None):
    """The changed lines, by operator or all."""
    source = Source(Path("sample.py"), "sample.py", code)
    return [m.lines[1] for m in mutants.mutants(source) if operator in (None, m.operator)]


def test_sources_are_what_matches_and_is_not_left_out(tmp_path):
    for name in ("a.py", "reference.py", "deep/reference.py", "deep/b.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    found = selection.load(tmp_path, ["*.py", "deep/*.py", "!*/reference.py", "!a.py"])
    assert [source.name for source in found] == ["deep/b.py"]


def test_whatever_has_a_body_marks_that_it_runs_under_the_name_of_its_function():
    code = (
        '"""A module."""\nfrom __future__ import annotations\n\n\n@decorated(lambda x: x + 1)\ndef f(x):\n    """It."""\n    return x\n\n\n'
        "class C:\n    def g(self):\n        yield from (h(1) for h in [lambda x: x])\n\n\n"
        "async def k():\n    def inner():\n        return 0\n    return inner()\n"
    )
    ran = []
    space = {"__ran__": ran.append, "decorated": lambda rule: lambda f: (rule, f)}

    def marks_of(call):
        ran.clear()
        return call(), ran.copy()

    change = marked(Source(Path("sample.py"), "sample.py", code))
    assert marks_of(lambda: exec(change.text, space)) == (None, ["sample.py:<module>"])
    rule, f = space["f"]
    assert (space["__doc__"], f.__doc__) == ("A module.", "It.")
    assert marks_of(lambda: rule(0)) == (1, ["sample.py:f"])
    assert marks_of(lambda: f(2)) == (2, ["sample.py:f"])
    assert marks_of(lambda: list(space["C"]().g())) == ([1], ["sample.py:C.g", "sample.py:C.g"])
    with pytest.raises(StopIteration):
        space["k"]().send(None)
    assert ran == ["sample.py:C.g", "sample.py:C.g", "sample.py:k", "sample.py:k"]


# --- what is changed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "line", "expected"),
    [
        ("arithmetic", "y = a + b", ["y = a - b"]),
        ("arithmetic", "y *= a", ["y /= a"]),
        ("sign", "y = -a * b", ["y = a * b"]),
        ("dropped", "y = a + b * c", ["y = a", "y = b * c", "y = a + b", "y = a + c"]),
        ("dropped", "y = a - b", ["y = a", "y = (-b)"]),
        ("dropped", "y = a / b", ["y = a", "y = (1 / b)"]),
        ("swapped", "y = a @ b", ["y = b @ a"]),
        ("swapped", "y = (a + b) / c", ["y = c / (a + b)"]),
        ("swapped", "y = np.where(c, a, b)", ["y = np.where(a, c, b)", "y = np.where(c, b, a)"]),
        ("swapped", "y = np.add(a, b)", []),
        ("swapped", "y = np.swapaxes(a, 0, 1)", []),
        ("swapped", "y = a in (1, 2) or a not in (b, 1)", []),
        ("swapped", "y = a.sum(axis=(0, 1))", []),
        ("number", "y = a[1] * 0.5", ["y = a[2] * 0.5", "y = a[0] * 0.5", "y = a[1] * 1.0"]),
        ("number", "y = np.reshape(a, (2, -1))", ["y = np.reshape(a, (3, -1))", "y = np.reshape(a, (1, -1))", "y = np.reshape(a, (2, -0))"]),
        ("truth", "y = a.sum(0, keepdims=True)", ["y = a.sum(0, keepdims=False)"]),
        ("truth", "y = a.astype(b, copy=False)", []),
        ("comparison", "y = a > b", ["y = a >= b", "y = a < b"]),
        ("condition", "y = a and not b", ["y = a or not b", "y = (not b)", "y = a", "y = a and b"]),
        (
            "axis",
            "y = np.sum(a, axis=1)",
            [f"y = np.sum(a, axis={axis})" for axis in ("1, keepdims=True", "None", "-1", "0", "-2")],
        ),
        ("axis", "y = a.var(0, keepdims=True)", ["y = a.var(0, keepdims=True, ddof=1)"]),
        ("twin", "y = np.max(a) + np.sum(b)", ["y = np.min(a) + np.sum(b)", "y = np.max(a) + np.mean(b)"]),
        ("call", "y = np.exp(a.transpose(1, 0))", ["y = a.transpose(1, 0)", "y = np.exp(a)"]),
        ("transposed", "y = a.T @ b", ["y = a @ b", "y = a.T @ b.T"]),
        ("argument", "y = np.zeros(n, dtype=d)", ["y = np.zeros(n)"]),
        ("accumulation", "y[i] += a", ["y[i] = a"]),
        ("accumulation", "np.add.at(y, i, a)", ["y[i] = a"]),
        ("accumulation", "np.add(y, a, out=y)", ["y[...] = a"]),
        ("cotangent", "y = gy * a", ["y = np.ones_like(gy) * a"]),
        ("variable", "y = x + 1", ["y = weight + 1"]),
        ("bound", "y = a[i:j]", ["y = a[:j]", "y = a[i - 1:j]", "y = a[i + 1:j]", "y = a[i:]", "y = a[i:j - 1]", "y = a[i:j + 1]"]),
        ("statement", "x *= 2", ["pass"]),
    ],
)  # fmt: skip
def test_an_operator_makes_these_changes(operator, line, expected):
    code = f"def f(x: Array, weight: Array, size: int):\n    {line}\n"
    assert sorted(set(changes(code, operator))) == sorted(expected)


def test_a_rule_is_negated_whether_it_is_a_function_or_in_the_decorator():
    code = "def _rule(gy, y, x):\n    return gy\n\n\n@op(vjp=(_rule, lambda gy, y, x: gy * x))\ndef f(x, /):\n    return x\n"
    assert changes(code, "sign") == ["return -gy", "@op(vjp=(_rule, lambda gy, y, x: -(gy * x)))"]


def test_the_shape_of_a_cotangent_is_not_exchanged_for_that_of_its_value():
    code = "@op(vjp=lambda gy, y: f(gy.shape, y.dtype) * gy.T)\ndef f(x, /):\n    return x\n"
    assert changes(code, "variable") == ["@op(vjp=lambda gy, y: f(gy.shape, y.dtype) * y.T)"]


def test_a_name_of_an_op_is_left_out_of_its_decorator():
    code = '@op(numpy=(np.exp,), methods=("exp", "e"))\ndef exp(x, /):\n    return x\n'
    assert changes(code, "enrolment") == [
        '@op(numpy=(), methods=("exp", "e"))',
        '@op(numpy=(np.exp,), methods=("e",))',
        '@op(numpy=(np.exp,), methods=("exp",))',
    ]


def test_an_error_that_is_not_raised_is_a_mutant_and_its_words_are_none():
    code = 'def f(n: int):\n    if n < 0:\n        raise DomainError(f"{n + 1} is below {0}" + str(n - 1))\n'
    assert changes(code) == ["if n <= 0:", "if n > 0:", "if n < 1:", "pass"]


@pytest.mark.parametrize(
    "code",
    [
        "@op(spec=OpSpec(case(reals(low=1.0)), reference=lambda x: x + 1))\ndef f(x): ...\n",
        "def _by_loop(x):\n    return x + 1\n\n\n@op(spec=OpSpec(reference=_by_loop))\ndef f(x): ...\n",
        '"""About 1 + 1."""\n\n\ndef f(x: Annotated[int, 1 + 1]) -> Annotated[int, 1]:\n    """About 2 + 2."""\n',
        "if TYPE_CHECKING:\n    X = 1 + 1\n",
        "def _misfit(x) -> ShapeError:\n    return ShapeError(x[0] + 1)\n",
    ],
    ids=["spec", "reference", "docstring and hints", "types", "an error's words"],
)
def test_what_is_no_target_is_left_alone(code):
    assert changes(code) == []


def test_a_helper_that_a_spec_shares_with_a_rule_is_a_target():
    code = "def _n(x):\n    return x + 1\n\n\n@op(vjp=lambda gy, y, x: _n(gy), spec=OpSpec(reference=_n))\ndef f(x): ...\n"
    assert "return x - 1" in changes(code)


def test_what_is_put_into_a_table_defines_neither_the_table_nor_its_key():
    """Or what a spec uses, such as np, would be used by nothing else, and all that is put there with it."""
    code = (
        "def _case(x):\n    return np.abs(x)\n\n\n@op(spec=OpSpec(_case(1)))\ndef f(x):\n    return x + 1\n\n\n"
        "FUNCTIONS[np.f] = f\n"
    )
    assert "return x - 1" in changes(code, "arithmetic")


def test_nothing_registered_is_left_alone_as_part_of_a_spec():
    for source in selection.load(ROOT, list(run.SOURCES)):
        registered = {name for name, units in source.registered().items() if name in units}
        left_alone = {getattr(node, "name", "") for node in source.only_for_specs}
        assert registered & left_alone == set(), source.name


def test_no_two_mutants_are_alike_and_each_parses():
    path = ROOT / "gradcore" / "ops" / "normalize.py"
    source = Source(path, path.name, path.read_text())
    made = mutants.mutants(source)
    assert len({m.text for m in made}) == len(made) > 100
    assert len({m.key for m in made}) == len(made)
    for mutant in made:
        compile(mutant.text, path.name, "exec")


# --- which tests run ----------------------------------------------------------------------------------------------------


def test_what_runs_in_part_otherwise_runs_with_all_of_its_parameters():
    profile = settings.get_current_profile_name()
    config = SimpleNamespace(option=SimpleNamespace(hypothesis_profile=None))
    try:
        forks.Reporter(print, None).pytest_configure(config)
        assert settings().max_examples == settings.get_profile(profile).max_examples
    finally:
        settings.load_profile(profile)
    assert config.option.hypothesis_profile == "nightly"


# --- what is declared -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('mutated = "b"', "no reason"),
        ('mutated = "b"\nreason = "same"', "a reason in words"),
        ('mutated = "b"\nreason = "the same for all"\nwhy = 1', "unknown why"),
    ],
)
def test_a_declaration_that_is_incomplete_is_refused(entry, message, tmp_path):
    path = tmp_path / "equivalent.toml"
    path.write_text(f'[[equivalent]]\nfile = "f"\nfunction = "g"\nline = "a"\n{entry}\n')
    with pytest.raises(ValueError, match=message):
        declared.load(path)


@pytest.mark.nightly(each_time=0)  # a run of the mutants reports the same
def test_the_projects_own_declarations_match_mutants_that_are_there():
    declarations = declared.load(TOOL / "equivalent.toml")
    files = sorted({d.file for d in declarations})
    made = [m for f in files for m in mutants.mutants(Source(ROOT / f, f, (ROOT / f).read_text()))]
    assert declared.stale(declarations, made) == []

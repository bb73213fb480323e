"""The shape of the house, measured: budgets, names, and who may be imported as what."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("cluster", "features", "serving", "jobs")
TOP_LEVEL = {
    *PACKAGES,
    *("configs", "tests", "docs", ".ci", "pyproject.toml", "README.md", "CHANGELOG.md"),
    *("LICENSE", "Makefile", "uv.lock", ".python-version", ".gitignore"),
}
MODULE_LINES, FUNCTION_LINES, MEDIAN_FUNCTION_LINES, POSITIONAL = 300, 40, 8, 5
SOURCES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))


@cache
def _installed() -> frozenset[str]:
    """Return the import names of all distributions: to find them reads every file of each."""
    return frozenset(importlib.metadata.packages_distributions())


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def _functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [
        n for n in ast.walk(_tree(path)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def _code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    if not body:
        return 0
    return (body[-1].end_lineno or 0) - body[0].lineno + 1


def _named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_modules_keep_their_budgets() -> None:
    """Each says what it is, has at most 300 lines, and functions of at most 40."""
    broken = {_named(path): found for path in SOURCES if (found := list(_over_budget(path)))}
    assert broken == {}


def _over_budget(path: Path) -> Iterator[str]:
    text, tree = path.read_text(), _tree(path)
    if not ast.get_docstring(tree):
        yield "a module says in its first line what it is"
    if len(tree.body) > 1 and "from __future__ import annotations" not in text:
        yield "annotations are imported from __future__"
    if len(text.splitlines()) > MODULE_LINES:
        yield f"{len(text.splitlines())} lines"
    yield from (f.name for f in _functions(path) if _code_lines(f) > FUNCTION_LINES)


def test_functions_take_few_positional_parameters() -> None:
    """At most five positional ones beside self, then keywords; compiled kernels are exempt."""
    many = {_named(path): found for path in SOURCES if (found := list(_many(path)))}
    assert many == {}


def _many(path: Path) -> Iterator[str]:
    for f in _functions(path):
        asked = [a for a in f.args.args if a.arg not in {"self", "cls"}]
        is_kernel = any("njit" in ast.unparse(d) for d in f.decorator_list)
        if len(asked) > POSITIONAL and not is_kernel:
            yield f.name


def test_the_median_function_is_short() -> None:
    """Half of all functions have at most eight lines of code."""
    lines = sorted(_code_lines(f) for path in SOURCES for f in _functions(path))
    assert lines[len(lines) // 2] <= MEDIAN_FUNCTION_LINES


def test_the_top_level_is_the_one_agreed() -> None:
    """Nothing else lies at the top of the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert {name.split("/")[0] for name in listed} <= TOP_LEVEL


@pytest.mark.parametrize("package", PACKAGES)
def test_generic_names_are_ours(package: str) -> None:
    """No installed distribution offers our import names, and what is imported lies in this
    repository.
    """
    assert package not in _installed()
    assert Path(importlib.import_module(package).__file__ or "").is_relative_to(ROOT)


def test_no_module_shadows_the_standard_library_or_a_dependency() -> None:
    """No module of ours, however deep, is called like a module of anybody else's."""
    taken = set(sys.stdlib_module_names) | set(_installed())
    ours = {p.parent.name if p.name == "__init__.py" else p.stem for p in SOURCES}
    assert not (taken & ours) - {"__main__"}
    assert not list((ROOT / "tests").rglob("__init__.py")), "a package in tests/ would shadow ours"


def test_no_pickle_is_read_or_written() -> None:
    """What is stored is Parquet, JSON and UBJSON; nothing imports pickle, joblib or eval."""
    banned = ("import pickle", "import joblib", "cloudpickle", "yaml.load(", "eval(", "exec(")
    assert not [(p.name, word) for p in SOURCES for word in banned if word in p.read_text()]


def test_jobs_import_without_ray() -> None:
    """Starting a job must not pay for Ray: it is imported when it is used."""
    assert not _imported("jobs.console, features.engine, serving.decide", "ray")


def test_a_simulation_that_a_planner_waits_for_imports_no_models_and_no_pictures() -> None:
    """Its process begins a second sooner so."""
    asked = "jobs.simulate.spare, jobs.simulate.answer, jobs.simulate.result"
    assert not _imported(asked, "ray", "xgboost", "sklearn", "matplotlib", "optuna", "fastapi")
    assert _imported("jobs.simulate.page", "matplotlib")  # what it is to leave out is found


def _imported(modules: str, *others: str) -> set[str]:
    """Return which of some other packages a new process has when it has imported modules."""
    code = f"import sys, {modules}; print(*{set(others)} & set(sys.modules))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())

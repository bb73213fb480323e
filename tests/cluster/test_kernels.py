"""Compiled kernels on disk: code of a source that changed is never used."""

from __future__ import annotations

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from cluster import kernels
from cluster.kernels import ROOT, made_of
from tests.drills import mostly

KERNELS = sorted(
    path
    for package in ("cluster", "features", "serving")
    for path in (ROOT / package).rglob("*.py")
    if "\nfrom numba import" in path.read_text()
)
PARTS = {
    "constants.py": "STEP = {step}\n",
    "inner.py": """
from numba import njit
from features.constants import STEP

@njit(cache=True)
def stepped(value: int) -> int:
    return value + STEP
""",
    "outer.py": """
from numba import njit
from features.inner import stepped

@njit(cache=True)
def twice(value: int) -> int:
    return stepped(stepped(value))
""",
}
ASKED = (
    "from features import outer; print(outer.twice(0), sum(outer.twice.stats.cache_hits.values()))"
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Make a project of its own: ours without its modules, and a kernel in three files."""
    for package, kept in (("cluster", ("kernels.py", "locators.py")), ("features", ())):
        (tmp_path / package).mkdir()
        for name in ("__init__.py", *kept):
            shutil.copy(ROOT / package / name, tmp_path / package)
    _write(tmp_path, step=1)
    return tmp_path


def _write(tree: Path, step: int) -> None:
    for name, text in PARTS.items():
        (tree / "features" / name).write_text(text.format(step=step))


def _asked(tree: Path, first: str = "", folder: str = "") -> list[int]:
    """Return what a process computes, and how often it found the compiled kernel on disk."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    environment |= {"NUMBA_CACHE_DIR": folder} if folder else {}
    done = subprocess.run(
        [sys.executable, "-c", first + ASKED],
        cwd=tree, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [int(word) for word in done.stdout.split()]


@pytest.mark.parametrize(("first", "folder"), mostly([("import numba; ", "kept"), ("", "")]))
def test_a_constant_of_another_file_is_never_an_old_one(
    tree: Path, first: str, folder: str
) -> None:
    """What was compiled is used again while nothing changes, and not after."""
    kept = str(tree / folder) if folder else ""
    assert _asked(tree, first, kept) == [2, 0]
    assert _asked(tree, first, kept) == [2, 1]
    _write(tree, step=5)
    assert _asked(tree, first, kept) == [10, 0]
    assert (tree / "kept").exists() == bool(folder)


@pytest.mark.drill
def test_by_numbas_own_rule_it_would_be_an_old_one(tree: Path) -> None:
    """The defence switched off."""
    (tree / "features" / "__init__.py").write_text("")
    assert _asked(tree) == [2, 0]
    _write(tree, step=5)
    assert _asked(tree) == [2, 1]


TYPED = """
from typing import NamedTuple
from numba import njit

class {name}(NamedTuple):
    value: int

@njit(cache=True)
def twice(asked: {name}) -> int:
    return asked.value * 2
"""


def _typed(tree: Path, name: str) -> list[int]:
    (tree / "features" / "outer.py").write_text(TYPED.format(name=name))
    call = f"print(outer.twice(outer.{name}(2)), sum(outer.twice.stats.cache_hits.values()))"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    done = subprocess.run(
        [sys.executable, "-c", f"from features import outer; {call}"],
        cwd=tree, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [int(word) for word in done.stdout.split()]


def test_a_type_that_is_no_more_is_not_looked_for(tree: Path) -> None:
    """What was compiled for it is gone, and what is there now is compiled once."""
    assert [_typed(tree, "Old"), _typed(tree, "Old")] == [[4, 0], [4, 1]]
    assert [_typed(tree, "New"), _typed(tree, "New")] == [[4, 0], [4, 1]]
    assert len(list((tree / "features" / "__pycache__").glob("outer.twice-*.nbi"))) == 1


@pytest.mark.drill
def test_by_numbas_own_name_it_would_be_an_error(tree: Path) -> None:
    """The defence switched off."""
    locators = tree / "cluster" / "locators.py"
    text = locators.read_text()
    own = 'f"{self._lineno}-{self.get_source_stamp()[:SHOWN]}"'
    assert own in text
    locators.write_text(text.replace(own, "str(self._lineno)").replace("path.unlink", "str"))
    _typed(tree, "Old")
    with pytest.raises(subprocess.CalledProcessError):
        _typed(tree, "New")


def _origins(path: Path) -> set[Path]:
    """Return the files of ours that a module imports, for types too, as Python finds them."""
    nodes = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom)]
    named = [(str(n.module), alias.name) for n in nodes for alias in n.names]
    ours = [each for each in named if each[0].split(".")[0] in {"cluster", "features", "serving"}]
    return {Path(_origin(*each).origin or "") for each in ours}


def _origin(module: str, name: str) -> ModuleSpec:
    found = importlib.util.find_spec(module)
    is_package = found is not None and found.submodule_search_locations is not None
    found = (importlib.util.find_spec(f"{module}.{name}") if is_package else None) or found
    assert found is not None
    return found


@pytest.mark.parametrize("path", KERNELS, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_import_of_a_kernel_is_seen(path: Path) -> None:
    """By text, without running anything, as by running it; and so on from there."""
    seen = made_of(path)
    assert seen >= {path, *_origins(path)}
    assert {part for each in _origins(path) for part in made_of(each)} <= seen


def test_a_view_is_no_part_of_a_kernel() -> None:
    """Else each new feature would compile everything anew."""
    views = {ROOT / "features" / "views" / f"{name}.py" for name in ("lead", "catalog", "__init__")}
    assert not views & set().union(*map(made_of, KERNELS))
    assert len(KERNELS) > 15


def test_the_rule_is_in_force_here() -> None:
    """Of kernels as they are imported."""
    from features.compute import formulas

    stamp = formulas.working._cache._cache_file._source_stamp  # type: ignore[attr-defined]
    assert stamp == kernels.state(Path(formulas.__file__))

"""The truth stays apart: nothing outside the world reads it, and no event holds it."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from features.sources.world import WorldConfig, generate

ROOT = Path(__file__).parents[2]
WORLD = ROOT / "features" / "sources" / "world"
SOURCES = [
    path
    for package in ("cluster", "features", "serving", "jobs")
    for path in sorted((ROOT / package).rglob("*.py"))
    if WORLD not in path.parents
]
# what others may take from the world: nothing of it leads to the truth but what tests use
FACE = {"Part", "WorldConfig", "generate_part", "parts", "write_exports"}


def reaches(code: str) -> set[str]:
    """Return the names through which code would reach into the world beyond its face."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "features.sources.world"
        ):
            inner = node.module != "features.sources.world"
            found |= {alias.name for alias in node.names if inner or alias.name not in FACE}
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names if a.name.startswith("features.sources.world.")}
        if isinstance(node, ast.Attribute) and ast.unparse(node.value).split(".")[-1] == "world":
            found |= {node.attr} & {"truth", "generate", "told_part", "identities", "World"}
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_module_outside_the_world_reaches_its_truth(path: Path) -> None:
    assert not reaches(path.read_text())


@pytest.mark.parametrize(
    "code",
    [
        "from features.sources.world import truth",
        "from features.sources.world.generate import told_part",
        "import features.sources.world.truth",
        "from features.sources import world\nx = world.truth.tables",
        "def f(world):\n    return world.truth['leads']",
    ],
)
def test_a_module_that_reaches_the_truth_would_be_seen(code: str) -> None:
    assert reaches(code)


def test_nobody_outside_the_world_takes_its_hidden_tables_by_name() -> None:
    words = ("true_persons", "true_accounts", "fault_counts", "probability_60d")
    assert not [(p.name, word) for p in SOURCES for word in words if word in p.read_text()]


def test_the_world_shares_no_code_with_the_simulator() -> None:
    for path in sorted(WORLD.glob("*.py")):
        names = {node.module for node in ast.walk(ast.parse(path.read_text()))
                 if isinstance(node, ast.ImportFrom)}  # fmt: skip
        assert not [name for name in names if name and name.startswith(("serving", "jobs"))]
    forecast = (ROOT / "serving" / "forecast").rglob("*.py")
    assert not [path for path in forecast if "sources.world" in path.read_text()]


def test_no_hidden_value_is_a_column_or_a_number_of_the_events() -> None:
    made = generate(WorldConfig(scale=0.1))
    hidden = {"propensity", "fit", "quality", "true_person", "true_account", "risk_treated"}
    assert not hidden & set(made.events.column_names)
    said = set(made.events["name"].drop_null().to_pylist())
    assert not (hidden | {"interest", "engagement", "thrift", "champion"}) & said
    texts = pa.array(made.events["text"].drop_null().unique().to_pylist())
    fits = {f"{x:.4f}" for x in np.round(made.truth["accounts"]["fit"], 4)}
    assert not fits & set(texts.to_pylist())

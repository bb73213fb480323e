"""Examples in docstrings say what the code does."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest

from cluster.settings import ROOT

PACKAGES = ("cluster", "features", "serving", "jobs")
FILES = [path for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
WITH = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in FILES
    if ">>> " in path.read_text()
)


@pytest.mark.parametrize("module", WITH)
def test_examples_hold(module: str) -> None:
    """Each is run as it stands."""
    found = doctest.testmod(import_module(module))
    assert found.attempted
    assert not found.failed

"""The modules of the kernel as plain Python, so that a test may break one rule at a time."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numba

from serving.forecast import kernel

if TYPE_CHECKING:
    import pytest

ROOM = Path(kernel.__file__).parent
MODULES = ("luck", "desks", "levers", "laws", "state", "coming", "contacts", "moving", "kernel")

type Change = tuple[str, str, str]  # module, what it says, what it says instead


def load(patch: pytest.MonkeyPatch, *changes: Change) -> ModuleType:
    """Return a kernel that is not compiled, changed as told."""
    patch.setattr(numba.config, "DISABLE_JIT", 1)
    for name in MODULES:
        text = (ROOM / f"{name}.py").read_text()
        for module, old, new in changes:
            if module == name:
                assert text.count(old) == 1, f"{old!r} must be said once in {name}"
                text = text.replace(old, new)
        patch.setitem(sys.modules, f"serving.forecast.{name}", _made(name, text))
    return sys.modules["serving.forecast.kernel"]


def _made(name: str, text: str) -> ModuleType:
    spec = importlib.util.spec_from_loader(f"serving.forecast.{name}", loader=None)
    assert spec
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    exec(compile(text, str(ROOM / f"{name}.py"), "exec"), module.__dict__)
    return module

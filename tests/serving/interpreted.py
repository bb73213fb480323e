"""The modules of the kernel as plain Python, so that a test may break one rule at a time."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numba

from serving.forecast import kernel

if TYPE_CHECKING:
    import pytest

ROOM = Path(kernel.__file__).parent
MODULES = (
    "luck",
    "desks",
    "levers",
    "growth",
    "laws",
    "state",
    "coming",
    "contacts",
    "moving",
    "kernel",
)

type Change = tuple[str, str, str]  # module, what it says, what it says instead


def load(patch: pytest.MonkeyPatch, *changes: Change) -> ModuleType:
    """Return a kernel that is not compiled, changed as told."""
    patch.setattr(numba.config, "DISABLE_JIT", 1)
    for name in MODULES:
        text = (ROOM / f"{name}.py").read_text()
        for changed, old, new in changes:
            if changed == name:
                assert text.count(old) == 1, f"{old!r} must be said once in {name}"
                text = text.replace(old, new)
        module = ModuleType(f"serving.forecast.{name}")
        patch.setitem(sys.modules, module.__name__, module)
        exec(compile(text, str(ROOM / f"{name}.py"), "exec"), module.__dict__)
    return sys.modules["serving.forecast.kernel"]

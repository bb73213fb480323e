"""An environment apart for a peer that the project itself does not depend on."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def environment(home: Path, name: str, version: str, wanted: list[str]) -> Path | None:
    """Return the Python of an environment with `wanted` below `home`, made once; None when it
    cannot be made, which is said in one line.
    """
    folder = home / "cache" / f"{name}-{version}"
    python, ready = folder / "bin" / "python", folder / "ready"
    if ready.exists():
        return python
    made = subprocess.run([sys.executable, "-m", "venv", folder], capture_output=True, text=True)
    if not made.returncode:
        install = [python, "-m", "pip", "install", "-q", "--retries", "1", "--timeout", "20"]
        made = subprocess.run([*install, *wanted], capture_output=True, text=True)
    if made.returncode:
        told = (made.stderr or made.stdout).strip().splitlines() or ["no reason given"]
        print(f"{name} {version} must be installable, left out: {told[-1]}", flush=True)
        return None
    ready.touch()
    return python

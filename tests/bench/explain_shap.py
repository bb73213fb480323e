"""shap in an environment of its own, run in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import xgboost as xgb

VERSION = "0.54.1"
LIMIT_S = 300
WORKER = Path(__file__).with_name("explain_shap_worker.py")


def environment(home: Path) -> Path | None:
    """Return the Python of an environment with shap below `home`, made once; None when it cannot
    be made, which is said in one line.
    """
    folder = home / "cache" / f"shap-{VERSION}"
    python, ready = folder / "bin" / "python", folder / "ready"
    if ready.exists():
        return python
    wanted = [f"shap=={VERSION}", f"xgboost-cpu=={xgb.__version__}"]
    made = subprocess.run([sys.executable, "-m", "venv", folder], capture_output=True, text=True)
    if not made.returncode:
        install = [python, "-m", "pip", "install", "-q", "--retries", "1", "--timeout", "20"]
        made = subprocess.run([*install, *wanted], capture_output=True, text=True)
    if made.returncode:
        told = (made.stderr or made.stdout).strip().splitlines() or ["no reason given"]
        print(f"shap {VERSION} must be installable, left out: {told[-1]}", flush=True)
        return None
    ready.touch()
    return python


def run(python: Path, folder: Path, counts: tuple[int, int]) -> dict[str, float] | None:
    """Explain `rows.npy` with `model.ubj` of a folder; its answers lie there as `answers.npy`.

    `counts` are how often one row and how often all are explained. Returns milliseconds per row:
    "one", "batch" and, with all threads, "threads"; None when shap fails.
    """
    command = [python, WORKER, folder, *map(str, counts)]
    plain = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, env=plain)
    if done.returncode:
        told = done.stderr.strip().splitlines() or ["no reason given"]
        print(f"shap {VERSION} must finish, failed: {told[-1]}", flush=True)
        return None
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures

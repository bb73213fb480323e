"""shap in an environment of its own, run in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import xgboost as xgb

from tests.bench import apart

VERSION = "0.54.1"
LIMIT_S = 300
WORKER = Path(__file__).with_name("explain_shap_worker.py")


def environment(home: Path) -> Path | None:
    """Return the Python of an environment with shap below `home`, made once; None when it cannot
    be made, which is said in one line.
    """
    wanted = [f"shap=={VERSION}", f"xgboost-cpu=={xgb.__version__}"]
    return apart.environment(home, "shap", VERSION, wanted)


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

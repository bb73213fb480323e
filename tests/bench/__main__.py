"""`python -m tests.bench NAME`: run a bench and keep its figures in docs/figures/NAME.json."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIBRARIES = ("ray", "xgboost-cpu", "numpy", "pyarrow", "numba", "optuna", "pyiceberg", "sqlalchemy")


def main(name: str) -> int:
    """Run the bench, show what it prints, and write its last line with the machine described."""
    command = [sys.executable, "-m", f"tests.bench.bench_{name}"]
    lines: list[str] = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        return process.returncode
    figures = {"bench": name, "machine": machine(), "figures": json.loads(lines[-1])}
    text = json.dumps(figures, indent=2) + "\n"
    (ROOT / "docs" / "figures" / f"{name}.json").write_text(text)
    return 0


def machine() -> dict[str, object]:
    """Return what the figures depend on."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(pages / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
    }


def known() -> list[str]:
    """Return the names of all benches."""
    return sorted(p.stem.removeprefix("bench_") for p in Path(__file__).parent.glob("bench_*.py"))


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in known():
        sys.exit(f"a bench must be named, got {sys.argv[1:]}: NAME is one of {', '.join(known())}")
    sys.exit(main(sys.argv[1]))

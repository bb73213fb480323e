"""Starts what the serving bench measures, each in processes of its own, until it answers."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import yaml

from cluster.settings import CONFIGS, ROOT
from cluster.yamlfiles import read_yaml
from tests.bench.serving_workspace import TARGET, Made
from tests.serving.running import free_port, running, started, wait

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POLICY = "lead_routing"


@contextmanager
def bare(made: Made, folder: Path) -> Iterator[str]:
    """Run FastAPI on uvicorn with the same trees; gives the URL that scores."""
    port, told = free_port(), folder / "bare.log"
    command = ["-m", "tests.bench.serving_bare", str(made.trees), str(port)]
    with started(command, {}, told) as process:
        wait(process, f"http://127.0.0.1:{port}/openapi.json", told)
        yield f"http://127.0.0.1:{port}/score"


def key(made: Made) -> str:
    """Issue a key for the service, as an administrator would."""
    told = ("--name", "bench", "--role", "application", "--actor", "bench", "--reason", "load")
    environ = os.environ | {"FUNNELCAST_HOME": str(made.home)}
    command = [sys.executable, "-m", "jobs.access", "issue", *told]
    done = subprocess.run(
        command, cwd=ROOT, env=environ, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@contextmanager
def full(
    made: Made, folder: Path, profile: str, *, by_key: bool = False, replicas: int = 1
) -> Iterator[str]:
    """Run the decision service under a profile of configs/serve; gives the URL that decides."""
    environ = {"FUNNELCAST_SERVE__REQUIRE_KEYS": "1"} if by_key else {}
    environ |= {"FUNNELCAST_SERVE__REPLICAS": str(replicas)} if replicas > 1 else {}
    file = folder / f"{profile}.yaml"
    answers = {"lead": {"target": str(TARGET), "policy": POLICY}}
    given = read_yaml(CONFIGS / "serve" / f"{profile}.yaml") | {"answers": answers}
    file.write_text(yaml.safe_dump(given))
    with running(made.home, folder / "full.log", profile=str(file), environ=environ) as service:
        yield f"{service.url}/v1/decisions"

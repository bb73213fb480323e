"""Child of the drill of the mirror, run by the Python of an environment that has MLflow: URI MODE.

Tells the MLflow at URI of all models of the workspace of the environment. MODE is `whole`, `blind`
(the look for a run that is there is switched off), or the name of a method of MLflow's client at
which the process dies. Ends by saying what MLflow holds, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts

from cluster.settings import load_settings
from cluster.workspace import Workspace
from jobs import console
from jobs.models import tracking
from jobs.models.run import JOB, ModelsSettings

KILLED = 9


def main(uri: str, mode: str) -> None:
    """Mirror, then read back."""
    if mode == "blind":
        tracking.Mirror._run_of = lambda *_: None  # type: ignore[method-assign]
    elif mode != "whole":
        setattr(MlflowClient, mode, lambda *_, **__: os._exit(KILLED))
    settings = ModelsSettings(action="mirror", uri=uri)
    with Workspace.open(load_settings(os.environ)) as workspace:
        report = console.perform(JOB, settings, workspace, lambda *_: None).report
    sys.stdout.write(json.dumps({"new": report["figures"]["new"], **_held(uri)}))


def _held(uri: str) -> dict[str, Any]:
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    ids = [each.experiment_id for each in client.search_experiments()]
    models = client.search_registered_models()
    versions = [v for model in models for v in client.search_model_versions(f"name='{model.name}'")]
    return {
        "runs": [_run(run, uri) for run in client.search_runs(ids)],
        "versions": [{"bundle": v.tags["funnelcast.bundle"], "run": v.run_id} for v in versions],
        "aliases": {model.name: sorted(model.aliases) for model in models},
    }


def _run(run: Any, uri: str) -> dict[str, Any]:
    folder = Path(download_artifacts(run_id=run.info.run_id, tracking_uri=uri))
    files = {str(p.relative_to(folder)): str(p) for p in folder.rglob("*") if p.is_file()}
    return {
        "id": run.info.run_id,
        "status": run.info.status,
        "start": run.info.start_time,
        "tags": dict(run.data.tags),
        "params": dict(run.data.params),
        "metrics": dict(run.data.metrics),
        "files": files,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])

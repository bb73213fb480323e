"""The mirror: tells a team's MLflow of trainings, and of nothing twice.

A run is looked for by the id of its bundle and ended last, so that one cut short is told again;
then its version of the model, then the aliases. What others keep there is left alone. Two mirrors
at once could tell a training twice: let one run after the other.
"""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.errors import FunnelcastError, WrongUse
from jobs.models import mirror

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobs.models.mirror import Training

ADDRESS = "MLFLOW_TRACKING_URI"
SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
QUIET = {  # unless the environment says otherwise: no word to the makers, no minutes of waiting
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
_USER = re.compile(r"//[^/\s]*@")  # of an address: who, and by which password
_SECRET = re.compile(r"(password|passwd|token|secret)=[^&\s]+", re.IGNORECASE)  # of its query
_LONGEST = 200  # letters of a message that is passed on


class MirrorFailed(FunnelcastError):
    """MLflow could not be told."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What was new to MLflow."""

    runs: int = 0
    versions: int = 0
    aliases: int = 0

    def __add__(self, other: Told) -> Told:
        return Told(
            runs=self.runs + other.runs,
            versions=self.versions + other.versions,
            aliases=self.aliases + other.aliases,
        )


def address(asked: str | None, environ: Mapping[str, str]) -> str:
    """Return where MLflow is; WrongUse when nobody says it."""
    found = asked or environ.get(ADDRESS)
    if not found:
        raise WrongUse(
            f"mirror must know where MLflow is, got neither --uri nor {ADDRESS}:"
            " give one, such as sqlite:////srv/mlflow.db or https://mlflow.example.com"
        )
    return found


def shown(text: str, environ: Mapping[str, str]) -> str:
    """Return a text in one line, without what opens doors.

    >>> shown("https://eva:secret@mlflow.example.com", {})
    'https://***@mlflow.example.com'
    """
    for name in SECRETS:
        if secret := environ.get(name):
            text = text.replace(secret, "***")
    text = _SECRET.sub(r"\1=***", _USER.sub("//***@", text))
    return " ".join(text.split())[:_LONGEST]


def files_beside(uri: str) -> str | None:
    """Return where files go when MLflow is a SQLite file: into a folder beside it, whoever calls
    from wherever; None for others, which say so themselves.

    >>> files_beside("sqlite:////srv/mlflow.db")
    'file:///srv/mlartifacts'
    """
    scheme, _, path = uri.partition(":///")
    if scheme.partition("+")[0] != "sqlite":
        return None
    return (Path(path).resolve().parent / "mlartifacts").as_uri()


class Mirror:
    """One MLflow. What goes wrong there is a MirrorFailed, in one line and without credentials."""

    def __init__(self, client: Any, uri: str) -> None:
        self._client = client
        self._uri = uri

    @classmethod
    def opened(cls, uri: str) -> Mirror:
        """Open the MLflow at an address; WrongUse when its client is not installed."""
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        try:
            from mlflow import MlflowClient
        except ImportError:
            raise WrongUse(
                "mirror must have the client of MLflow, got none: uv sync --extra mlflow"
            ) from None
        try:
            return cls(MlflowClient(tracking_uri=uri, registry_uri=uri), uri)
        except Exception as error:
            raise _failed(uri, error) from None

    def tell(self, training: Training) -> Told:
        """Tell of one training, as far as it is not there; returns what was new."""
        try:
            run, was_told = self._run(training)
            version = self._version(training, run)
        except Exception as error:
            raise _failed(self._uri, error) from None
        return Told(runs=int(not was_told), versions=int(version))

    def point(self, target: str, name: str, bundle: str) -> Told:
        """Let an alias of a target name the version of a bundle that was told of."""
        try:
            return Told(aliases=int(self._point(mirror.name_of(target), name, bundle)))
        except Exception as error:
            raise _failed(self._uri, error) from None

    def _run(self, training: Training) -> tuple[Any, bool]:
        """Return the run of a training, and whether it was there, whole."""
        experiment = self._experiment(mirror.name_of(training.target))
        run = self._run_of(experiment, training.bundle)
        if run is not None and run.info.status == "FINISHED":
            return run, True
        if run is None:
            run = self._client.create_run(
                experiment,
                start_time=training.at_ms,
                tags=training.tags,
                run_name=training.bundle[:12],
            )
        self._fill(run.info.run_id, training)
        self._client.set_terminated(run.info.run_id, end_time=training.at_ms)
        return run, False

    def _fill(self, run: str, training: Training) -> None:
        """Tell numbers and files; what is told again is the same, and kept once."""
        from mlflow.entities import Metric, Param

        metrics = [Metric(n, v, training.at_ms, 0) for n, v in training.metrics.items()]
        params = [Param(name, value) for name, value in training.params.items()]
        self._client.log_batch(run, metrics=metrics, params=params)
        with tempfile.TemporaryDirectory() as folder:
            for name, data in training.files.items():
                path = Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            self._client.log_artifacts(run, folder)

    def _version(self, training: Training, run: Any) -> bool:
        """Register the version of a training; returns whether it is new."""
        name = mirror.name_of(training.target)
        if not self._client.search_registered_models(f"name = '{name}'"):
            self._client.create_registered_model(
                name, tags={f"{mirror.PREFIX}.target": training.target}
            )
        if self._version_of(name, training.bundle):
            return False
        self._client.create_model_version(
            name,
            source=f"{run.info.artifact_uri}/{mirror.FOLDER}",
            run_id=run.info.run_id,
            tags={mirror.BUNDLE: training.bundle},
        )
        return True

    def _point(self, model: str, name: str, bundle: str) -> bool:
        alias, version = mirror.alias_of(name), self._version_of(model, bundle)
        there = self._client.get_registered_model(model).aliases
        if version is None or str(there.get(alias)) == str(version):
            return False
        self._client.set_registered_model_alias(model, alias, version)
        return True

    def _experiment(self, name: str) -> str:
        if found := self._client.get_experiment_by_name(name):
            return str(found.experiment_id)
        place = files_beside(self._uri)
        return str(self._client.create_experiment(name, artifact_location=place))

    def _run_of(self, experiment: str, bundle: str) -> Any:
        wanted = f"tags.`{mirror.BUNDLE}` = '{bundle}'"
        found = self._client.search_runs([experiment], wanted, max_results=1)
        return found[0] if found else None

    def _version_of(self, model: str, bundle: str) -> str | None:
        wanted = f"name = '{model}' and tag.`{mirror.BUNDLE}` = '{bundle}'"
        found = self._client.search_model_versions(wanted, max_results=1)
        return str(found[0].version) if found else None


def _failed(uri: str, error: Exception) -> MirrorFailed:
    why = shown(f"{type(error).__name__}: {error}", os.environ)
    return MirrorFailed(
        f"MLflow at {shown(uri, os.environ)} must take what it is told, got {why}:"
        " run the same command again, it goes on from there"
    )

"""Configuration, read once: a YAML file, then the environment, into frozen values.

The environment wins over the file. An unknown key is an error that names the nearest valid one;
every path is absolute, because a submitted job runs from a copy of the repository somewhere else.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from cluster import invalid
from cluster.errors import WrongUse
from cluster.yamlfiles import read_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = ROOT / "configs"
PREFIX = "FUNNELCAST_"
NOT_SETTINGS = {"FUNNELCAST_TRACE", "FUNNELCAST_CREDENTIAL", "FUNNELCAST_CREDENTIAL_FILE"}
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class Frozen(BaseModel):
    """Base of everything that is read from a file: immutable, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RaySettings(Frozen):
    """Where Ray runs; without an address a session starts its own on loopback."""

    address: str | None = None
    cpus: int | None = Field(default=None, ge=1)
    dashboard: bool = False
    object_store_mb: int = Field(default=512, ge=80)


class LimitSettings(Frozen):
    """What one replica of the decision service takes; see docs/access.md."""

    decision_bytes: int = Field(default=2**20, ge=1)  # of the body of a request, by route
    batch_bytes: int = Field(default=2**22, ge=1)
    events_bytes: int = Field(default=2**20, ge=1)
    inference_bytes: int = Field(default=2**25, ge=1)
    other_bytes: int = Field(default=2**16, ge=1)
    held_bytes: int = Field(default=2**26, ge=1)  # of all bodies at once; one alone may be larger
    depth: int = Field(default=32, ge=1, le=200)  # of JSON
    decision_values: int = Field(default=5_000, ge=1)  # in a JSON text
    values: int = Field(default=100_000, ge=1)
    inference_values: int = Field(default=2_500_000, ge=1)
    decisions: int = Field(default=1_000, ge=1, le=1_000)  # of a batch
    decision_events: int = Field(default=100, ge=0, le=100)  # of a decision
    events: int = Field(default=1_000, ge=1, le=1_000)  # of a request that sends them
    url_bytes: int = Field(default=8_192, ge=1)
    header_bytes: int = Field(default=32_768, ge=1)  # names and values
    headers: int = Field(default=100, ge=1)
    body_s: float = Field(default=5.0, gt=0.0)  # within which a body must be there,
    body_bytes_per_s: int = Field(default=2**20, ge=1)  # and a second more for so many that are
    rate_per_s: float = Field(default=2_000.0, gt=0.0)  # of one credential,
    burst: int = Field(default=4_000, ge=1)  # and so many at once
    callers: int = Field(default=10_000, ge=1)  # whose rate is remembered
    inside_each: int = Field(default=200, ge=1)  # requests of one credential under way,
    inside: int = Field(default=400, ge=1)  # and of all: less than Serve lets in


class CandidateSettings(Frozen):
    """What the replicas of a candidate may run beside the code of the service; nothing else."""

    code: tuple[str, ...] = ()  # what the URI of an archive may begin with; ends with /
    variables: tuple[str, ...] = ()  # of the environment, that a plan may set

    @field_validator("code")
    @classmethod
    def _whole(cls, code: tuple[str, ...]) -> tuple[str, ...]:
        if any("://" not in each or not each.endswith("/") for each in code):
            raise ValueError("must be URIs that end with /")
        return code


class ServeSettings(Frozen):
    """Where the decision service listens, and what it takes."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    replicas: int = Field(default=1, ge=1)
    require_keys: bool = False  # on loopback too; on any other host it is so anyway
    limits: LimitSettings = LimitSettings()
    candidates: CandidateSettings = CandidateSettings()

    @property
    def at_this_machine(self) -> bool:
        """Can nobody call it from another machine?"""
        return self.host in LOOPBACK

    @property
    def asks(self) -> bool:
        """Must who sends a request bring a key or a token?"""
        return self.require_keys or not self.at_this_machine


class SimulationSettings(Frozen):
    """What planners may ask of the cluster; see docs/api.md."""

    per_day: int = Field(default=200, ge=0)  # started by one planner within a day,
    at_once: int = Field(default=3, ge=1)  # and under way at once
    queue: int = Field(default=20, ge=1)  # under way of all planners
    unit_steps: float = Field(default=2e10, gt=0.0)  # of one: units x steps x draws x scenarios
    result_bytes: int = Field(default=4 * 10**9, ge=1)  # that the outcomes of one may take
    most_minutes: float = Field(default=120.0, gt=0.0)  # of a job, once it has begun
    cpus: float = Field(default=1.0, ge=0.0)  # that a job waits for
    spare_minutes: float = Field(default=10.0, ge=0.0)  # that a process waits for the next; 0: none
    runner: Literal["inline", "auto", "ray"] = "inline"  # within a job
    jobs: bool = True  # does the service have its cluster take jobs?


class AccessSettings(Frozen):
    """Who may change by jobs what is governed; see cluster/access/acting.py."""

    jobs_require_key: bool = False  # not the pepper: that is access_key


class ReportsSettings(Frozen):
    """What reports that jobs write may show; see jobs/clearance.py."""

    clearance: Literal["public", "internal", "confidential", "personal", "restricted"] = "internal"


class OpenLineageSettings(Frozen):
    """Where run events go: by default to files in the home folder; see cluster/emitter.py."""

    enabled: bool = True
    url: SecretStr | None = None  # of a receiver; secret, as it may hold a password
    api_key: SecretStr | None = None  # sent as bearer token
    timeout_s: float = Field(default=3.0, gt=0.0, le=60.0)  # that a receiver may cost a run in all
    namespace: str = Field(default="funnelcast", min_length=1)

    @field_validator("url")
    @classmethod
    def _http(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return url


class LogSettings(Frozen):
    """What the service writes of each decision and refusal; see docs/observability.md."""

    level: Literal["info", "warning", "error", "none"] = "info"
    sample: float = Field(default=1.0, ge=0.0, le=1.0)  # of lines that are no warnings
    file: Path | None = None  # None: standard error, which Ray keeps in the folder of its session

    @field_validator("file")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        if path is not None and not path.is_absolute():
            raise ValueError("must be absolute")
        return path


class Settings(Frozen):
    """Everything a workspace needs to be opened, on the driver or on a worker."""

    home: Path
    database_url: SecretStr | None = None
    blobs_url: str | None = None
    tables_url: str | None = None
    master_key: SecretStr | None = None  # base64 of 32 bytes; see cluster/masterkey.py
    master_key_file: Path | None = None
    checkpoints_url: str | None = None  # where the journal's heads are sealed; see docs/audit.md
    checkpoint_s: float = Field(default=60.0, gt=0.0, le=86_400.0)  # between two checkpoints
    signing_key: SecretStr | None = None  # base64 of 32 bytes; see cluster/signing.py
    signing_key_file: Path | None = None
    access_key: SecretStr | None = None  # base64 of 32 bytes; see cluster/access/pepper.py
    access_key_file: Path | None = None
    buckets: int = Field(default=8, ge=1, le=4096)
    journal_wait_ms: float = Field(default=1.0, ge=0.0, le=1000.0)
    ray_from_rows: int = Field(default=2_000_000, ge=0)
    slice_events: int = Field(default=4_000_000, ge=1)  # of a bucket, to be computed at once
    ray: RaySettings = RaySettings()
    serve: ServeSettings = ServeSettings()
    simulations: SimulationSettings = SimulationSettings()
    access: AccessSettings = AccessSettings()
    reports: ReportsSettings = ReportsSettings()
    openlineage: OpenLineageSettings = OpenLineageSettings()
    log: LogSettings = LogSettings()

    @model_validator(mode="before")
    @classmethod
    def _absolute_home(cls, values: Any) -> Any:
        if isinstance(values, dict) and "home" in values:
            values = {**values, "home": Path(str(values["home"])).expanduser()}
            if not values["home"].is_absolute():
                raise ValueError(f"must be absolute, got '{values['home']}'")
        return values

    @field_validator("master_key_file", "signing_key_file", "access_key_file")
    @classmethod
    def _absolute_file(cls, path: Path | None) -> Path | None:
        if path is not None and not path.is_absolute():
            raise ValueError("must be absolute")
        return path

    @property
    def database(self) -> str:
        """URL of the SQL database; by default one SQLite file in the home folder."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.home / 'funnelcast.db'}"

    @property
    def blobs(self) -> str:
        """Folder or URL of the content-addressed store."""
        return self.blobs_url or str(self.home / "blobs")

    @property
    def checkpoints(self) -> str:
        """Folder or URL of the checkpoints of the journal."""
        return self.checkpoints_url or str(self.home / "checkpoints")

    @property
    def warehouse(self) -> str:
        """Folder or URL below which the tables keep their files."""
        return self.tables_url or str(self.home / "tables")


def load_settings(environ: Mapping[str, str], path: Path = CONFIGS / "settings.yaml") -> Settings:
    """Read the workspace settings: `path`, then FUNNELCAST_* of `environ` (nested by `__`)."""
    values = _merged(read_yaml(path), _from_environ(environ))
    return validated(Settings, values, where=str(path))


def load[T: BaseModel](model: type[T], path: Path) -> T:
    """Read a YAML document into `model`; WrongUse names the file, the key and the nearest valid
    one.
    """
    return validated(model, read_yaml(path), where=str(path))


def named(folder: str, name: str) -> Path:
    """Return the file of `name`: a path as given, or configs/<folder>/<name>.yaml."""
    given = Path(name)
    return given if given.suffix in {".yaml", ".yml"} else CONFIGS / folder / f"{name}.yaml"


def validated[T: BaseModel](model: type[T], values: Mapping[str, Any], *, where: str) -> T:
    """Build `model` from `values`; the first problem becomes one line of WrongUse."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise WrongUse(f"{where}: {invalid.one_line(model, error)}") from error


def _from_environ(environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key in sorted(k for k in environ if k.startswith(PREFIX) and k not in NOT_SETTINGS):
        *parents, last = key.removeprefix(PREFIX).lower().split("__")
        spot = values
        for parent in parents:
            spot = spot.setdefault(parent, {})
        spot[last] = yaml.safe_load(environ[key])
    return values


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = _merged(old, value) if both and old is not None else value
    return merged

"""The replicas of its own that a candidate may run in, as its plan says it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, StringConstraints

from cluster import canonical
from cluster.errors import Refusal
from cluster.settings import Frozen

if TYPE_CHECKING:
    from cluster.settings import CandidateSettings
    from serving.releases.release import Release

PREFIX = "candidate-"  # of the name of such an application
LETTERS = 16  # of the digest in it

type Archive = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+://[A-Za-z0-9._/:-]+\.zip$")]
type Variable = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]{0,63}$")]


class Own(Frozen):
    """How many replicas, what each is given, and the code that they run."""

    replicas: int = Field(default=1, ge=1, le=64)
    cpus: float = Field(default=0.1, gt=0, le=64)  # that Ray sets apart for each
    memory_mb: int | None = Field(default=None, ge=64)
    code: Archive | None = None  # this repository, another version; None: that of the service
    environment: dict[Variable, str] = {}


def name_of(release: Release) -> str:
    """Return the name of the replicas of a release's candidate: the same for the same candidate."""
    plan, parts = release.plan, release.candidate
    said = [release.target, release.policy, parts.model_dump(), plan.own.model_dump()]
    return f"{PREFIX}{release.target}-{canonical.digest(said)[:LETTERS]}"


def disallowed(own: Own, settings: CandidateSettings) -> Refusal | None:
    """Return why a service does not run this: whoever may begin a release says what code that is,
    so that only the settings of the service can allow it.
    """
    code = own.code or ""
    if own.code and not (any(code.startswith(p) for p in settings.code) and ".." not in code):
        return _refusal("code", code)
    strange = sorted(set(own.environment) - set(settings.variables))
    return _refusal("variables", strange[0]) if strange else None


def _refusal(name: str, value: str) -> Refusal:
    return Refusal(
        rule=f"what a candidate's replicas run must be allowed by serve.candidates.{name}",
        value=f"'{value}'",
        remedy="add it to the settings of the service, or leave it out of the plan",
    )

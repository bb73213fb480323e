"""The profile of a service: what answers, and what Ray must know before it starts."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Annotated, Self

from pydantic import Field, StringConstraints

from cluster.settings import Frozen, load, named
from serving.slots.slot import Answer

type RayVariable = Annotated[str, StringConstraints(pattern=r"^RAY_[A-Za-z0-9_]+$")]


class Profile(Frozen):
    """A file of configs/serve."""

    answers: dict[str, Answer] = Field(min_length=1)  # by kind of entity
    environment: dict[RayVariable, str] = {}  # read by Ray when it is imported

    @classmethod
    def load(cls, name: str) -> Self:
        """Read configs/serve/<name>.yaml, or the file given."""
        return load(cls, named("serve", name))

    def prepare(self, environ: MutableMapping[str, str]) -> None:
        """Set what Ray must know; what the caller has set stays."""
        for variable, value in self.environment.items():
            environ.setdefault(variable, value)


def told(environ: Mapping[str, str]) -> str:
    """Return by what requests come in: HAProxy, or the proxy of Ray Serve."""
    return "HAProxy" if environ.get("RAY_SERVE_ENABLE_HA_PROXY") == "1" else "Ray Serve's proxy"

"""The document configs/retention.yaml: for how many days things are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from cluster.settings import CONFIGS, Frozen, load

if TYPE_CHECKING:
    from pathlib import Path

FILE = CONFIGS / "retention.yaml"

type Days = Annotated[int, Field(ge=1, le=36_500)] | None  # None: for ever


class Retention(Frozen):
    """Days by class."""

    events: dict[str, Days] = {}  # by kind
    quarantine: Days = None
    scores: Days = None
    reports: Days = None
    identities: Days = None
    simulations: Days = None
    drafts: Days = None


def load_retention(path: Path = FILE) -> Retention:
    """Read the document; WrongUse names the key and the nearest valid name, on one line."""
    return load(Retention, path)

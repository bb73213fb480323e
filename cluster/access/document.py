"""The document configs/access.yaml: what each role may do, and whose tokens are believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.access.issuers import IssuerSettings
from cluster.access.roles import Roles
from cluster.settings import CONFIGS, Frozen, load

if TYPE_CHECKING:
    from pathlib import Path

FILE = CONFIGS / "access.yaml"


class Access(Frozen):
    """The document."""

    roles: Roles
    issuers: tuple[IssuerSettings, ...] = ()


def load_access(path: Path = FILE) -> Access:
    """Read the document; WrongUse names the key and the nearest valid name, on one line."""
    return load(Access, path)


def load_roles(path: Path = FILE) -> Roles:
    """Read the roles of the document."""
    return load_access(path).roles

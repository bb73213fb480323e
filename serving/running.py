"""What is known of the service that runs over a workspace: by that another process finds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import ValidationError

from cluster.errors import WrongUse
from cluster.settings import ROOT, Frozen

if TYPE_CHECKING:
    from pathlib import Path


class Running(Frozen):
    """A service: where its Ray is, and what it was started with."""

    address: str  # of Ray
    profile: str
    host: str
    port: int
    root: str = str(ROOT)  # of the code that it began with
    version: str  # of what its replicas run, as Serve is told it
    failed: str = ""  # of the update that failed last

    @classmethod
    def find(cls, home: Path) -> Self:
        """Return the service of a workspace; WrongUse if none is known."""
        try:
            return cls.model_validate_json(_file(home).read_bytes())
        except (OSError, ValidationError) as error:
            raise WrongUse(
                f"a service must run over '{home}' to be updated, got none: start it with"
                " python -m serving"
            ) from error

    def keep(self, home: Path) -> None:
        """Let others find it."""
        _file(home).write_text(self.model_dump_json())

    @staticmethod
    def forget(home: Path) -> None:
        """Say that it ended."""
        _file(home).unlink(missing_ok=True)

    def told(self, version: str) -> str:
        """Return a version as Serve is told it, which never tries again what failed.

        >>> Running(address="", profile="", host="", port=0, version="a", failed="b").told("b")
        'b+1'
        """
        if _is_same(self.version, version):
            return self.version
        if _is_same(self.failed, version):
            return f"{version}+{int(self.failed.partition('+')[2] or 0) + 1}"
        return version

    @property
    def moved_to(self) -> str | None:
        """The root of the code at hand; None if it is where the service began."""
        return None if self.root == str(ROOT) else str(ROOT)


def _is_same(told: str, version: str) -> bool:
    return told.partition("+")[0] == version


def _file(home: Path) -> Path:
    return home / "ray" / "service.json"

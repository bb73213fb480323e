"""The folder of snapshots: what each replica, and the last run of each job, has counted.

A scrape goes through one address to any replica; here it finds what all have counted. A replica
writes its snapshot every few seconds and before each answer to a scrape, so no sample ever falls
behind one that was told before.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from serving.observe.meters import METERS

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.settings import Settings
    from serving.observe.tallies import Snapshot

GAUGES_S = 30.0  # a snapshot that is older says how much was counted, not how things are
KEPT_S = 300.0  # for scrapes to find the last counts of a replica that is gone
OF_JOB = "job-"  # how the snapshots of jobs begin


class Folder:
    """Snapshots by name, one small file each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.mkdir(parents=True, exist_ok=True, mode=0o700)

    @classmethod
    def of(cls, settings: Settings) -> Folder:
        """Return that of a workspace."""
        return cls(settings.home / "metrics")

    def write(self, name: str, snapshot: Snapshot) -> None:
        """Put a snapshot in the place of the one before it."""
        draft = self._path / f".{name}"
        draft.write_text(json.dumps(snapshot))
        draft.replace(self._path / f"{name}.json")

    def read(self) -> dict[str, Snapshot]:
        """Return all that are young enough, by name; those that are too old are deleted."""
        found: dict[str, Snapshot] = {}
        for path in sorted(self._path.glob("*.json")):
            with suppress(OSError, ValueError):  # gone meanwhile, or no snapshot
                age = time.time() - path.stat().st_mtime
                if path.stem.startswith(OF_JOB) or age <= GAUGES_S:
                    found[path.stem] = json.loads(path.read_text())
                elif age <= KEPT_S:
                    found[path.stem] = lasting(json.loads(path.read_text()))
                else:
                    path.unlink()
        return found


def lasting(snapshot: Snapshot) -> Snapshot:
    """Return what stays true of a replica that is gone: what it counted, not how it is."""
    declared = {name: METERS[name] for name in snapshot if name in METERS}
    return {name: snapshot[name] for name, meter in declared.items() if meter.kind != "gauge"}

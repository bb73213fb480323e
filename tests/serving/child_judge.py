"""A judge in a process of its own, to be killed: looks on and on, or once and tells what it saw."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.settings import Settings
from cluster.workspace import Workspace
from serving.judging.case import Case
from serving.slots import releases
from tests.serving.simulated_releases import BEGAN

if TYPE_CHECKING:
    from serving.releases.evidence import Evidence

AT = BEGAN + timedelta(minutes=1)


def plain(seen: Evidence) -> str:
    """Return all that was seen, to the last bit of a float."""
    return json.dumps(asdict(seen), default=lambda v: sorted(v) if isinstance(v, set) else str(v))


def _look(home: str, *, is_once: bool) -> None:
    with Workspace.open(Settings(home=Path(home))) as place:
        kept = releases.current(place, "lead_qualification")
        assert kept is not None
        sys.stdout.write("looking\n")
        sys.stdout.flush()
        while True:
            case = Case(place.database, kept.release)
            case.read_on(AT)
            if is_once:
                break
        sys.stdout.write(plain(case.evidence))


if __name__ == "__main__":
    _look(sys.argv[1], is_once="once" in sys.argv)

"""The code of a candidate, in place of that of the service: an archive that Ray has unpacked."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

from cluster.errors import FunnelcastError

if TYPE_CHECKING:
    from pathlib import Path

OURS = ("cluster", "features", "serving", "jobs")


class NoCode(FunnelcastError):
    """An archive does not hold this repository."""


def take(folder: Path) -> None:
    """Let our packages come from a folder from now on.

    Ray puts the path of whoever started the service before that of an archive. What is loaded is
    forgotten for that; who has it keeps it.
    """
    if not all((folder / name).is_dir() for name in OURS):
        raise NoCode(f"the code of a candidate must hold {', '.join(OURS)}, got '{folder}'")
    sys.path.insert(0, str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]
    importlib.invalidate_caches()

"""A client in a process of its own, to be killed: moves releases on and on."""

from __future__ import annotations

import random
import sys
from pathlib import Path

from cluster.settings import Settings
from cluster.workspace import Workspace
from serving.slots.releases import Kept
from tests.serving import racing


def _move_on(home: str, seed: int) -> None:
    rng = random.Random(seed)
    with Workspace.open(Settings(home=Path(home))) as place:
        while True:
            if isinstance(racing.moved(place, rng), Kept):
                sys.stdout.write("moved\n")
                sys.stdout.flush()


if __name__ == "__main__":
    _move_on(sys.argv[1], int(sys.argv[2]))

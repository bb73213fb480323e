"""`python -m serving.compiled`: compile what a service runs before its first request, once and for
all processes: the first one to start takes half a minute less.
"""

from __future__ import annotations

import os

from cluster.settings import load_settings
from cluster.workspace import Workspace
from serving.answer.service import DecisionService
from serving.profiles import Profile


def main() -> None:
    """Warm up a service that nobody asks anything, over what is published."""
    with Workspace.open(load_settings(os.environ)) as workspace:
        DecisionService(workspace, Profile.load("portable").answers).close()


if __name__ == "__main__":
    main()

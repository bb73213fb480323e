"""Commands in this process: what `python -m` runs, without the seconds that its imports take."""

from __future__ import annotations

import io
import os
import runpy
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cluster.settings import Settings


@dataclass(frozen=True)
class Ended:
    """What a command said, and the exit code."""

    returncode: object
    stdout: str
    stderr: str


def command(settings: Settings, *given: str, said: str = "", **environ: str) -> Ended:
    """Run a module with arguments over a workspace, and nothing else of ours in the environment."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name in [name for name in os.environ if name.startswith("FUNNELCAST_")]:
            patch.delenv(name)
        for name, value in {"FUNNELCAST_HOME": str(settings.home), **environ}.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", list(given))
        patch.setattr(sys, "stdin", io.StringIO(said))
        with pytest.raises(SystemExit) as ended:
            runpy.run_module(given[0], run_name="__main__", alter_sys=False)
    return Ended(ended.value.code or 0, out.getvalue(), err.getvalue())

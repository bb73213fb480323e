"""A service that is ready has its kernels: no request waits for one to be compiled."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cluster.settings import ROOT
from features import compute, log, spine
from features.online import entity, warm
from features.targets import load_target

if TYPE_CHECKING:
    from cluster.workspace import Workspace

CHILD = Path(__file__).with_name("child_first_request.py")


def _first_requests(trained: Workspace, home: Path, *mutant: str) -> dict[str, list[str]]:
    shutil.copytree(trained.settings.home, home)
    done = subprocess.run(
        [sys.executable, str(CHILD), str(home), *mutant],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.mark.drill
def test_the_first_request_of_each_sort_compiles_nothing(
    trained: Workspace, tmp_path: Path
) -> None:
    """Nor does it read compiled code from disk: a process of its own, right after loading."""
    found = _first_requests(trained, tmp_path / "home")
    assert len(found) == 6
    assert {name: kernels for name, kernels in found.items() if kernels} == {}


@pytest.mark.drill
def test_without_warming_requests_wait_for_kernels(trained: Workspace, tmp_path: Path) -> None:
    """The defence switched off: each form of history brings kernels of its own."""
    found = _first_requests(trained, tmp_path / "home", "cold")
    met = {name for name, kernels in found.items() if kernels}
    assert met >= {"lead", "lead with events", "account", "lead that arrived"}
    assert any("instant.features" in kernel for kernel in found["lead"])


@pytest.mark.parametrize("name", ["lead_qualification", "opportunity_win"])
def test_made_histories_make_a_row_as_any_other(name: str) -> None:
    """That of the batch; and none without events."""
    target = load_target(name)
    program = entity.program(target)
    nothing, some = warm.histories(target)
    assert entity.row(program, nothing, warm.KEY, warm.AT) is None
    found = entity.table(program, entity.row(program, some, warm.KEY, warm.AT))
    rows = spine.chosen(target, some.table(), [warm.KEY], warm.AT)
    assert found.equals(compute.compute(target.features, some.table(), rows))
    assert found.num_rows == 1
    assert [part.count > 0 for part in some.parts] == [True] * warm.PARTS
    assert (log.retracted_at(some.table()) != log.NEVER).any()

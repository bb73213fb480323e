"""Child of the test: a service whose candidate kills the process on a certain row, by a fault of
native code. Asks about a lead twice with one key, and prints as JSON what came out.

Mutants: with `unmarked` calls leave no mark, with `heedless` what is held is taken.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from cluster.settings import Settings
from cluster.workspace import Workspace
from serving import decide
from serving.answer import mirror
from serving.answer.questions import Question
from serving.answer.service import DecisionService
from serving.answer.ticket import Answered
from serving.slots import crashes, inflight, slot
from serving.slots.slot import Answer

LEAD = {"lead": Answer(target="lead_qualification", policy="lead_routing")}
MIRRORED_S = 10.0


def main(home: Path, asked: dict[str, str], *mutant: str) -> None:
    """Ask; `asked` names the lead, the model that dies, and on whose row."""
    slot.decide = _deadly(asked["model"], asked["row"])
    if "unmarked" in mutant:
        inflight.Marks.begin = lambda *_: None  # type: ignore[method-assign]
    if "heedless" in mutant:
        crashes.unheard = lambda *_: None  # type: ignore[assignment]
    with (
        Workspace.open(Settings(home=home, buckets=4)) as workspace,
        closing(DecisionService(workspace, LEAD)) as service,
    ):
        question = Question(kind="lead", key=asked["lead"], reasons=False)
        done = service.decide(question, key="once", deadline_ms=20_000)
        again = service.decide(question, key="once", deadline_ms=20_000)
        assert isinstance(done, Answered), str(done)
        assert isinstance(again, Answered), str(again)
        assert done.body["fallback"] is None, done.body["fallback"]
        _until_mirrored(service)
        said = {"id": done.body["id"], "again": again.body["id"]}
        said |= {"model": done.body["basis"]["model"]}
        said |= {"refused": [each.why for each in service.watcher.refused]}
    os.write(sys.stdout.fileno(), json.dumps(said).encode())


def _deadly(model: str, row: str) -> Any:
    honest = decide.decide

    def called(loaded: Any, policy: Any, cases: Any, *rest: Any, **more: Any) -> Any:
        names = {case.entity for case in cases} if isinstance(cases, list) else set()
        if more["basis"].model == model and row in names:
            ctypes.string_at(0)  # a read of nothing: the kernel ends the process
        return honest(loaded, policy, cases, *rest, **more)

    return called


def _until_mirrored(service: DecisionService) -> None:
    """Wait until the candidate's copy of the decision is there, if there is to be one."""
    arms = service.slots.arms.get("lead")
    until = time.monotonic() + MIRRORED_S
    while arms and arms.candidate and arms.mirror and time.monotonic() < until:
        if any(service.workspace.journal.entries(mirror.KIND)):
            return
        time.sleep(0.05)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]), *sys.argv[3:])

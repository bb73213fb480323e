"""The study of a search: a journal file with one writer, that a killed run can take up again.

Each evaluated fold is in it before the next one starts: nothing finished is evaluated again.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from cluster.canonical import dumps
from cluster.errors import FunnelcastError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from optuna.study import Study

WINDOW = "window"  # how many trials are under way at once, as the first run said
LEAST_WINDOW = 4
PER_WORKER = 2  # trials under way, so that none waits for work while the first is still out


class StudyBusy(FunnelcastError):
    """Another process is running this study."""


@contextmanager
def opened(path: Path, name: str, workers: int = 1) -> Iterator[Study]:
    """Open the study in a journal file for this process alone, and take up what a killed run left.

    Raises StudyBusy while another process has it open.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".guard").open("w") as guard:
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StudyBusy(
                f"a study runs once at a time, got a second run of '{name}': wait for the first"
            ) from error
        _mend(path)
        storage = JournalStorage(_OneWriter(path))
        study = optuna.create_study(storage=storage, study_name=name, load_if_exists=True)
        if WINDOW not in study.user_attrs:
            study.set_user_attr(WINDOW, max(LEAST_WINDOW, PER_WORKER * workers))
        _take_up(study)
        yield study


class _OneWriter(JournalFileBackend):
    """A journal file whose one writer holds the guard: no lock, and no wait for the disk per line.

    What a loss of power takes from its end is evaluated again.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append one line per log."""
        with self._path.open("ab") as file:
            file.write(b"".join(dumps(log) + b"\n" for log in logs))


def _mend(path: Path) -> None:
    # a line cut short at the end would swallow the next one, and make the file unreadable
    written = path.read_bytes() if path.exists() else b""
    good = 0
    for line in written.splitlines(keepends=True):
        if not (line.endswith(b"\n") and _is_json(line)):
            break
        good += len(line)
    if good < len(written):
        os.truncate(path, good)


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _take_up(study: Study) -> None:
    """Fail the trials a killed run left, and queue them again in their order, with the folds they
    have and the parameters they were to have.
    """
    for _ in study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        study.ask()  # so that all are running, whatever the kill was in the middle of
    left = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    newest = {each.user_attrs["index"]: each for each in left if "index" in each.user_attrs}
    for _, trial in sorted(newest.items()):  # one may be queued again already, by a killed run
        params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
        study.enqueue_trial(params, user_attrs=trial.user_attrs)
    for trial in left:
        study.tell(trial.number, state=TrialState.FAIL)

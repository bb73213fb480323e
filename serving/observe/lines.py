"""Log lines: one JSON object a line, with ids and versions, and nothing about a person.

A line says what a caller of `Lines.say` names, so it holds no more than that. Lines of other
modules go through `Plain`: their words as they stand in the code, without what was put into them,
and of an error its type and place, not its text, which may quote anything.
"""

from __future__ import annotations

import logging
import random
import sys
import time
from logging.handlers import WatchedFileHandler
from typing import TYPE_CHECKING, Any

import orjson

from cluster.groups import Groups

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from cluster.settings import LogSettings

NAME = "funnelcast"
OURS = ("cluster", "features", "serving")  # loggers whose lines are ours
MOST_WAITING = 10_000  # lines that are not written yet
WAIT_S, TOGETHER = 0.2, 1_000
INFO, WARNING, ERROR = logging.INFO, logging.WARNING, logging.ERROR
LEVELS = {"info": INFO, "warning": WARNING, "error": ERROR, "none": logging.CRITICAL + 1}


class Lines:
    """Writes lines on a thread of its own. Saying one never waits and never raises."""

    def __init__(
        self,
        settings: LogSettings,
        *,
        replica: str,
        chance: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._least = LEVELS[settings.level]
        self._sample = settings.sample
        self._replica = replica
        self._chance = chance
        self._clock = clock
        self.dropped = 0
        self.written = 0
        self._handler = _handler(settings)
        self._logger = logging.getLogger(f"{NAME}.{replica}")
        self._logger.propagate = False
        self._logger.addHandler(self._handler)
        self._groups: Groups[dict[str, Any]] = Groups(
            self._write, wait_s=WAIT_S, limit=TOGETHER, name="log lines"
        )

    def wants(self, level: int) -> bool:
        """Is a line of this level to be written? Of plain ones a share is, by chance."""
        if level < self._least:
            return False
        return level > INFO or self._sample >= 1.0 or self._chance() < self._sample

    def say(self, level: int, event: str, said: Mapping[str, Any]) -> None:
        """Write a line, if lines of this level are wanted."""
        if not self.wants(level):
            return
        if self._groups.waiting >= MOST_WAITING:
            self.dropped += 1
            return
        head = {"time": self._clock(), "level": level, "event": event, "replica": self._replica}
        self._groups.put(head | dict(said))

    def take_over(self) -> None:
        """Let lines of our modules go the same way, as `Plain` has them."""
        for name in OURS:
            logger = logging.getLogger(name)
            logger.handlers[:] = [self._handler]
            logger.propagate = False

    def close(self) -> None:
        """Write what is queued."""
        self._groups.close()
        for name in OURS:
            logger = logging.getLogger(name)
            if self._handler in logger.handlers:
                logger.handlers.remove(self._handler)
                logger.propagate = True
        self._logger.removeHandler(self._handler)
        self._handler.close()

    def _write(self, group: list[dict[str, Any]]) -> None:
        # one record for all of them: a record each would cost more than the rest of a line
        self._logger.critical("\n".join(map(spelt, group)))
        self.written += len(group)


class Plain(logging.Formatter):
    """Lines of `Lines` as they are; those of others without what was put into their words."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        if record.name.startswith(NAME):
            return str(record.msg)
        said = {"time": record.created, "level": record.levelno, "event": str(record.msg)}
        args = record.args if isinstance(record.args, tuple) else ()
        errors = [type(each).__name__ for each in args if isinstance(each, BaseException)]
        more = {"logger": record.name} | ({"error": errors[0]} if errors else {})
        return spelt(said | more | _failure(record.exc_info))


def failure(error: BaseException) -> dict[str, Any]:
    """Return what may be told of an error: its type and place, and not its words."""
    return _failure((type(error), error, error.__traceback__))


def spelt(said: dict[str, Any]) -> str:
    """Return a line: the time in UTC, the level in a word, what it took to the µs, and the rest."""
    seconds, level = said["time"], logging.getLevelName(said["level"]).lower()
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    head: dict[str, Any] = {"time": f"{moment}.{int(seconds % 1 * 1000):03d}Z", "level": level}
    if "ms" in said:
        head["ms"] = {stage: round(spent, 3) for stage, spent in said["ms"].items()}
    return orjson.dumps(said | head, default=str).decode()


def _failure(about: Any) -> dict[str, Any]:
    if not about or about[0] is None:
        return {}
    return {"error": about[0].__name__, "at": _places(about[2])}


def _places(trace: TracebackType | None) -> list[str]:
    found = []
    while trace is not None:
        code = trace.tb_frame.f_code
        found.append(f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return found[-8:]


def _handler(settings: LogSettings) -> logging.Handler:
    made: logging.Handler
    if settings.file is None:
        # not sys.stderr: in a replica that goes on to Serve's own log, which has another level
        made = logging.StreamHandler(sys.__stderr__)
    else:
        settings.file.parent.mkdir(parents=True, exist_ok=True)
        made = WatchedFileHandler(settings.file, delay=True, encoding="utf-8")
    made.setFormatter(Plain())
    return made

"""Log lines: one JSON object each, by level and share, and nothing that was put into words."""

from __future__ import annotations

import json
import logging
import random
import threading
from typing import TYPE_CHECKING, Any

import pytest

from cluster.settings import LogSettings, Settings
from serving.observe import lines
from serving.observe.lines import ERROR, INFO, WARNING, Lines, Plain

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "kim.canary@example.com"


def _opened(path: Path, **given: Any) -> Lines:
    chance = random.Random(7).random
    return Lines(LogSettings(file=path, **given), replica="r1", chance=chance, clock=lambda: 12.5)


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_line_is_one_object(tmp_path: Path) -> None:
    """With when, how urgent, where from and what; times to the microsecond."""
    made = _opened(tmp_path / "log.jsonl")
    made.say(WARNING, "decision", {"decision": "d-1", "ms": {"score": 0.123456}, "odd": {1, 2}})
    made.close()
    (line,) = _read(tmp_path / "log.jsonl")
    assert line == {
        "time": "1970-01-01T00:00:12.500Z",
        "level": "warning",
        "event": "decision",
        "replica": "r1",
        "decision": "d-1",
        "ms": {"score": 0.123},
        "odd": "{1, 2}",
    }
    assert made.written == 1


@pytest.mark.parametrize(
    ("level", "written"),
    [
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
        ("none", []),
    ],
)
def test_levels_are_kept(tmp_path: Path, level: str, written: list[str]) -> None:
    """What is below is not written."""
    made = _opened(tmp_path / "log.jsonl", level=level)
    for each in (INFO, WARNING, ERROR):
        made.say(each, "x", {})
    made.close()
    assert [line["level"] for line in _read(tmp_path / "log.jsonl")] == written


def test_a_share_of_plain_lines_and_every_warning(tmp_path: Path) -> None:
    """By the setting."""
    made = _opened(tmp_path / "log.jsonl", sample=0.1)
    for _ in range(1_000):
        made.say(INFO, "plain", {})
        made.say(WARNING, "urgent", {})
    made.close()
    events = [line["event"] for line in _read(tmp_path / "log.jsonl")]
    assert events.count("urgent") == 1_000
    assert 60 < events.count("plain") < 150


def test_a_level_is_read_from_the_environment() -> None:
    """And a word that is none is refused."""
    assert Settings(home="/x", log={"level": "none"}).log.level == "none"
    with pytest.raises(ValueError, match="level"):
        LogSettings(level="loud")


def test_a_disk_that_hangs_costs_neither_time_nor_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is too much is dropped and counted; without the bound it is kept."""
    for most, kept in ((50, True), (10**9, False)):
        monkeypatch.setattr(lines, "MOST_WAITING", most)
        made = _opened(tmp_path / f"log-{most}.jsonl")
        hangs = threading.Event()
        monkeypatch.setattr(made._logger, "critical", lambda *said, hangs=hangs: hangs.wait(10))
        for _ in range(5_000):
            made.say(INFO, "x", {})
        assert (made._groups.waiting <= 50) is kept
        assert (made.dropped > 3_000) is kept
        hangs.set()
        made.close()


def _told(formatter: logging.Formatter) -> str:
    """Return what is written of a warning and of an error, each of which quotes somebody."""
    said: list[str] = []
    logger = logging.getLogger("serving.answer.somewhere")
    handler = logging.Handler()
    handler.emit = lambda record: said.append(formatter.format(record))  # type: ignore[method-assign]
    logger.addHandler(handler)
    try:
        logger.warning("a probe must have a thread, got '%s'", ValueError(CANARY))
        try:
            raise KeyError(CANARY)
        except KeyError:
            logger.exception("a row must be there, got %s", CANARY)
    finally:
        logger.removeHandler(handler)
    return "\n".join(said)


def test_lines_of_other_modules_tell_no_values() -> None:
    """Words of the code, kind and place of an error; an ordinary formatter would tell all."""
    told = _told(Plain())
    assert CANARY not in told
    first, second = map(json.loads, told.splitlines())
    assert first["event"] == "a probe must have a thread, got '%s'"
    assert (first["error"], second["error"]) == ("ValueError", "KeyError")
    assert second["at"][0].startswith("test_observe_lines.py:")
    assert second["logger"] == "serving.answer.somewhere"
    assert _told(logging.Formatter()).count(CANARY) == 3, "the mutant"


def test_our_modules_write_by_the_same_way(tmp_path: Path) -> None:
    """Once a replica has taken their lines over; what else the process logs stays as it is."""
    made = _opened(tmp_path / "log.jsonl")
    made.take_over()
    folding = logging.getLogger("cluster.folding")
    folding.warning("it must be folded, got '%s'", CANARY)
    logging.getLogger("elsewhere").warning("not ours")
    made.close()
    folding.warning("after the end")
    (line,) = _read(tmp_path / "log.jsonl")
    assert (line["event"], line["logger"]) == ("it must be folded, got '%s'", "cluster.folding")

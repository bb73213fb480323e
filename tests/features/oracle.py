"""What each aggregate of the language is, in plain Python straight from its words: slow, and shares
no code with the engine.
"""

from __future__ import annotations

import statistics
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from features.views import aggregates as a
    from features.views.language import Events

HOUR, DAY = 3_600_000_000, 86_400_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

type Event = dict[str, Any]


def events_of(table: pa.Table) -> list[Event]:
    """Return events as dicts, times in microseconds."""
    times = {name: table[name].cast(pa.int64()).to_pylist() for name in ("event_time", "known_at")}
    plain = table.to_pylist()
    return [
        {**event, "t": t, "k": k}
        for event, t, k in zip(plain, times["event_time"], times["known_at"], strict=True)
    ]


def expected(feature: a.Feature, entity: str, events: list[Event], row: dict[str, Any]) -> Any:
    """Return the value of a feature for a row (entity, account, at) of a spine."""
    at = row["at"]
    latest: dict[str, Event] = {}
    for event in sorted(events, key=lambda e: (e["k"], e["event_id"])):
        if event["k"] <= at:
            latest[event["row_key"]] = event
    there = sorted(
        (e for e in latest.values() if e["t"] < at), key=lambda e: (e["t"], e["k"], e["event_id"])
    )
    return _Seen(there, entity, row, feature).value()


class _Seen:
    """What a row sees of some events for one feature."""

    def __init__(self, there: list[Event], entity: str, row: Any, feature: a.Feature) -> None:
        self.there, self.entity, self.row, self.feature = there, entity, row, feature
        self.at = row["at"]
        self.mine = self.of(feature.events)

    def of(self, *choices: Events, days: float | None = -1) -> list[Event]:
        """The events of some choices in the window (by default of the feature)."""
        window = self.feature.window_days if days == -1 else days
        return [
            e
            for e in self.there
            if any(self._is(choice, e) for choice in choices)
            and (window is None or e["t"] >= self.at - window * DAY)
        ]

    def _is(self, choice: Events, event: Event) -> bool:
        key, value = (choice.of, self.row[choice.of]) if choice.of else (
            self.entity, self.row["entity"])  # fmt: skip
        if value is None or event[key] != value or event["kind"] != choice.kind:
            return False
        if choice.names and event["name"] not in choice.names:
            return False
        for where in choice.where:
            found = event[where.column]
            if where.one_of and found not in where.one_of:
                return False
            if where.at_least is not None and (found is None or found < where.at_least):
                return False
            if where.below is not None and (found is None or found >= where.below):
                return False
        return True

    def value(self) -> Any:
        """The value of the feature."""
        return getattr(self, f"_{type(self.feature).__name__}")()

    @property
    def _numbers(self) -> list[int]:
        return [e["number"] for e in self.mine if e["number"] is not None]

    def _Count(self) -> int:
        return len(self.mine)

    def _Sum(self) -> int:
        return sum(self._numbers)

    def _Mean(self) -> float | None:
        return sum(self._numbers) / len(self._numbers) if self._numbers else None

    def _Min(self) -> int | None:
        return min(self._numbers, default=None)

    def _Max(self) -> int | None:
        return max(self._numbers, default=None)

    def _end(self, place: int, column: str) -> Any:
        return self.mine[place][column] if self.mine else None

    def _LastNumber(self) -> Any:
        return self._end(-1, "number")

    def _LastText(self) -> Any:
        return self._end(-1, "text")

    def _LastName(self) -> Any:
        return self._end(-1, "name")

    def _FirstNumber(self) -> Any:
        return self._end(0, "number")

    def _FirstText(self) -> Any:
        return self._end(0, "text")

    def _FirstName(self) -> Any:
        return self._end(0, "name")

    def _Distinct(self) -> int:
        return len({e[self.feature.column] for e in self.mine} - {None})

    def _Ratio(self) -> float | None:
        per = self.of(self.feature.per)
        return len(self.mine) / len(per) if per else None

    def _Share(self) -> float | None:
        named = [e for e in self.mine if e["name"] in self.feature.names]
        return len(named) / len(self.mine) if self.mine else None

    def _HoursSince(self) -> float | None:
        return (self.at - self.mine[-1]["t"]) / HOUR if self.mine else None

    def _HoursSinceFirst(self) -> float | None:
        return (self.at - self.mine[0]["t"]) / HOUR if self.mine else None

    def _Trend(self) -> float | None:
        longer = self.of(self.feature.events, days=self.feature.than_days)
        if not longer:
            return None
        rate = len(self.mine) / self.feature.window_days
        return rate / (len(longer) / self.feature.than_days)

    def _Gap(self) -> float | None:
        gaps = [y["t"] - x["t"] for x, y in pairwise(self.mine)]
        if not gaps:
            return None
        if self.feature.statistic == "deviation":
            return statistics.pstdev(gap // 60_000_000 for gap in gaps) / 60
        return (max(gaps) if self.feature.statistic == "max" else statistics.mean(gaps)) / HOUR

    def _Streak(self) -> int:
        days = self.feature.period_days
        starts = [_start(e["t"], days) for e in self.mine]
        if not starts:
            return 0
        back = (max(starts) - timedelta(days=days * n) for n in range(10**6))
        return sum(1 for _ in takewhile(lambda start: start in set(starts), back))

    def _Decay(self) -> float:
        half = self.feature.half_life_days * DAY
        ages = [(self.at - e["t"], e["number"] or 0) for e in self.mine]
        is_plain = self.feature.of == "events"
        return float(sum(
            0.5 ** (age / half) * (1 if is_plain else number)
            for age, number in ages if age <= 30 * half
        ))  # fmt: skip

    def _HoursIn(self) -> float | None:
        if not self.mine:
            return None
        ends = [e["t"] for e in self.mine[1:]] + [self.at]
        spans = zip(self.mine, ends, strict=True)
        return sum(end - e["t"] for e, end in spans if e["name"] in self.feature.names) / HOUR

    def _Transitions(self) -> int:
        before, after = self.feature.before, self.feature.after
        return sum(
            (not before or x["name"] in before) and (not after or y["name"] in after)
            for x, y in pairwise(self.mine)
        )

    def _ResponseHours(self) -> float | None:
        asked, answer = self.feature.events, self.feature.answer
        both = self.of(asked, answer)
        gaps = [
            y["t"] - x["t"] for x, y in pairwise(both) if self._is(asked, x) and self._is(answer, y)
        ]
        if not gaps:
            return None
        return (max(gaps) if self.feature.statistic == "max" else statistics.mean(gaps)) / HOUR

    def _HoursUnanswered(self) -> float | None:
        both = self.of(self.feature.events, self.feature.answer)
        if not both or not self._is(self.feature.events, both[-1]):
            return None
        return (self.at - both[-1]["t"]) / HOUR

    def _Silence(self) -> float | None:
        pauses = [_working(y["t"]) - _working(x["t"]) for x, y in pairwise(self.mine)]
        if len(pauses) < 3:
            return None
        usual = statistics.mean(pauses) + 2 * statistics.pstdev(pauses)
        return (_working(self.at) - _working(self.mine[-1]["t"])) / max(usual, 60)


def _start(time: int, days: int) -> datetime:
    """The beginning of the day or week, Monday, of a moment."""
    day = (EPOCH + timedelta(microseconds=time)).replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=day.weekday()) if days == 7 else day


def _working(time: int) -> int:
    """Whole minutes of Monday to Friday from a Monday long ago to a moment."""
    start = _start(time, 7)
    weeks = (start - datetime(1969, 12, 29, tzinfo=UTC)).days // 7
    inside = EPOCH + timedelta(microseconds=time) - start
    return int((weeks * timedelta(days=5) + min(inside, timedelta(days=5))) / timedelta(minutes=1))


def without_window(feature: a.Feature) -> a.Feature:
    """The same over all history."""
    return replace(feature, window_days=None)

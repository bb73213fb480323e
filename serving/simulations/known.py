"""What a question may name, and how large it is: read from a snapshot of the log, part by part.

An estimate from few columns, made once per snapshot, to refuse what is wrong before anything runs;
the forecast itself looks closer (serving/forecast/pulled.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from features import log
from serving import scored

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cluster.workspace import Workspace
    from features.targets import Named
    from serving.forecast.funnels import Funnel, Told

RECENT_DAYS = 182  # as in serving/forecast/learning.py
_DAY = 86_400_000_000  # microseconds
_UNKNOWN = ""
_KEYS = ("lead", "opportunity")


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a funnel's log tells a planner."""

    stages: tuple[str, ...]
    begins: tuple[str, ...]  # stages in which units begin
    segments: tuple[str, ...]
    teams: tuple[str, ...]
    bands: int  # of the score; 0: there are no scores yet
    units: int  # open at the end of the log, about
    arriving: float  # new units of a step, about
    groups: int  # segments, teams and owners that occur together, about


def read(workspace: Workspace, funnel: Funnel, snapshot: int) -> Known:
    """Return what the log tells, as of a snapshot; all versions of its events count."""
    texts = [_words(each) for each in funnel.told]
    last = log.latest(workspace.tables, snapshot)
    since = round(last.timestamp() * 1e6) - RECENT_DAYS * _DAY
    found: tuple[set[str], set[str]] = ({_UNKNOWN}, {_UNKNOWN})
    units, new, groups = 0, 0, {(_UNKNOWN,) * len(texts)}
    for part in _parts(workspace, funnel, snapshot):
        together = _together(part, texts)
        groups |= together
        for place, words in enumerate(found):
            words.update(group[place] for group in together)
        opened, arrived = _counted(part, funnel, since)
        units, new = units + opened, new + arrived
    return Known(
        stages=tuple(stage.name for stage in funnel.stages),
        begins=tuple(funnel.stages[place].name for place in funnel.begins),
        segments=tuple(sorted(found[0])),
        teams=tuple(sorted(found[1])),
        bands=_bands(workspace, funnel),
        units=units,
        arriving=new * funnel.step_days / RECENT_DAYS,
        groups=len(groups),
    )


def _bands(workspace: Workspace, funnel: Funnel) -> int:
    heads = scored.heads(workspace.tables, funnel).values()
    there = zip(funnel.scores, heads, strict=False)
    return max((each.bands for each, head in there if head != str(None)), default=0)


def _parts(workspace: Workspace, funnel: Funnel, snapshot: int) -> Iterator[pa.Table]:
    keys = {each.key for each in funnel.told if each is not None and each.key}
    columns = ["kind", "name", "event_time", "account", *_KEYS, "text", *sorted(keys)]
    kinds = pa.array(sorted({"attribute", *(event.kind for _, event in funnel.declared)}))
    for bucket in workspace.tables.buckets(log.TABLE, snapshot):
        part = workspace.tables.read_bucket(bucket, columns)
        yield part.filter(pc.is_in(part["kind"], kinds))


def _words(told: Told | None) -> tuple[str, str | None] | None:
    """Return in which column a property is said, and by which attribute."""
    if told is None:
        return None
    return (told.key, None) if told.key else ("text", told.attribute)


def _said(part: pa.Table, told: tuple[str, str | None] | None, place: str) -> pa.Table:
    """Return the words that are said of a property, and by whom (`whom`): an account, or a unit
    that has none. Each once.
    """
    if told is None:
        return pa.schema([("whom", pa.string()), (place, pa.string())]).empty_table()
    column, attribute = told
    rows = part if attribute is None else part.filter(log.named(part, "attribute", (attribute,)))
    whom = pc.coalesce(*(rows[key].cast(pa.string()) for key in ("account", *_KEYS)))
    pairs = pa.table({"whom": whom, place: rows[column].cast(pa.string())}).drop_null()
    return pairs.group_by(["whom", place]).aggregate([])


def _together(part: pa.Table, texts: list[tuple[str, str | None] | None]) -> set[tuple[str, ...]]:
    """Return the words of several properties that are said of the same, in all ways: more than
    there will be where they have changed.
    """
    places = [f"{place}" for place in range(len(texts))]
    first, *others = (_said(part, *each) for each in zip(texts, places, strict=True))
    for other in others:
        first = first.join(other, "whom", join_type="full outer")
    ways = first.group_by(places).aggregate([])
    words = (pc.fill_null(ways[place], _UNKNOWN).to_pylist() for place in places)
    return set(zip(*words, strict=True))


def _counted(part: pa.Table, funnel: Funnel, since: int) -> tuple[int, int]:
    """Return how many units are open, and how many came since a moment, about: leads that became
    deals, and keys whose end is on record, are not open.
    """
    first = funnel.first_deal
    leads = _keys(part, "lead", _entering(funnel, funnel.states[:first]))
    deals = _keys(part, "opportunity", _entering(funnel, funnel.states[first : funnel.won_state]))
    ends = _entering(funnel, ("won", "lost"))
    over = _keys(part, "opportunity", ends), _keys(part, "lead", ends)
    became = _keys(part.filter(pc.is_valid(part["opportunity"])), "lead", None)
    is_open = len(deals - over[0]) + len(leads - over[1] - became)
    recent = part.filter(pc.greater_equal(part["event_time"].cast(pa.int64()), since))
    column, begins = ("lead" if first > 0 else "opportunity"), funnel.states[funnel.begins[0]]
    return is_open, len(_keys(recent, column, _entering(funnel, [begins])))


def _entering(funnel: Funnel, states: Iterable[str]) -> list[Named]:
    wanted = set(states)
    return [event for state, event in funnel.declared if state in wanted]


def _keys(part: pa.Table, column: str, events: list[Named] | None) -> set[str]:
    """Return the keys that some events (None: all) name."""
    found: set[str] = set()
    for each in [None] if events is None else events:
        rows = part if each is None else part.filter(log.named(part, each.kind, each.names))
        found.update(pc.unique(rows[column]).drop_null().cast(pa.string()).to_pylist())
    return found

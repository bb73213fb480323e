"""The history a forecast learns from: person-period tables as known at T.

One row per week that a deal (or lead) was open for a whole week before T, on its own clock: week 0
begins when it is created, and an event at exactly 7 days belongs to week 1. A week that T cuts
short is left out even if its outcome is known: to keep such weeks only when something happened
would overstate every rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features import log
from serving.forecast.stages import DESTINATIONS, LOST, STAGES, WEEK_MICROSECONDS, WON

if TYPE_CHECKING:
    from datetime import datetime

CONTACT_WEEKS = 4  # a lead counts as contacted for this long after an outreach
COLUMNS = (
    *("event_id", "row_key", "kind", "name", "event_time", "known_at"),
    *("account", "lead", "opportunity", "number", "text"),
)
DEAL_WEEK_COLUMNS = (
    *("opportunity", "week", "week_start", "stage", "weeks_in_stage"),
    *("destination", "outcome", "cents", "touched"),
)
_KINDS = ("opportunity", "stage", "outcome", "lead", "activity", "intervention")
_STAGE_CODE = {name: code for code, name in enumerate(STAGES)}
_END_CODE = {"won": WON, "lost": LOST}
_NEVER = log.NEVER


@dataclass(frozen=True, kw_only=True, eq=False)
class History:
    """What was known at `at`: times are int64 microseconds since 1970, money is int64 cents.

    `deals`: opportunity, lead, born, died, how ("" while open), cents as created, end_cents as won
    (-1 where unknown).
    `deal_weeks`: opportunity, week, week_start, stage (name), weeks_in_stage, destination (name),
    outcome (stay, advance, regress, won, lost), cents, touched (a rep's activity in that week).
    `leads`: lead, born, died, how. `lead_weeks`: lead, week, week_start, outcome (stay, qualified,
    disqualified), contacted (an outreach within the 4 weeks before the week began).
    """

    at: int
    first: int  # time of the earliest event
    events: pd.DataFrame  # the visible events before `at`
    stages: pd.DataFrame  # opportunity, time, stage code: every change of stage
    deals: pd.DataFrame
    deal_weeks: pd.DataFrame
    leads: pd.DataFrame
    lead_weeks: pd.DataFrame


def read(events: pa.Table, at: datetime) -> History:
    """Build the tables from rows of the event log (at least COLUMNS), as known at `at`."""
    moment = int(pa.scalar(at, log.MICROSECONDS).cast(pa.int64()).as_py())
    known = _known(events, at, moment)
    deals = _deals(known, moment)
    leads = _leads(known, deals, moment)
    stages = _stages(known)
    return History(
        at=moment,
        first=int(known["time"].min()) if len(known) else moment,
        events=known,
        stages=stages,
        deals=deals,
        deal_weeks=_deal_weeks(known, deals, stages, moment),
        leads=leads,
        lead_weeks=_lead_weeks(known, leads, moment),
    )


def stage_before(
    stages: pd.DataFrame, deals: pd.Series, times: pd.Series
) -> tuple[np.ndarray, np.ndarray]:
    """Return stage code and time of entry just before each time; -1 where there is none."""
    found = _latest(stages.assign(entered=stages["time"]), deals, times)[["stage", "entered"]]
    codes = found.fillna(-1).to_numpy(np.int64)
    return codes[:, 0], codes[:, 1]


def contacted_before(
    events: pd.DataFrame, leads: pd.Series, times: pd.Series, span: int
) -> np.ndarray:
    """Was each lead treated by an outreach within `span` microseconds before each time?"""
    treated = events[(events["kind"] == "intervention") & (events["text"] == "treated")]
    found = _latest(treated[["lead", "time"]].assign(contact=treated["time"]), leads, times)
    # a lead without a contact compares false
    return np.asarray(found["time"] - found["contact"] <= span, bool)


def _latest(rows: pd.DataFrame, keys: pd.Series, times: pd.Series) -> pd.DataFrame:
    """Return, in the order asked, the latest of `rows` (sorted by time) of each key before each
    time."""
    key = str(keys.name)
    asked = pd.DataFrame({key: keys.array, "time": times.array, "place": np.arange(len(keys))})
    if rows.empty or asked.empty:  # nothing to look up; pandas cannot merge two empty key columns
        return asked.reindex(columns=asked.columns.union(rows.columns, sort=False))
    found = pd.merge_asof(
        asked.sort_values("time", kind="stable"),
        rows,
        on="time",
        by=key,
        allow_exact_matches=False,
    )
    return found.sort_values("place", ignore_index=True)


def _known(events: pa.Table, at: datetime, moment: int) -> pd.DataFrame:
    kinds = events.filter(pc.is_in(events["kind"], pa.array(_KINDS)))
    visible = log.visible(kinds.select(list(COLUMNS)), at)
    visible = visible.append_column("time", visible["event_time"].cast(pa.int64()))
    kept = visible.drop_columns(["event_time", "known_at"])
    frame = kept.filter(pc.less(kept["time"], moment)).to_pandas()
    return frame.sort_values(["time", "event_id"], ignore_index=True)


def _deals(known: pd.DataFrame, at: int) -> pd.DataFrame:
    created = known[(known["kind"] == "opportunity") & (known["name"] == "created")]
    ends = known[(known["kind"] == "outcome") & known["name"].isin(_END_CODE)]
    deals = _lives(created, ends.assign(how=ends["name"]), "opportunity", at)
    for amount in ("cents", "end_cents"):
        deals[amount] = deals[amount].fillna(-1).astype(np.int64)
    return deals


def _leads(known: pd.DataFrame, deals: pd.DataFrame, at: int) -> pd.DataFrame:
    created = known[(known["kind"] == "lead") & (known["name"] == "created")]
    said = known[(known["kind"] == "lead") & known["name"].isin(("qualified", "disqualified"))]
    # a source may record the opportunity and not the qualification
    implied = deals[["lead", "born"]].dropna().rename(columns={"born": "time"})
    ends = pd.concat([said.assign(how=said["name"]), implied.assign(how="qualified")])
    return _lives(created, ends.sort_values("time", kind="stable"), "lead", at)


def _lives(created: pd.DataFrame, ends: pd.DataFrame, key: str, at: int) -> pd.DataFrame:
    """Return one row per created subject: its first creation and its first end at or after that."""
    born = created.dropna(subset=key).drop_duplicates(key).rename(columns={"time": "born"})
    ends = ends.merge(born[[key, "born"]], on=key)
    first_end = ends[ends["time"] >= ends["born"]].drop_duplicates(key)
    first_end = first_end.rename(columns={"time": "died", "number": "end_cents"})
    born = born.rename(columns={"number": "cents"})
    lives = born.merge(first_end[[key, "died", "how", "end_cents"]], on=key, how="left")
    died = lives["died"].fillna(0).astype(np.int64)
    lives["died"] = died.where(lives["died"].notna(), _NEVER)  # NEVER has no place in a float
    lives["how"] = lives["how"].fillna("")
    kept = dict.fromkeys((key, "lead", "born", "died", "how", "cents", "end_cents"))
    return lives[list(kept)].sort_values(["born", key], ignore_index=True)


def _stages(known: pd.DataFrame) -> pd.DataFrame:
    """Return the changes of stage by time; to enter the stage one is in is no change."""
    created = (known["kind"] == "opportunity") & (known["name"] == "created")
    named = (known["kind"] == "stage") & known["name"].isin(STAGES)
    rows = known[created | named]
    names = rows["name"].where(rows["kind"] == "stage", STAGES[0])
    entered = rows[["opportunity", "time"]].assign(stage=names.map(_STAGE_CODE).astype(np.int64))
    # of changes at one moment, as dates without a time make them, the furthest stage stands
    entered = entered.sort_values(["time", "stage"], kind="stable")
    before = entered.groupby("opportunity")["stage"].shift()
    return entered[entered["stage"] != before].reset_index(drop=True)


def _deal_weeks(
    known: pd.DataFrame, deals: pd.DataFrame, stages: pd.DataFrame, at: int
) -> pd.DataFrame:
    weeks = _whole_weeks(deals, at)
    key, start = weeks["opportunity"], weeks["week_start"]
    stage, entered = stage_before(stages, key, start)
    is_first = (weeks["week"] == 0).to_numpy()
    stage, entered = np.where(is_first, 0, stage), np.where(is_first, start, entered)
    destination, _ = stage_before(stages, key, start + WEEK_MICROSECONDS)
    ends = weeks["ends"].to_numpy()
    destination = np.where(ends, weeks["how"].map(_END_CODE).fillna(-1), destination).astype(int)
    weeks["stage"] = np.array(STAGES, object)[stage]
    weeks["weeks_in_stage"] = (start.to_numpy() - entered) // WEEK_MICROSECONDS
    weeks["destination"] = np.array(DESTINATIONS, object)[destination]
    weeks["outcome"] = _outcomes(stage, destination)
    weeks["touched"] = _touched(known, weeks)
    return weeks[list(DEAL_WEEK_COLUMNS)]


def _outcomes(stage: np.ndarray, destination: np.ndarray) -> np.ndarray:
    conditions = [destination == WON, destination == LOST, destination > stage, destination < stage]
    return np.select(conditions, ["won", "lost", "advance", "regress"], "stay")


def _touched(known: pd.DataFrame, weeks: pd.DataFrame) -> np.ndarray:
    activity = known[(known["kind"] == "activity") & known["opportunity"].notna()]
    joined = activity[["opportunity", "time"]].merge(
        weeks[["opportunity", "born"]].drop_duplicates(), on="opportunity"
    )
    joined["week"] = (joined["time"] - joined["born"]) // WEEK_MICROSECONDS
    pairs = pd.MultiIndex.from_frame(joined[["opportunity", "week"]])
    return np.asarray(pd.MultiIndex.from_frame(weeks[["opportunity", "week"]]).isin(pairs))


def _lead_weeks(known: pd.DataFrame, leads: pd.DataFrame, at: int) -> pd.DataFrame:
    weeks = _whole_weeks(leads, at)
    weeks["outcome"] = weeks["how"].where(weeks["ends"], "stay")
    span = CONTACT_WEEKS * WEEK_MICROSECONDS
    weeks["contacted"] = contacted_before(known, weeks["lead"], weeks["week_start"], span)
    return weeks[["lead", "week", "week_start", "outcome", "contacted"]]


def _whole_weeks(lives: pd.DataFrame, at: int) -> pd.DataFrame:
    """Return one row per whole week lived before `at`; `ends` marks the week of the end."""
    born, died = lives["born"].to_numpy(), lives["died"].to_numpy()
    last = np.where(died == _NEVER, _NEVER, (np.minimum(died, at) - born) // WEEK_MICROSECONDS)
    count = np.minimum((at - born) // WEEK_MICROSECONDS, last + (last != _NEVER))
    weeks = lives.loc[np.repeat(lives.index, count)].reset_index(drop=True)
    begins = np.repeat(np.cumsum(count) - count, count)
    weeks["week"] = np.arange(len(weeks)) - begins
    weeks["week_start"] = weeks["born"] + weeks["week"] * WEEK_MICROSECONDS
    weeks["ends"] = weeks["week"].to_numpy() == np.repeat(last, count)
    return weeks

"""The world's handover: whom marketing qualifies, whom sales accepts, and what stays as it was."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.metrics import roc_auc_score

from features.sources.world import World, WorldConfig, generate, handover, marketing, touches

CONFIG = WorldConfig(faults=0.0)
END = pd.Timestamp("2026-06-29", tz="UTC")
START = pd.Timestamp("2024-12-30", tz="UTC")
POINTS = pd.Series({touches.NAMES[place]: worth for place, worth in handover.POINTS.items()})
NAMES = ("marketing_qualified", "sales_accepted", "sales_rejected")


@pytest.fixture(scope="module")
def world() -> World:
    """Return the default world without broken rows."""
    return generate(CONFIG)


@pytest.fixture(scope="module")
def leads(world: World) -> pd.DataFrame:
    """Return the truth about its leads."""
    return world.truth["leads"].set_index("lead")


def _points(world: World, until: pd.Series) -> pd.Series:
    """Return the points that each lead has from touches up to its moment."""
    rows = world.events.to_pandas()
    own = rows[(rows["kind"] == "touch") & rows["opportunity"].isna() & rows["lead"].notna()]
    own = own[own["event_time"] <= own["lead"].map(until)]
    total = own["name"].map(POINTS).fillna(0.0).groupby(own["lead"]).sum()
    return total.reindex(until.index, fill_value=0.0)


def test_who_engages_enough_is_qualified_by_marketing(world: World, leads: pd.DataFrame) -> None:
    """By points up to that moment, within the noise of the threshold; no other lead has as many."""
    asked = leads["marketing_qualified"].notna()
    ended = leads[["qualified", "disqualified"]].min(axis=1).fillna(END)
    points = _points(world, leads["marketing_qualified"].fillna(ended))
    low, high = (handover.THRESHOLD + way * 4 * handover.NOISE for way in (-1, 1))
    assert 0.35 < asked.mean() < 0.5
    assert points[asked].min() >= low
    assert points[~asked].max() < high
    assert points[asked].median() > points[~asked].quantile(0.9)


def test_the_events_are_those_of_the_truth(world: World, leads: pd.DataFrame) -> None:
    """Each once, at its moment, and known within hours."""
    rows = world.events.to_pandas()
    for name in NAMES:
        said = rows[(rows["kind"] == "lead") & (rows["name"] == name)].set_index("lead")
        planted = leads[name].dropna()
        assert said.index.is_unique and set(said.index) == set(planted.index)
        assert (said["event_time"].reindex(planted.index) == planted).all()
        assert (said["known_at"] - said["event_time"]).median() < pd.Timedelta(hours=2)


def test_sales_accepts_at_the_planted_probability(leads: pd.DataFrame) -> None:
    """In each group of equal size, of those on whom it decides."""
    decided = leads[leads["sales_accepted"].notna() | leads["sales_rejected"].notna()]
    chance, label = decided["acceptance_probability"], decided["sales_accepted"].notna()
    groups = pd.qcut(chance, 6)
    excess = (label - chance).groupby(groups, observed=True).sum()
    variance = (chance * (1 - chance)).groupby(groups, observed=True).sum()
    assert (excess.abs() < 3 * np.sqrt(variance)).all()
    assert 0.7 < roc_auc_score(label, chance) < 0.85


def test_sales_decides_once_on_a_working_day_while_the_lead_is_open(leads: pd.DataFrame) -> None:
    """After it was qualified by marketing, some hours at least; some it never looks at."""
    decided = leads["sales_accepted"].fillna(leads["sales_rejected"])
    assert not (leads["sales_accepted"].notna() & leads["sales_rejected"].notna()).any()
    wait = (decided - leads["marketing_qualified"])[decided.notna()]
    assert wait.min() >= pd.Timedelta(handover.LEAST_WAIT, unit="us")
    assert pd.Timedelta(days=1) < wait.median() < pd.Timedelta(days=5)
    assert decided.dropna().dt.day_of_week.max() == 4
    ended = leads[["qualified", "disqualified"]].min(axis=1)
    assert not (decided >= ended).any()
    old = leads["marketing_qualified"] < START + pd.Timedelta(weeks=60)
    assert 0.1 < decided[old].isna().mean() < 0.35


def test_without_a_company_sales_hardly_accepts(world: World, leads: pd.DataFrame) -> None:
    """Nobody sells to a person without one."""
    rows = world.events.to_pandas()
    created = rows[(rows["kind"] == "lead") & (rows["name"] == "created")].set_index("lead")
    alone = created["account"].isna().reindex(leads.index)
    chance = leads["acceptance_probability"]
    assert chance[alone].mean() < 0.4 * chance[~alone].mean()


def test_no_other_event_is_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """The handover has streams of its own, and its rows come last."""
    config = CONFIG.model_copy(update={"corrections": 0.0, "scale": 0.2})
    events = generate(config).events
    rest = events.filter(pc.invert(pc.is_in(events["name"], pa.array(NAMES))))
    monkeypatch.setattr(marketing, "handed_over", lambda *_: [])
    before = generate(config).events
    columns = [name for name in before.column_names if name != "source_row"]
    order = [("row_key", "ascending")]
    assert rest.select(columns).sort_by(order).equals(before.select(columns).sort_by(order))

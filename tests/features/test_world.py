"""The world: reproducible, true to its contracts, plausible, with the effects that it planted."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cluster.errors import WrongUse
from cluster.settings import CONFIGS, validated
from features import log
from features.contracts import check, load_contracts
from features.sources.mapping import load_source
from features.sources.world import (
    World,
    WorldConfig,
    chance,
    course,
    effort,
    faults,
    generate,
    outreach,
)

CONTRACTS = load_contracts(CONFIGS / "contracts")
START = pd.Timestamp("2024-12-30", tz="UTC")
END = pd.Timestamp("2026-06-29", tz="UTC")
WEEK = pd.Timedelta(weeks=1)
SMALL = WorldConfig(scale=0.1)


@pytest.fixture(scope="module")
def world() -> World:
    """Return the default world without broken rows."""
    return generate(WorldConfig(faults=0.0))


@pytest.fixture(scope="module")
def events(world: World) -> pd.DataFrame:
    """Return its events as a DataFrame."""
    return world.events.to_pandas()


@pytest.fixture(scope="module")
def lots(world: World) -> pd.DataFrame:
    """Return the truth about its interventions by lead."""
    return world.truth["interventions"].set_index("lead")


def digest(table: pa.Table) -> str:
    """Return a hash over everything in a table."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table.combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()


def of(events: pd.DataFrame, kind: str, *names: str) -> pd.DataFrame:
    """Return the events of a kind, of some names."""
    return events[(events["kind"] == kind) & (events["name"].isin(names) | (not names))]


def final(events: pd.DataFrame) -> pd.DataFrame:
    """Return of each row the version that was known last."""
    return events.sort_values("known_at", kind="stable").drop_duplicates("row_key", keep="last")


def test_the_same_seed_gives_the_same_world() -> None:
    one, other = generate(SMALL), generate(SMALL)
    assert digest(one.events) == digest(other.events)
    for name, frame in one.truth.items():
        pd.testing.assert_frame_equal(frame, other.truth[name])


def test_another_seed_gives_another_world() -> None:
    assert digest(generate(SMALL).events) != digest(generate(WorldConfig(scale=0.1, seed=8)).events)


def test_a_concern_does_not_shift_the_draws_of_another() -> None:
    one, other = generate(SMALL), generate(SMALL.model_copy(update={"faults": 0.1}))
    fault = pc.match_substring(other.events["row_key"], ":fault:")
    kept = other.events.filter(pc.invert(fault)).drop_columns(["source_row"])
    fault = pc.match_substring(one.events["row_key"], ":fault:")
    assert digest(kept) == digest(one.events.filter(pc.invert(fault)).drop_columns(["source_row"]))


def test_streams_of_two_concerns_differ() -> None:
    draws = [chance.stream(7, name).random(4).tolist() for name in ("leads", "deals", "leads")]
    assert draws[0] == draws[2] != draws[1]


@pytest.mark.parametrize("scale", [0.004, 0.05, 0.5])
def test_the_scale_multiplies_everything(world: World, scale: float) -> None:
    small = generate(WorldConfig(scale=scale, faults=0.0))
    assert len(small.truth["leads"]) == 4_000 * scale
    # the metrics of campaigns are as many in a small company
    many, few = (
        pc.sum(pc.not_equal(made.events["kind"], "metric")).as_py() for made in (world, small)
    )
    assert few == pytest.approx(many * scale, rel=0.2 if scale > 0.01 else 0.6)


def test_the_size_is_that_of_a_real_company(world: World) -> None:
    leads, deals = world.truth["leads"], world.truth["opportunities"]
    assert 180_000 <= world.events.num_rows <= 210_000
    assert 750 <= len(deals) <= 1_050
    assert (leads["qualified"].isna() & leads["disqualified"].isna()).sum() > 300
    assert deals["closed"].isna().sum() >= 80
    assert 0.3 < (deals["state"] == "won").sum() / deals["closed"].notna().sum() < 0.5


def test_every_event_keeps_its_contract(world: World) -> None:
    assert world.events.schema.equals(log.CANDIDATE)
    assert check(CONTRACTS, world.events).bad["reasons"].to_pylist() == []


def test_the_check_refuses_exactly_the_planted_faults() -> None:
    made = generate(WorldConfig(scale=0.2, faults=0.01))
    checked = check(CONTRACTS, made.events)
    assert sorted(checked.bad["row_key"].to_pylist()) == sorted(made.truth["faults"]["row_key"])
    counts = made.truth["fault_counts"].set_index("fault")["rows"]
    assert counts.sum() == checked.bad.num_rows > 100
    assert counts.min() > 0
    assert set(counts.index) == set(faults.FAULTS)


def test_nothing_is_known_before_it_happens(events: pd.DataFrame) -> None:
    happened = events[events["kind"] != "calendar"]
    lag = happened["known_at"] - happened["event_time"]
    assert lag.min() > pd.Timedelta(0)
    assert lag.median() < pd.Timedelta(hours=3)
    stages = of(events, "stage").sort_values("known_at").drop_duplicates("row_key")
    late = (stages["known_at"] - stages["event_time"]).dt.total_seconds() / 86_400
    assert 0.03 < (late > 0.5).mean() < 0.2
    assert late.max() <= 2.0


def test_everything_happens_in_the_period(events: pd.DataFrame) -> None:
    assert events["event_time"].min() >= START
    assert events["event_time"].max() < END
    # the week at the end is as busy as the one before
    ages = ((END - events["event_time"]) // WEEK).value_counts()
    assert ages[0] == pytest.approx(ages[1], rel=0.25)


def test_all_events_of_a_lead_share_a_shard() -> None:
    rows = log.identified(generate(WorldConfig(scale=0.3, faults=0.0)).events)
    assert rows["shard"].null_count == 0
    assert len(pc.unique(rows["event_id"])) == rows.num_rows
    frame = rows.select(["lead", "opportunity", "shard"]).to_pandas()
    assert frame.groupby("lead")["shard"].nunique().max() == 1
    assert frame.groupby("opportunity")["shard"].nunique().max() == 1


def test_a_lead_begins_with_its_creation(events: pd.DataFrame) -> None:
    own = events[events["lead"].notna()]
    created = of(own, "lead", "created").set_index("lead")["event_time"]
    assert (own["event_time"] >= own["lead"].map(created)).all()
    assert created.index.is_unique


def test_a_lead_ends_at_most_once_and_is_silent_after_disqualification(
    events: pd.DataFrame,
) -> None:
    own = events[events["lead"].notna()]
    ends = of(own, "lead", "qualified", "disqualified")
    assert ends["lead"].is_unique
    given_up = ends[ends["name"] == "disqualified"].set_index("lead")["event_time"]
    after = own["event_time"] > own["lead"].map(given_up)
    assert not after.any()


def test_a_deal_is_silent_after_its_outcome(events: pd.DataFrame) -> None:
    own = events[events["opportunity"].notna()]
    ends = of(own, "outcome", "won", "lost").set_index("opportunity")["event_time"]
    assert ends.index.is_unique
    after = own[own["event_time"] > own["opportunity"].map(ends)]
    assert set(after["name"]) == {"churned"}


def test_a_deal_moves_by_one_stage_at_a_time(events: pd.DataFrame) -> None:
    stages = final(of(events, "stage")).sort_values(["opportunity", "event_time"])
    places = stages["name"].map({name: place for place, name in enumerate(course.STAGES)})
    of_deal = places.groupby(stages["opportunity"])
    steps = of_deal.diff().dropna()
    assert (of_deal.first() == 0).all()
    assert set(steps) == {1.0, -1.0}
    assert 0 < (steps < 0).mean() < 0.15


def test_a_deal_is_won_from_negotiation(events: pd.DataFrame) -> None:
    stages = final(of(events, "stage")).sort_values("event_time")
    stages = stages.groupby("opportunity")["name"].last()
    won = of(events, "outcome", "won").set_index("opportunity")
    assert (stages[won.index] == "negotiation").all()
    assert won["number"].min() > 0


@pytest.mark.parametrize(("column", "least"), [("number", 2), ("name", 4), ("account", 10)])
def test_a_correction_is_a_later_version_of_the_same_row(
    world: World, column: str, least: int
) -> None:
    corrections = world.truth["corrections"].query("column == @column")
    corrections = corrections.set_index("row_key").sort_index()
    rows = world.events.to_pandas().sort_values("known_at")
    versions = rows[rows["row_key"].isin(corrections.index)].groupby("row_key")
    assert least <= len(corrections) <= 20 * least
    assert (versions.size() == 2).all()
    texts = versions[column]
    assert (texts.last() == corrections["right"].astype(texts.last().dtype)).all()
    assert (texts.first() == corrections["first"].astype(texts.first().dtype)).all()
    assert (texts.first() != texts.last()).all()


def test_once_corrected_the_first_version_is_no_longer_visible(world: World) -> None:
    corrected = len(final(world.events.to_pandas()))
    assert corrected == world.events.num_rows - world.truth["corrections"]["row_key"].nunique()


def busiest_week(events: pd.DataFrame) -> int:
    """Return the most pieces of work that a rep has in one week, meetings that failed included."""
    work = of(events, "activity")
    failed = of(events, "calendar", "cancelled", "no_show")
    work = pd.concat([work, failed])
    week = (work["event_time"] - START) // WEEK
    return int(work.groupby(["rep", week]).size().max())


def test_a_rep_does_no_more_in_a_week_than_the_capacity(events: pd.DataFrame) -> None:
    assert busiest_week(events) == WorldConfig().rep_capacity


def test_without_the_rule_reps_do_more_than_they_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effort, "done", lambda wished, _: wished)
    tireless = generate(WorldConfig(scale=0.1, faults=0.0)).events.to_pandas()
    assert busiest_week(tireless) > 1.5 * WorldConfig().rep_capacity


def test_propensities_are_logged_and_bounded(lots: pd.DataFrame, events: pd.DataFrame) -> None:
    logged = of(events, "intervention").set_index("lead").loc[lots.index]
    assert lots["propensity"].between(0.1, 0.9).all()
    assert (logged["number"] == lots["propensity"] * 1_000_000).all()
    assert ((logged["text"] == "treated") == lots["is_treated"]).all()


def test_propensities_are_the_shares_treated(lots: pd.DataFrame) -> None:
    chance_treated = lots["propensity"]
    groups = pd.cut(chance_treated, 5)
    excess = (lots["is_treated"] - chance_treated).groupby(groups, observed=True).sum()
    variance = (chance_treated * (1 - chance_treated)).groupby(groups, observed=True).sum()
    assert len(excess) >= 4
    assert (excess.abs() < 3 * np.sqrt(variance)).all()


def inverse(lots: pd.DataFrame) -> pd.Series:
    """Return the inverse probability of the arm that was drawn."""
    return 1 / lots["propensity"].where(lots["is_treated"], 1 - lots["propensity"])


def planted_effect(lots: pd.DataFrame) -> float:
    """Return the true mean effect on the probability of qualification."""
    return float((lots["risk_treated"] - lots["risk_control"]).mean())


def estimate(world: World, lots: pd.DataFrame, weights: pd.Series) -> tuple[float, float]:
    """Return the weighted effect on qualification within the effect's weeks, and its error."""
    leads = world.truth["leads"].set_index("lead").loc[lots.index]
    life = (leads["qualified"] - START) // WEEK - (leads["created"] - START) // WEEK
    last = outreach.STEP + WorldConfig().effect_weeks - 1
    happened = life.between(outreach.STEP, last).astype(float)
    treated = lots["is_treated"]
    arms = [(happened[arm], weights[arm]) for arm in (treated, ~treated)]
    means = [np.average(y, weights=w) for y, w in arms]
    errors = [
        ((w * (y - m)) ** 2).sum() / w.sum() ** 2 for (y, w), m in zip(arms, means, strict=True)
    ]
    return means[0] - means[1], float(np.sqrt(sum(errors)))


def test_weighting_recovers_the_planted_effect(world: World, lots: pd.DataFrame) -> None:
    found, error = estimate(world, lots, inverse(lots))
    assert planted_effect(lots) > 0.05
    assert abs(found - planted_effect(lots)) < 2.5 * error
    assert found > 3 * error


def test_a_naive_comparison_of_the_arms_is_wrong(world: World, lots: pd.DataFrame) -> None:
    found, error = estimate(world, lots, pd.Series(1.0, index=lots.index))
    assert found - planted_effect(lots) > 3 * error


def test_without_an_effect_none_is_found() -> None:
    null = generate(WorldConfig(effect=1.0, faults=0.0))
    lots = null.truth["interventions"].set_index("lead")
    found, error = estimate(null, lots, inverse(lots))
    assert planted_effect(lots) == 0
    assert abs(found) < 2.5 * error


def auc(rows: pd.DataFrame, label: pd.Series, since: pd.Series) -> float:
    """Return the AUC on the latest 25 % of a logistic regression on the others."""
    order = since.sort_values().index
    cut = int(0.75 * len(order))
    train, test = order[:cut], order[cut:]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=500))
    model.fit(rows.loc[train], label[train])
    return float(roc_auc_score(label[test], model.predict_proba(rows.loc[test])[:, 1]))


def attributes(events: pd.DataFrame) -> pd.DataFrame:
    """Return what is known about leads at their creation, as columns of numbers."""
    own = of(events, "attribute")
    own = own[own["lead"].notna()]
    words = own[own["text"].notna()].pivot(index="lead", columns="name", values="text")
    size = own[own["name"] == "employees"].set_index("lead")["number"].astype(float)
    return pd.get_dummies(words, dtype=float).assign(
        size=np.log(size).reindex(words.index).fillna(5)
    )


def seen(events: pd.DataFrame, key: str, until: pd.Series) -> pd.DataFrame:
    """Count the touches, work and objections of each entity that were known at its own moment."""
    own = events[events["kind"].isin(["touch", "activity", "objection", "stage"])]
    moment = own[key].map(until)
    own = own[(own["event_time"] < moment) & (own["known_at"] <= moment)]
    counts = pd.crosstab(own[key], own["kind"] + "." + own["name"])
    return np.log1p(counts.reindex(until.index, fill_value=0))


def test_early_behaviour_foretells_qualification_but_does_not_decide_it(
    world: World, events: pd.DataFrame
) -> None:
    leads = world.truth["leads"].set_index("lead")
    at = leads["created"] + WEEK
    horizon = at + pd.Timedelta(days=60)
    ended = leads[["qualified", "disqualified"]].min(axis=1)
    at = at[~(ended < at) & (horizon <= END)]
    label = leads["qualified"][at.index] <= horizon[at.index]
    rows = seen(events, "lead", at).join(attributes(events))
    assert 0.75 <= auc(rows, label, at) <= 0.82
    assert roc_auc_score(label, leads["probability_60d"][at.index]) > 0.83


def test_the_first_weeks_of_a_deal_foretell_its_outcome(world: World, events: pd.DataFrame) -> None:
    deals = world.truth["opportunities"].set_index("opportunity")
    at = deals["created"] + 3 * WEEK
    at = at[deals["closed"] > at]
    of_lead = pd.Series(deals.index, index=deals["lead"])
    own = events.assign(opportunity=events["opportunity"].fillna(events["lead"].map(of_lead)))
    own = own[own["event_time"] >= own["opportunity"].map(deals["created"])]
    about = attributes(events).reindex(deals["lead"][at.index]).set_index(at.index)
    rows = seen(own, "opportunity", at).join(about.fillna(0.0))
    assert 0.68 <= auc(rows, deals["state"][at.index] == "won", at) <= 0.85


def test_the_configuration_on_file_is_the_default() -> None:
    assert load_source("world").world == WorldConfig()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"weks": 10}, "unknown key 'weks': did you mean 'weeks'"),
        ({"scale": 0}, "'scale': Input should be greater than 0, got 0"),
        ({"lowest_propensity": 0.95}, "lowest_propensity <= highest_propensity must hold"),
    ],
)
def test_a_wrong_configuration_is_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(WrongUse, match=message):
        validated(WorldConfig, values, where="world.yaml")

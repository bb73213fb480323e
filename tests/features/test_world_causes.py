"""The causes that the world plants, found again in its events: consent, support, seasons, drift."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from features.sources.world import (
    World,
    WorldConfig,
    appointments,
    company,
    consent,
    customers,
    generate,
    intent,
    metrics,
    support,
)

CONFIG = WorldConfig(faults=0.0, corrections=0.0, late=0.0, duplicates=0.0, withdrawals=0.01)
START = pd.Timestamp("2024-12-30", tz="UTC")
END = pd.Timestamp("2026-06-29", tz="UTC")
WEEK, DAY = pd.Timedelta(weeks=1), pd.Timedelta(days=1)


@pytest.fixture(scope="module")
def world() -> World:
    """Return a world in which many withdraw and nothing is late, wrong or recorded twice."""
    return generate(CONFIG)


@pytest.fixture(scope="module")
def events(world: World) -> pd.DataFrame:
    """Return its events as a DataFrame, in the order in which they happened."""
    return world.events.to_pandas().sort_values("event_time", kind="stable")


def of(events: pd.DataFrame, kind: str, *names: str) -> pd.DataFrame:
    """Return the events of a kind, of some names."""
    return events[(events["kind"] == kind) & (events["name"].isin(names) | (not names))]


def touched_after_withdrawal(made: World) -> int:
    """Count the touches of contacts that had withdrawn their consent by then."""
    rows = made.events.to_pandas()
    withdrawn = of(rows, "consent", "withdrawn").query("text == 'all'")
    touches = of(rows, "touch")
    since = touches["person"].map(withdrawn.set_index("person")["event_time"])
    return int((touches["event_time"] >= since).sum())


def test_after_a_withdrawal_there_are_no_touches(world: World) -> None:
    assert world.truth["consent"]["withdrawn"].notna().sum() > 500
    assert touched_after_withdrawal(world) == 0


def test_without_the_rule_touches_go_on_after_a_withdrawal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consent, "allowed", lambda touched, _: touched)
    small = CONFIG.model_copy(update={"scale": 0.1})
    assert touched_after_withdrawal(generate(small)) > 100


def test_consent_in_the_events_is_the_true_one(world: World, events: pd.DataFrame) -> None:
    true = world.truth["consent"].set_index("record")
    said = of(events, "consent").set_index("person")
    withdrawn = said[said["name"] == "withdrawn"]
    for name, rows in (
        ("granted", said[said["name"] == "granted"]),
        ("withdrawn", withdrawn[withdrawn["text"] == "all"]),
        ("objected", withdrawn[withdrawn["text"] == "profiling"]),
    ):
        planted = true[name].dropna()
        assert (rows["event_time"].reindex(planted.index) == planted).all()
        assert len(rows) == len(planted) > 100


def test_consent_is_withdrawn_at_the_planted_rate(world: World) -> None:
    leads, true = world.truth["leads"].iloc[:4_000], world.truth["consent"].set_index("record")
    true = true.reindex(leads["lead"].str.replace("lead", "contact"))
    known = true["granted"].notna().to_numpy()
    since = leads["created"][known].to_numpy()
    until = true["withdrawn"][known].fillna(END).to_numpy()
    rate = CONFIG.withdrawals * np.exp(
        consent.ANNOYANCE * leads["interest_at_creation"][known].to_numpy()
    )
    expected = (rate * ((until - since) / np.timedelta64(7, "D"))).sum()
    found = true["withdrawn"][known].notna().sum()
    assert found == pytest.approx(expected, abs=3 * np.sqrt(expected))


def test_a_reply_knows_the_seconds_since_its_mail(events: pd.DataFrame) -> None:
    replies, sent = of(events, "touch", "email_replied"), of(events, "touch", "email_sent")
    # a mail goes out at a full second
    asked = (replies["event_time"] - pd.to_timedelta(replies["number"], unit="s")).dt.floor("s")
    mailed = set(zip(sent["person"], sent["event_time"], strict=True))
    assert len(replies) > 500
    assert set(zip(replies["person"], asked, strict=True)) <= mailed
    assert 3_600 < replies["number"].median() < 2 * 86_400


def test_nobody_attends_a_webinar_without_registering(events: pd.DataFrame) -> None:
    first = of(events, "touch", "webinar_registered").groupby("person")["event_time"].first()
    attended = of(events, "touch", "webinar_attended")
    assert (attended["event_time"] > attended["person"].map(first)).all()
    share = len(attended) / len(of(events, "touch", "webinar_registered"))
    assert 0.45 < share < 0.75


def test_a_meeting_that_took_place_was_scheduled_before(events: pd.DataFrame) -> None:
    planned = of(events, "calendar", "scheduled")
    assert (planned["known_at"] < planned["event_time"]).mean() > 0.95
    cancelled = of(events, "calendar", "cancelled")
    at = set(zip(planned["rep"], planned["event_time"], strict=True))
    for rows in (of(events, "activity", "meeting"), cancelled, of(events, "calendar", "no_show")):
        assert set(zip(rows["rep"], rows["event_time"], strict=True)) <= at
        assert len(rows) > 50


def test_meetings_fail_the_more_the_less_engaged_the_buyer_is(
    world: World, events: pd.DataFrame
) -> None:
    deals = world.truth["opportunities"].set_index("opportunity")
    planned = of(events, "calendar", "scheduled").dropna(subset=["opportunity"])
    failed = of(events, "calendar", "cancelled", "no_show").dropna(subset=["opportunity"])
    drive = deals["engagement_at_creation"]
    rates = [(failed["opportunity"].map(drive) < x).sum() for x in (-0.5, 99)]
    all_of = [(planned["opportunity"].map(drive) < x).sum() for x in (-0.5, 99)]
    odds = 1 / (1 + np.exp(-(appointments.FAILS + appointments.SLOPE * drive)))
    expected = planned["opportunity"].map(odds).mean()
    assert rates[0] / all_of[0] > 1.2 * rates[1] / all_of[1]
    assert rates[1] / all_of[1] == pytest.approx(expected, abs=0.02)


def test_who_waits_longer_for_support_is_less_satisfied(events: pd.DataFrame) -> None:
    resolved, rated = (of(events, "support", name) for name in ("resolved", "rated"))
    opened = of(events, "support", "ticket")
    assert len(opened) >= len(resolved) > len(rated) > 200
    waited = rated.merge(resolved, on=["account", "text"], suffixes=("", "_of"))
    waited = waited[waited["event_time"] - waited["event_time_of"] == pd.Timedelta(hours=3)]
    assert np.log(waited["number_of"]).corr(waited["number"]) < -0.4
    assert rated["number"].between(1, support.BEST).all()


@pytest.fixture(scope="module")
def strained() -> dict[float, pd.DataFrame]:
    """Return the true deals of two worlds that differ in nothing but the effect of a ticket."""
    base = WorldConfig(scale=0.6, trial_share=1.0, trial_weeks=20, accounts=250)
    worlds = {x: generate(base.model_copy(update={"ticket_effect": x})) for x in (1.0, 4.0)}
    return {x: made.truth["opportunities"] for x, made in worlds.items()}


def test_a_ticket_raises_the_hazard_of_losing(strained: dict[float, pd.DataFrame]) -> None:
    without, with_effect = strained[1.0], strained[4.0]
    touched = without["is_strained"]
    lost = [(deals.loc[touched, "state"] == "lost").mean() for deals in (without, with_effect)]
    assert touched.sum() > 100
    assert lost[1] > lost[0] + 0.1


def test_a_deal_without_a_ticket_is_the_same_whatever_a_ticket_does(
    strained: dict[float, pd.DataFrame],
) -> None:
    without, with_effect = strained[1.0], strained[4.0]
    same = ~without["is_strained"]
    columns = ["opportunity", "state", "closed", "cents"]
    pd.testing.assert_frame_equal(without.loc[same, columns], with_effect.loc[same, columns])
    assert same.sum() > 150


def deal_weeks(made: World) -> pd.DataFrame:
    """Return a row per week of a deal: recent tickets, whether it was lost, and what else drives
    it.
    """
    rows, deals = made.events.to_pandas(), made.truth["opportunities"].set_index("opportunity")
    account = of(rows, "opportunity", "created").set_index("opportunity")["account"]
    tickets = of(rows, "support", "ticket")
    asked = pd.crosstab(tickets["account"], (tickets["event_time"] - START) // WEEK)
    asked = asked.reindex(index=account.unique(), columns=range(made_weeks(made)), fill_value=0)
    recent = asked.T.shift(1).rolling(support.RECENT_WEEKS, min_periods=1).sum().T.fillna(0)
    first = (deals["created"] - START) // WEEK
    last = (deals["closed"].fillna(END - DAY) - START) // WEEK
    lives = deals.loc[deals.index.repeat(last - first + 1), ["engagement_at_creation"]].assign(
        champion=deals["has_champion"], state=deals["state"], last=last
    )
    lives["week"] = lives.groupby(level=0).cumcount() + lives.index.map(first)
    lives["lost"] = (lives["week"] == lives["last"]) & (lives["state"] == "lost")
    cells = account.loc[lives.index].map({k: n for n, k in enumerate(recent.index)})
    lives["recent"] = np.minimum(recent.to_numpy()[cells, lives["week"]], support.MOST_RECENT)
    return lives


def made_weeks(made: World) -> int:
    """Return the weeks of a world."""
    return len(made.truth["market"])


def test_the_effect_of_a_ticket_is_recovered() -> None:
    config = CONFIG.model_copy(
        update={
            "trial_share": 1.0,
            "trial_weeks": 40,
            "accounts": 300,
            "ticket_effect": 2.0,
            "scale": 0.8,
        }
    )
    lives = deal_weeks(generate(config))
    drivers = lives[["recent", "engagement_at_creation", "champion"]].astype(float)
    model = LogisticRegression(C=1e6).fit(drivers, lives["lost"])
    assert (lives["recent"] > 0).sum() > 1_000
    assert model.coef_[0][0] == pytest.approx(np.log(2.0), abs=0.2)


def test_customers_leave_at_the_planted_rate_and_are_silent_then(world: World) -> None:
    lives = world.truth["customers"].merge(world.truth["opportunities"], on="opportunity")
    weeks = (lives["churned"].fillna(END) - lives["closed"]) / WEEK
    # a sixth of the weeks have a recent ticket, which raises the hazard
    expected = (np.exp(lives["log_hazard"]) * weeks).sum() * (1 + (CONFIG.ticket_effect - 1) / 6)
    found = lives["churned"].notna().sum()
    assert found == pytest.approx(expected, abs=3 * np.sqrt(expected))
    assert lives["log_hazard"].max() < customers.CHURN + 0.6
    said = of(world.events.to_pandas(), "outcome", "churned").set_index("opportunity")
    planted = lives.dropna(subset=["churned"]).set_index("opportunity")["churned"]
    assert (said["event_time"].reindex(planted.index) == planted).all()


def test_intent_is_seen_before_leads_at_the_planted_rate(
    world: World, events: pd.DataFrame
) -> None:
    leads = of(events, "lead", "created").dropna(subset=["account"])
    week = ((leads["event_time"] - START) // WEEK).to_numpy()[:, None]
    before = week - np.arange(1, intent.RESEARCH_WEEKS + 1)
    account = leads["account"].str[-5:].astype(int).to_numpy()[:, None]
    is_research = np.zeros((700, CONFIG.weeks), dtype=bool)
    is_research[np.broadcast_to(account, before.shape)[before >= 0], before[before >= 0]] = True
    found = of(events, "intent")
    place = found["account"].str[-5:].astype(int), (found["event_time"] - START) // WEEK
    rates = [(is_research[place] == x).sum() / (is_research == x).sum() for x in (True, False)]
    planted = intent.RESEARCHING / intent.BASE
    assert rates[0] / rates[1] == pytest.approx(planted, rel=0.25)


def test_metrics_follow_the_leads_that_campaigns_bring(events: pd.DataFrame) -> None:
    totals = of(events, "metric").groupby(["campaign", "name"])["number"].sum().unstack()
    leads = of(events, "lead", "created").groupby("campaign").size()
    assert totals["clicks"].sum() / leads.sum() == pytest.approx(metrics.CLICKS_PER_LEAD, rel=0.02)
    assert np.corrcoef(totals["clicks"], leads.reindex(totals.index))[0, 1] > 0.95
    assert totals["impressions"].sum() / totals["clicks"].sum() == pytest.approx(40, rel=0.02)
    assert (totals["spend"] > 0).all()


def test_leads_come_with_the_season(world: World) -> None:
    market = world.truth["market"]
    week = (world.truth["leads"]["created"] - START) // WEEK
    found = np.bincount(week, minlength=CONFIG.weeks)
    quiet = (market["season"] < -0.1).to_numpy()
    expected = 4_000 * market["arrivals"]
    assert quiet.sum() >= 5
    assert found[quiet].mean() < 0.95 * found[~quiet].mean()
    spread = ((found - expected) ** 2 / expected).sum()
    assert 0.6 < spread / CONFIG.weeks < 1.5


def shares_by_half(made: World) -> pd.DataFrame:
    """Return the share of the leads by channel in the first and the last third of the period."""
    rows = made.events.to_pandas()
    origin = of(rows, "attribute", "origin")
    third = ((origin["event_time"] - START) / (END - START) * 3).astype(int)
    counts = pd.crosstab(origin["text"], third)
    return counts / counts.sum()


def test_the_mix_of_channels_drifts_as_planted() -> None:
    made = generate(CONFIG.model_copy(update={"channel_drift": 2.0, "scale": 0.7}))
    found, true = shares_by_half(made), made.truth["channel_mix"]
    third = ((true["week"] - START) / (END - START) * 3).astype(int)
    planted = true.groupby(["channel", third])["share"].mean().unstack()
    assert (found - planted).abs().to_numpy().max() < 0.03
    gain = found[2] - found[0]
    assert gain["paid_search"] > 0.1 and gain["list"] < -0.1


def test_without_drift_the_mix_stays() -> None:
    still = generate(CONFIG.model_copy(update={"channel_drift": 0.0, "scale": 0.7}))
    found = shares_by_half(still)
    assert (found[2] - found[0]).abs().max() < 0.04
    shares = still.truth["channel_mix"].groupby("channel")["share"]
    assert (shares.max() - shares.min()).max() < 1e-12
    assert set(company.LEANINGS) == set(found.index)


def test_hazards_drift_as_planted() -> None:
    wins = {}
    for drift in (0.0, -1.5):
        made = generate(CONFIG.model_copy(update={"hazard_drift": drift, "scale": 0.6}))
        leads = made.truth["leads"]
        late = leads["created"] > START + 50 * WEEK
        wins[drift] = leads.loc[late, "qualified"].notna().mean()
        assert made.truth["market"]["drift"].iloc[-1] == pytest.approx(drift)
    assert wins[-1.5] < 0.6 * wins[0.0]


def test_hazards_shift_from_the_planted_week_on() -> None:
    wins = {}
    for shift in (0.0, -1.5):
        planted = {"hazard_shift": shift, "shift_week": 40, "scale": 0.6}
        made = generate(CONFIG.model_copy(update=planted))
        leads = made.truth["leads"]
        late = leads["created"] > START + 40 * WEEK
        wins[shift] = [leads.loc[part, "qualified"].notna().mean() for part in (~late, late)]
        told = made.truth["market"]["shift"]
        assert (told[:40] == 0.0).all() and (told[40:] == shift).all()
    assert wins[-1.5][1] < 0.6 * wins[0.0][1]
    assert wins[-1.5][0] > 0.7 * wins[0.0][0]


def test_a_story_without_tickets_or_leavers_can_be_told() -> None:
    quiet = generate(WorldConfig(scale=0.05, withdrawals=0.0, trial_share=0.0, faults=0.0))
    assert quiet.truth["consent"]["withdrawn"].isna().all()
    assert not quiet.truth["opportunities"]["is_strained"].any()
    assert dataclasses.is_dataclass(quiet)

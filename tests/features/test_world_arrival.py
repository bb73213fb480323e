"""How the world's rows arrive: late, out of order, twice, and what its exports hold."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.sources.world import (
    World,
    WorldConfig,
    arrival,
    division,
    generate,
    names,
    write_exports,
    writers,
)

CONFIG = WorldConfig(faults=0.0, late=0.05, replays=0.1, scale=0.5)
DAY = pd.Timedelta(days=1)
END = pd.Timestamp("2026-06-29", tz="UTC")


@pytest.fixture(scope="module")
def world() -> World:
    """Return a world with many late rows, of which some arrive twice."""
    return generate(CONFIG)


@pytest.fixture(scope="module")
def events(world: World) -> pd.DataFrame:
    """Return its events as a DataFrame."""
    return world.events.to_pandas()


def test_late_rows_are_the_planted_share(world: World, events: pd.DataFrame) -> None:
    late = world.truth["late"].set_index("row_key")
    rows = events.drop_duplicates("row_key").set_index("row_key")
    early = rows[rows["event_time"] < END - 40 * DAY]
    is_late = early.index.isin(late.index[late["cause"] == "import"])
    imported = early["kind"].isin(arrival.IMPORTED)
    assert is_late[imported].mean() == pytest.approx(0.05, abs=0.004)
    assert not is_late[~imported].any()


def test_late_rows_are_known_as_late_as_planted(world: World, events: pd.DataFrame) -> None:
    late = world.truth["late"].set_index("row_key")
    rows = events.sort_values("known_at").drop_duplicates("row_key").set_index("row_key")
    lag = (rows["known_at"] - rows["event_time"]).loc[late.index] / DAY
    assert (lag - late["lag_days"]).abs().max() < 1e-6
    # nine days of a rep, or three weeks and the rest of the week until the next import
    assert lag.between(0.1, 29.5).all()
    assert lag.median() > 5
    imports = rows["known_at"].loc[late.index[late["cause"] == "import"]]
    assert (imports.dt.day_of_week == 0).all() and (imports.dt.hour == 2).all()


def test_a_rep_without_a_connection_reports_a_whole_day_at_once(
    world: World, events: pd.DataFrame
) -> None:
    late = world.truth["late"]
    offline = late.loc[late["cause"] == "offline", "row_key"]
    rows = events[(events["kind"] == "activity")].drop_duplicates("row_key")
    rows = rows.assign(day=rows["event_time"].dt.floor("D"), off=rows["row_key"].isin(offline))
    days = rows[rows["day"] < END - 15 * DAY].groupby(["rep", "day"])
    assert days["off"].nunique().max() == 1
    assert days["known_at"].nunique()[days["off"].all()].max() == 1
    assert days["off"].all().mean() == pytest.approx(0.05, abs=0.02)


def test_nothing_is_known_long_after_the_exports_are_taken(events: pd.DataFrame) -> None:
    assert events["known_at"].max() < END + 5 * DAY


def out_of_order(events: pd.DataFrame) -> float:
    """Return the share of rows that arrive after a row that was known later."""
    rows = events.sort_values("source_row")["known_at"]
    return float((rows < rows.cummax()).mean())


def test_rows_arrive_out_of_order_and_without_the_planting_in_order(
    world: World, events: pd.DataFrame
) -> None:
    assert events["source_row"].is_unique
    assert out_of_order(events) > 0.1
    how = world.truth["arrivals"]["how"].value_counts()
    once = events["row_key"].nunique()
    assert how["reordered"] / once == pytest.approx(CONFIG.reordered, abs=0.003)
    still = CONFIG.model_copy(update={"reordered": 0.0, "replays": 0.0})
    assert out_of_order(generate(still).events.to_pandas()) == 0


def test_replayed_rows_say_the_same_again(world: World, events: pd.DataFrame) -> None:
    replayed = world.truth["arrivals"].query("how == 'replayed'")["row_key"]
    content = events.drop(columns="source_row")
    again = content[content.duplicated(keep="first")]
    assert sorted(again["row_key"]) == sorted(replayed)
    assert len(again) / (len(events) - len(again)) == pytest.approx(0.1, abs=0.005)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, World]:
    """Return the folder of a small company's exports, written in three parts, and its world."""
    folder, config = tmp_path_factory.mktemp("exports"), WorldConfig(scale=0.075)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(division, "LEADS_PER_PART", 100)
        write_exports(config, folder)
        return folder, generate(config)


def test_streams_hold_every_event_that_is_not_broken(exported: tuple[Path, World]) -> None:
    folder, world = exported
    rows = world.events.to_pandas()
    rows = rows[~rows["row_key"].isin(world.truth["faults"]["row_key"])]
    lines = [
        json.loads(line)
        for name in ("mail", "web")
        for line in (folder / f"exports/{name}/events.jsonl").read_text().splitlines()
    ]
    assert sorted(line["id"] for line in lines) == sorted(rows[rows["kind"] == "touch"]["row_key"])
    sessions = pq.read_table(folder / "exports/product/sessions.parquet").to_pandas()
    assert sorted(sessions["session_id"]) == sorted(rows[rows["kind"] == "usage"]["row_key"])
    tasks = pd.read_csv(folder / "exports/crm/tasks.csv")
    assert len(tasks) == (rows["kind"] == "activity").sum()


def test_objects_are_as_they_are_known_in_the_end(exported: tuple[Path, World]) -> None:
    folder, world = exported
    deals = pd.read_csv(folder / "exports/crm/opportunities.csv").set_index("Id")
    true = world.truth["opportunities"].set_index("opportunity").loc[deals.index]
    assert len(true) == len(world.truth["opportunities"]) > 50
    assert (deals["Amount"] * 100 == true["cents"]).mean() > 0.95
    ended = true["state"].isin(["won", "lost"])
    stages = deals["StageName"].str.removeprefix("Closed ").str.lower()
    assert (stages[ended] == true["state"][ended]).all()
    leads = pd.read_csv(folder / "exports/crm/leads.csv").set_index("Id")
    planted = world.truth["leads"].set_index("lead").loc[leads.index]
    assert leads.index.is_unique
    assert ((leads["Status"] == "qualified") == planted["qualified"].notna()).all()
    accepted = pd.to_datetime(leads["SalesAcceptedDate"])
    assert (accepted.dropna() == planted["sales_accepted"].dropna()).all()
    assert set(leads["DealId"].dropna()) == set(deals.index)


def test_contacts_and_mails_are_in_the_clear(exported: tuple[Path, World]) -> None:
    folder, world = exported
    contacts = pd.read_csv(folder / "exports/crm/contacts.csv").set_index("Id")
    address = world.people.to_pandas().query("field == 'email'").set_index("subject")["value"]
    assert (contacts["Email"] == address.reindex(contacts.index)).all()
    assert contacts["LastName"].notna().mean() > 0.8
    mails = (folder / "exports/mail/events.jsonl").read_text().splitlines()
    for mail in map(json.loads, mails[:100]):
        assert mail["recipient"] == address[mail["contact_id"]]


def test_a_quoted_word_survives_in_a_line(tmp_path: Path) -> None:
    said = pa.table({"a": ['say "no" \\ yes', None], "n": [1, 2]})
    with writers.Files(tmp_path) as files:
        files.append("x.jsonl", said)
    lines = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert lines == [{"a": 'say "no" \\ yes', "n": 1}, {"n": 2}]


def test_the_truth_lies_beside_the_exports_and_not_in_them(exported: tuple[Path, World]) -> None:
    folder, world = exported
    persons = pq.read_table(folder / "truth/true_persons.parquet").to_pandas()
    assert len(persons) == len(world.truth["true_persons"])
    text = b"".join(p.read_bytes() for p in (folder / "exports").rglob("*") if p.is_file())
    assert persons["true_person"].str.startswith("human-").all()
    assert b"human-" not in text and b"company-" not in text
    assert any(word.encode() in text for word in names.FAMILY["uk"].split())
    market = pq.read_table(folder / "truth/market.parquet")
    assert np.array_equal(market["shock"].to_numpy(), world.truth["market"]["shock"])

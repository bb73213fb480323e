"""Every preset reads its export: each count derived from the raw file by another road, pandas."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from cluster import pseudonyms
from cluster.settings import CONFIGS
from features import contracts
from features.sources import read
from features.sources.mapping import load_source

if TYPE_CHECKING:
    from collections.abc import Iterable

KEY = bytes(32)
EXPORTS = Path(__file__).with_name("exports")
NEAR_MB = 1 << 20
CLEAR = (  # what identifies the invented people of the exports
    *("Okafor", "Ngozi", "Brandt", "Silva", "Inês", "example.com", "example.org", "example.net"),
    *("117 496 0101", "431 5550102"),
)


def _hidden(namespace: str, values: pa.Array) -> pa.Array:
    return pseudonyms.pseudonyms(KEY, namespace, values)


@functools.cache
def _terms() -> dict[str, contracts.Contract]:
    return contracts.load_contracts(CONFIGS / "contracts")


class Read:
    """What a preset made of a folder, checked against the contracts."""

    def __init__(self, preset: str, folder: Path) -> None:
        mapping, terms = load_source(preset), _terms()
        strips = read.strips(mapping, folder, NEAR_MB, terms)
        lots = [lot for s in strips for lot in read.lots(mapping, s, folder, _hidden)]
        checked = [contracts.check(terms, lot.events, lot.broken) for lot in lots]
        self.table: pa.Table = pa.concat_tables([c.good for c in checked])
        self.people: pd.DataFrame = pa.concat_tables([lot.people for lot in lots]).to_pandas()
        self.bad = [reason for c in checked for reason in c.bad["reasons"].to_pylist()]
        self.unreadable = [row for lot in lots for row in lot.unreadable]
        self.by = mapping.by

    @functools.cached_property
    def events(self) -> pd.DataFrame:
        """All events."""
        frame: pd.DataFrame = self.table.to_pandas()
        return frame

    @functools.cached_property
    def counts(self) -> dict[str, int]:
        """Events by kind and name."""
        found = self.table.group_by(["kind", "name"]).aggregate([([], "count_all")]).to_pylist()
        return {f"{row['kind']}.{row['name']}": row["count_all"] for row in found}

    def of_kind(self, kind: str) -> dict[str, int]:
        """Events of a kind by name."""
        counts = self.counts.items()
        return {key.partition(".")[2]: n for key, n in counts if key.startswith(f"{kind}.")}

    def of(self, kind: str, name: str) -> pd.DataFrame:
        """Return the events of a kind and name."""
        is_one = pc.and_(pc.equal(self.table["kind"], kind), pc.equal(self.table["name"], name))
        frame: pd.DataFrame = self.table.filter(is_one).to_pandas()
        return frame

    def assert_whole(self) -> None:
        """Nothing refused, nothing unreadable, no key of a row used twice."""
        assert (self.bad, self.unreadable) == ([], [])
        assert pc.count_distinct(self.table["row_key"]).as_py() == self.table.num_rows


def _raw(folder: Path, name: str, empty: Iterable[str] = ()) -> pd.DataFrame:
    frame = pd.read_csv(
        folder / name,
        dtype=str,
        keep_default_na=False,
        na_values=["", *empty],
        skipinitialspace=True,
        encoding="utf-8-sig",
    )
    return frame.apply(lambda column: column.str.strip())


def _present(frame: pd.DataFrame, names: dict[str, str]) -> dict[str, int]:
    return {f"attribute.{name}": int(frame[c].notna().sum()) for name, c in names.items()}


def test_olist(shared_data: Path) -> None:
    """Leads and won deals, and no column that only won deals have."""
    folder = shared_data / "olist_funnel"
    leads = _raw(folder, "olist_marketing_qualified_leads_dataset.csv")
    deals = _raw(folder, "olist_closed_deals_dataset.csv")
    found = Read("olist", folder)
    found.assert_whole()
    names = {"origin": "origin", "landing_page": "landing_page_id"}
    expected = {"lead.created": len(leads), "outcome.won": len(deals), **_present(leads, names)}
    assert found.counts == expected
    assert expected["lead.created"] == 8000


def test_maven(shared_data: Path) -> None:
    """Deals with amounts in cents; salespeople are pseudonyms whose names go to the vault."""
    folder = shared_data / "maven_crm"
    deals, teams = _raw(folder, "sales_pipeline.csv"), _raw(folder, "sales_teams.csv")
    accounts = _raw(folder, "accounts.csv")
    found = Read("maven", folder)
    found.assert_whole()
    begun, stages = int(deals["engage_date"].notna().sum()), deals["deal_stage"].value_counts()
    deal_names = ("product", "sales_agent", "manager", "regional_office")
    account_names = ("industry", "region", "employees", "revenue_cents")
    assert found.counts == {
        "opportunity.created": begun,
        "outcome.won": stages["Won"],
        "outcome.lost": stages["Lost"],
        **{f"attribute.{name}": begun for name in deal_names},
        **{f"attribute.{name}": len(accounts) for name in account_names},
    }
    won = deals[deals["deal_stage"] == "Won"]["close_value"].astype(float).sum() * 100
    assert found.of("outcome", "won")["number"].sum() == round(won)
    text = found.events.drop(columns=["event_time", "known_at"]).to_csv()
    assert not [name for name in {*teams["sales_agent"], *teams["manager"]} if name in text]
    managers = teams.loc[teams["sales_agent"].isin(deals["sales_agent"]), "manager"]
    assert set(found.people["value"]) == {*deals["sales_agent"], *managers}


def test_x_education(shared_data: Path) -> None:
    """By order, with what is known at entry and nothing that sales filled in."""
    folder = shared_data / "x_education"
    leads = _raw(folder, "Leads.csv", empty=["Select"])
    found = Read("x_education", folder)
    found.assert_whole()
    names = {
        "origin": "Lead Origin",
        "source": "Lead Source",
        "country": "Country",
        "city": "City",
        "specialization": "Specialization",
        "heard_from": "How did you hear about X Education",
        "occupation": "What is your current occupation",
        "matters_most": "What matters most to you in choosing a course",
        "wants_interview_guide": "A free copy of Mastering The Interview",
        "total_visits": "TotalVisits",
        "website_time": "Total Time Spent on Website",
        "pages_per_visit_hundredths": "Page Views Per Visit",
    }
    refusals = (leads[["Do Not Email", "Do Not Call"]] == "Yes").sum().sum()
    assert found.counts == {
        "lead.created": len(leads),
        "outcome.converted": (leads["Converted"] == "1").sum(),
        "outcome.not_converted": (leads["Converted"] == "0").sum(),
        "consent.withdrawn": refusals,
        **_present(leads, names),
    }
    assert found.by == "order"
    by_time = found.of("lead", "created").sort_values("event_time")["lead"]
    number = leads["Lead Number"].astype(int)
    assert list(by_time) == list(leads.loc[number.sort_values().index, "Prospect ID"])
    pages = leads["Page Views Per Visit"].dropna().astype(float).mul(100).round().sum()
    assert found.of("attribute", "pages_per_visit_hundredths")["number"].sum() == pages


def test_hillstrom(shared_data: Path) -> None:
    """Three arms with their chances, visits and purchases per arm as in the raw file."""
    folder = shared_data / "hillstrom"
    (path,) = folder.glob("*.csv")
    raw = _raw(folder, path.name)
    found = Read("hillstrom", folder)
    found.assert_whole()
    attributes = ("recency_months", "history_cents", "bought_mens", "bought_womens", "is_new")
    bought = int((raw["conversion"] == "1").sum())
    assert found.counts == {
        "lead.created": len(raw),
        "intervention.email_test": len(raw),
        "touch.web_visit": (raw["visit"] == "1").sum(),
        "outcome.converted": bought,
        "outcome.not_converted": len(raw) - bought,
        **{f"attribute.{name}": len(raw) for name in (*attributes, "area", "channel")},
    }
    spent = found.of("outcome", "converted")["number"].sum()
    assert spent == round(raw["spend"].astype(float).sum() * 100)
    arms = found.of("intervention", "email_test").set_index("lead")["text"]
    visits = arms[found.of("touch", "web_visit")["lead"]].value_counts()
    by_arm = raw[raw["visit"] == "1"]["segment"].value_counts()
    assert visits["mens_email"] == by_arm["Mens E-Mail"]
    assert visits["control"] == by_arm["No E-Mail"]


def test_bpi_2012(shared_data: Path) -> None:
    """Applications, their stages, work items and outcomes; the booked duplicates are left out."""
    folder = shared_data / "bpi_2012"
    raw = pd.read_parquet(folder / "bpi2012_events.parquet")
    found = Read("bpi_2012", folder)
    found.assert_whole()
    activity = raw["concept:name"].value_counts()
    assert (
        found.counts["opportunity.created"]
        == activity["A_SUBMITTED"]
        == raw["case:concept:name"].nunique()
    )
    assert (
        sum(found.of_kind("activity").values())
        == activity[activity.index.str.startswith("W_")].sum()
    )
    finals = {"approved": "A_APPROVED", "declined": "A_DECLINED", "cancelled": "A_CANCELLED"}
    for name, state in finals.items():
        assert found.counts[f"outcome.{name}"] == activity[state]
    left_out = {*finals.values(), "A_SUBMITTED", "A_REGISTERED", "A_ACTIVATED"}
    stages = activity[activity.index.str.match("[AO]_") & ~activity.index.isin(left_out)]
    assert found.of_kind("stage") == {name.lower(): count for name, count in stages.items()}
    amounts = raw.drop_duplicates("case:concept:name")["case:AMOUNT_REQ"].sum() * 100
    assert found.of("opportunity", "created")["number"].sum() == amounts


def test_salesforce_demo(shared_data: Path) -> None:
    """Stage history with transitions; won and lost with amounts; persons hidden."""
    folder = shared_data / "salesforce_demo_opportunity_history"
    history, deals = _raw(folder, "OpportunityHistory.csv"), _raw(folder, "Opportunity.csv")
    leads, accounts = _raw(folder, "Lead.csv"), _raw(folder, "Account.csv")
    found = Read("salesforce_demo", folder)
    found.assert_whole()
    stages = history["StageName"].value_counts()
    assert found.counts["outcome.won"] == stages["Closed Won"] == 19
    assert found.counts["outcome.lost"] == stages["Closed Lost"] == 8
    assert sum(found.of_kind("stage").values()) == len(history) - 27
    assert found.counts["opportunity.created"] == len(deals)
    assert found.counts["opportunity.amount_changed"] == history["Amount"].notna().sum()
    assert found.counts["lead.created"] == len(leads)
    assert found.counts["lead.qualified"] == (leads["IsConverted"] == "TRUE").sum()
    fields = {"industry": "Industry", "employees": "NumberOfEmployees", "city": "BillingCity"}
    for name, count in _present(accounts, fields).items():
        assert found.counts[name] == count
    text = found.events.drop(columns=["event_time", "known_at"]).to_csv()
    assert not [v for v in {*leads["Email"], *leads["Phone"], *leads["Name"]} if v in text]
    assert set(leads["Email"]) <= set(found.people["value"])


def test_a_deal_of_salesforce_reads_as_its_story(shared_data: Path) -> None:
    """Opened, moved, won, and lost again two weeks later, each at its time."""
    found = Read("salesforce_demo", shared_data / "salesforce_demo_opportunity_history")
    told = found.events[found.events["opportunity"] == "006bm00000LKgOnAAL"]
    told = told[told["kind"].isin(["stage", "outcome"])].sort_values("event_time")
    assert list(told["name"]) == ["prospecting", "won", "lost"]
    assert told["event_time"].iloc[-1] == pd.Timestamp("2026-03-07 20:59", tz="UTC")
    assert told["account"].nunique() == 1


def test_entity_resolution(shared_data: Path) -> None:
    """Records as accounts and persons; the true ids are nowhere, names of persons in the vault."""
    folder = shared_data / "entity_resolution"
    raw = _raw(folder, "organisations_with_true_ids.csv")
    persons = _raw(folder, "febrl3.csv")
    found = Read("entity_resolution", folder)
    found.assert_whole()
    names = {
        "name": "Site name",
        "address": "Address",
        "postal_code": "Zip",
        "phone": "Phone",
        "website": "Website",
        "neighborhood": "Neighborhood",
        "list": "Source",
    }
    assert found.counts == {
        "account.created": len(raw),
        "person.created": len(persons),
        "attribute.state": persons["state"].notna().sum(),
        **_present(raw, names),
    }
    assert found.of("person", "created")["person"].nunique() == len(persons) == 5000
    assert not found.events["person"].dropna().str.contains("rec-").any()
    fields = found.people.groupby("field")["value"].count()
    assert fields["surname"] == persons["surname"].notna().sum()
    true_ids = set(raw["True Id"]) - set(raw["Id"]) - set(raw["Zip"].dropna())
    assert not true_ids & {*found.events["text"].dropna(), *found.events["account"].dropna()}


def test_salesforce() -> None:
    """One file per object: every event of the invented export, and nobody in the clear."""
    found = Read("salesforce", EXPORTS / "salesforce")
    found.assert_whole()
    attributes = {k: n for k, n in found.counts.items() if k.startswith("attribute.")}
    assert {k: n for k, n in found.counts.items() if k not in attributes} == {
        "account.created": 2,
        "person.created": 2,
        "lead.created": 3,
        "lead.assigned": 3,
        "lead.qualified": 1,
        "lead.disqualified": 1,
        "opportunity.created": 2,
        "stage.qualification": 1,
        "stage.proposal_price_quote": 1,
        "stage.prospecting": 1,
        "outcome.won": 1,
        "outcome.lost": 1,
        "opportunity.amount_changed": 3,
        "opportunity.probability_changed": 5,
        "activity.call": 1,
        "activity.email": 1,
        "campaign.created": 1,
        "campaign.started": 1,
        "campaign.ended": 1,
        "metric.spend": 1,
        "campaign.member_added": 2,
        "campaign.member_responded": 1,
    }
    assert attributes["attribute.origin"] == 4
    assert list(found.of("outcome", "won")["number"]) == [4_800_050]
    assert list(found.of("activity", "email")["text"]) == ["Email: offer to [e-mail]"]
    text = found.events.drop(columns=["event_time", "known_at"]).to_csv()
    assert not [word for word in CLEAR if word in text]


def test_hubspot() -> None:
    """Histories of life cycle, stage and amount; engagements; one person in all objects."""
    found = Read("hubspot", EXPORTS / "hubspot")
    found.assert_whole()
    attributes = {k: n for k, n in found.counts.items() if k.startswith("attribute.")}
    assert {k: n for k, n in found.counts.items() if k not in attributes} == {
        "lead.created": 3,
        "lead.marketing_qualified": 1,
        "lead.sales_accepted": 1,
        "lead.qualified": 1,
        "stage.lead": 2,
        "stage.marketingqualifiedlead": 1,
        "stage.salesqualifiedlead": 1,
        "stage.opportunity": 1,
        "account.created": 2,
        "opportunity.created": 2,
        "stage.contractsent": 1,
        "stage.appointmentscheduled": 1,
        "stage.qualifiedtobuy": 1,
        "outcome.won": 1,
        "outcome.lost": 1,
        "opportunity.amount_changed": 2,
        "activity.call": 2,
        "activity.email": 1,
        "touch.email_replied": 1,
        "calendar.scheduled": 3,
        "calendar.held": 1,
        "calendar.no_show": 1,
    }
    assert list(found.of("outcome", "lost")["text"]) == ["Too expensive, says [e-mail]"]
    assert sorted(found.of("opportunity", "amount_changed")["number"]) == [4_000_000, 4_800_050]
    calls = found.of("activity", "call").sort_values("event_time")
    assert (calls["number"].iloc[0], calls["lead"].iloc[1]) == (312, "152")
    text = found.events.drop(columns=["event_time", "known_at"]).to_csv()
    assert not [word for word in CLEAR if word in text]


def test_a_contact_of_hubspot_reads_as_its_story() -> None:
    """Everything that happened to one lead, in order of time."""
    found = Read("hubspot", EXPORTS / "hubspot")
    told = found.events[(found.events["lead"] == "151") & (found.events["kind"] != "attribute")]
    told = told.sort_values(["event_time", "kind"])
    assert list(told["kind"] + "." + told["name"])[:6] == [
        "lead.created",
        "stage.lead",
        "activity.call",
        "lead.marketing_qualified",
        "stage.marketingqualifiedlead",
        "calendar.scheduled",
    ]
    assert found.of("lead", "created")["person"].nunique() == 2

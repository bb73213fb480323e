"""The CRM's objects as it exports them: one row per object, as it is known in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Mapping

STAGES = {"won": "Closed Won", "lost": "Closed Lost"}
CENTS = 100
HANDED = {  # what marketing and sales said of a lead, each with its own date
    "marketing_qualified": "MarketingQualifiedDate",
    "sales_accepted": "SalesAcceptedDate",
    "sales_rejected": "SalesRejectedDate",
}


def objects(events: pa.Table, people: pa.Table) -> dict[str, pa.Table]:
    """Return accounts, contacts, leads, opportunities, opportunity_history and campaigns.

    `events` have the columns of log.CANDIDATE, `people` those of identity.PEOPLE. Columns are named
    as in a common CRM; amounts are in whole units of money.
    """
    kinds = [
        "account",
        "attribute",
        "campaign",
        "lead",
        "opportunity",
        "outcome",
        "person",
        "stage",
    ]
    rows = events.to_pandas()
    rows = rows[rows["kind"].isin(kinds)].sort_values("known_at", kind="stable")
    rows = rows.drop_duplicates("row_key", keep="last")
    said = rows[rows["kind"] == "attribute"]
    return {
        "accounts": _table(_accounts(rows, said[said["lead"].isna() & said["person"].isna()])),
        "contacts": _table(_contacts(rows, said[said["lead"].isna()], people.to_pandas())),
        "leads": _table(_leads(rows, said[said["lead"].notna()])),
        "opportunities": _table(_opportunities(rows)),
        "opportunity_history": _table(_history(rows)),
        "campaigns": _table(_campaigns(rows)),
    }


def _accounts(rows: pd.DataFrame, said: pd.DataFrame) -> pd.DataFrame:
    made = _created(rows, "account", "account")
    words = _values(said, "account", "text", ["name", "domain", "city"])
    columns = {"name": "Name", "domain": "Website", "city": "BillingCity"}
    return _named(made, {"CreatedDate": "event_time"}).join(words.rename(columns=columns))


def _contacts(rows: pd.DataFrame, said: pd.DataFrame, people: pd.DataFrame) -> pd.DataFrame:
    made = _created(rows, "person", "person")
    clear = people.pivot(index="subject", columns="field", values="value")
    fields = ["given_name", "family_name", "email", "phone"]
    clear = clear.reindex(columns=fields).astype("string")
    clear.columns = pd.Index(["FirstName", "LastName", "Email", "Phone"])
    # members of committees have a record and no creation of their own
    contacts = clear.join(_named(made, {"AccountId": "account", "CreatedDate": "event_time"}))
    joined = rows[(rows["kind"] == "person") & (rows["name"] == "joined")]
    first = joined.drop_duplicates("person").set_index("person")
    contacts["AccountId"] = contacts["AccountId"].fillna(first["account"])
    contacts["CreatedDate"] = contacts["CreatedDate"].fillna(first["event_time"])
    title = _values(said, "person", "text", ["job_title"])
    return contacts[contacts["CreatedDate"].notna()].join(title.set_axis(["Title"], axis=1))


def _leads(rows: pd.DataFrame, said: pd.DataFrame) -> pd.DataFrame:
    columns = {"ContactId": "person", "AccountId": "account", "CampaignId": "campaign"}
    columns |= {"OwnerId": "rep", "CreatedDate": "event_time"}
    made = _named(_created(rows, "lead", "lead"), columns)
    words = _values(said, "lead", "text", ["origin", "seniority", "industry", "region"])
    words.columns = pd.Index(["LeadSource", "Seniority", "Industry", "Region"])
    size = _values(said, "lead", "number", ["employees"]).astype("Int64")
    moves = rows[(rows["kind"] == "lead") & (rows["name"] != "created")]
    last = moves.sort_values("event_time", kind="stable").drop_duplicates("lead", keep="last")
    stands = _named(
        last.set_index("lead"),
        {"Status": "name", "StatusDate": "event_time", "Reason": "text", "DealId": "opportunity"},
    )
    size.columns = pd.Index(["NumberOfEmployees"])
    handed = [_named(moves[moves["name"] == name].set_index("lead"), {column: "event_time"})
              for name, column in HANDED.items()]  # fmt: skip
    return made.join([words, size, stands, *handed])


def _opportunities(rows: pd.DataFrame) -> pd.DataFrame:
    columns = {"AccountId": "account", "LeadId": "lead", "OwnerId": "rep", "Product": "product"}
    made = _created(rows, "opportunity", "opportunity")
    deals = _named(made, {**columns, "CreatedDate": "event_time"})
    deals["Amount"] = made["number"] / CENTS
    stages = rows[rows["kind"] == "stage"].sort_values("event_time", kind="stable")
    deals["StageName"] = stages.drop_duplicates("opportunity", keep="last").set_index(
        "opportunity"
    )["name"]
    ends = rows[(rows["kind"] == "outcome") & rows["name"].isin(STAGES)].set_index("opportunity")
    deals["StageName"] = ends["name"].map(STAGES).reindex(deals.index).fillna(deals["StageName"])
    closed = _named(ends, {"CloseDate": "event_time", "LossReason": "text"})
    return deals.join(closed.assign(FinalAmount=ends["number"] / CENTS))


def _history(rows: pd.DataFrame) -> pd.DataFrame:
    is_end = (rows["kind"] == "outcome") & rows["name"].isin(STAGES)
    moves = rows[(rows["kind"] == "stage") | is_end].sort_values("event_time", kind="stable")
    moves = moves.assign(name=moves["name"].replace(STAGES))
    columns = {"OpportunityId": "opportunity", "StageName": "name"}
    columns |= {"CreatedDate": "event_time", "SystemModstamp": "known_at"}
    return _named(moves.set_index("row_key"), columns)


def _campaigns(rows: pd.DataFrame) -> pd.DataFrame:
    made = _created(rows, "campaign", "campaign")
    return _named(made, {"Channel": "text", "StartDate": "event_time"})


def _created(rows: pd.DataFrame, kind: str, key: str) -> pd.DataFrame:
    return rows[(rows["kind"] == kind) & (rows["name"] == "created")].set_index(key)


def _values(said: pd.DataFrame, key: str, value: str, names: list[str]) -> pd.DataFrame:
    found = said[said["name"].isin(names)]
    return found.pivot(index=key, columns="name", values=value).reindex(columns=names)


def _named(rows: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    return pd.DataFrame({name: rows[column] for name, column in columns.items()})


def _table(objects: pd.DataFrame) -> pa.Table:
    rows = objects.rename_axis("Id").reset_index()
    fields = [(name, _type(rows[name])) for name in rows.columns]
    return pa.Table.from_pandas(rows, schema=pa.schema(fields), preserve_index=False)


def _type(column: pd.Series) -> pa.DataType:
    """Say the type by what the column is for, so that an empty part has the same columns."""
    if str(column.name).endswith(("Date", "Modstamp")):
        return pa.timestamp("us", tz="UTC")
    if str(column.name).endswith("Amount"):
        return pa.float64()
    return pa.int64() if column.name == "NumberOfEmployees" else pa.string()

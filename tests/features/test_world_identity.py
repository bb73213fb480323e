"""The identities that the world plants: companies and persons under several records."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from features.sources.world import World, WorldConfig, generate, identity, names

if TYPE_CHECKING:
    import pandas as pd

CONFIG = WorldConfig(faults=0.0, weeks=60, duplicates=0.1)
TRUTHS = ("human-", "company-")  # how true ids begin


@pytest.fixture(scope="module")
def world() -> World:
    """Return a world in which a tenth of the records are second ones."""
    return generate(CONFIG)


@pytest.fixture(scope="module")
def people(world: World) -> pd.DataFrame:
    """Return the fields of every record of a person, and who it is in truth."""
    fields = world.people.to_pandas().pivot(index="subject", columns="field", values="value")
    return world.truth["true_persons"].set_index("record").join(fields)


@pytest.fixture(scope="module")
def firms(world: World) -> pd.DataFrame:
    """Return what is said about every record of a company, and which it is in truth."""
    said = world.events.to_pandas().query("kind == 'attribute' and lead.isna() and person.isna()")
    words = said.pivot(index="account", columns="name", values="text")
    return world.truth["true_accounts"].set_index("record").join(words)


def beside_first(people: pd.DataFrame, copy: str) -> pd.DataFrame:
    """Return the second records of one sort, each with its person's first record as `_first`."""
    first = people[people["copy"] == "first"].set_index("true_person")
    return people[people["copy"] == copy].join(first, on="true_person", suffixes=("", "_first"))


def test_every_person_in_an_event_has_a_record(world: World, people: pd.DataFrame) -> None:
    named = set(world.events["person"].drop_null().to_pylist())
    assert named <= set(people.index)
    assert people["email"].notna().all()
    assert people["copy"].value_counts()["first"] == people["true_person"].nunique()


def test_the_share_of_second_records_is_the_one_configured(
    people: pd.DataFrame, firms: pd.DataFrame
) -> None:
    leads = people.iloc[:4_000]
    assert (leads["copy"] != "first").mean() == pytest.approx(0.1, abs=0.02)
    assert (firms["variant"] != "first").mean() == pytest.approx(0.1, abs=0.035)


def test_a_typo_keeps_the_address(people: pd.DataFrame) -> None:
    pairs = beside_first(people, "typo").dropna(subset=["family_name", "family_name_first"])
    assert len(pairs) > 50
    assert (pairs["email"] == pairs["email_first"]).all()
    assert (pairs["family_name"].str.len() == pairs["family_name_first"].str.len() - 1).all()


def test_a_nickname_comes_with_an_address_of_its_own(people: pd.DataFrame) -> None:
    pairs = beside_first(people, "nickname").dropna(subset=["given_name", "given_name_first"])
    planted = {pair for words in names.GIVEN.values() for pair in words.split()}
    assert len(pairs) > 50
    assert set(pairs["given_name_first"] + ":" + pairs["given_name"]) <= planted
    assert (pairs["email"] != pairs["email_first"]).all()
    assert (pairs["family_name"] == pairs["family_name_first"]).all()


@pytest.mark.parametrize("copy", ["other_email", "moved"])
def test_another_address_comes_with_the_same_name_and_phone(
    people: pd.DataFrame, copy: str
) -> None:
    pairs = beside_first(people, copy).dropna(subset=["given_name", "given_name_first"])
    assert len(pairs) > 50
    assert (pairs["email"] != pairs["email_first"]).all()
    assert (pairs["given_name"] == pairs["given_name_first"]).all()
    both = pairs.dropna(subset=["phone", "phone_first"])
    assert (both["phone"] == both["phone_first"]).all()
    assert len(both) > 20


def test_who_moved_belongs_to_another_account(world: World, people: pd.DataFrame) -> None:
    made = world.events.to_pandas().query("kind == 'person' and name == 'created'")
    account = people.assign(account=made.set_index("person")["account"])
    moved, stayed = (beside_first(account, copy) for copy in ("moved", "other_email"))
    assert (moved["account"] != moved["account_first"]).mean() > 0.95
    stayed = stayed.dropna(subset=["account"])
    assert (stayed["account"] == stayed["account_first"]).all()


def test_an_address_is_never_that_of_two_persons(people: pd.DataFrame) -> None:
    owners = people.groupby("email")["true_person"].nunique()
    assert owners.max() == 1
    second = people.duplicated("email")
    assert set(people.loc[second, "copy"]) == {"typo"}
    assert second.sum() == (people["copy"] == "typo").sum()


def test_some_leads_carry_only_an_address(people: pd.DataFrame) -> None:
    alone = people[["given_name", "family_name", "phone"]].isna().all(axis=1)
    first = people["copy"] == "first"
    assert alone[first].mean() == pytest.approx(identity.ONLY_EMAIL, abs=0.02)


def test_an_account_has_several_persons(world: World) -> None:
    made = world.events.to_pandas().query("kind == 'person' and name == 'created'")
    assert made.groupby("account")["person"].nunique().median() >= 4


def test_a_second_record_of_a_company_is_called_a_little_differently(firms: pd.DataFrame) -> None:
    first = firms[firms["variant"] == "first"].set_index("true_account")
    pairs = firms[firms["variant"] != "first"].join(
        first, on="true_account", suffixes=("", "_first")
    )
    pairs = pairs.dropna(subset=["name_first"])
    assert len(pairs) > 30
    assert (pairs["name"] != pairs["name_first"]).all()
    assert (pairs["name"].str[:2] == pairs["name_first"].str[:2]).all()
    known = pairs.dropna(subset=["domain"])
    assert (known["domain"] == known["domain_first"]).all()
    assert 0 < pairs["domain"].isna().mean() < 0.6


def test_two_companies_never_share_a_name_or_a_domain(firms: pd.DataFrame) -> None:
    for column in ("name", "domain"):
        assert firms.groupby(column)["true_account"].nunique().max() == 1


def test_champions_are_written_down_as_often_as_planted(world: World) -> None:
    members = world.truth["committee"]
    is_champion = members["role"] == "champion"
    seen = (members["recorded"] == "champion").groupby(is_champion).mean()
    assert seen[True] == pytest.approx(0.65, abs=0.08)
    assert seen[False] == pytest.approx(0.05, abs=0.03)
    assert members.groupby("opportunity").size().between(1, 4).all()
    assert not members.duplicated(["opportunity", "record"]).any()


def test_the_committee_in_the_events_is_the_true_one(world: World) -> None:
    said = world.events.to_pandas().query("kind == 'person' and name == 'joined'")
    true = world.truth["committee"].set_index(["opportunity", "record"])["recorded"]
    told = said.set_index(["opportunity", "person"])["text"]
    assert (true.loc[told.index] == told).all()
    assert 0.6 < len(told) / len(true) <= 1


def in_the_clear(events: pa.Table, words: set[str]) -> int:
    """Count the words that are a whole value, or part of one, in any column of strings."""
    strings = [
        name for name in events.column_names if events.schema.field(name).type == pa.string()
    ]
    values = {value for name in strings for value in pc.unique(events[name]).to_pylist() if value}
    return len(words & values) + sum("@" in value or "+" in value for value in values)


def test_no_identifying_field_is_in_the_events(world: World) -> None:
    words = set(world.people["value"].to_pylist())
    assert len(words) > 3_000
    assert in_the_clear(world.events, words) == 0
    leaky = world.events.slice(0, 1).drop_columns("text")
    leaky = leaky.append_column("text", pa.array(["jane.doe@mail.example"]))
    assert in_the_clear(leaky, words) == 1


def test_no_true_id_is_in_the_events(world: World) -> None:
    strings = [column for column in world.events.columns if column.type == pa.string()]
    values = [value for column in strings for value in pc.unique(column).to_pylist() if value]
    assert not [value for value in values if value.startswith(TRUTHS)]
    assert all(value.startswith(TRUTHS) for value in world.truth["true_persons"]["true_person"])


def test_the_words_for_names_are_as_many_as_their_users_count_on() -> None:
    for words, count in ((names.GIVEN, 20), (names.FAMILY, 30), (names.CITIES, 8)):
        assert {len(group.split()) for group in words.values()} == {count}
    assert {len(group.split()) for group in names.BUSINESSES.values()} == {4}
    assert {len(group) for group in names.FORMS.values()} == {2}
    assert {len(group) for group in names.TITLES.values()} == {4}

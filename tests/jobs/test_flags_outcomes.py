"""What became of the accounts of a flag, as a person asks for it: counted like in plain pandas."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from cluster.errors import FunnelcastError, Refusal, WrongUse
from cluster.workspace import Workspace
from features import log
from features.consent import Keeper, Ledger
from features.targets import load_target
from jobs.console import perform
from jobs.flags import asked, estimate, outcomes, page
from jobs.flags.run import JOB, FlagsSettings
from serving.leading import pace, variants
from serving.leading.variants import Known
from serving.releases import compared, flags
from serving.releases.compared import Told
from serving.releases.flags import Exposed
from tests.drills import mostly

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.settings import Settings
    from serving.releases.flags import Flag

CALL = "call_script"
TARGET = load_target("lead_qualification")
HORIZON = timedelta(days=TARGET.horizon_days)
SETTLE = timedelta(days=TARGET.settle_days)
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def place(
    copied: Callable[[Path], Settings], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workspace]:
    """A copy of the small world, whose accounts were told a variant at moments of its last year."""
    with Workspace.open(copied(tmp_path_factory.mktemp("flags") / "home")) as opened:
        _expose(opened)
        yield opened


def _expose(place: Workspace) -> None:
    flag, until, rng = flags.declared()[CALL], _until(place), np.random.default_rng(0)
    accounts = place.tables.read(log.TABLE, columns=["account"])["account"].unique().drop_null()
    for account in sorted(accounts.to_pylist())[::2]:
        at = until - timedelta(days=float(rng.uniform(0, 300)))
        exposed = Exposed(flag=flag, account=account)
        place.journal.append(flags.EXPOSURE, exposed.body(), id=exposed.id, now=at)
    last = Exposed(flag=flag, account="account-that-nobody-knows")
    place.journal.record(
        flags.EXPOSURE, last.body(), id=last.id, now=until - timedelta(days=200)
    )  # the entries before it are durable with it


def _until(place: Workspace) -> datetime:
    return log.latest(place.tables, log.pinned(place.tables))


def _run(place: Workspace, action: str, **more: Any) -> dict[str, Any]:
    settings = FlagsSettings(action=action, name=CALL, **more)
    return perform(JOB, settings, place, lambda *_: None).report


def _rows(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["variant"]: row for row in report["figures"]["variants"]}


def _told(place: Workspace, by: datetime) -> pd.DataFrame:
    entries = list(place.journal.entries(flags.EXPOSURE))
    told = pd.DataFrame([entry.body | {"at": entry.at} for entry in entries])
    return told[told["at"] <= by]


def _visible(events: pd.DataFrame, at: datetime) -> pd.DataFrame:
    """Return the newest version that was known of each row that was not taken back; of events by
    `known_at`.
    """
    newest = events[events["known_at"] <= at].drop_duplicates("row_key", keep="last")
    return newest[newest["kind"] == "lead"]


def _became(leads: pd.DataFrame, account: str, at: datetime, until: datetime) -> bool | None:
    """Return whether any lead that was known to be the account's, and open, was qualified in time;
    None without such a lead.
    """
    then = _visible(leads, at)
    then = then[then["event_time"] < at]
    anchors = then[then["name"] == "created"].sort_values(["event_time", "known_at", "event_id"])
    owners = anchors.groupby("lead").head(1)
    mine = set(owners[owners["account"] == account]["lead"])
    closed = set(then[then["name"] == "disqualified"]["lead"])
    now = _visible(leads, until)
    label = now[now["name"] == "qualified"].groupby("lead")["event_time"].min()
    open_leads = mine - closed - set(label[label < at].index)
    if not open_leads:
        return None
    return any(lead in label.index and label[lead] < at + HORIZON for lead in open_leads)


def _expected(place: Workspace, at: datetime) -> dict[str, dict[str, int]]:
    """Return the counts of each variant, in pandas, account by account."""
    names = ["row_key", "event_id", "shard", "kind", "name", "event_time", "known_at"]
    events = place.tables.read(log.TABLE, columns=[*names, "lead", "account"]).to_pandas()
    leads = events[events["kind"].isin(["lead", log.RETRACTION])]
    ledger = Keeper(place).look()
    may_not = ledger.are_refused(pa.array(leads["lead"].fillna(""), pa.string()))
    assert 0 < may_not.sum() < len(may_not)
    leads = leads[~may_not].sort_values(["known_at", "event_id"])
    until, told = min(at, _until(place)), _told(place, at)
    over = told[told["at"] + HORIZON + SETTLE <= until]
    by_account = dict(list(leads.groupby("shard")))
    became = [
        _became(by_account[account], account, moment, until) if account in by_account else None
        for account, moment in zip(over["account"], over["at"], strict=True)
    ]
    over = over.assign(became=pd.Series(became, index=over.index, dtype=object))
    return {
        name: {
            "exposed": int((told["variant"] == name).sum()),
            "matured": int((over["variant"] == name).sum()),
            "unknown": int(((over["variant"] == name) & over["became"].isna()).sum()),
            "outcomes": int(((over["variant"] == name) & (over["became"] == True)).sum()),  # noqa: E712
        }
        for name in ("usual", "interests")
    }


@pytest.mark.parametrize("ago", mostly([60, 0, 120]))
def test_the_report_is_what_plain_pandas_counts(place: Workspace, ago: int) -> None:
    """By now and by a moment of the past, of which later exposures and facts tell nothing."""
    at = _until(place) - timedelta(days=ago)
    report = _run(place, "outcomes", as_of=at.isoformat())
    expected = _expected(place, at)
    found = _rows(report)
    assert {
        name: {key: found[name][key] for key in counts} for name, counts in expected.items()
    } == expected
    counts = expected["usual"]
    assert counts["exposed"] > counts["matured"] > counts["unknown"] > 0 < counts["outcomes"]
    assert report["decided"][0].startswith("interests: not enough evidence")
    assert "speaks against the weights" in report["decided"][-1]
    assert found["interests"]["low"] <= found["interests"]["ratio"] <= found["interests"]["high"]


def test_without_a_moment_it_is_as_of_now(place: Workspace) -> None:
    """As far as the log goes; a moment that names no zone is none."""
    now = _run(place, "outcomes")
    assert now["figures"] == _run(place, "outcomes", as_of=_until(place).isoformat())["figures"]
    with pytest.raises(WrongUse, match="must name its time zone"):
        _run(place, "outcomes", as_of="2026-01-01")


def _lead(name: str, day: float, account: str, *, known: float) -> dict[str, Any]:
    said = {"source": "test", "row_key": name, "kind": "lead", "name": name, "lead": "lead-1"}
    moments = {"event_time": BEGAN + timedelta(days=day), "known_at": BEGAN + timedelta(days=known)}
    return said | moments | {"account": account}


def test_a_lead_is_of_the_account_that_was_known_to_have_it() -> None:
    """At its exposure: one that moved before is not the first account's, and is looked at from the
    time of its new account alone.
    """
    events = log.identified(
        pa.Table.from_pylist(
            [
                _lead("created", 0, "first", known=0),
                _lead("created", 0, "second", known=5),
                _lead("qualified", 110, "second", known=110),
            ],
            schema=log.CANDIDATE,
        )
    )
    until = BEGAN + timedelta(days=300)
    for day, owner in ((2, "first"), (100, None)):
        times = {"first": BEGAN + timedelta(days=day), "second": BEGAN + timedelta(days=10)}
        rows = variants.became(TARGET, events, times, until).to_pylist()
        found = {row["account"]: row["label"] for row in rows}
        assert found == {"second": False} | ({owner: False} if owner else {})
    late = variants.became(TARGET, events, {"second": BEGAN + timedelta(days=100)}, until)
    assert late["label"].to_pylist() == [True]


def test_the_outcome_of_a_deal_is_its_accounts_too(place: Workspace) -> None:
    """Where the target is of opportunities: one that was open then was won in time."""
    flag, target = flags.declared()[CALL], load_target("opportunity_win")
    known = variants.known(place, flag, target, _until(place))
    assert {each.outcome for each in known.over} == {True, False, None}
    events = place.tables.read(log.TABLE, columns=["name", "account", "event_time"]).to_pandas()
    won = events[events["name"] == "won"]
    for each in known.over:
        after = won[won["account"] == each.account]["event_time"] - each.at
        in_time = after.between(timedelta(0), timedelta(days=target.horizon_days)).any()
        assert in_time or not each.outcome


def test_who_may_not_be_scored_is_left_out_and_so_is_who_was_erased(
    copied: Callable[[Path], Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lead whose outcome came, and that was withdrawn: of its account nothing is known any more;
    the mutant, that asks no ledger, counts it still.
    """
    with Workspace.open(copied(tmp_path / "home")) as place:
        flag, until = flags.declared()[CALL], _until(place)
        account, lead, at = _won(place)
        exposed = Exposed(flag=flag, account=account)
        place.journal.record(flags.EXPOSURE, exposed.body(), id=exposed.id, now=at)
        known = variants.known(place, flag, TARGET, until)
        assert [each.outcome for each in known.over] == [True]
        _withdraw(place, lead, until)
        known = variants.known(place, flag, TARGET, until)
        assert [each.outcome for each in known.over] == [None]
        everybody = lambda self, entities: np.zeros(len(entities), np.bool_)  # noqa: E731
        monkeypatch.setattr(Ledger, "are_refused", everybody)
        known = variants.known(place, flag, TARGET, until)
        assert [each.outcome for each in known.over] == [True]

        events = place.tables.read(log.TABLE)
        is_other = pc.fill_null(pc.not_equal(events["lead"], lead), True)
        there, erased = (
            variants.became(TARGET, each, {account: at}, until).num_rows
            for each in (events, events.filter(is_other))
        )
        assert (there, erased) == (1, 0)


def _won(place: Workspace) -> tuple[str, str, datetime]:
    """Return an account with one lead, that was qualified, and a moment shortly before."""
    rows = place.tables.read("training_lead_qualification").to_pandas()
    alone = rows.groupby("account")["entity"].transform("nunique") == 1
    row = rows[alone & rows["label"] & rows["mature"]].iloc[0]
    return row["account"], row["entity"], row["time"].to_pydatetime()


def _withdraw(place: Workspace, lead: str, at: datetime) -> None:
    said = {"source": "portal", "row_key": "portal 1", "kind": "consent", "name": "withdrawn"}
    word = said | {"text": "profiling", "event_time": at, "known_at": at, "lead": lead}
    row = pa.Table.from_pylist([word], schema=log.CANDIDATE)
    place.tables.append(log.TABLE, log.identified(row))


def test_a_split_that_is_off_is_told_first() -> None:
    """Before any comparison, in the report and on the page; an honest one is told last."""
    at, flag = datetime(2026, 5, 1, tzinfo=UTC), flags.declared()[CALL]
    names = [f"account-{n:05d}" for n in range(1_500)]
    told = [Told(account=n, variant=flag.drawn(n), at=at, outcome=True) for n in names]
    kept = [each for n, each in enumerate(told) if each.variant != "usual" or n % 2]
    off, honest = (_found(flag, each, at) for each in (kept, told))
    assert (off.is_off, honest.is_off) == (True, False)
    first = f"accounts do not come as the weights of {CALL} say: trust no comparison"
    assert off.report.decided[0] == first
    assert off.report.decided[1].startswith("interests:")
    assert [said.startswith("interests:") for said in honest.report.decided] == [True, False]
    html = page.render(off)
    verdicts = re.findall(r'<p class="verdict( bad)?">(?:<b>)?(\w+)', html)
    assert verdicts == [(" bad", "Accounts"), (" bad", "Interests")]
    assert "trust no comparison" not in page.render(honest)


def _found(flag: Flag, told: list[Told], at: datetime) -> outcomes.Found:
    wanted = asked.of(flag)
    return outcomes.Found(
        asked=wanted,
        at=at,
        known=Known(told=tuple(told), over=tuple(told), until=at),
        counts=compared.counts(flag, told, told),
        courses=compared.courses(flag, wanted.each, told),
        split=flags.split(flag, [each.variant for each in told]),
    )


def test_the_page_shows_counts_and_curves(place: Workspace, tmp_path: Path) -> None:
    """One file, that needs nothing else."""
    to = tmp_path / "page.html"
    report = _run(place, "page", to=str(to))
    assert report["wrote"]["page"] == str(to)
    html = to.read_text()
    for row in _rows(_run(place, "outcomes")).values():
        shown = [row["variant"], *(f"{row[key]:,}" for key in ("exposed", "matured", "unknown"))]
        assert "".join(f'>{each}</td><td class="n"' for each in shown) in html
    assert html.count("<figure") == 1
    assert "at most 0.05, however often this is read" in html
    assert "<script" not in html
    assert set(re.findall(r"(?:src|href)=\"([^#\"]+)", html)) == set()


def test_before_anybody_was_told_nothing_is_known(trained: Workspace) -> None:
    """And nothing is drawn empty."""
    found = outcomes.found(trained, asked.of(flags.declared()[CALL]), None)
    assert found.report.decided[0] == "interests: no outcome of it or of usual is known yet"
    html = page.render(found)
    assert "<figure" not in html
    assert "No outcome of an account whose horizon is over is known yet" in html


def test_its_length_is_estimated_before_it_begins(
    trained: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For each comparison; where the log tells no pace it is refused."""
    flag = flags.declared()[CALL]
    assert flag.experiment is not None
    far = flag.experiment.model_copy(update={"ratio": 3.0})
    wanted = asked.of(flag.model_copy(update={"experiment": far}))
    found = estimate.estimated(trained, wanted)
    (row,) = found.figures["comparisons"]  # type: ignore[misc]
    assert row["variant"] == "interests"
    assert row["days"] > row["accounts"] / found.figures["accounts_per_day"]  # type: ignore[operator]
    assert found.decided[0].startswith(
        "interests: a rate 3 times that of usual is found with power 80% after"
    )
    refusal = Refusal(rule="outcomes must be known", value="none", remedy="ingest more")
    monkeypatch.setattr(pace, "of", lambda *_: refusal)
    with pytest.raises(FunnelcastError, match="outcomes must be known, got none"):
        estimate.estimated(trained, wanted)


def test_what_cannot_be_compared_is_refused(trained: Workspace) -> None:
    """A flag that is none, one without an experiment, one by a target that is none."""
    flag = flags.declared()[CALL]
    assert flag.experiment is not None
    with pytest.raises(WrongUse, match="did you mean 'call_script'"):
        perform(JOB, FlagsSettings(action="outcomes", name="call"), trained, lambda *_: None)
    with pytest.raises(WrongUse, match="must have an experiment to be compared"):
        asked.of(flag.model_copy(update={"experiment": None}))
    other = flag.experiment.model_copy(update={"target": "lead_qualificatio"})
    with pytest.raises(WrongUse, match="did you mean 'lead_qualification"):
        asked.of(flag.model_copy(update={"experiment": other}))
    with pytest.raises(WrongUse, match="exposures must have no --as-of"):
        FlagsSettings(action="exposures", name=CALL, as_of="2026-01-01T00:00Z")

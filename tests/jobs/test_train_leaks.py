"""Planted leaks are named with their evidence; what was known at T never is a leak."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pytest

from cluster.errors import WrongUse
from features import compute, log
from features.targets import load_target
from features.views.aggregates import Count, LastText
from features.views.language import Events, View
from jobs import console
from jobs.train import fit, leaks
from jobs.train.leaks import evidence, finding
from jobs.train.leaks.run import JOB, LeaksSettings

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from features.targets import Target

ROWS, DAY = 3000, 86_400_000_000
START = 1_700_000_000_000_000  # microseconds
HONEST = ("strong", "weak", "region", "seldom", "silent", "id", "constant", "renewal")
PLANTED = {  # column: verdict, kind of evidence
    "contract": ("leak", "filled by outcome"),
    "amount": ("leak", "too good"),
    "tag": ("leak", "names the outcome"),
    "quality": ("suspect", "names the outcome"),
    "closed": ("leak", "known later"),
    "rating": ("suspect", "too good"),
}
type Planted = tuple[pa.Table, np.ndarray]


def _either(rng: np.random.Generator, won: np.ndarray, good: list[str], bad: list[str]) -> list:
    """Return a word of either list for most rows, by outcome, and none for the others."""
    words = np.where(won, rng.choice(good, len(won)), rng.choice(bad, len(won)))
    return words.tolist()


@pytest.fixture
def planted() -> Planted:
    """Return a table with T at one moment, and its outcomes: honest columns beside leaks."""
    rng = np.random.default_rng(5)
    strong = rng.normal(size=ROWS)
    won = rng.random(ROWS) < 1 / (1 + np.exp(2 - 1.2 * strong))
    some, few = rng.random(ROWS), rng.random(ROWS)
    silent = rng.random(ROWS) < 0.1
    won &= ~silent  # who never came never buys, and that was known
    tag = np.array(_either(rng, won, ["enrolled", "will pay"], ["no answer", "wrong number"]))
    tag = np.where(some < 0.45, "called", tag)
    quality = np.array(_either(rng, won, ["high"], ["worst"]))
    quality = np.where(some < 0.12, quality, np.where(some < 0.6, "may be", None))
    ended = START + rng.integers(1, 90, ROWS) * DAY
    moment = pa.timestamp("us", "UTC")
    table = pa.table(
        {
            "time": pa.array(np.full(ROWS, START), moment),
            "strong": strong,
            "weak": rng.normal(size=ROWS) + 0.3 * won,
            "region": rng.choice(["north", "south", "east"], ROWS),
            "seldom": pa.array(rng.normal(size=ROWS), mask=few < 0.95),
            "silent": pa.array(rng.random(ROWS), mask=silent),
            "id": [f"case {number}" for number in range(ROWS)],
            "constant": ["yes"] * ROWS,
            "renewal": pa.array(START + rng.integers(100, 400, ROWS) * DAY, moment),
            "contract": pa.array(["signed"] * ROWS, mask=~(won & (some < 0.3))),
            "amount": np.where(won, rng.integers(100, 9000, ROWS), 0),
            "tag": tag,
            "quality": pa.array(quality.tolist()),
            "closed": pa.array(ended, moment, mask=~(won | (some < 0.6))),
            "rating": strong + 1.5 * won + rng.normal(size=ROWS) * 0.5,
        }
    )
    return table, won.astype(float)


def _found(table: pa.Table, label: np.ndarray, **more: object) -> dict[str, leaks.Finding]:
    features = [name for name in table.column_names if name not in {"time", "entity"}]
    rng = np.random.default_rng(7)
    found = leaks.search(table, label, features, rng=rng, times=table["time"], **more)  # type: ignore[arg-type]
    return {each.column: each for each in found}


def test_planted_leaks_are_named_with_their_evidence(planted: Planted) -> None:
    """Each by the kind of evidence that it was planted for, in a sentence with numbers."""
    found = _found(*planted)
    for column, (verdict, kind) in PLANTED.items():
        assert (found[column].verdict, kind in found[column].kinds) == (verdict, True), column
        assert any(letter.isdigit() for letter in found[column].evidence)
    assert "3,000" not in found["contract"].evidence
    assert "0.0% of" in found["contract"].evidence
    assert "after T" in found["closed"].evidence


def test_what_was_known_at_t_is_no_leak(planted: Planted) -> None:
    """A strong sign, a silence that means no, an id and a planned date are suspects at most."""
    found = _found(*planted)
    assert {name: found[name].verdict for name in HONEST if name in found} == {
        "silent": "suspect",
        "renewal": "suspect",
    }


def test_a_date_that_is_there_for_one_outcome_was_no_plan(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the two kinds of evidence together that tell `closed` from `renewal`."""
    assert _found(*planted)["closed"].verdict == "leak"
    monkeypatch.setattr(finding, "BEYOND_DOUBT", {"neither"})
    assert _found(*planted)["closed"].verdict == "suspect"


@pytest.mark.parametrize(("rows", "verdict"), [(20, None), (40, "suspect"), (80, "leak")])
def test_a_column_of_few_positives_is_a_suspect(
    planted: Planted, rows: int, verdict: str | None
) -> None:
    """It may be a sign that is nearly sure; with 80 rows and no exception it is none."""
    table, label = planted
    filled = (label > 0) & (np.cumsum(label) <= rows)
    table = table.select(["time", "weak"]).append_column("few", pa.array(label, mask=~filled))
    found = _found(table, label).get("few")
    assert (found and found.verdict) == verdict


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_nothing_is_named_by_chance(planted: Planted, share: float) -> None:
    """Outcomes that have nothing to do with the columns, rare, even and common."""
    table = planted[0].drop_columns(["renewal", "closed"])  # held against T, not the outcome
    for seed in range(5):
        label = np.random.default_rng(seed).random(ROWS) < share
        assert not _found(table, label.astype(float))


def test_without_the_correction_chance_would_be_named(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: where almost all are positive, a few filled rows are so too."""
    rng = np.random.default_rng(2)
    few = {f"few_{n}": pa.array(rng.random(ROWS), mask=rng.random(ROWS) > 0.012) for n in range(40)}
    table = pa.table({"time": planted[0]["time"], **few})
    label = (rng.random(ROWS) < 0.95).astype(float)
    assert not _found(table, label)
    monkeypatch.setattr(evidence, "CHANCE", np.inf)
    assert _found(table, label)


def test_one_row_of_an_entity_is_looked_at() -> None:
    """Mutant: with all rows of an entity, whatever names it knows its outcome."""
    each = np.repeat(np.arange(60), 40)
    names = pa.chunked_array([pa.array([f"entity {n}" for n in each])])
    table = pa.table({"time": pa.array(np.full(2400, START), log.MICROSECONDS), "name": names})
    outcome = np.repeat(np.r_[np.ones(30), np.zeros(30)], 40)
    assert not _found(table, outcome, entities=names)
    assert _found(table, outcome)["name"].verdict == "leak"


def test_copies_do_not_hide_each_other(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: held against all other columns, a copy would be no better than them."""
    table, label = planted
    table = table.select(["time", "weak", "region", "rating"])
    table = table.append_column("copy", pc.multiply(table["rating"], 2.0))
    assert {"rating", "copy"} <= _found(table, label).keys()
    monkeypatch.setattr(evidence, "WEAKER", -1.0)
    assert not {"rating", "copy"} & _found(table, label).keys()


def test_the_order_of_columns_and_the_run_change_nothing(planted: Planted) -> None:
    """Same seed, same findings, however the columns lie."""
    table, label = planted
    again = table.select(table.column_names[::-1])
    assert _found(table, label) == _found(table, label) == _found(again, label)


def test_few_outcomes_say_nothing(planted: Planted) -> None:
    """Nineteen positives are too few to accuse anybody."""
    table, label = planted
    few = np.where(np.cumsum(label) <= 19, label, 0.0)
    assert few.sum() == 19
    assert not _found(table, few)


def test_the_chance_is_exact() -> None:
    """That of all draws, counted."""
    ways = [math.comb(7, k) * math.comb(13, 6 - k) for k in range(7)]
    for hits in range(7):
        wanted = sum(ways[hits:]) / math.comb(20, 6)
        assert evidence.chance(6, hits, 20, 7) == pytest.approx(wanted)


def _log() -> pa.Table:
    """Leads that said where they are on day 0, and half of them something else on day 30."""
    rows = []
    for number in range(200):
        kept = {"source": "test", "lead": f"lead-{number}", "account": "a", "kind": "attribute"}
        first = {**kept, "row_key": f"{number}-a", "name": "state", "text": "new", "at": 0}
        rows.append(first)
        if number % 2:
            rows.append({**first, "row_key": f"{number}-b", "text": "customer", "at": 30})
    times = [START + row.pop("at") * DAY for row in rows]  # type: ignore[operator]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    given = {**columns, "event_time": times, "known_at": times}
    full = {
        f.name: pa.array(given[f.name]) if f.name in given else pa.nulls(len(rows), f.type)
        for f in log.CANDIDATE
    }
    return log.identified(pa.table(full).cast(log.CANDIDATE))


def test_the_log_tells_values_of_after_t() -> None:
    """A table with today's state is named, the state of T is not; so is no other honest column."""
    state = Events(kind="attribute", names=("state",))
    features = (
        LastText(name="state", label="State", events=state),
        Count(name="changes", label="Changes", events=state),
    )
    view = View(
        name="v", entity="lead", owner="t", description="", privacy="internal", features=features
    )
    events, leads = _log(), [f"lead-{n}" for n in range(200)]
    spine = pa.table({"entity": leads, "account": ["a"] * 200}).append_column(
        "time", pa.array(np.full(200, START + DAY), log.MICROSECONDS)
    )
    honest = compute.compute(view, events.select(compute.COLUMNS), spine)
    today = ["customer" if int(lead[5:]) % 2 else "new" for lead in honest["entity"].to_pylist()]
    joined = honest.set_column(honest.column_names.index("state"), "state", pa.array(today))
    label = np.random.default_rng(1).integers(0, 2, 200).astype(float)
    for rows, named in ((honest, []), (joined, ["state"])):
        known = leaks.told(view, events, rows)
        found = leaks.search(
            rows,
            label,
            view.columns,
            rng=np.random.default_rng(7),
            times=rows["time"],
            known=known,
        )
        assert [each.column for each in found if "known later" in each.kinds] == named
        assert list(leaks.leaking(found)) == named


def _prepared(workspace: Workspace, target: Target, table: pa.Table | None = None) -> fit.Prepared:
    rows = workspace.tables.read(target.training_table) if table is None else table
    prepared = fit.prepare(rows, target, test_share=0.2, purge=True)
    assert isinstance(prepared, fit.Prepared)
    return prepared


@pytest.mark.parametrize("target", ["lead_qualification", "opportunity_win"])
def test_features_as_of_t_are_no_leaks(trained: Workspace, target: str) -> None:
    """In the rows that the engine made of a small world."""
    prepared = _prepared(trained, load_target(target))
    assert not leaks.leaking(leaks.found_in(prepared, 7))


def test_leaks_are_left_out_of_a_training(trained: Workspace) -> None:
    """A column that came to know the outcome is found, and the rest is trained on as if it had
    never been there.
    """
    target = load_target("opportunity_win")
    honest = trained.tables.read(target.training_table)
    place = honest.column_names.index("revenue_cents")
    spoilt = pc.multiply(pc.cast(honest["label"], pa.int64()), 100)
    prepared = _prepared(trained, target, honest.set_column(place, "revenue_cents", spoilt))
    named = leaks.leaking(leaks.found_in(prepared, 7))
    assert named == ("revenue_cents",)
    without = leaks.left_out(prepared, named)
    names = [feature.name for feature in without.signature.features]
    assert names == [name for name in target.features.columns if name != "revenue_cents"]
    np.testing.assert_array_equal(without.data.matrix, without.signature.encode(without.train))
    params = {"max_depth": 3.0}
    apart = _prepared(trained, target)
    expected = fit.out_of_fold(leaks.left_out(apart, named).data, params, 5)[0]
    assert np.array_equal(fit.out_of_fold(without.data, params, 5)[0], expected)
    assert not np.array_equal(fit.out_of_fold(prepared.data, params, 5)[0], expected)


def test_constraints_stay_with_their_columns(trained: Workspace) -> None:
    """Whatever lies before them; and nothing can be learnt from no column."""
    declared = load_target("opportunity_win")
    target = declared.model_copy(update={"monotone": {"meetings_60d": "rising"}})
    without = leaks.left_out(_prepared(trained, target), {"amount_cents", "product"})
    names = [feature.name for feature in without.signature.features]
    assert without.data.aims.monotone.index(1) == names.index("meetings_60d")
    assert len(without.data.aims.monotone) == len(names)
    with pytest.raises(leaks.OnlyLeaks, match="--leaks report"):
        leaks.left_out(without, names)


def _file(folder: Path) -> str:
    day = datetime(2026, 1, 5, tzinfo=UTC)
    lines = ["id,stage,opened,ended,note,price"]
    for number in range(400):
        stage = ("Won", "Lost", "Open", "Lost")[number % 4]
        ended = "" if stage == "Open" else f"{day + timedelta(days=number % 50 + 1):%m/%d/%Y}"
        note = "Select" if number % 3 else "call again"
        lines.append(f"{number},{stage},{day:%m/%d/%Y},{ended},{note},{number % 7}")
    file = folder / "deals.csv"
    file.write_text("\n".join(lines))
    return str(file)


def test_a_raw_file_is_audited(workspace: Workspace, tmp_path: Path) -> None:
    """Before any mapping: a date of after T stands out; the words for nothing are nothing."""
    asked = LeaksSettings(
        file=_file(tmp_path),
        label="stage",
        positive="Won",
        time="opened",
        empty="Select",
        leave_out="id",
    )
    report = console.perform(JOB, asked, workspace, lambda done, total, what: None).report
    assert report["read"] | {"file": ""} == {"file": "", "rows": 400, "positives": 100}
    assert report["decided"][0] == "leaks: ended"
    assert "in 300 of 300 filled rows the value is a time after T" in report["decided"][1]
    assert report["figures"] == {"leaks": 1, "suspects": 0}


def test_only_rows_of_either_outcome_are_judged(tmp_path: Path) -> None:
    """With `negative`, deals that are still open are left out."""
    table = pa.csv.read_csv(_file(tmp_path))
    asked = leaks.Question(label="stage", positive=("Won",), negative=("Lost",))
    found = leaks.audit(table, asked, np.random.default_rng(7))
    assert (found.rows, found.positives) == (300, 100)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"label": "stag"}, "did you mean 'stage'"),
        ({"label": "stage"}, "say --positive and --negative"),
        ({"label": "stage", "positive": ("Won",), "time": "note"}, "must hold times"),
    ],
)
def test_a_question_without_an_answer_is_refused(
    tmp_path: Path, asked: dict[str, object], words: str
) -> None:
    """In one line that says what to do."""
    table = pa.csv.read_csv(_file(tmp_path))
    with pytest.raises(WrongUse, match=words):
        leaks.audit(table, leaks.Question(**asked), np.random.default_rng(7))  # type: ignore[arg-type]


def test_findings_are_said(planted: Planted) -> None:
    """How many there are, what became of them, and each."""
    found = tuple(_found(*planted).values())
    lines = leaks.said(found, excluded=True)
    assert lines[0].startswith("leak search: 4 leaks, ")
    assert lines[0].endswith("leaks are left out")
    assert len(lines) == 1 + len(found)
    assert leaks.said((), excluded=False) == ["leak search: no column knows the outcome"]

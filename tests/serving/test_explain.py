"""Explanations: exact contributions, reasons in words, and the events behind them."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import UTC, datetime
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import xgboost as xgb
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from cluster.errors import WrongUse
from features import compute, log, spine
from features.sources.world import WorldConfig, generate
from features.targets import Target, load_target
from features.views import VIEWS, View, aggregates, document
from features.views.language import Events, windowed
from jobs.train import fit
from jobs.train.space import FIRST
from serving import evidence, explain, model, shapley, trees, wording
from serving.answer.questions import Question
from serving.answer.record import Made
from serving.calibrator import Calibrator
from serving.decide import Basis, decide
from serving.policy import load_policy
from serving.wire import decisions
from serving.wire.records import answer_bytes

NUMBERS, CODES = 9, 7  # features of numbers, and codes of each of the two of categories
KINDS = ["q"] * NUMBERS + ["c", "c"]
AT = datetime(2025, 6, 2, tzinfo=UTC)


def _matrix(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Return rows with missing values, ties, and codes that training may not have seen."""
    matrix = np.round(rng.normal(size=(rows, NUMBERS + 2)), 1).astype(np.float32)
    matrix[:, NUMBERS:] = rng.integers(0, CODES, (rows, 2))
    matrix[rng.random(matrix.shape) < 0.15] = np.nan
    return matrix


def _booster(seed: int, depth: int, rounds: int = 12, **params: object) -> xgb.Booster:
    rng = np.random.default_rng(seed)
    matrix = _matrix(rng, 1500)
    known = np.nan_to_num(matrix)
    logit = known[:, 0] * known[:, 1] + (known[:, -1] > 3) + known[:, 2:NUMBERS].sum(axis=1) / 2
    label = (rng.random(len(matrix)) < 1 / (1 + np.exp(1 - logit))).astype(np.float32)
    data = xgb.DMatrix(matrix, label, feature_types=KINDS, enable_categorical=True, nthread=1)
    fixed = {**fit.FIXED, "max_cat_to_onehot": 3, "max_depth": depth, "min_child_weight": 0.5}
    return xgb.train({**fixed, **params}, data, rounds)


def _theirs(booster: xgb.Booster, matrix: np.ndarray) -> np.ndarray:
    data = xgb.DMatrix(matrix, feature_types=KINDS, enable_categorical=True, nthread=1)
    return np.asarray(booster.predict(data, pred_contribs=True))


def _by_definition(booster: xgb.Booster, row: np.ndarray) -> np.ndarray:
    """Return Shapley values of one row from all coalitions: (f,)."""
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    found = learner["gradient_booster"]["model"]["trees"]
    players = sorted({f for t in found for f, c in _asked(t) if c != -1})
    coalitions = [set(c) for n in range(len(players) + 1) for c in combinations(players, n)]
    worth = {frozenset(c): sum(_mean(t, 0, row, c) for t in found) for c in coalitions}
    values = np.zeros(len(row))
    for one in players:
        for c in coalitions:
            if one not in c:
                orders = math.factorial(len(c)) * math.factorial(len(players) - len(c) - 1)
                gain = worth[frozenset(c | {one})] - worth[frozenset(c)]
                values[one] += gain * orders / math.factorial(len(players))
    return values


def _asked(tree: dict[str, Any]) -> list[tuple[int, int]]:
    return list(zip(tree["split_indices"], tree["left_children"], strict=True))


def _mean(tree: dict[str, Any], node: int, row: np.ndarray, known: set[int]) -> float:
    """Return the mean of a tree's leaves where only some features of a row are known."""
    left, right = tree["left_children"][node], tree["right_children"][node]
    if left == -1:
        return float(tree["split_conditions"][node])
    feature = tree["split_indices"][node]
    if feature in known:
        goes_left = _goes_left(tree, node, row[feature])
        return _mean(tree, left if goes_left else right, row, known)
    shares = [tree["sum_hessian"][child] / tree["sum_hessian"][node] for child in (left, right)]
    return sum(s * _mean(tree, c, row, known) for s, c in zip(shares, (left, right), strict=True))


def _goes_left(tree: dict[str, Any], node: int, value: float) -> bool:
    if np.isnan(value):
        return bool(tree["default_left"][node])
    if not tree["split_type"][node]:
        return bool(np.float32(value) < np.float32(tree["split_conditions"][node]))
    place = tree["categories_nodes"].index(node)
    start, size = tree["categories_segments"][place], tree["categories_sizes"][place]
    return int(value) not in tree["categories"][start : start + size]


@pytest.mark.parametrize("depth", [1, 3, 6])
def test_contributions_are_shapley_values_by_definition(depth: int) -> None:
    """Every coalition of features, tree by tree: numbers, categories, missing and unseen values."""
    booster = _booster(depth, depth, rounds=2, colsample_bytree=0.6)
    rows = _matrix(np.random.default_rng(9), 3)
    rows[0, -2:] = CODES + 2  # never seen
    ours = shapley.Explainer.of(booster).contributions(rows)
    for row, found in zip(rows, ours, strict=True):
        np.testing.assert_allclose(found[:-1], _by_definition(booster, row), atol=2e-7)


@pytest.mark.parametrize(("seed", "depth"), [(n, depth) for n, depth in enumerate(range(1, 13))])
def test_contributions_add_up_to_the_margin_and_are_those_of_xgboost(seed: int, depth: int) -> None:
    """Of random models, with categories and missing values: 500 rows to 1e-5."""
    booster, rows = _booster(seed, depth), _matrix(np.random.default_rng(seed + 100), 500)
    ours = shapley.Explainer.of(booster).contributions(rows)
    margin = booster.inplace_predict(rows, predict_type="margin")
    np.testing.assert_allclose(ours.sum(axis=1), margin, atol=1e-5, rtol=0)
    np.testing.assert_allclose(ours, _theirs(booster, rows), atol=1e-5, rtol=0)


def test_too_few_points_would_not_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: one point fewer than the longest path needs."""
    booster, rows = _booster(4, 8), _matrix(np.random.default_rng(4), 200)
    exact = shapley.Explainer.of(booster).contributions(rows)
    points, weights = np.polynomial.legendre.leggauss(2)
    few = (np.repeat((points + 1) / 2, 2), np.repeat(weights / 4, 2))
    monkeypatch.setattr(shapley, "_quadrature", lambda splits: few)
    rough = shapley.Explainer.of(booster).contributions(rows)
    assert np.abs(rough - exact).max() > 1e-5


def test_contributions_are_the_same_bits_alone_in_batches_and_on_threads() -> None:
    """Across the blocks in which rows are explained."""
    explainer = shapley.Explainer.of(_booster(5, 5))
    rows = _matrix(np.random.default_rng(5), 2 * shapley.ROWS + 7)
    wanted = explainer.contributions(rows)
    with ThreadPoolExecutor(4) as threads:
        alone = list(threads.map(explainer.contributions, np.split(rows, len(rows))))
    assert np.concatenate(alone).tobytes() == wanted.tobytes()
    turned = np.ascontiguousarray(rows[::-1])
    assert explainer.contributions(turned)[::-1].tobytes() == wanted.tobytes()


def test_trees_without_a_split_give_nothing() -> None:
    """All is in the base."""
    booster, rows = _booster(6, 3, gamma=1e9), _matrix(np.random.default_rng(6), 3)
    ours = shapley.Explainer.of(booster).contributions(rows)
    assert not ours[:, :-1].any()
    np.testing.assert_allclose(ours, _theirs(booster, rows), atol=1e-6)


class _Said:
    """A booster that says of itself what it is told to."""

    def __init__(self, booster: xgb.Booster, change: Any) -> None:
        self._said = json.loads(bytes(booster.save_raw("json")))
        change(self._said["learner"])

    def save_raw(self, raw_format: str) -> bytearray:
        """Return the trees as told."""
        assert raw_format == "json"
        return bytearray(json.dumps(self._said).encode())


def _tree(learner: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = learner["gradient_booster"]["model"]["trees"][0]
    return tree


def _category(learner: dict[str, Any]) -> dict[str, Any]:
    every: list[dict[str, Any]] = learner["gradient_booster"]["model"]["trees"]
    return next(tree for tree in every if tree["categories"])


HOSTILE = {
    "must be of gbtree": lambda said: said["objective"].update(name="reg:squarederror"),
    "base score": lambda said: said["learner_model_param"].update(base_score="[1.5E0]"),
    "one of 11 features": lambda said: _tree(said)["split_indices"].__setitem__(0, 11),
    "one of .* nodes": lambda said: _tree(said)["right_children"].__setitem__(0, 10_000),
    "one of 1024 codes": lambda said: _category(said)["categories"].__setitem__(0, 2**24),
    "come back": lambda said: _tree(said)["left_children"].__setitem__(0, 0),
}


@pytest.mark.parametrize("words", HOSTILE)
def test_trees_that_are_none_are_refused(words: str) -> None:
    """Before a kernel reads beyond them."""
    said: Any = _Said(_booster(7, 6, rounds=4), HOSTILE[words])
    with pytest.raises(trees.TreesBroken, match=words):
        trees.Splits.of(said)


def test_without_the_check_a_kernel_would_read_beyond(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: places are believed."""
    said: Any = _Said(_booster(7, 3, rounds=2), HOSTILE["one of 11 features"])
    monkeypatch.setattr(trees, "_must_be_below", lambda *_: None)
    assert trees.Splits.of(said).feature.max() == 11


def _feature(name: str, group: str = "", **said: Any) -> model.Feature:
    worded = wording.Wording(group=group, topic=group.title(), **said) if group else wording.PLAIN
    return model.Feature(name=name, kind="number", label=name.upper(), wording=worded)


GROUPS = explain.Groups.among(
    (_feature("a7", "visits"), _feature("b"), _feature("a30", "visits"), _feature("c"))
)


def _sigmoid(margin: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-margin)))


def test_features_of_one_group_are_one_reason() -> None:
    """Their contributions are added; the reason shows the strongest in the direction of the sum."""
    shares = np.array([[-0.1, 0.25, 0.5, 0.0, -1.0]])
    record = {"a7": 1, "b": None, "a30": 4, "c": 2}
    (found,) = GROUPS.reasons([record], shares, _sigmoid, top=4)
    assert [(r.group, r.feature, r.value) for r in found] == [
        ("visits", "a30", 4),
        ("b", "b", None),
    ]
    assert [r.contribution for r in found] == pytest.approx([0.4, 0.25])
    assert found[0].features == ("a7", "a30")
    assert found[0].label == "Visits"


def test_the_change_is_that_of_the_calibrated_probability() -> None:
    """With the group, less without it, all else as it is."""
    shares = np.array([[-0.1, 0.25, 0.5, 0.0, -1.0]])
    (found,) = GROUPS.reasons([dict.fromkeys(["a7", "b", "a30", "c"], 1)], shares, _sigmoid, top=1)
    wanted = _sigmoid(np.array([-0.35]))[0] - _sigmoid(np.array([-0.75]))[0]
    assert found[0].probability_change == pytest.approx(wanted)
    assert found[0].text == f"A30: 1, raises the chance by {wanted * 100:.1f} points"


@given(st.lists(st.lists(st.floats(-9, 9), min_size=5, max_size=5), min_size=1, max_size=8))
@settings(max_examples=20, deadline=None)
def test_groups_and_base_add_up_alike_alone_and_in_a_batch(rows: list[list[float]]) -> None:
    """To the same sum as the features, and to the same bits in any company."""
    shares = np.array(rows)
    sums = GROUPS.contributions(shares)
    np.testing.assert_allclose(sums.sum(axis=1), shares.sum(axis=1), atol=1e-12)
    records = [dict.fromkeys(["a7", "b", "a30", "c"], 1)] * len(rows)
    together = GROUPS.reasons(records, shares, _sigmoid, top=3)
    assert [GROUPS.reasons(records[:1], s[None], _sigmoid, top=3)[0] for s in shares] == together


def test_no_reasons_cannot_be_asked_for() -> None:
    """One or more."""
    with pytest.raises(WrongUse, match="1 or more, got 0"):
        GROUPS.reasons([], np.zeros((0, 5)), _sigmoid, top=0)


@pytest.mark.parametrize(
    ("change", "words"),
    [(0.042, "raises the chance by 4.2 points"), (-0.5, "lowers the chance by 50.0 points"),
     (-0.0004, "lowers the chance by less than 0.1 points"), (0.0, "leaves the chance as it is")],
)  # fmt: skip
def test_a_change_is_told_with_direction_and_size(change: float, words: str) -> None:
    """In points of the probability."""
    assert explain.told(change) == words


VISITS = Events(kind="touch", names=("pricing_visit",))


def _view(*features: aggregates.Feature) -> View:
    plain = {"owner": "o", "description": "d", "privacy": "internal"}
    return View(name="v", entity="lead", features=features, **plain)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("feature", "value", "words"),
    [
        ("pricing_visits_30d", 3, "Pricing page visits: 3 in 30 days"),
        ("pricing_visits_30d", 0, "Pricing page visits: none in 30 days"),
        ("hours_since_touch", 288.2, "Time since the last touch: 12 days"),
        ("hours_since_touch", 5.1, "Time since the last touch: 5 hours"),
        ("hours_since_touch", 0.02, "Time since the last touch: 1 minute"),
        ("hours_since_touch", None, "Time since the last touch: none"),
        ("hours_unanswered", 290.0, "Time for which our last mail has no reply: 12 days"),
        ("industry", "retail", "Industry: retail"),
        ("industry", None, "Industry: unknown"),
        ("employees", 1200, "Employees: 1,200"),
        ("amount_cents", 1_250_000, "Amount: 12,500.00"),
        ("seller_probability_ppm", 250_000, "Probability as the seller puts it: 25%"),
        ("paid_share_90d", 0.4, "Share of paid touches: 40% in 90 days"),
        ("touch_velocity", 1.83, "Touches a day this week against this month: 1.8 times"),
        ("session_length_30d", 1234.5, "Seconds per session: 1,234 in 30 days"),
    ],
)
def test_a_value_is_said_in_a_sellers_words(feature: str, value: object, words: str) -> None:
    """From the declaration of the view alone."""
    view = next(v for v in VIEWS if feature in v.columns)
    assert wording.wordings(view)[feature].said(value, "") == words


def test_a_group_is_what_features_look_at_not_how_they_are_called() -> None:
    """Other labels, windows and order leave the ids; other events, or another side, do not."""
    counts = windowed(aggregates.Count, "visits", "Pricing page visits", VISITS, (7, 30))
    since = aggregates.HoursSince(name="since", label="Hours since a visit", events=VISITS)
    said = wording.wordings(_view(since, *counts))
    assert {(w.group, w.topic) for w in said.values()} == {
        ("touch:pricing_visit", "Pricing page visits")
    }
    renamed = windowed(aggregates.Count, "looks", "Looks at prices", VISITS, (14,))
    assert wording.wordings(_view(*renamed))["looks_14d"].group == "touch:pricing_visit"
    others = [
        replace(since, events=replace(VISITS, of="account")),
        replace(since, events=replace(VISITS, names=("web_visit",))),
        aggregates.LastText(name="page", label="Page", events=VISITS),
        aggregates.Distinct(name="pages", label="Pages", events=VISITS, column="campaign"),
    ]
    assert len({wording.group(feature) for feature in [since, *others]}) == 5


def test_every_aggregate_of_the_language_has_a_unit() -> None:
    """So that no declared feature is without words."""
    assert set(document.AGGREGATES.values()) == set(wording.UNITS)
    for view in VIEWS:
        said = wording.wordings(view)
        assert list(said) != []
        assert set(said) == set(view.columns)
        assert all(w.group and w.topic and w.subject for w in said.values())


def test_words_go_with_the_model_and_old_manifests_have_none() -> None:
    """As JSON and back."""
    feature, adapter = _feature("a7", "visits", unit="count"), TypeAdapter(model.Feature)
    assert adapter.validate_json(adapter.dump_json(feature)) == feature
    old = adapter.dump_python(feature, exclude={"wording"})
    assert adapter.validate_python(old).wording == wording.PLAIN


def test_a_decision_of_before_is_still_shown() -> None:
    """Its reasons had no groups."""
    said = {"feature": "a7", "label": "A7", "value": 1, "contribution": 0.5}
    assert decisions.ReasonOut.model_validate(said).features == []


@pytest.fixture(scope="module")
def target() -> Target:
    """The target whose features are explained."""
    return load_target("lead_qualification")


@pytest.fixture(scope="module")
def events() -> pa.Table:
    """Return the log of a small world."""
    world = generate(WorldConfig(seed=5, scale=0.02, weeks=30, faults=0))
    return log.identified(world.events.select(log.CANDIDATE.names).cast(log.CANDIDATE))


@pytest.fixture(scope="module")
def rows(target: Target, events: pa.Table) -> pa.Table:
    """Return the features of its open leads."""
    return compute.compute(target.features, events, spine.scoring(target, events, AT))


@pytest.fixture(scope="module")
def trained(target: Target, rows: pa.Table) -> model.Model:
    """Return a model of them, with words."""
    labels = {feature.name: feature.label for feature in target.features.features}
    signature = fit.signature(rows, labels).worded(wording.wordings(target.features))
    since = pc.fill_null(rows["hours_since_touch"], 1e4).to_numpy()
    label = (since < np.median(since)).astype(np.float32)
    label[::5] = 1 - label[::5]
    types = tuple(model.feature_types(signature))
    data = fit.Data(matrix=signature.encode(rows), label=label, types=types, folds=())
    booster = fit.refit(data, {**FIRST, "min_child_weight": 1.0}, 30)
    return model.Model(booster=booster, signature=signature, calibrator=Calibrator())


def _among(events: pa.Table, some: pa.Table, *, kept: bool) -> pa.Table:
    """The events whose rows are, or are not, among some: every version of them."""
    is_there = pc.is_in(events["row_key"], value_set=some["row_key"].combine_chunks())
    return events.filter(is_there if kept else pc.invert(is_there))


def _features(view: View, events: pa.Table, row: pa.Table) -> dict[str, Any]:
    found: dict[str, Any] = compute.compute(view, events, row).select(view.columns).to_pylist()[0]
    return found


def _shard(events: pa.Table, row: pa.Table) -> pa.Table:
    return events.filter(pc.equal(events["shard"], row["account"][0]))


def _differing(
    target: Target, events: pa.Table, rows: pa.Table, trained: model.Model, *, kept: bool
) -> list[tuple[explain.Reason, set[str], set[str]]]:
    """Return of each reason of some leads: itself, the features that change when the rows of its
    evidence are kept alone or deleted, and those that share no row with it.
    """
    view, found = target.features, []
    for place in range(0, rows.num_rows, rows.num_rows // 5):
        row = rows.slice(place, 1).select(["entity", "account", "time"])
        mine = _shard(events, row)
        before = _features(view, mine, row)
        made_of = {name: _keys(compute.trace(view, name, mine, row)) for name in before}
        for reason in trained.reasons(rows.slice(place, 1), top=4)[0]:
            behind = evidence.evidence(reason, view, mine, row, most=10_000).events
            after = _features(view, _among(mine, behind, kept=kept), row)
            changed = {name for name in before if before[name] != after[name]}
            apart = {name for name, keys in made_of.items() if not keys & _keys(behind)}
            if behind.num_rows:
                found.append((reason, changed, apart))
    return found


def _keys(events: pa.Table) -> set[str]:
    return set(events["row_key"].to_pylist())


def test_deleting_the_evidence_changes_the_reason_and_nothing_unrelated(
    target: Target, events: pa.Table, rows: pa.Table, trained: model.Model
) -> None:
    """On a small world: a feature of the reason changes, and none that is made of other rows."""
    found = _differing(target, events, rows, trained, kept=False)
    assert len(found) > 10
    assert len({reason.group for reason, _, _ in found}) > 3
    for reason, changed, apart in found:
        assert changed & set(reason.features)
        assert not changed & apart


def test_the_evidence_alone_makes_the_reason(
    target: Target,
    events: pa.Table,
    rows: pa.Table,
    trained: model.Model,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All other rows deleted, its features are the same. Mutant: evidence that forgets an event."""
    found = _differing(target, events, rows, trained, kept=True)
    assert not any(changed & set(reason.features) for reason, changed, _ in found)
    once = evidence._once
    monkeypatch.setattr(evidence, "_once", lambda table: once(table).slice(1))
    found = _differing(target, events, rows, trained, kept=True)
    assert any(changed & set(reason.features) for reason, changed, _ in found)


def test_evidence_is_newest_first_once_each_and_bounded(
    target: Target, events: pa.Table, rows: pa.Table, trained: model.Model
) -> None:
    """With the count of all, and the source row of each."""
    reasons = [r for found in trained.reasons(rows, top=5) for r in found]
    places = [p for p, found in enumerate(trained.reasons(rows, top=5)) for _ in found]
    whole = [
        evidence.evidence(reason, target.features, _shard(events, row), row, most=10_000)
        for reason, row in (
            (r, rows.slice(p, 1)) for r, p in zip(reasons[:60], places, strict=False)
        )
    ]
    count, place = max((found.count, n) for n, found in enumerate(whole))
    assert count > 3
    times = log.microseconds(whole[place].events["event_time"])
    assert (np.diff(times) <= 0).all()
    assert len(set(whole[place].events["event_id"].to_pylist())) == count
    row = rows.slice(places[place], 1)
    few = evidence.evidence(reasons[place], target.features, _shard(events, row), row, most=2)
    assert (few.count, few.events) == (count, whole[place].events.slice(0, 2))
    assert {"source", "source_row", "row_key", "ingest"} <= set(few.events.column_names)
    with pytest.raises(WrongUse, match="1 or more, got 0"):
        evidence.evidence(reasons[place], target.features, events, row, most=0)


def test_a_decision_carries_its_reasons_over_the_wire(rows: pa.Table, trained: model.Model) -> None:
    """Groups, changes and sentences, as JSON."""
    basis = Basis(target="t", model="m", calibrator="k", policy="p", view="v", code="c")
    made = decide(trained, load_policy("lead_routing"), rows.slice(0, 3), AT, basis=basis)
    for decision in made:
        question = Question(kind="lead", key=decision.entity)
        body = Made(id="d", question=question, decision=decision, seen=None).body()
        sent = json.loads(answer_bytes(body))["reasons"]
        assert decision.reasons is not None
        assert sent == json.loads(json.dumps([asdict(reason) for reason in decision.reasons]))
        assert sent[0]["text"].startswith(wording.wordings(VIEWS[0])[sent[0]["feature"]].subject)


def test_groups_of_a_real_model_add_up_to_its_margin(rows: pa.Table, trained: model.Model) -> None:
    """Fewer than its features, each reason with its sentence."""
    matrix = trained.encode(rows)
    sums = trained.groups.contributions(trained.contributions(matrix))
    assert sums.shape[1] < matrix.shape[1]
    assert np.abs(sums.sum(axis=1) - trained.score(matrix).margin).max() < 1e-5
    for reason in (r for found in trained.reasons(rows, top=3) for r in found):
        way = "raises" if reason.probability_change > 0 else "lowers"
        assert f", {way} the chance by " in reason.text or not reason.probability_change
        assert (reason.probability_change > 0) == (reason.contribution > 0)

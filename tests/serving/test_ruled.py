"""Rules that are weighed move the score, and say so as one reason among the others."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from serving import bundle, golden, ruled
from serving.calibrator import PointsMissing
from serving.decide import Basis, decide
from serving.policy import load_policy
from tests.serving import hostile_rules

if TYPE_CHECKING:
    from serving.model import Model

AT = datetime(2026, 3, 1, tzinfo=UTC)
ROW: dict[str, Any] = {"visits": 3, "region": "us", "share": 0.25}
OFTEN, ABROAD = 20, -15


@pytest.fixture(scope="module")
def model() -> Model:
    """A model whose calibrator weighs two rules, at 0.03 a point."""
    return bundle.unpack(hostile_rules.ruled().manifest, hostile_rules.ruled().booster)


def _rows(count: int) -> pa.Table:
    rng = np.random.default_rng(4)
    region = pa.array(np.array(["apac", "eu", "us", "mars"])[rng.integers(0, 4, count)])
    visits = pa.array(rng.poisson(2.5, count), pa.int64(), mask=rng.random(count) < 0.2)
    return pa.table({"visits": visits, "region": region, "share": rng.random(count)})


def test_points_come_with_the_bundle_alike_from_rows_and_tables(model: Model) -> None:
    """As the rules say, a category without a code included."""
    assert [rule.name for rule in model.rules] == ["visits often", "abroad"]
    rows = _rows(300)
    points = model.points(rows)
    assert points is not None
    for other in (rows.to_pylist(), rows.to_pandas()):
        assert np.array_equal(model.points(other), points)
    assert set(points.tolist()) == {0, OFTEN, ABROAD, OFTEN + ABROAD}
    bare = replace(model, calibrator=replace(model.calibrator, per_point=0.0))
    assert bare.points(rows) is None


def test_a_score_without_its_points_is_refused(model: Model) -> None:
    """Nothing is scored by half a model."""
    with pytest.raises(PointsMissing, match="score the rows with the rules of the bundle"):
        model.score(model.encode([ROW]))


def test_the_rules_are_a_reason_that_says_which_fired(model: Model) -> None:
    """With points, in words, and what the chance would be without them."""
    (reasons,) = model.reasons([ROW], top=9)
    (reason,) = (r for r in reasons if r.group == ruled.GROUP)
    matrix = model.encode([ROW])
    given, bare = (model.score(matrix, np.array([p])).probability[0] for p in (5, 0))
    assert reason.contribution == pytest.approx(0.03 * 5)
    assert reason.probability_change == pytest.approx(given - bare, abs=1e-7)
    assert reason.text.startswith("rules: visits often (+20), abroad (-15), raises the chance by")
    assert (reason.feature, reason.value, reason.features) == ("visits", 3, ("visits", "region"))


def test_the_rules_stand_where_their_strength_puts_them(model: Model) -> None:
    """Strongest first in blended log-odds, and not more reasons than asked for."""
    rows = _rows(100).to_pylist()
    slope = 0.4
    weak = replace(model, calibrator=replace(model.calibrator, slope=slope))
    for reasons in weak.reasons(rows, top=9):
        worth = [abs(r.contribution) * (1 if r.group == ruled.GROUP else slope) for r in reasons]
        assert worth == sorted(worth, reverse=True)
    assert {len(reasons) for reasons in weak.reasons(rows, top=2)} == {2}
    nothing = [{**ROW, "visits": 0, "region": "eu"}]
    assert not any(r.group == ruled.GROUP for r in model.reasons(nothing, top=9)[0])


def test_contributions_of_the_trees_are_as_they_were(model: Model) -> None:
    """They still add up to the margin; all but the reason of the rules."""
    rows = _rows(50).to_pylist()
    bare = replace(model, calibrator=replace(model.calibrator, per_point=0.0))
    for given, plain in zip(model.reasons(rows, top=9), bare.reasons(rows, top=9), strict=True):
        trees = [(r.group, r.contribution) for r in given if r.group != ruled.GROUP]
        assert trees == [(r.group, r.contribution) for r in plain]


def test_reasons_are_alike_alone_and_in_a_batch(model: Model) -> None:
    """To the last bit."""
    rows = _rows(80).to_pylist()
    assert [model.reasons([row])[0] for row in rows] == model.reasons(rows)


def test_many_rules_are_told_by_the_strongest() -> None:
    """And how many more there are."""
    rules = [{**hostile_rules.RULES[0], "name": f"r{n}", "points": n} for n in range(1, 8)]
    declared = ruled.rules.parse(rules)
    calibrator = replace(_calibrator(), per_point=0.01)
    (reason,) = ruled.reasons(declared, [ROW], np.zeros((1, 4)), calibrator)
    assert reason is not None
    assert reason.text.startswith("rules: r7 (+7), r6 (+6), r5 (+5), r4 (+4) and 3 more, raises")


def _calibrator() -> Any:
    return bundle.read(hostile_rules.ruled().manifest).calibrator


def test_a_decision_weighs_the_rules_and_says_so(model: Model) -> None:
    """The same probability as the model's own, and the reason over the wire."""
    spine = {"entity": ["a"], "account": ["b"], "time": pa.array([AT])}
    rows = pa.table({**spine, **{name: [value] for name, value in ROW.items()}})
    basis = Basis(target="t", model="m", calibrator="k", policy="p", view="v", code="c")
    (made,) = decide(model, load_policy("lead_routing"), rows, AT, basis=basis)
    assert made.probability == model.score(model.encode(rows), model.points(rows)).probability[0]
    assert any(reason.text.startswith("rules: ") for reason in made.reasons)


def test_of_a_single_row_nothing_is_kept(model: Model) -> None:
    """Golden rows mix rows; there is nothing to mix one with."""
    kept = golden.golden(model, golden.mixed(model.encode([ROW])))
    assert all(value is None for each in kept for value in each.row.values())
    several = golden.golden(model, golden.mixed(model.encode(_rows(2))))
    assert any(value is not None for each in several for value in each.row.values())

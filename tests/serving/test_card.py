"""The model card: one page of a bundle's own bytes, whatever they say."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from cluster import canonical
from jobs.train import evaluate
from serving import bundle
from serving.card import facts, page
from tests.serving import hostile

if TYPE_CHECKING:
    from tests.serving.hostile import Json

ROWS = 600


def judged(strength: float) -> Json:
    """Return the evaluation of a model, rules and base rate on made-up rows."""
    rng = np.random.default_rng(7)
    truth = rng.normal(size=ROWS)
    label = (rng.random(ROWS) < 1 / (1 + np.exp(1 - truth))).astype(float)
    scorers = []
    for name, told in (("model", strength), ("rules", strength / 3), ("base_rate", 0.0)):
        rank = told * truth + (rng.normal(size=ROWS) if told or name == "model" else 0)
        chance = 1 / (1 + np.exp(1 - rank))
        scorers.append(evaluate.Judged(name=name, rank=rank, probability=chance, label=label))
    return evaluate.evaluate(scorers, rng.integers(0, 150, ROWS), 3)


@pytest.fixture(scope="module")
def evaluation() -> Json:
    """A model that knows something."""
    return judged(1.0)


def card(change: Any = None, **metrics: Any) -> str:
    """Return the card of the whole bundle with these metrics."""
    said = hostile.document()
    said["provenance"]["metrics"] = metrics
    if change:
        change(said)
    return page.html(canonical.dumps(said), hostile.whole().booster)


def drawn(html: str) -> list[str]:
    """Return the titles of the pictures; each must be XML and have no number that is none."""
    pictures = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert not re.search(r"\b(nan|inf|None)\b", " ".join(pictures))
    return [ET.fromstring(picture).attrib["aria-label"] for picture in pictures]


def test_a_card_shows_what_the_training_kept(evaluation: Json) -> None:
    """Pictures of quality and importance, tables, data and versions; the same bytes each time."""
    html = card(evaluation=evaluation, rows=3000, positives=400, purged=7)
    assert html == card(evaluation=evaluation, rows=3000, positives=400, purged=7)
    ranked = ["How it ranks", "What its probabilities are worth", "What matters"]
    assert drawn(html) == ["Calibration", "Gain", *ranked]
    for words in (
        "Better than the rules on later rows",
        "training_win, snapshot 8843219000111222333",
        "rows 3,000, positives 400, purged 7",
        f"{evaluation['scorers']['model']['auc']['value']:.3f} (",
        bundle.Bundle(
            manifest=_manifest(evaluation=evaluation, rows=3000, positives=400, purged=7),
            booster=b"",
        ).id,
    ):
        assert words in html
    assert html.index('class="verdict"') < html.index("What it is for")


def _manifest(**metrics: Any) -> bytes:
    said = hostile.document()
    said["provenance"]["metrics"] = metrics
    return canonical.dumps(said)


def test_no_signal_is_said_first() -> None:
    """Before anything else, and again among the limits."""
    html = card(evaluation=judged(0.0))
    body = html[html.index("<h1>") :]
    assert body.index("No signal: the model cannot be told from a coin") < body.index("<h2>")
    assert 'class="verdict none">No signal' in html
    assert "Do not decide by this model" in html


def test_few_positives_and_bad_calibration_are_among_the_limits(evaluation: Json) -> None:
    """What calls for care is named."""
    weak = {**evaluation, "positives": 12}
    slope = {"value": 0.5, "low": 0.4, "high": 0.6}
    weak["scorers"] = {"model": {**evaluation["scorers"]["model"], "calibration_slope": slope}}
    html = card(evaluation=weak)
    assert "Only 12 held-out rows came true" in html
    assert "calibration slope below 1" in html
    assert "Only" not in card(evaluation=evaluation)


def _groups(*names: str) -> Json:
    gap = {"value": 0.07, "low": -0.02, "high": 0.16}
    return {name: {"rows": 50, "positives": 9, "auc": 0.7, "gap": gap} for name in names}


def test_segments_periods_importance_and_front_are_shown_where_they_are(evaluation: Json) -> None:
    """Each part has its picture; the front marks what was taken."""
    front = [{"loss": 0.4 - i / 50, "cost": 10.0 + i, "chosen": i == 2} for i in range(4)]
    html = card(
        evaluation={
            **evaluation,
            "groups": {"region": _groups("eu", "us"), "period": _groups("from 2026-01-01")},
        },
        importance=[{"feature": "share", "label": "Share of it", "share": 0.4}],
        search={"front": front},
    )
    assert drawn(html)[4:] == ["By period", "By region", "What matters", "Search"]
    assert "Mean absolute contribution" in html
    assert "Share of it" in html


def test_a_bundle_without_evaluation_has_a_card_that_says_so() -> None:
    """And shows what the trees themselves tell."""
    html = card()
    assert "Not judged" in html
    assert drawn(html) == ["What matters"]
    assert "the training kept no contributions" in html


HOSTILE: list[Any] = [
    "text",
    [],
    {"rows": -1},
    {"scorers": {"model": {"auc": {"value": 1e300, "low": 0, "high": 1}}}},
    {"calibration_curve": []},
    {"calibration_curve": [{"probability": 7, "rate": 0, "rows": 1, "low": 0, "high": 0}]},
    {"lift_curve": {"share": [], "model": []}},
    {"signal": None},
    {"groups": {"a": _groups(*map(str, range(1000)))}},
    {"groups": {"a": {"b": 3}}},
]


@pytest.mark.parametrize("change", HOSTILE, ids=range(len(HOSTILE)))
def test_metrics_of_any_shape_make_a_card(change: Any, evaluation: Json) -> None:
    """What cannot be read is left out; the page stands."""
    metrics = {**evaluation, **change} if isinstance(change, dict) else change
    html = card(evaluation=metrics, importance=change, search=change, rows=change)
    assert "What it was made from" in html
    assert drawn(html)


def test_edges_of_the_curves_are_drawn(evaluation: Json) -> None:
    """All at zero, one point, one scorer, intervals of no width."""
    point = {"probability": 0.0, "rate": 0.0, "rows": 3, "low": 0.0, "high": 0.0}
    flat = {"value": 0.5, "low": 0.5, "high": 0.5}
    scorers = {"model": dict.fromkeys(evaluation["scorers"]["model"], flat)}
    lift = {"share": [0.0, 1.0], "model": [0.0, 1.0]}
    edges = {"scorers": scorers, "calibration_curve": [point], "lift_curve": lift}
    one = [{"loss": 0.3, "cost": 0.0, "chosen": True}]
    html = card(evaluation={**evaluation, **edges, "differences": {}}, search={"front": one})
    assert "Search" in drawn(html)


def test_foreign_text_is_escaped_and_the_page_asks_for_nothing(evaluation: Json) -> None:
    """Names, labels, sentences and versions come from a file that anyone may have written."""
    script = "<script>alert(1)</script>"
    signal = {"verdict": script, "sentence": script}

    def change(said: Json) -> None:
        for feature in said["features"]:
            feature["label"] = script
        said["provenance"] |= {"views": {script: script}, "training_snapshot": script}
        said["provenance"]["target"] |= {"description": script, "name": script, "entity": script}
        said["provenance"]["target"]["horizon_days"] = 3
        said["libraries"] = {script: script}

    parts = {"signal": signal, "groups": {script: _groups(script)}}
    html = card(change, evaluation={**evaluation, **parts})
    assert "<script" not in html.lower()
    assert html.count("&lt;script&gt;") > 8
    assert "default-src 'none'" in html
    assert not re.search(r"""(src|href|url)\s*[=(]\s*["']?\w""", html)
    with pytest.MonkeyPatch.context() as unescaped:
        unescaped.setattr(page, "escape", lambda text: text)
        assert "<script" in card(change, evaluation={**evaluation, **parts})


def test_a_bundle_that_is_not_admitted_has_no_card() -> None:
    """A page is made of what was checked."""
    with pytest.raises(bundle.BundleBroken):
        page.html(hostile.whole().manifest, hostile.whole().booster[:-1])


def test_gains_are_those_of_xgboost() -> None:
    """The shares of total gain by feature are what the booster itself counts."""
    packed = hostile.whole()
    loaded = bundle.unpack(packed.manifest, packed.booster)
    counted = loaded.booster.get_score(importance_type="total_gain")
    total = sum(counted.values())
    features = loaded.signature.features
    wanted = [counted.get(f"f{i}", 0) / total for i in range(len(features))]
    found = [share.share for share in facts.gains(features, packed.booster)]
    assert found == pytest.approx(wanted, rel=1e-5)


def test_contributions_are_means_over_rows() -> None:
    """As the model itself gives them, and as the card reads them."""
    packed = hostile.whole()
    loaded = bundle.unpack(packed.manifest, packed.booster)
    rows = np.random.default_rng(2).random((30, hostile.WIDE)).astype(np.float32)
    found = facts.contributions(loaded, rows)
    means = np.abs(loaded.contributions(rows)[:, :-1]).mean(axis=0)
    assert [f["share"] for f in found] == pytest.approx(means.tolist(), rel=1e-6)
    assert "Mean absolute contribution" in card(importance=json.loads(json.dumps(found)))

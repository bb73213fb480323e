"""With few labels the answer is no worse than the rules; intervals hold the true chance.

Simulated companies: eight things are known of a lead, and its true chance to qualify.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from jobs.train import fit, learn, split
from jobs.train.calibration import band, blend, logistic
from jobs.train.calibration.blend import Evidence, Scale
from jobs.train.learn import Beside, Recipe
from serving import model
from serving.calibrator import Calibrator, sigmoid

LATER = 3000  # rows to judge on
LABELS = (0, 10, 40, 120, 400)


@dataclass(frozen=True, kw_only=True)
class Company:
    """Leads with what is known of them, the points of the rules, outcomes and true chances."""

    matrix: np.ndarray
    points: np.ndarray
    label: np.ndarray
    truth: np.ndarray

    @classmethod
    def of(cls, rows: int, strength: float, seed: int) -> Company:
        """Draw one: smooth, stepped and joint effects, rules that know the coarse ones."""
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(rows, 8)).astype(np.float32)
        joint = 0.4 * x[:, 2] * (x[:, 3] > 0)
        told = 0.9 * np.tanh(x[:, 0]) + 0.5 * (x[:, 1] > 0.5) - joint + 0.3 * np.abs(x[:, 4])
        truth = logistic.chances(strength * told - 1.3)
        points = 20.0 * (x[:, 0] > 0.3) + 10 * (x[:, 1] > 0.5) + 10 * (x[:, 5] > 0)
        label = (rng.random(rows) < truth).astype(np.float32)
        return cls(matrix=x, points=points, label=label, truth=truth)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What was delivered for the later rows of a company."""

    loss: float  # expected log loss
    rules: float  # the same of the rules, fitted to the same labels
    low: np.ndarray
    high: np.ndarray
    probability: np.ndarray
    truth: np.ndarray
    said: str

    @property
    def width(self) -> float:
        """How wide an interval is, on average."""
        return float((self.high - self.low).mean())

    def holds_rows(self) -> float:
        """Return the share of rows whose own chance is in the interval."""
        return float(((self.low <= self.truth) & (self.truth <= self.high)).mean())

    def holds_rates(self, place: slice = slice(None)) -> float:
        """Return the share of tenths by score whose mean true chance is in the mean interval."""
        tenths = np.array_split(np.argsort(self.probability), 10)[place]
        held = [self.low[t].mean() <= self.truth[t].mean() <= self.high[t].mean() for t in tenths]
        return float(np.mean(held))


def _delivered(labels: int, strength: float, seed: int) -> Outcome:
    whole = Company.of(labels + LATER, strength, seed)
    late, truth = whole.points[labels:], whole.truth[labels:]
    later, found, said = _taught(whole, labels, seed)
    probability = found.probability(later, late)
    low, high = found.intervals(probability)
    return Outcome(
        loss=_loss(probability, truth),
        rules=_loss(_by_rules(whole, labels, late), truth),
        low=low,
        high=high,
        probability=probability,
        truth=truth,
        said=said,
    )


def _taught(whole: Company, labels: int, seed: int) -> tuple[np.ndarray, Calibrator, str]:
    """Return margins of the later rows, and what they are blended by."""
    label = whole.label[:labels]
    folds = split.tuning(np.arange(labels), label, 0).folds
    data = fit.Data(matrix=whole.matrix[:labels], label=label, types=("q",) * 8, folds=folds)
    beside = Beside(points=whole.points[:labels], cluster=np.arange(labels), crowd=whole.points)
    rng = np.random.default_rng(seed)
    booster, found, said = learn.taught(data, beside, Recipe.of_few(labels), rng)
    return model.margins(booster, whole.matrix[labels:]), found, said


def _by_rules(whole: Company, labels: int, later: np.ndarray) -> np.ndarray:
    """Return what the rules alone say, with the same prior and labels."""
    blind = Evidence(
        margin=np.zeros(labels),
        points=whole.points[:labels],
        label=whole.label[:labels].astype(float),
        cluster=np.arange(labels),
    )
    fitted = blend.blend(blind, Scale.of(whole.points))
    return logistic.chances(fitted.per_point * later + fitted.intercept)


def _loss(probability: np.ndarray, truth: np.ndarray) -> float:
    return float(-(truth * np.log(probability) + (1 - truth) * np.log1p(-probability)).mean())


def _never_worse(seeds: int, strength: float, labels: int) -> None:
    gaps = [made.loss - made.rules for made in _many(seeds, strength, labels)]
    noise = np.std(gaps, ddof=1) / np.sqrt(seeds)
    assert np.mean(gaps) <= 2 * noise + 0.0005, (strength, labels, np.mean(gaps), noise)


def _many(seeds: int, strength: float, labels: int) -> list[Outcome]:
    return [_delivered(labels, strength, seed) for seed in range(seeds)]


@pytest.mark.parametrize("labels", LABELS)
def test_few_labels_are_never_worse_than_the_rules(labels: int) -> None:
    """Expected log loss over six companies."""
    _never_worse(6, 1.0, labels)


def test_taken_at_its_word_the_model_would_be_worse() -> None:
    """Without the blend, a model of noise loses to the rules, which are noise too."""
    gaps = []
    for seed in range(6):
        whole = Company.of(400 + LATER, 0.0, seed)
        later, _, _ = _taught(whole, 400, seed)
        made = _delivered(400, 0.0, seed)
        gaps.append(_loss(sigmoid(later.astype(float)), whole.truth[400:]) - made.rules)
    assert np.mean(gaps) > 2 * np.std(gaps, ddof=1) / np.sqrt(6) + 0.0005


def test_where_nothing_tells_it_is_said() -> None:
    """A company whose leads all have one chance: the sentence begins with it, in most samples."""
    made = _many(6, 0.0, 400)
    assert sum(each.said.startswith("no signal") for each in made) >= 4


@pytest.mark.parametrize(("labels", "rows"), [(0, 0.75), (200, 0.88), (1000, 0.9)])
def test_intervals_hold_true_rates_and_most_chances(labels: int, rows: float) -> None:
    """Every tenth of the scores, the lowest and highest too; rows nearly as often as nominal."""
    made = _many(5, 1.0, labels)
    assert np.mean([each.holds_rates() for each in made]) >= 0.95
    assert np.mean([each.holds_rows() for each in made]) >= rows


def test_coverage_of_rows_needs_all_three_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing left to learn, as the band would have it, too many chances fall outside."""
    monkeypatch.setattr(band, "LEARNT_HALF", 1e-9)
    assert np.mean([each.holds_rows() for each in _many(5, 1.0, 1000)]) < 0.85


@pytest.mark.drill
@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("labels", [*LABELS, 1500])
def test_no_number_of_labels_is_worse_than_the_rules(labels: int, strength: float) -> None:
    """Over 40 companies, from those where nothing tells to those where much does."""
    _never_worse(40, strength, labels)


@pytest.mark.drill
@pytest.mark.parametrize("strength", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("labels", [40, 200, 1000, 5000])
def test_intervals_hold_the_truth_over_many_companies(labels: int, strength: float) -> None:
    """Over 20 companies: rates at least as often as nominal, at both ends; rows nearly so."""
    made = _many(20, strength, labels)
    print(  # noqa: T201
        strength,
        labels,
        *(
            round(float(np.mean(v)), 3)
            for v in (
                [m.holds_rows() for m in made],
                [m.holds_rates() for m in made],
                [m.holds_rates(slice(0, 1)) for m in made],
                [m.holds_rates(slice(9, 10)) for m in made],
                [m.width for m in made],
            )
        ),
    )
    assert np.mean([each.holds_rates() for each in made]) >= 0.95
    assert np.mean([each.holds_rows() for each in made]) >= 0.9

"""In a small world a model of few labels is never worse than the rules, and grows away from them.

The rows are those of the world; a draw takes the first so many labelled ones of half of the
accounts, all else that is early has no label yet, and the last rows are to be foretold.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from cluster.errors import Refusal
from cluster.settings import Settings
from cluster.workspace import Workspace
from features.targets import load_target
from jobs import console
from jobs.train import fit
from jobs.train.calibration import blend, logistic
from jobs.train.calibration.blend import Evidence, Scale
from jobs.train.run import JOB
from jobs.train.settings import TrainSettings
from serving import rules
from serving.registry import Registry
from tests.drills import mostly

if TYPE_CHECKING:
    import pandas as pd

    from serving.model import Model

TARGET = load_target("lead_qualification")
RULES = rules.parse(TARGET.rules)
LABELS = (0, 10, 40, 120, 400)
MORE = (*LABELS, 800, 1500)
EARLY = 0.6  # share of the rows, first by time, that labels are taken from
RESAMPLES = 1000
SLACK = 0.0005  # of log loss that is as good as none


@dataclass(frozen=True, kw_only=True)
class Draw:
    """Labelled rows among others without a label, and later rows to be foretold."""

    table: pa.Table
    later: pa.Table

    @classmethod
    def of(cls, rows: pa.Table, labels: int, seed: int) -> Draw:
        """Draw accounts of mature rows, and keep the labels of their first so many rows."""
        rows = rows.sort_by([("time", "ascending"), ("entity", "ascending")])
        early, later = rows.slice(0, int(EARLY * len(rows))), rows.slice(int(EARLY * len(rows)))
        clusters = fit.clusters(early)
        drawn = np.random.default_rng(seed).random(clusters.max() + 1) < 0.5
        mine = drawn[clusters]
        has_label = mine & (np.cumsum(mine) <= labels)
        place = early.column_names.index("mature")
        return cls(table=early.set_column(place, "mature", pa.array(has_label)), later=later)

    def trained(self, seed: int) -> Model:
        """Train through the job, in a workspace of its own."""
        with (
            tempfile.TemporaryDirectory(prefix="few-labels-") as home,
            Workspace.open(Settings(home=Path(home))) as workspace,
        ):
            workspace.tables.create(TARGET.training_table, self.table.schema)
            workspace.tables.replace(TARGET.training_table, self.table)
            asked = TrainSettings(target=TARGET.name, trials=1, runner="inline", seed=seed)
            console.perform(JOB, asked, workspace, lambda *_: None)
            models = Registry(workspace.blobs, workspace.refs, workspace.journal)
            found = models.stable(TARGET.name)
            assert not isinstance(found, Refusal)
            return found[1]

    def by_rules(self) -> np.ndarray:
        """Return what the rules alone say of the later rows, with the same prior and labels."""
        known = self.table.filter(self.table["mature"])
        crowd = rules.score(RULES, self.table).astype(float)
        blind = Evidence(
            margin=np.zeros(len(known)),
            points=rules.score(RULES, known).astype(float),
            label=np.asarray(known["label"], float),
            cluster=fit.clusters(known),
        )
        fitted = blend.blend(blind, Scale.of(crowd))
        points = rules.score(RULES, self.later)
        return logistic.chances(points * fitted.per_point + fitted.intercept)


def delivered(rows: pa.Table, labels: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what the model of a draw, and the rules, lose on each of the later rows."""
    draw = Draw.of(rows, labels, seed)
    model = draw.trained(seed)
    ours = model.score(model.encode(draw.later), model.points(draw.later)).probability
    label = np.asarray(draw.later["label"], float)
    return losses(ours, label), losses(draw.by_rules(), label)


def losses(probability: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Return the log loss of each row."""
    return np.asarray(-(label * np.log(probability) + (1 - label) * np.log1p(-probability)))


def lowest(gap: np.ndarray, clusters: np.ndarray, rng: np.random.Generator) -> float:
    """Return the 2.5 % quantile of the mean of gaps (n,) when accounts are drawn anew."""
    sums, sizes = np.bincount(clusters, gap), np.bincount(clusters)
    drawn = rng.integers(0, len(sums), (RESAMPLES, len(sums)))
    return float(np.quantile(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), 0.025))


def never_worse(rows: pa.Table, labels: int, draws: int) -> tuple[float, float, float]:
    """Return the mean log loss of the model and of the rules over some draws, and how much worse
    than the rules it is beyond noise: over the draws' mean gap of each later row, by account.
    """
    made = [delivered(rows, labels, seed) for seed in range(draws)]
    ours, others = (np.mean([each[n] for each in made], axis=0) for n in (0, 1))
    later = Draw.of(rows, 0, 0).later
    worse = lowest(ours - others, fit.clusters(later), np.random.default_rng(0))
    return float(ours.mean()), float(others.mean()), worse


def firsts(rows: pa.Table) -> pa.Table:
    """Return the first row of each lead, by time."""
    table = rows.sort_by([("time", "ascending"), ("entity", "ascending")])
    return table.filter(pa.array(~table["entity"].to_pandas().duplicated()))


def planted(rows: pa.Table, chance: pd.Series, seed: int) -> pa.Table:
    """Return the first row of each lead, its label drawn from the chance that was planted."""
    table = firsts(rows)
    truth = chance[table["entity"].to_pylist()].to_numpy()
    label = np.random.default_rng(seed).random(len(truth)) < truth
    for name, values in (("label", label), ("mature", np.ones(len(truth), bool))):
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    return table


def covered(
    rows: pa.Table, chance: pd.Series, known: pd.Series, labels: int, draws: int
) -> dict[str, float]:
    """Return how often intervals of later rows hold the planted chance, the chance given all that
    is `known` of the lead (with its standard error), and the mean planted one of a tenth of them by
    score; and how wide they are; means over some draws.
    """
    found = []
    for seed in range(draws):
        draw = Draw.of(planted(rows, chance, seed), labels, seed)
        model = draw.trained(seed)
        given = model.score(model.encode(draw.later), model.points(draw.later)).probability
        low, high = model.calibrator.intervals(given)
        truth = chance[draw.later["entity"].to_pylist()].to_numpy()
        tenths = np.array_split(np.argsort(given), 10)
        holds = [low[t].mean() <= truth[t].mean() <= high[t].mean() for t in tenths]
        told = known[draw.later["entity"].to_pylist()].to_numpy()
        within = [((low <= each) & (each <= high)).mean() for each in (truth, told)]
        found.append((*within, np.mean(holds), (high - low).mean()))
    means = np.mean(found, axis=0).round(3).tolist()
    error = float(np.std(found, axis=0)[1] / np.sqrt(draws - 1))
    named = dict(zip(("planted", "known", "tenths", "width"), means, strict=True))
    return named | {"known_error": round(error, 3)}


@pytest.fixture(scope="module")
def rows(trained: Workspace) -> pa.Table:
    """Return the labelled rows of the small world."""
    table = trained.tables.read(TARGET.training_table)
    return table.filter(table["mature"])


@pytest.mark.parametrize("labels", mostly(LABELS))
def test_few_labels_are_never_worse_than_the_rules(rows: pa.Table, labels: int) -> None:
    """Beyond noise, on later rows of the world."""
    _, _, worse = never_worse(rows, labels, 2)
    assert worse <= SLACK


@pytest.mark.drill
def test_no_draw_of_few_labels_is_worse_than_the_rules(rows: pa.Table) -> None:
    """Over twelve draws; 400 labels are better."""
    found = {labels: never_worse(rows, labels, 12) for labels in MORE}
    for labels, (ours, others, worse) in found.items():
        print(f"{labels:>4} labels: {ours:.4f}, rules {others:.4f}")  # noqa: T201
        assert worse <= SLACK, labels
    assert found[400][0] < found[400][1]

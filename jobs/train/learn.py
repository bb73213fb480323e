"""What is learnt: trees, and how much they and the rules have to say. Pure and repeatable.

With no label the answer is the rules, with an interval that is wide; with every label it moves a
little towards what trees say of rows they never saw.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np

from jobs.train import calibrate, fit
from jobs.train.calibrate import Evidence
from jobs.train.space import FIRST
from serving import model, rules
from serving.calibrator import sigmoid

if TYPE_CHECKING:
    import xgboost as xgb

    from jobs.train.fit import Data, Prepared
    from jobs.train.pool import Params
    from serving.calibrator import Calibrator
    from serving.rules import Rule

MOST_ROUNDS = 100  # of a recipe that nothing was searched for


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How trees are grown."""

    params: Params
    rounds: int

    @classmethod
    def of_few(cls, rows: int) -> Self:
        """Return the recipe for rows too few to search one."""
        return cls(params=FIRST, rounds=min(MOST_ROUNDS, 15 + rows // 20))


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What is known of the training rows beside their features."""

    points: np.ndarray  # (n,) float64, of the rules
    cluster: np.ndarray  # (n,) int64 from 0; rows of one number are not independent
    crowd: np.ndarray  # (m,) float64, the points of all rows, labelled or not

    @classmethod
    def of(cls, prepared: Prepared, kept: tuple[Rule, ...]) -> Self:
        """Return it for the rules that are `kept`."""
        return cls(
            points=rules.score(kept, prepared.train).astype(np.float64),
            cluster=fit.clusters(prepared.train),
            crowd=rules.score(kept, prepared.table).astype(np.float64),
        )


def learnt(
    prepared: Prepared, declared: tuple[Rule, ...], recipe: Recipe, rng: np.random.Generator
) -> tuple[model.Model, str]:
    """Return the model of the training rows, and in words what it goes by.

    Only rules about features of the model have a say; WrongUse for one about no column at all.
    """
    rules.must_name(declared, prepared.table.column_names)
    kept = rules.among(declared, [feature.name for feature in prepared.signature.features])
    data = replace(prepared.data, folds=prepared.tuning.weighed)
    booster, calibrator, said = taught(data, Beside.of(prepared, kept), recipe, rng)
    made = model.Model(
        booster=booster, signature=prepared.signature, calibrator=calibrator, rules=kept
    )
    if gone := [rule.name for rule in declared if rule not in kept]:
        said = f"{said}; without the rules of columns left out: {', '.join(gone)}"
    return made, said


def taught(
    data: Data, beside: Beside, recipe: Recipe, rng: np.random.Generator
) -> tuple[xgb.Booster, Calibrator, str]:
    """Return trees, the calibrator that blends them with the rules, and in words what it does.

    Without a fold the trees say nothing.
    """
    rounds = recipe.rounds if data.folds else 0
    booster = fit.refit(data, recipe.params, rounds) if rounds else fit.silent(data.types)
    evidence = Evidence(
        margin=_apart(data, recipe),
        points=beside.points,
        label=data.label.astype(np.float64),
        cluster=beside.cluster,
    )

    def moved(bare: Calibrator) -> float:
        logit = bare.logit(model.margins(booster, data.matrix), beside.points)
        return _moved(data, recipe, logit, rng)

    return booster, *calibrate.calibrated(evidence, beside.crowd, moved)


def _apart(data: Data, recipe: Recipe) -> np.ndarray:
    """Return the margin of each row by a model that never saw it, NaN where there is none."""
    margin = np.full(len(data.label), np.nan)
    margin[data.held], _ = fit.out_of_fold(data, recipe.params, recipe.rounds)
    return margin


def _moved(data: Data, recipe: Recipe, logit: np.ndarray, rng: np.random.Generator) -> float:
    """Return by how far margins are off log-odds (n,) that outcomes are drawn from."""
    drawn = (rng.random(len(logit)) < sigmoid(logit)).astype(np.float32)
    again, _ = fit.out_of_fold(replace(data, label=drawn), recipe.params, recipe.rounds)
    return calibrate.redrawn(again, logit[data.held])

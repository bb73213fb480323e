"""A real experiment: the effects of e-mails are the differences of means, and nobody is promised
more than the data show. Skipped, with the reason, where the data is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from jobs import console
from jobs.effects.asked import EffectsSettings
from jobs.effects.run import JOB
from jobs.ingest.run import JOB as INGEST
from jobs.ingest.run import IngestSettings
from serving.effects import known, words
from serving.forecast.evidence import Grade

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.workspace import Workspace
    from serving.effects.known import Known

ARMS = {"womens_email": "Womens E-Mail", "mens_email": "Mens E-Mail"}
MARKS = {"womens_email": 7.1, "mens_email": 3.6}  # Qini x 1000 of visits, of the shared data's page


def quiet(done: int, total: int, what: str) -> None:
    """Tell nobody."""


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    """Return the folder of the test's data, or skip with the reason."""
    found = shared_data / "hillstrom"
    if not list(found.glob("*.csv")):
        pytest.skip(f"REAL DATA MISSING: {found} holds no file; no real experiment was learnt from")
    return found


@pytest.fixture(scope="module")
def customers(folder: Path) -> pd.DataFrame:
    """Return the file."""
    (path,) = folder.glob("*.csv")
    return pd.read_csv(path)


def learnt(workspace: Workspace, folder: Path) -> Known:
    """Ingest and learn."""
    console.perform(INGEST, IngestSettings(source="hillstrom", path=str(folder)), workspace, quiet)
    console.perform(JOB, EffectsSettings(action="hillstrom", runner="inline"), workspace, quiet)
    found = known.load(workspace, None, "e_mail")
    assert found is not None
    return found


@pytest.mark.drill
def test_hillstrom(workspace: Workspace, folder: Path, customers: pd.DataFrame) -> None:
    found = learnt(workspace, folder)
    assert found.grade is Grade.RANDOMISED
    _effects_are_differences_of_means(found, customers)
    _rankings_are_as_good_as_published(found)
    spend = [each for each in found.curves if each.outcome == "spend"]
    assert len(spend) == 2 and not any(each.is_better for each in spend)
    assert all(words.NOT_SHOWN in words.curve(each) for each in spend)


def _effects_are_differences_of_means(found: Known, customers: pd.DataFrame) -> None:
    rng = np.random.default_rng(1)
    control = customers[customers["segment"] == "No E-Mail"]
    for each in found.figures:
        if each.column != "all":
            continue
        name = {"visit": "visit", "conversion": "conversion", "spend": "spend"}[each.outcome]
        ours = customers[customers["segment"] == ARMS[each.arm]][name].to_numpy()
        theirs = control[name].to_numpy()
        low, high = np.quantile([_again(ours, theirs, rng) for _ in range(400)], (0.05, 0.95))
        assert low < each.effect < high, (each.arm, name)
        assert each.sd == pytest.approx((high - low) / (2 * known.Z90), rel=0.2)
    visits = {e.arm: e.effect for e in found.figures if e.outcome == "visit" and e.column == "all"}
    assert visits["womens_email"] == pytest.approx(0.045, abs=0.002)
    assert visits["mens_email"] == pytest.approx(0.077, abs=0.002)


def _again(ours: np.ndarray, theirs: np.ndarray, rng: np.random.Generator) -> float:
    return float(rng.choice(ours, len(ours)).mean() - rng.choice(theirs, len(theirs)).mean())


def _rankings_are_as_good_as_published(found: Known) -> None:
    for each in found.curves:
        if each.outcome == "visit":
            assert 1000 * each.plain_qini >= MARKS[each.arm], each.arm
            assert each.qini_low > 0.0

"""Aalen-Johansen: by hand, by simulation, and against the moves that are learnt."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from cluster.settings import CONFIGS, Settings
from cluster.workspace import Workspace
from features import ingest, log
from features.contracts import load_contracts
from features.sources.mapping import load_source
from features.sources.world import WorldConfig, generate
from serving.forecast import aalen, moves, person, units
from serving.forecast.funnels import Funnel, load_funnel

MAVEN = load_funnel("maven")  # one stage: 0 is open, 1 is won, 2 is lost
AGES = (1, 2, 4, 8, 13, 20)


def table(courses: list[list[int]], funnel: Funnel = MAVEN) -> person.Person:
    """Return the table of units whose states after each step are given, all begun in one step."""
    won = funnel.won_state
    unit, step, stage, then, stayed, first = ([] for _ in range(6))  # type: ignore[var-annotated]
    for number, states in enumerate(courses):
        here, age = 0, 0
        for place, there in enumerate(states):
            for column, value in zip(
                (unit, step, stage, then, stayed, first),
                (number, place, here, there, age, place == 0),
                strict=True,
            ):
                column.append(value)
            age = age + 1 if there == here and place else 0
            here = there
            if here >= won:
                break
    whole = [np.array(column, np.int64) for column in (unit, step, stage, then, stayed)]
    return person.Person(
        funnel=funnel,
        bounds=np.arange(1 + max(len(each) for each in courses)) * funnel.step,
        unit=whole[0],
        step=whole[1],
        begins=whole[1] * funnel.step,
        stage=whole[2],
        stayed=whole[4],
        then=whole[3],
        is_first=np.array(first, bool),
    )


def test_by_hand() -> None:
    """Four deals; one is won in the first step; of three one is lost and one is last seen open."""
    found = aalen.estimate(table([[1], [0, 2], [0, 0, 1], [0, 0]]), 0, 3)
    assert found.at_risk[:, 0].tolist() == [4, 3, 1]
    assert found.share[0].tolist() == [1.0, 0.0, 0.0]
    assert found.share[1] == pytest.approx([3 / 4, 1 / 4, 0.0])
    assert found.share[2] == pytest.approx([1 / 2, 1 / 4, 1 / 4])
    assert found.share[3] == pytest.approx([0.0, 3 / 4, 1 / 4])


def test_its_error_is_that_of_greenwood() -> None:
    """One end, two steps: S^2 sum(d / (n (n - d))), with 10 of 100, then 9 of 90, gone."""
    courses = [[2]] * 10 + [[0, 2]] * 9 + [[0, 0]] * 81
    found = aalen.estimate(table(courses), 0, 2)
    greenwood = 0.81 * np.sqrt(10 / (100 * 90) + 9 / (90 * 81))
    assert found.error[2, 0] == pytest.approx(greenwood)
    assert found.error[2] == pytest.approx(found.error[2] * [1, 0, 1])


def test_its_error_is_the_spread_of_repeated_samples() -> None:
    """With three states and units that are lost from sight."""
    rng, shares, errors = np.random.default_rng(0), [], []
    for _ in range(300):
        drawn = rng.choice(3, (60, 6), p=[0.7, 0.2, 0.1])
        seen = rng.integers(2, 7, 60)
        courses = [list(states[:until]) for states, until in zip(drawn, seen, strict=True)]
        found = aalen.estimate(table(courses), 0, 5)
        shares.append(found.share[5])
        errors.append(found.error[5])
    assert np.mean(errors, axis=0) == pytest.approx(np.std(shares, axis=0), rel=0.12)
    assert np.mean(shares, axis=0)[0] == pytest.approx(0.7**5, abs=0.01)


def test_units_last_seen_open_are_not_taken_for_ever_open() -> None:
    """Mutant: to count them as open to the end would halve what is won."""
    courses = [[0, 1]] * 10 + [[0]] * 10
    found = aalen.estimate(table(courses), 0, 2)
    assert found.share[2, 1] == 1.0
    mutant = aalen.estimate(table([[0, 1]] * 10 + [[0, 0]] * 10), 0, 2)
    assert mutant.share[2, 1] == 0.5


def test_chances_are_propagated_by_hand() -> None:
    """The first step counts half; afterwards the band of the time in stage holds."""
    chances = np.zeros((1, len(MAVEN.bands), 3))
    chances[0, :, 0] = 1.0
    chances[0, 0] = [0.6, 0.4, 0.0]
    chances[0, 1] = [0.5, 0.0, 0.5]
    found = aalen.propagated(chances, MAVEN, 0, 3)
    assert found[1] == pytest.approx([0.8, 0.2, 0.0])
    assert found[2] == pytest.approx([0.48, 0.52, 0.0])
    assert found[3] == pytest.approx([0.24, 0.52, 0.24])


def fitted(found: person.Person) -> np.ndarray:
    """Return the centre of the chances that are learnt."""
    return moves.shares(moves.posterior(moves.counts(found, found.unit * 0, 1)))[0]


def furthest(found: person.Person, chances: np.ndarray, ages: tuple[int, ...]) -> float:
    """Return by how much the moves miss the estimate at most, beyond three errors of it."""
    begins, steps = found.funnel.begins[0], max(ages)
    told = aalen.estimate(found, begins, steps)
    ours = aalen.propagated(chances, found.funnel, begins, steps)
    beyond = np.abs(ours - told.share) - 3.0 * told.error
    return float(beyond[list(ages)].max())


def test_the_moves_learnt_agree_with_it_in_the_synthetic_company() -> None:
    made = generate(WorldConfig(scale=0.5, faults=0.0))
    events = log.identified(made.events.select(log.CANDIDATE.names).cast(log.CANDIDATE))
    course = units.read(events, load_funnel("sales"), datetime(2026, 6, 1, tzinfo=UTC))
    found = person.table(course)
    assert furthest(found, fitted(found), AGES) < 0.01
    # mutant: chances that do not know how long a unit has been in its stage
    blind = fitted(found)
    blind[:] = moves.shares(moves.counts(found, found.unit * 0, 1)[0].sum(axis=1))[:, None, :]
    assert furthest(found, blind, AGES) > furthest(found, fitted(found), AGES)


@pytest.fixture(scope="module")
def exports(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """Return the log of the real loan applications, and of the hardware vendor."""
    home = tmp_path_factory.mktemp("exports") / "home"
    with Workspace.open(Settings(home=home, buckets=4)) as workspace:
        for name, folder in (("bpi_2012", "bpi_2012"), ("maven", "maven_crm")):
            terms = load_contracts(CONFIGS / "contracts")
            source = ingest.Source(
                mapping=load_source(name), folder=shared_data / folder, terms=terms
            )
            ingest.source(workspace, source, "inline", lambda done, total, words: None)
        return workspace.tables.read(log.TABLE)


@pytest.mark.drill
@pytest.mark.parametrize(
    ("name", "ages", "limit"),
    # an application leaves its first stage within minutes: half a step of it is wrong for a day
    [("bpi_2012", (4, 8, 16, 30), 0.01), ("maven", (4, 8, 16, 30), 0.01)],
)
def test_the_moves_learnt_agree_with_it_on_real_exports(
    exports: pa.Table, name: str, ages: tuple[int, ...], limit: float
) -> None:
    events = exports.filter(pc.equal(exports["source"], name))
    last = pc.max(events["known_at"]).as_py().replace(hour=0, minute=0, second=0, microsecond=0)
    found = person.table(units.read(events, load_funnel(name), last))
    assert len(found) > 50_000
    assert furthest(found, fitted(found), ages) < limit

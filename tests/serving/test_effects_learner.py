"""The learner: which grade, which refusal, and that each defence fails when it is left out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from features.targets import Named
from serving.effects import averages, evidence, learner, nuisances, placebos, scores, words
from serving.effects.definition import load_definition
from serving.effects.learner import Learnt, Refused
from serving.effects.rows import Events
from serving.forecast.evidence import Grade
from tests.drills import mostly
from tests.serving.effects_rows import by_lot, definition, planted

if TYPE_CHECKING:
    from serving.effects.definition import Definition
    from serving.effects.rows import Rows

RUN = nuisances.inline(2)
EARLIER = {"name": "earlier", "events": {"kind": "touch"}, "days": 7}


def learnt(rows: Rows, asked: Definition | None = None) -> Learnt:
    """Return what is learnt, which must not be refused."""
    found = learner.learn(asked or definition(), rows, rows, RUN)
    assert isinstance(found, Learnt), found
    return found


def refused(rows: Rows, **more: Any) -> Refused:
    """Return the refusal."""
    found = learner.learn(definition(**more), rows, rows, RUN)
    assert isinstance(found, Refused)
    return found


def unlogged(rows: Rows) -> Rows:
    """Return the rows as if nobody had logged a chance."""
    return replace(rows, chance=np.full(rows.chance.shape, np.nan))


def test_lots_by_logged_chance_are_e1_and_tell_what_was_planted() -> None:
    told = planted(3000, 1.8)
    found = learnt(told.rows, definition(bands=3, negative_controls=[EARLIER]))
    assert found.basis.grade is Grade.RANDOMISED and found.overlap.used == 3000
    cause = found.arms["treated"]["forward"]
    low, high = cause.interval
    assert low < 1.8 < high and low > 1.0
    lost = found.arms["treated"]["lost"]
    assert lost.interval[0] < 1.0 < lost.interval[1]
    risk = next(f for f in found.figures if (f.outcome, f.measure) == ("forward", "happens"))
    truth = float((told.risk[:, 1] - told.risk[:, 0]).mean())
    assert abs(risk.effect - truth) < 3 * risk.sd
    assert risk.control == pytest.approx(told.risk[:, 0].mean(), abs=0.03)
    sooner = next(f for f in found.figures if f.measure == "gained")
    assert sooner.effect > 0 and sooner.unit == "days"
    bands = {part.value for part in cause.by if part.column == averages.BAND}
    assert bands <= {"1 of 3", "2 of 3", "3 of 3"} and bands
    assert found.placebo.held > 0.9 - 4 * 0.0212
    (control,) = found.negative_controls
    assert abs(control.effect) < 3 * control.sd


@pytest.mark.parametrize("chance", [0.0, 1.0, np.nan])
def test_certain_lots_do_not_count(chance: float) -> None:
    rows = planted(800, 1.5).rows
    mixed = rows.chance.copy()
    mixed[:200] = np.column_stack([1.0 - chance, chance])
    arm = rows.arm.copy()
    arm[:200] = 1 if chance == 1.0 else 0
    basis = by_lot(replace(rows, chance=mixed, arm=arm))
    assert len(basis.rows) == 600 and basis.trimmed == 200
    assert basis.grade is Grade.RANDOMISED


def test_without_logged_chances_it_is_e2_and_less_wrong_than_a_naive_comparison() -> None:
    """Confounded: a part of what makes leads keen is hidden from the features."""
    off = []
    for seed in range(2):
        told = planted(2000, 1.0, seed, sight=0.8)
        found = learnt(unlogged(told.rows))
        assert found.basis.grade is Grade.OBSERVATIONAL
        risk = next(f for f in found.figures if f.outcome == "forward")
        rows = told.rows
        mature = rows.followed >= 28
        came = rows.causes["forward"] <= 28
        naive = came[mature & (rows.arm == 1)].mean() - came[mature & (rows.arm == 0)].mean()
        off.append((abs(risk.effect), abs(float(naive))))
        assert all(each.e_value >= each.e_value_of_limit >= 1.0 for each in found.sensitivity)
    ours, naive = np.mean(off, axis=0)
    assert ours < 0.8 * naive


def test_what_came_before_tells_of_a_hidden_cause() -> None:
    told = planted(3000, 1.0, sight=0.0)
    found = refused(unlogged(told.rows), negative_controls=[EARLIER])
    assert "must not change what came before it" in found.why.rule
    assert "randomise:" in found.why.remedy
    assert found.negative_controls[0].effect > 0.05


def test_without_that_control_a_hidden_cause_is_taken_for_an_effect() -> None:
    """Mutant: no negative control."""
    told = planted(3000, 1.0, sight=0.0)
    found = learnt(unlogged(told.rows))
    assert found.basis.grade is Grade.OBSERVATIONAL, "never E1 from fitted chances"
    low, _ = found.arms["treated"]["forward"].interval
    assert low > 1.0


REPLY = {"name": "reply", "events": {"kind": "touch"}}


def replied(rows: Rows) -> Rows:
    """Return rows whose earlier events are of the outcome itself."""
    return replace(rows, outcomes={"reply": rows.before["earlier"]})


def test_an_action_moved_to_before_it_began_does_nothing() -> None:
    rows = replied(planted(3000, 1.8).rows)
    found = learnt(rows, definition(outcomes=[REPLY]))
    (earlier,) = found.negative_controls
    assert earlier.is_earlier and earlier.days == 28.0
    assert abs(earlier.effect) < 3 * earlier.sd


def test_one_that_does_something_before_it_began_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who is treated is who had replied: no feature tells of it."""
    rows = unlogged(replied(planted(3000, 1.0, sight=0.0).rows))
    found = refused(rows, outcomes=[REPLY])
    assert "must not change what came before it" in found.why.rule
    monkeypatch.setattr(placebos, "earlier", lambda *_: [])
    low, _ = learnt(rows, definition(outcomes=[REPLY])).arms["treated"]["forward"].interval
    assert low > 1.0, "mutant: the action is believed"


def test_a_placebo_that_cannot_see_says_so() -> None:
    """Fitted chances make arms alike in what features count; a lot's chances know nothing of it."""
    told = replied(planted(1500, 1.0).rows)
    other = {"kind": "deal", "names": ["signed"]}
    for events, rows, is_blind in (
        (REPLY["events"], unlogged(told), True),
        (REPLY["events"], told, False),
        (other, unlogged(told), False),
    ):
        asked = definition(outcomes=[{"name": "reply", "events": events}])
        found = learnt(rows, asked)
        (earlier,) = found.negative_controls
        assert earlier.is_blind == is_blind
        assert any(words.BLIND in line for line in words.said(asked, found)) == is_blind


@pytest.mark.parametrize(
    ("name", "events", "is_counted"),
    [
        ("follow_up", {"kind": "touch", "names": ["email_replied"]}, True),
        ("follow_up", {"kind": "touch", "names": ["unsubscribed"]}, True),  # by hours_since_touch
        ("follow_up", {"kind": "outcome", "names": ["converted"]}, False),
    ],
)
def test_what_features_count_is_known(name: str, events: dict[str, Any], is_counted: bool) -> None:
    assert load_definition(name).is_counted(Named(**events)) == is_counted


def uneven(n: int, rate: float, seed: int) -> evidence.Basis:
    """Return rows of which 3 % are treated by lot, and replies before T that know nothing of it."""
    rng = np.random.default_rng(seed)
    arm = (rng.random(n) < 0.03).astype(np.int64)
    came = np.flatnonzero(rng.random(n) < rate)
    reply = Events(came, np.full(len(came), -1.0), np.zeros(len(came)))
    chance = np.tile([0.97, 0.03], (n, 1))
    rows = replace(planted(n).rows, arm=arm, chance=chance, outcomes={"reply": reply},
                   before={"earlier": reply})  # fmt: skip
    return by_lot(rows)


def moves(n: int, rate: float, runs: int) -> list[float]:
    """Return how many standard errors sound lots seem to move what came before them."""
    asked = definition(outcomes=[REPLY], negative_controls=[EARLIER])
    several = [uneven(n, rate, seed) for seed in range(runs)]
    told = [
        each
        for of in several
        for each in (*placebos.earlier(asked, of), *placebos.negative_controls(asked, of))
    ]
    return [abs(each.effect) / each.sd for each in told]


def test_a_small_arm_in_which_nothing_came_before_refuses_no_sound_lots(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of 90 treated two are to be expected: often none is there, whose error would be 0."""
    assert not moves(3000, 0.02, 40)
    monkeypatch.setattr(evidence, "LEAST_EVENTS", 0)
    monkeypatch.setattr(evidence, "worth", lambda of: [1e12] * 2)
    assert np.mean(np.array(moves(3000, 0.02, 40)) > evidence.MOVED_Z) > 0.1, "mutant: their own"


def test_a_small_arm_that_had_few_by_luck_does_not_tell_its_error_too_small(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of 600 treated twelve are to be expected, and three were there."""
    basis = uneven(20_000, 0.02, 0)
    treated, (row, *_) = np.flatnonzero(basis.rows.arm == 1), basis.rows.outcomes["reply"]
    came = np.concatenate([row[basis.rows.arm[row] == 0], treated[:3]])
    reply = Events(came, np.full(len(came), -1.0), np.zeros(len(came)))
    of = replace(basis, rows=replace(basis.rows, outcomes={"reply": reply}))
    asked = definition(outcomes=[REPLY])
    (found,) = placebos.earlier(asked, of)
    assert 2.0 < abs(found.effect) / found.sd < evidence.MOVED_Z
    monkeypatch.setattr(evidence, "worth", lambda _: [1e12] * 2)
    (mutant,) = placebos.earlier(asked, of)
    assert abs(mutant.effect) / mutant.sd > evidence.MOVED_Z, "its own error alone"


def apart(n: int = 1500) -> Rows:
    """Return rows of which nearly all keen ones, and no others, are treated."""
    told = planted(n, 1.0, 4)
    rng = np.random.default_rng(1)
    arm = np.where(rng.random(n) < 0.02, ~told.keen, told.keen).astype(np.int64)
    return unlogged(replace(told.rows, arm=arm))


def test_without_overlap_it_is_refused_and_names_the_experiment() -> None:
    found = refused(apart())
    assert "must overlap in at least 50%" in found.why.rule
    assert "in each arm, about" in found.why.remedy and "weeks" in found.why.remedy
    assert found.overlap is not None and found.overlap.trimmed > 0.5


def test_without_that_refusal_the_answer_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: every chance is taken for overlap."""
    monkeypatch.setattr(evidence, "LOWEST", 0.0)
    monkeypatch.setattr(evidence, "LEAST_ROWS", 1)
    monkeypatch.setattr(evidence, "LEAST_EVENTS", 1)
    rows = apart()
    hidden = replace(rows, features=rows.features[:, 1:], names=("noise",))
    found = learnt(hidden)
    risk = next(f for f in found.figures if f.outcome == "forward")
    assert risk.effect > 4 * risk.sd, "nothing was planted"


def test_logged_chances_that_do_not_fit_the_lots_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = planted(3000, 1.0)
    wrong = replace(told.rows, chance=np.full((3000, 2), 0.5))
    assert "must fit the arms that were drawn" in refused(wrong).why.rule
    monkeypatch.setattr(evidence, "MISFIT_Z", 1e9)
    found = next(f for f in learnt(wrong).figures if f.outcome == "forward")
    hidden = replace(wrong, features=wrong.features[:, 1:], names=("noise",))
    mutant = next(f for f in learnt(hidden).figures if f.outcome == "forward")
    assert mutant.effect > 3 * mutant.sd and abs(found.effect) < abs(mutant.effect)


def test_prices_that_were_not_drawn_are_refused() -> None:
    found = refused(unlogged(planted(1000, 1.3).rows), only_by_chance=True)
    assert "given by chance" in found.why.rule
    assert "'assumption' (E3)" in found.why.remedy and "randomise" in found.why.remedy


def test_too_few_are_refused() -> None:
    rows = planted(300, 1.0).rows
    few = rows.filter((rows.arm == 0) | (np.cumsum(rows.arm) <= 12))
    assert "at least 30 rows" in refused(few).why.rule
    calm = replace(rows, causes={n: np.full(300, np.inf) for n in rows.causes})
    assert "must have had the outcome" in refused(calm).why.rule


def test_the_experiment_is_as_large_as_power_asks_for() -> None:
    """By simulation: of two arms of that size, such a ratio is found in about 80 %."""
    rows = planted(4000, 1.0).rows
    alone = replace(rows, cluster=np.arange(4000))
    happened = np.arange(4000) % 10 == 0
    asked = evidence.experiment(alone, happened, 28.0, 1.5)
    rng = np.random.default_rng(3)
    p = np.array([asked.rate, 1.5 * asked.rate])
    came = rng.binomial(asked.per_arm, p, (4000, 2)) / asked.per_arm
    spread = np.sqrt((came * (1 - came)).sum(axis=1) / asked.per_arm)
    found = ((came[:, 1] - came[:, 0]) / spread > scores.Z90).mean()
    assert found == pytest.approx(0.8, abs=0.02)
    per_week = 20 * 7
    assert asked.weeks == pytest.approx(2 * asked.per_arm / per_week + 4, abs=1.5)
    shared = replace(rows, cluster=np.arange(4000) // 10)
    together = np.repeat(np.arange(400) % 10 == 0, 10)
    assert evidence.experiment(shared, together, 28.0, 1.5).per_arm > 5 * asked.per_arm


@pytest.mark.parametrize("runs", mostly([6, 120]))
def test_no_effect_is_no_effect_as_often_as_stated(runs: int) -> None:
    held = []
    for seed in range(runs):
        found = learnt(planted(500, 1.0, seed).rows)
        low, high = found.arms["treated"]["forward"].interval
        held.append(low <= 1.0 <= high)
    assert np.mean(held) > 0.9 - 3 * np.sqrt(0.09 / runs)


def test_drawn_again_by_its_chances_an_action_is_drawn_as_often() -> None:
    chance = np.tile([0.2, 0.5, 0.3], (20_000, 1))
    arm = placebos.drawn(chance, np.random.default_rng(1))
    assert np.bincount(arm) / 20_000 == pytest.approx([0.2, 0.5, 0.3], abs=0.015)

"""What became of the accounts of a flag: an honest reading, of accounts in their order."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from cluster import canonical
from cluster.errors import Refusal, WrongUse
from cluster.settings import validated
from features.targets import load_target
from serving.leading import pace
from serving.leading.pace import Pace
from serving.releases import compared
from serving.releases.compared import Count, Told
from serving.releases.flags import Flag
from tests.drills import mostly

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.random import Generator

    from serving.releases.compared import Point

DECLARED: dict[str, Any] = {
    "name": "script",
    "version": 1,
    "summary": "A test.",
    "variants": [{"name": "usual", "weight": 70}, {"name": "short", "weight": 30}],
    "salt": "s",
}
ASKED: dict[str, Any] = {"target": "lead_qualification", "usual": "usual", "alpha": 0.05}
ASKED |= {"ratio": 1.5, "most_days": 200}
THREE = [{"name": "usual", "weight": 56}, {"name": "short", "weight": 24}]
THREE += [
    {"name": "long", "weight": 20}
]  # of the accounts of the first two each has its part still
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
HORIZON = timedelta(days=60)
TARGET = load_target("lead_qualification")


def _flag(**changes: Any) -> Flag:
    return validated(Flag, DECLARED | {"experiment": ASKED} | changes, where="f.yaml")


def _courses(flag: Flag, over: Sequence[Told]) -> dict[str, tuple[Point, ...]]:
    asked = compared.asked_of_each(flag)
    assert not isinstance(asked, Refusal)
    return compared.courses(flag, asked, over)


def _told(rng: Generator, flag: Flag, count: int, rates: dict[str, float]) -> list[Told]:
    """Return accounts over a hundred days, with their outcomes; those of `usual` have its rate."""
    names = list(flag.shares)
    drawn = rng.choice(len(names), count, p=list(flag.shares.values()))
    came = rng.random(count)
    return [
        Told(
            account=f"a{n}",
            variant=names[which],
            at=BEGAN + timedelta(days=100 * n / count),
            outcome=bool(came[n] < rates[names[which]]),
        )
        for n, which in enumerate(drawn)
    ]


@pytest.mark.parametrize(
    ("ratio", "runs"), mostly([(2.0, 10), (1.0, 10), (2.0, 400), (1.0, 400)], 2)
)
def test_the_planted_ratio_is_found_and_covered_at_every_look(ratio: float, runs: int) -> None:
    """Read all along: the true one is outside in at most one run in twenty, equal ones are decided
    in no more, and twice the rate is found.
    """
    rng, flag = np.random.default_rng(1), _flag()
    left, decided = 0, 0
    for _ in range(runs):
        over = _told(rng, flag, 2_000, {"usual": 0.1, "short": 0.1 * ratio})
        course = _courses(flag, over)["short"]
        left += any(not p.reading.low <= ratio <= p.reading.high for p in course)
        decided += course[-1].reading.is_decided
    assert left <= max(runs // 20, 2)  # of ten runs, what chance adds
    assert decided >= 0.9 * runs if ratio > 1 else decided <= max(runs // 20, 2)


def test_alpha_is_split_among_the_comparisons() -> None:
    """What would decide alone is not enough where another variant is compared too."""
    one, three = _flag(), _flag(variants=THREE)
    assert one.compared["short"] == pytest.approx(three.compared["short"])
    each = compared.asked_of_each(three)
    assert not isinstance(each, Refusal)
    assert each.alpha == ASKED["alpha"] / 2
    every = [Told(account=f"a{n}", variant="short", at=BEGAN, outcome=True) for n in range(60)]
    needs = [_needs(flag, every) for flag in (one, three)]
    assert needs[0] < needs[1]
    whole = compared.courses(three, each.model_copy(update={"alpha": 0.05}), every[: needs[0]])
    assert whole["short"][-1].reading.is_decided, "the mutant, that spends all of it on each"


def _needs(flag: Flag, every: Sequence[Told]) -> int:
    """Return after how many outcomes of one variant alone it is decided."""
    return next(
        n for n in range(1, 60) if _courses(flag, every[:n])["short"][-1].reading.is_decided
    )


def _soon(rng: Generator, flag: Flag, until: datetime) -> tuple[list[Told], dict[str, datetime]]:
    """Return accounts of equal rates, and when each outcome came: soon with `short`, at any time of
    the horizon with `usual`. An outcome that comes later is not known.
    """
    every = _told(rng, flag, 4_000, {"usual": 0.2, "short": 0.2})
    waits = {"usual": 1.0, "short": 0.1}
    came = {
        each.account: each.at + HORIZON * float(rng.random()) * waits[each.variant]
        for each in every
        if each.outcome
    }
    known = {account for account, at in came.items() if at <= until}
    return [replace(each, outcome=each.account in known) for each in every], came


def _as_they_come(
    told: Sequence[Told], until: datetime, came: dict[str, datetime]
) -> Sequence[Told]:
    return told


def _by_outcome(told: Sequence[Told], until: datetime, came: dict[str, datetime]) -> list[Told]:
    over = compared.matured(told, HORIZON, until)
    return sorted(over, key=lambda each: came.get(each.account, until))


def _in_order(told: Sequence[Told], until: datetime, came: dict[str, datetime]) -> list[Told]:
    return compared.matured(told, HORIZON, until)


@pytest.mark.parametrize(
    ("rule", "is_honest"), [(_in_order, True), (_as_they_come, False), (_by_outcome, False)]
)
def test_outcomes_that_come_sooner_are_no_more(
    rule: Callable[..., Sequence[Told]], is_honest: bool
) -> None:
    """Of accounts whose horizon is over, in the order of exposures; mutants that count outcomes as
    they come, or in their own order, call the variant better that is only faster.
    """
    rng, flag, until = np.random.default_rng(2), _flag(), BEGAN + timedelta(days=100)
    decided = 0
    for _ in range(5):
        told, came = _soon(rng, flag, until)
        decided += _courses(flag, rule(told, until, came))["short"][-1].reading.is_decided
    assert decided == 0 if is_honest else decided >= 4


def test_what_matures_later_is_added_behind() -> None:
    """So that a later look goes on where the one before it ended."""
    rng, flag = np.random.default_rng(3), _flag()
    told = _told(rng, flag, 500, {"usual": 0.2, "short": 0.2})
    looks = [BEGAN + timedelta(days=day) for day in (80, 120, 300)]
    shuffled = [told[n] for n in rng.permutation(len(told))]
    first, second, last = (compared.matured(shuffled, HORIZON, at) for at in looks)
    assert second[: len(first)] == first
    assert last == told
    at_end = told[0].at + HORIZON
    assert compared.matured(told[:1], HORIZON, at_end) == told[:1]
    assert compared.matured(told[:1], HORIZON, at_end - timedelta(microseconds=1)) == []


def test_each_variant_is_counted() -> None:
    """Of an account of which nothing is known neither yes nor no is counted."""
    flag = _flag()
    made = [("usual", True), ("usual", False), ("usual", None), ("short", None)]
    told = [
        Told(account=f"a{n}", variant=variant, at=BEGAN, outcome=outcome)
        for n, (variant, outcome) in enumerate(made)
    ]
    late = Told(account="late", variant="short", at=BEGAN)
    found = compared.counts(flag, [*told, late], told)
    assert found["usual"] == Count(exposed=3, matured=3, unknown=1, outcomes=1)
    assert found["short"] == Count(exposed=2, matured=1, unknown=1, outcomes=0)
    assert (found["usual"].rate, found["short"].rate) == (0.5, None)
    point = _courses(flag, told)["short"][-1]
    assert (point.accounts, point.reading.outcomes) == (2, 1)
    assert _courses(flag, [late])["short"] == ()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"experiment": ASKED | {"usual": "usul"}}, "got 'usul': did you mean 'usual'"),
        ({"experiment": ASKED | {"usual": "none"}, "variants": [*THREE[:1], *THREE[2:]]}, "add up"),
        ({"experiment": ASKED | {"target": "No Target"}}, "pattern"),
        ({"experiment": ASKED | {"alpha": 0.7}}, "less than 0.5"),
        ({"experiment": {n: v for n, v in ASKED.items() if n != "usual"}}, "usual.*required"),
        ({"variants": [{"name": "usual", "weight": 100}, {"name": "b", "weight": 0}]}, "another"),
        (
            {"variants": [{"name": "usual", "weight": 0}, {"name": "b", "weight": 100}]},
            "accounts draw, got 'usual'",
        ),
    ],
)
def test_an_experiment_that_is_wrong_is_refused(changed: dict[str, Any], said: str) -> None:
    """With what it breaks."""
    with pytest.raises(WrongUse, match=said):
        _flag(**changed)


def test_a_flag_without_an_experiment_compares_nothing_and_keeps_its_name() -> None:
    """Exposures of before are of the same version; what is compared makes another."""
    flag, asked = _flag(experiment=None), _flag()
    assert flag.compared == {}
    refused = compared.asked_of_each(flag)
    assert isinstance(refused, Refusal)
    assert "must have an experiment to be compared" in str(refused)
    before = flag.model_dump(mode="json")
    assert before.pop("experiment") is None
    assert flag.id == f"script@1-{canonical.digest(before)[:12]}"
    other = _flag(experiment=ASKED | {"ratio": 1.6})
    assert len({flag.id, asked.id, other.id}) == 3


def test_a_comparison_of_fewer_accounts_takes_longer() -> None:
    """The part of the accounts that neither variant has; outcomes stay as many."""
    asked = compared.asked_of_each(_flag(experiment=ASKED | {"ratio": 2.0}))
    assert not isinstance(asked, Refusal)
    known = Pace(accounts_per_day=100.0, rate=0.1)
    whole, half = (pace.lasting(asked, TARGET, known, share=0.3, part=part) for part in (1.0, 0.5))
    assert not isinstance(whole, Refusal) and not isinstance(half, Refusal)
    assert (whole.outcomes, whole.accounts) == (half.outcomes, half.accounts)
    horizon = TARGET.horizon_days + TARGET.settle_days
    assert half.days - horizon == pytest.approx(2 * (whole.days - horizon))

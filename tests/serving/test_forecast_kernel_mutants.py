"""Each rule of the kernel, broken: the comparison with the plain telling must notice."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pytest

from serving.forecast.state import PLACES, Open, State
from tests.serving import interpreted, plain_kernel
from tests.serving.small_funnels import Case, case, same

if TYPE_CHECKING:
    from serving.forecast.given import Outcome
    from tests.serving.interpreted import Change

MUTANTS: dict[str, Change] = {
    "capacity is ignored": ("contacts", "left -= 1", "left -= 0"),
    "the freshest come last": ("contacts", "== FRESHEST", "== 99"),
    "ranks are ignored": (
        "desks",
        "np.where(by_rank, place[None, :], 0)",
        "np.where(by_rank, 0, 0 * place[None, :])",
    ),
    "the lowest rank comes first": ("desks", "np.unique(-desks.rank", "np.unique(desks.rank"),
    "who closes still waits": (
        "state",
        "unlist(state, number, ticket, NEVER)\n        state.tickets",
        "state.tickets",
    ),
    "who leaves the stages still waits": (
        "moving",
        "if not world.levers.stages[lever, to]",
        "if to < 0",
    ),
    "contacts do not tire": ("contacts", "math.exp(-levers.saturation[lever] * tired)", "1.0"),
    "nobody recovers": ("contacts", '* world.left[chance.step - unit["tired_at"]]', ""),
    "the start is fresh": ("state", "= start.tired[i]", "= 0.0"),
    "who is tired unsubscribes as soon": ("contacts", "* (1.0 + tired)\n", "\n"),
    "who unsubscribed is listed again": (
        "contacts",
        'state.tickets[ticket]["until"] = NEVER',
        'state.tickets[ticket]["until"] = 0',
    ),
    "who unsubscribed still feels": ("contacts", 'state.tickets[ticket]["felt"] = 0.0', "pass"),
    "contacts last a step longer": (
        "contacts",
        "_tell(state, number, lever, chance.step + levers.lasts[lever])",
        "_tell(state, number, lever, chance.step + levers.lasts[lever] + 1)",
    ),
    "contacts never end": ("contacts", "told[span[0], 1] <= step", "step < 0"),
    "history had no contacts": ("laws", "levers.contacted[lever] * math.expm1(ratio)", "0.0"),
    "the effect is known": ("laws", "+ levers.log_ratio_sd[lever] * z", ""),
    "levers do not end": ("contacts", "<= chance.step <= levers.last[lever]", "<= chance.step"),
    "parts are ignored": (
        "state",
        "0 if is_for and levers.parts[lever, part] else NEVER",
        "0 if is_for else NEVER",
    ),
    "packing forgets contacts": (
        "state",
        "= opened.group[place], opened.boost[place]",
        "= opened.group[place], 1.0",
    ),
    "packing forgets a unit": (
        "state",
        "cell[place] != dead)",
        "cell[place] != dead and place > 0)",
    ),
    "who closed is still meant": (
        "levers",
        "np.zeros((count, strata *",
        "np.ones((count, strata *",
    ),
    "the contacts of the closed are another's": (
        "contacts",
        'if ticket["until"] == told[span[0], 1]:',
        "if step >= 0:",
    ),
    "every step has the same word": (
        "moving",
        "opened.words[chance.step % TOGETHER], (laws",
        "opened.words[0], (laws",
    ),
    "shocks of segments are that of all": ("laws", "math.exp(of_all + own)", "math.exp(of_all)"),
    "levels do not count": ("laws", "of_all = level[step] + ", "of_all = "),
    "all stages have the same week": (
        "state",
        "np.exp(parameters.tilt)[:, stage_of]",
        "np.exp(parameters.tilt)[:, 0 * stage_of]",
    ),
    "shocks act on no chance": ("laws", "* (1.0 / phi)", "* 1.0"),
    "limits in brief are too wide": ("laws", "limits[1, at] * _PARTS) - 1.0", "1.5 * _PARTS)"),
    "all arrivals take part at once": ("coming", "chance.step + 1)", "chance.step)"),
    "arrivals do not vary": ("laws", "if spread[kind] > _LEAST_VARIANCE", "if spread[kind] > 99.0"),
    "amounts are not revised": (
        "laws",
        "known * math.exp(laws.revised[0] + laws.revised[1] * z)",
        "known",
    ),
    "stages are not counted anew": ("moving", "opened.entered[place] = step + 1", "pass"),
}


def told(kernel: ModuleType, asked: Case) -> Outcome:
    return kernel.simulate(**asked)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def asked() -> Case:
    """A funnel in which every rule has something to do."""
    busy = case(1, units=120, draws=1, steps=25)
    busy["levers"] = busy["levers"]._replace(
        rate=np.array([0.5, 0.4]),
        saturation=np.array([0.8, 0.1]),
        unsubscribe=np.array([0.15, 0.1]),
        lasts=np.array([8, 6]),
    )
    busy["desks"] = busy["desks"]._replace(capacity=busy["desks"].capacity * 2 + 2)
    busy["desks"].capacity[1] = np.where(np.arange(25) % 2, 30, 3)
    rows = busy["parameters"]
    busy["parameters"] = rows._replace(rates=rows.rates * 3.0)
    return busy


@pytest.fixture(scope="module")
def plain(asked: Case) -> Outcome:
    """What the plain telling says of it."""
    return plain_kernel.Plain(asked).simulate()


def test_without_a_change_they_agree(
    asked: Case, plain: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert same(told(interpreted.load(monkeypatch), asked), plain)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_rule_is_noticed(
    name: str, asked: Case, plain: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = interpreted.load(monkeypatch, MUTANTS[name])
    assert not same(told(broken, asked), plain)


def test_packing_that_lost_the_order_would_be_noticed(
    asked: Case, plain: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: the open units are packed the youngest first."""
    kernel = interpreted.load(monkeypatch)
    honest = kernel.pack

    def turned(state: State, dead: int) -> None:
        honest(state, dead)
        n = state.size[PLACES]
        for field in state.open[: Open._fields.index("words")]:
            field[:n] = field[:n][::-1].copy()
        state.units["place"][state.open.unit[:n]] = np.arange(n)

    monkeypatch.setattr(kernel, "pack", turned)
    assert not same(told(kernel, asked), plain)

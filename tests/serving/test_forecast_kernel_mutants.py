"""Each rule of the kernel, broken: the comparison with the plain telling must notice."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from serving.forecast.given import Outcome
from tests.serving import interpreted, plain_kernel
from tests.serving.interpreted import Change
from tests.serving.small_funnels import Case, case, same

MUTANTS: dict[str, Change] = {
    "capacity is ignored": ("contacts", "left -= 1", "left -= 0"),
    "the freshest come last": ("contacts", "== FRESHEST", "== 99"),
    "ranks are ignored": ("desks", "np.where(by_rank, place[None, :], 0)", "place[None, :] * 0"),
    "the lowest rank comes first": ("desks", "np.unique(-desks.rank", "np.unique(desks.rank"),
    "who closes still waits": ("state", "        unlist(state, world, unit, lever, NEVER)\n", ""),
    "who leaves the stages still waits": ("moving", "if not world.levers.stages", "if False and not world.levers.stages"),
    "contacts do not tire": ("contacts", "* math.exp(-levers.saturation[lever] * tired)", ""),
    "nobody recovers": ("contacts", "* world.left[chance.step - units.tired_at[unit]]", ""),
    "the start is fresh": ("state", "= start.tired[i]", "= 0.0"),
    "who is tired unsubscribes as soon": ("contacts", "* (1.0 + tired)):", "):"),
    "who unsubscribed is listed again": ("contacts", "state.units.until[unit, lever] = NEVER", "state.units.until[unit, lever] = 0"),
    "who unsubscribed still feels": ("contacts", "state.units.felt[unit, lever] = 0.0\n    _feel", "pass\n    _feel"),
    "contacts last a step longer": ("contacts", "chance.step + levers.lasts[lever]", "chance.step + levers.lasts[lever] + 1"),
    "contacts never end": ("contacts", "told.ends[lever, span[0]] <= step", "False"),
    "history had no contacts": ("laws", "levers.contacted[lever] *", "0.0 *"),
    "the effect is known": ("laws", "+ levers.log_ratio_sd[lever] * z", ""),
    "levers do not end": ("contacts", "<= chance.step <= levers.last[lever]", "<= chance.step"),
    "packing forgets contacts": ("state", "opened.boost[kept] = opened.group[place], opened.boost[place]", "opened.boost[kept] = opened.group[place], 1.0"),
    "packing forgets a unit": ("state", "            kept += 1", "            kept += place > 0"),
    "every step has the same word": ("moving", "opened.words[chance.step % TOGETHER], laws", "opened.words[0], laws"),
    "shocks of segments are that of all": ("laws", "math.exp(of_all + own)", "math.exp(of_all)"),
    "shocks act on every chance": ("laws", "if other > stage else chances[other]", ""),
    "all arrivals take part at once": ("coming", "(u < _HALF) == is_late", "not is_late"),
    "arrivals do not vary": ("laws", "if spread[kind] > _LEAST_VARIANCE", "if spread[kind] > 99.0"),
    "amounts are not revised": ("laws", "known * math.exp(laws.revised[0] + laws.revised[1] * z)", "known"),
    "stages are not counted anew": ("moving", "= step + 1", "= state.open.entered[place]"),
}  # fmt: skip


def told(kernel: ModuleType, asked: Case) -> Outcome:
    return kernel.simulate(**asked)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def asked() -> Case:
    """A funnel in which every rule has something to do."""
    return case(0, units=70, draws=1, steps=13)


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

    def turned(state) -> None:  # type: ignore[no-untyped-def]
        honest(state)
        n = state.size[1]
        for field in state.open[:6]:
            field[:n] = field[:n][::-1].copy()
        state.units.place[state.open.unit[:n]] = np.arange(n)

    monkeypatch.setattr(kernel, "pack", turned)
    assert not same(told(kernel, asked), plain)

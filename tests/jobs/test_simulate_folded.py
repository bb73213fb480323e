"""Outcomes are folded before they are put together: a document is the same to the byte, by chunks,
from the record, and beside one that was not folded.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from jobs.simulate import answer, bounds, question, result
from jobs.simulate.finished import packed, unpacked
from jobs.simulate.question import SimulateSettings
from serving.forecast import experiment, kernel
from serving.forecast.folded import Folded, folded
from serving.forecast.given import Outcome
from serving.forecast.kernel import Span
from serving.forecast.payoff import spread, spreads
from tests.jobs.simulating import LEVER, answered, company, quiet, scenario

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from cluster.workspace import Workspace
    from jobs.simulate.answer import Answer
    from serving.forecast.experiment import Experiment

ASKED: dict[str, Any] = {"scenarios": [scenario("more", levers=[LEVER]), scenario("less")]}
RNG = np.random.default_rng(4)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Return a workspace whose log holds the events of a small company."""
    with company(tmp_path_factory.mktemp("folded")) as opened:
        yield opened


def text(found: Answer) -> str:
    """Return the document of an answer."""
    return result.told(found, "x").model_dump_json()


def outcome() -> Outcome:
    """Return some outcome of three draws, four steps, five groups."""
    arrays = (RNG.integers(0, 9, (3, 4, 5, 3)) for _ in Outcome._fields)
    return Outcome(*arrays)._replace(open=RNG.integers(0, 9, (3, 4, 5, 2)).astype(np.int32))


def test_a_document_of_folded_outcomes_is_the_same(filled: Workspace, tmp_path: Path) -> None:
    whole, small = (answered(filled, tmp_path, folded=each, **ASKED) for each in (False, True))
    assert text(small) == text(whole)
    groups = len(whole.names.labels)
    assert groups > 1 and whole.outcomes["more"].won.shape[2] == groups
    assert small.outcomes["more"].won.shape[2] == small.outcomes["more"].open.shape[2] == 1


def test_without_the_sums_by_group_it_is_another(filled: Workspace, tmp_path: Path) -> None:
    """Mutant: what each group won is lost in folding."""
    small = answered(filled, tmp_path, folded=True, **ASKED)
    before = text(small)
    for units, _ in small.by_group.values():
        units[:] = units[:, ::-1].copy()
    assert text(small) != before


def test_folding_adds_up(filled: Workspace) -> None:
    whole = outcome()
    small = folded(whole)
    for name in ("won", "cents", "open"):
        counts = getattr(whole, name)
        np.testing.assert_array_equal(getattr(small, name)[:, :, 0], counts.sum(axis=2))
        assert getattr(small, name).dtype == counts.dtype
    np.testing.assert_array_equal(small.won_by_group, whole.won.sum(axis=1))
    np.testing.assert_array_equal(small.cents_by_group, whole.cents.sum(axis=1))
    assert small.outcome.timing is whole.timing


def test_a_record_gives_back_what_was_put_on_it() -> None:
    for kept in ((outcome(), outcome()), (folded(outcome()), folded(outcome())), ()):
        again = unpacked(packed(kept))
        assert list(map(type, again)) == list(map(type, kept))
        for one, other in zip(kept, again, strict=True):
            for before, after in zip(one, other, strict=True):
                np.testing.assert_array_equal(before, after)


def test_chunks_of_whole_outcomes_are_no_part_of_folded_ones(
    filled: Workspace, tmp_path: Path
) -> None:
    file = tmp_path / "comparison.yaml"
    file.write_text("scenarios: [baseline]")
    asked = question.ask(filled, SimulateSettings(comparison=str(file)))
    answer.under_way(filled, asked).add(0, (outcome(),))
    assert answer.under_way(filled, asked, folded=True).there() == {}
    assert list(answer.under_way(filled, asked).there()) == [0]


def test_a_folded_answer_that_was_stopped_goes_on(
    filled: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = text(answered(filled, tmp_path, folded=True, **ASKED))
    monkeypatch.setattr(answer, "WORTH_A_RECORD", 0)

    def stop(done: int, total: int, what: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answered(filled, tmp_path, progress=stop, folded=True, **ASKED)
    again = answered(filled, tmp_path, progress=quiet, folded=True, **ASKED)
    assert "; 3 of" in again.ran and text(again) == once


def most_at_once(asked: Experiment, watched: pytest.MonkeyPatch) -> int:
    """Return of how many arms what they won by groups is there at once."""
    there: list[weakref.ref[np.ndarray]] = []
    counts: list[int] = []
    simulate = kernel.simulate

    def seen(*given: Any, **named: Any) -> Outcome:
        found = simulate(*given, **named)
        there.append(weakref.ref(found.won))
        counts.append(sum(each() is not None for each in there))
        return found

    watched.setattr(kernel, "simulate", seen)
    experiment.run_folded(asked, Span(asked.seed, 0, 5, asked.steps))
    assert len(counts) == len(asked.arms) > 2
    return max(counts)


def test_one_arm_is_there_before_it_is_folded(
    filled: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutant: arms that are not folded stay there."""
    asked = answered(filled, tmp_path, folded=True, **ASKED).asked
    with monkeypatch.context() as watched:
        assert most_at_once(asked, watched) == 1
    monkeypatch.setattr(experiment.folded, "folded", lambda outcome: outcome)
    assert most_at_once(asked, monkeypatch) == len(asked.arms)


def bytes_of(outcomes: Iterable[Outcome | Folded]) -> int:
    """Return how many bytes the arrays take."""
    return sum(array.nbytes for each in outcomes for array in each)


def test_so_many_draws_are_simulated_at_once_as_fit(
    filled: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An arm before it is folded, and all that are: however few, the document is the same."""
    found = answered(filled, tmp_path, folded=True, **ASKED)
    once, asked, told = text(found), found.asked, list[int]()
    one = Span(asked.seed, 0, 1, asked.steps)
    of_all = bytes_of(experiment.run_folded(asked, one))
    before = max(bytes_of([each]) for each in experiment.run(asked, one))
    of_draw = before + of_all + 2 * asked.start.name.size * len(asked.arms)
    for fits in (0.5, 2.5):
        monkeypatch.setattr(bounds, "CHUNK_BYTES", round(fits * of_draw))
        told.clear()
        again = answered(filled, tmp_path, progress=lambda *at: told.append(at[1]), folded=True,
            **ASKED)  # fmt: skip
        assert text(again) == once
        assert set(told) == {asked.draws // max(1, int(fits))}


def test_ranges_of_several_are_those_of_each() -> None:
    several = RNG.integers(-(10**15), 10**15, (7, 333))
    assert spreads(several) == [spread(row) for row in several]
    for row, found in zip(several, spreads(several), strict=True):
        assert found.mean == row.mean() and found.low == np.sort(row)[int(np.ceil(333 / 20)) - 1]

"""What the arms do on average: by outcome and horizon, as ratios of hazards, and in parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from serving.effects import evidence, scores
from serving.effects.definition import CAUSES
from serving.effects.known import Cause, Figure, Part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from serving.effects.panel import Panel

RATES = {"events", "exposure"}
BAND = "band"
MOST_BANDS, EVENTS_PER_BAND = 10, 20  # of alike risk, within which rates are compared


def figures(panel: Panel, parts: dict[str, np.ndarray]) -> list[Figure]:
    """Return the difference that each arm makes to each outcome: of all rows, and at the longest
    horizon of each part.
    """
    everyone = np.ones(len(panel.fold), bool)
    told = [c for c in panel.columns if c.kind not in RATES]
    last = max((c.horizon for c in told), default=0.0)
    found = []
    for number, column in enumerate(panel.columns):
        if column.kind in RATES:
            continue
        found += [_figure(panel, number, arm, everyone, ("all", "all")) for arm in _arms(panel)]
        if column.horizon == last and column.kind != "gained":
            found += [
                _figure(panel, number, arm, mine, at)
                for at, mine in each(parts)
                if _is_told(panel, mine)
                for arm in _arms(panel)
            ]
    return found


def each(parts: dict[str, np.ndarray]) -> Iterator[tuple[tuple[str, str], np.ndarray]]:
    """Yield every part by column and value, with which rows are in it."""
    for column, words in parts.items():
        for word in sorted(set(words.tolist())):
            yield (column, word), words == word


def _arms(panel: Panel) -> range:
    return range(1, panel.scores.shape[1])


def _is_told(panel: Panel, mine: np.ndarray) -> bool:
    arm = panel.basis.rows.arm[mine]
    return all((arm == a).sum() >= evidence.LEAST_ROWS for a in range(panel.scores.shape[1]))


def _figure(panel: Panel, number: int, arm: int, mine: np.ndarray, at: tuple[str, str]) -> Figure:
    column, rows = panel.columns[number], panel.basis.rows
    score, cluster = panel.scores[mine, :, number], rows.cluster[mine]
    effect = scores.average(score[:, arm] - score[:, 0], cluster)
    ratio = scores.log_ratio(score[:, arm], score[:, 0], cluster)
    return Figure(
        arm=rows.arms[arm],
        outcome=column.name,
        measure=column.kind,
        unit=column.unit,
        horizon_days=column.horizon,
        control=float(score[:, 0].mean()),
        effect=effect.value,
        sd=effect.sd,
        log_ratio=ratio.value if ratio else None,
        log_sd=ratio.sd if ratio else None,
        column=at[0],
        value=at[1],
        n=int(mine.sum()),
    )


def causes(panel: Panel, arm: int, parts: dict[str, np.ndarray]) -> dict[str, Cause]:
    """Return the ratio of hazards of an arm to the control, by cause; those of which enough is
    seen in both arms.
    """
    everyone = np.ones(len(panel.fold), bool)
    found = {}
    for name in CAUSES:
        whole = _hazards(panel, name, arm, everyone)
        if whole is not None:
            by = tuple(
                Part(column=at[0], value=at[1], log_ratio=part.value, sd=part.sd, n=part.n)
                for at, mine in each(parts)
                if (part := _hazards(panel, name, arm, mine)) is not None
            )
            found[name] = Cause(log_ratio=whole.value, sd=whole.sd, n=whole.n, by=by)
    return found


def _hazards(panel: Panel, name: str, arm: int, mine: np.ndarray) -> scores.Average | None:
    events, days = panel.place(name, "events"), panel.place("any", "exposure")
    rows = panel.basis.rows
    seen = panel.columns[events].of.value
    came = [int(seen[mine & (rows.arm == a)].sum()) for a in (0, arm)]
    if min(came) < evidence.LEAST_EVENTS:
        return None
    guess = panel.expected[mine, 0, events] / np.maximum(panel.expected[mine, 0, days], 1e-9)
    band = cut(guess, min(MOST_BANDS, max(1, sum(came) // EVENTS_PER_BAND)))
    return scores.log_hazard_ratio(
        panel.scores[mine, :, events], panel.scores[mine, :, days], arm, rows.cluster[mine], band
    )


def cut(guess: np.ndarray, count: int) -> np.ndarray:
    """Return in which of so many parts of equal size each guess is: (n,) int64, from 0 without
    gaps.
    """
    edges = np.quantile(guess, np.arange(1, count) / count, method="inverted_cdf")
    return np.asarray(np.unique(np.searchsorted(edges, guess), return_inverse=True)[1])


def bands(panel: Panel, count: int) -> np.ndarray:
    """Return the band of each row by what is expected of it without the action, by models that
    never saw it: object, words.
    """
    guess = panel.expected[:, 0, panel.main]
    part = cut(guess, count)
    names = [f"{n + 1} of {part.max() + 1}" for n in range(part.max() + 1)]
    return np.asarray(np.array(names, object)[part])

"""Charts of a result: what the fans draw, the bars of the waterfalls, the cells of the heat maps,
and the tables that say the same in numbers. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from serving.planner import told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.wire.simulations import ArmOut, BandOut, DeskOut, SimulationResultOut

QUANTILES = ("p05", "p25", "p50", "p75", "p95")
THOUSANDS = 1e5  # cents
MEASURES = {"won": ("won deals", 1.0), "value_cents": ("value won, thousands", THOUSANDS)}
ROWS = 14  # of a table of steps, about
LEVELS = 10  # shades of a heat map
WIDTH, BAR, GAP, HEIGHT = 320.0, 52.0, 24.0, 170.0  # of a waterfall, in units of its picture
LEFT, TOP = 14.0, 26.0


def others(result: SimulationResultOut) -> list[ArmOut]:
    """Return the scenarios that are compared with another."""
    return [arm for arm in result.arms if arm.name != result.against]


def against(result: SimulationResultOut) -> ArmOut:
    """Return what the others are compared with."""
    return next((a for a in result.arms if a.name == result.against), result.arms[0])


def fans(result: SimulationResultOut) -> dict[str, Any]:
    """Return what the script draws: for each measure one panel for each scenario beside what it is
    compared with, on one scale; and for each scenario what it gains, step by step.
    """
    base = against(result)
    shown = others(result) or [base]
    measures = [
        {
            "key": key,
            "label": label,
            "base": _band(getattr(base, key), scale),
            "panels": [
                {"name": told.name(arm.name), "band": _band(getattr(arm, key), scale)}
                for arm in shown
            ],
        }
        for key, (label, scale) in MEASURES.items()
    ]
    gains = [
        {"name": told.name(arm.name), "band": _band(arm.payoff.by_step, THOUSANDS)}
        for arm in shown
        if arm.payoff is not None
    ]
    return {
        "step": result.step,
        "steps": list(range(1, result.steps + 1)),
        "against": told.name(base.name),
        "measures": measures,
        "gains": gains,
    }


def _band(band: BandOut, scale: float) -> dict[str, list[float]]:
    return {name: [round(v / scale, 3) for v in getattr(band, name)] for name in QUANTILES}


class Row(NamedTuple):
    """A step of a table, and a text for each scenario."""

    step: int
    cells: list[str]


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """A table of what a fan shows."""

    label: str
    names: list[str]
    rows: list[Row]


def numbers(result: SimulationResultOut) -> list[Numbers]:
    """Return the numbers of the fans: the median and the 90 % interval, every few steps."""
    names = [told.name(arm.name) for arm in result.arms]
    return [
        Numbers(
            label=label,
            names=names,
            rows=[
                Row(step, [_interval(getattr(arm, key), step - 1, scale) for arm in result.arms])
                for step in every(result.steps)
            ],
        )
        for key, (label, scale) in MEASURES.items()
    ]


def gains(result: SimulationResultOut) -> Numbers:
    """Return the numbers of what scenarios gain."""
    shown = [arm for arm in others(result) if arm.payoff is not None]
    bands = [arm.payoff.by_step for arm in shown if arm.payoff is not None]
    return Numbers(
        label="value more, thousands",
        names=[told.name(arm.name) for arm in shown],
        rows=[
            Row(step, [_interval(band, step - 1, THOUSANDS) for band in bands])
            for step in every(result.steps)
        ],
    )


def every(steps: int) -> list[int]:
    """Return some steps of a table: evenly, and the last.

    >>> every(26)
    [2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26]
    """
    stride = max(1, -(-steps // ROWS))
    return [step for step in range(1, steps + 1) if step % stride == 0 or step == steps]


def _interval(band: BandOut, place: int, scale: float) -> str:
    low, middle, high = (getattr(band, name)[place] / scale for name in ("p05", "p50", "p95"))
    return f"{told.count(middle)} ({told.count(low)} to {told.count(high)})"


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A bar of a waterfall, in units of its picture; what is won by a part, or by all."""

    label: str
    text: str
    x: float
    y: float
    height: float
    is_total: bool
    whisker: tuple[float, float]  # y of the ends of the 90 % interval


@dataclass(frozen=True, kw_only=True)
class Waterfall:
    """One scenario: its bars, and what stands below."""

    name: str
    bars: list[Bar]
    width: float
    height: float
    floor: float
    said: str


def waterfalls(result: SimulationResultOut) -> list[Waterfall]:
    """Return for each scenario what its parts add to the value won by the end, on one scale."""
    most = max((_most(arm) for arm in result.arms), default=0.0) or 1.0
    return [_waterfall(arm, most) for arm in result.arms]


def _most(arm: ArmOut) -> float:
    below, highest = 0.0, 0.0
    for each in _parts(arm):
        highest = max(highest, below + each.value_cents.high, below + each.value_cents.mean)
        below += each.value_cents.mean
    whole = _whole(arm)
    return max(highest, whole.high if whole else below)


def _parts(arm: ArmOut) -> list[Any]:
    return [each for each in arm.parts if each.part != "all"]


def _whole(arm: ArmOut) -> Any:
    return next((each.value_cents for each in arm.parts if each.part == "all"), None)


def _waterfall(arm: ArmOut, most: float) -> Waterfall:
    scale, floor = HEIGHT / most, TOP + HEIGHT
    bars: list[Bar] = []
    below = 0.0
    for place, each in enumerate(_parts(arm)):
        bars.append(_bar(place, told.part(each.part), each.value_cents, below, (scale, floor)))
        below += each.value_cents.mean
    if (whole := _whole(arm)) is not None:
        bars.append(_bar(len(bars), "all", whole, 0.0, (scale, floor), is_total=True))
    open_now = next((p.value_cents.mean for p in arm.parts if p.part == "existing"), 0.0)
    share = open_now / below if below else 0.0
    return Waterfall(
        name=told.name(arm.name),
        bars=bars,
        width=max(WIDTH, 2 * LEFT + len(bars) * (BAR + GAP)),
        height=floor + 40.0,
        floor=floor,
        said=f"{share * 100:.0f} % of the value comes from deals that are open now.",
    )


def _bar(
    place: int,
    label: str,
    of: Any,
    below: float,
    at: tuple[float, float],
    *,
    is_total: bool = False,
) -> Bar:
    scale, floor = at
    return Bar(
        label=label,
        text=told.money(of.mean),
        x=LEFT + place * (BAR + GAP),
        y=round(floor - (below + max(of.mean, 0.0)) * scale, 2),
        height=round(abs(of.mean) * scale, 2),
        is_total=is_total,
        whisker=(
            round(floor - (below + of.high) * scale, 2),
            round(floor - (below + of.low) * scale, 2),
        ),
    )


class Part(NamedTuple):
    """A part of what is won by the end, and a text for each scenario."""

    name: str
    won: list[str]
    value: list[str]


def parts(result: SimulationResultOut) -> list[Part]:
    """Return the numbers of the waterfalls."""
    words = list(dict.fromkeys(each.part for arm in result.arms for each in arm.parts))
    of = [{each.part: each for each in arm.parts} for arm in result.arms]
    return [
        Part(
            name=told.part(word),
            won=[told.counts(by[word].won) if word in by else told.NONE for by in of],
            value=[told.amounts(by[word].value_cents) if word in by else told.NONE for by in of],
        )
        for word in words
    ]


class Cell(NamedTuple):
    """How full a desk is in a step, in percent; None where it has no hours."""

    step: int
    percent: int | None
    level: int  # shade, 0 to LEVELS
    waiting: str


@dataclass(frozen=True, kw_only=True)
class Heat:
    """A desk of a scenario, step by step."""

    arm: str
    desk: str
    cells: list[Cell]
    full: int  # steps in which it is full
    said: str


def heats(result: SimulationResultOut) -> list[Heat]:
    """Return how full each desk is in each scenario."""
    return [_heat(arm, desk, result.step) for arm in result.arms for desk in arm.desks]


def _heat(arm: ArmOut, desk: DeskOut, step: str) -> Heat:
    cells = [
        _cell(number, *each)
        for number, each in enumerate(
            zip(desk.capacity, desk.made, desk.waiting, strict=False), start=1
        )
    ]
    full = sum((cell.percent or 0) >= 99 for cell in cells)
    waiting = told.count(round(desk.waiting[-1])) if desk.waiting else "0"
    said = f"full in {full} of {len(cells)} {step}s; {waiting} wait at the end"
    name = told.name(arm.name)
    return Heat(arm=name, desk=desk.desk, cells=cells, full=full, said=said)


def _cell(step: int, capacity: int, made: float, waiting: float) -> Cell:
    if capacity <= 0:
        return Cell(step, None, 0, told.count(round(waiting)))
    share = min(max(made / capacity, 0.0), 1.0)
    return Cell(step, round(share * 100), round(share * LEVELS), told.count(round(waiting)))


def headings(steps: int) -> Sequence[int]:
    """Return the steps that are numbered above a heat map."""
    return [step for step in range(1, steps + 1) if step == 1 or step % 4 == 0]

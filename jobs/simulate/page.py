"""The page of a forecast: one HTML file that needs nothing else, and its numbers beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster import canonical
from jobs import pages
from jobs.simulate import pictures, several, words
from serving.forecast import answers, risk

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from jobs.drawing import Picture
    from jobs.simulate.answer import Answer
    from serving.forecast.given import Outcome

_FOLDER = Path(__file__).parent
MOST_DEALS = 15
MOST_ROWS = 20  # of a table of shares


def written(found: Answer, table: pd.DataFrame, document: bytes, folder: Path) -> dict[str, object]:
    """Write page, the document of the answer, and Parquet and JSON of the rows into a folder, and
    return where they are.
    """
    name = f"forecast-{found.question.name}"
    path = folder / f"{name}.html"
    pages.write(path, render(found, table).encode())
    table.to_parquet(folder / f"{name}.parquet", index=False)
    rows = {"columns": list(table.columns), "rows": table.to_numpy().tolist()}
    pages.write(folder / f"{name}.json", canonical.dumps(rows))
    pages.write(folder / f"{name}-result.json", document)
    numbers = [f"{name}.parquet", f"{name}.json", f"{name}-result.json"]
    return {"page": str(path), "numbers": numbers}


def render(found: Answer, table: pd.DataFrame) -> str:
    """Return the page as HTML."""
    template = pages.environment(_FOLDER).get_template("page.html")
    deals = risk.carried(found.asked.start, _main(found))
    return template.render(
        name=", ".join(each.name for each in found.question.comparison.scenarios),
        as_of=f"{found.question.as_of:%Y-%m-%d %H:%M:%S}",
        description=found.question.funnel.description,
        verdicts=list(_verdicts(found)),
        facts=list(_facts(found)),
        won=list(_won(found, table)),
        coverage=[f"{said[:1].upper()}{said[1:]}." for said in words.coverage(found)],
        shares=list(_shares(found)),
        open=list(_open(found, deals)),
        deals=list(_deals(found, deals)),
        several=several.several(found, table),
        arm=_arm(found),
    )


def _main(found: Answer) -> Outcome:
    """Return the outcome that the page is about: with the levers, where there are any."""
    return list(found.outcomes.values())[-1]


def _arm(found: Answer) -> str:
    """Return which of several arms the parts, open units and deals are of; "" where one is all."""
    return "" if len(found.outcomes) == 1 else list(found.outcomes)[-1].replace("_", " ")


def _verdicts(found: Answer) -> Iterator[dict[str, Any]]:
    for name, each in found.payoffs.items():
        yield {"told": f"{words.payoff(name, each)}.", "is_bad": each.pays < 0.5}
    for goal in words.goals(found):
        yield {"told": f"{goal}.", "is_bad": False}


def _facts(found: Answer) -> Iterator[tuple[str, str]]:
    scenario, learnt = found.question.scenario, found.asked.learnt
    step = found.question.funnel.step_name
    yield "funnel", f"{found.question.funnel.name}, {scenario.horizon} {step}s ahead"
    yield "draws", f"{scenario.draws:,}, seed {scenario.seed}"
    yield "learnt from", f"{learnt.unit_steps:,} {step}s of units"
    yield "shared shock", f"sd {learnt.swings.shock_sd[0]:.2f} on the log odds of going forward"
    for told in words.scores(found):
        yield "scores", told.removeprefix("scores: ")
    if (slips := words.slippage(found.course)) is not None:
        yield "close dates", slips
    if (check := words.checked(found)) is not None:
        yield "chances", check
    yield "evidence", words.grade(found)
    yield "log", f"snapshot {found.question.snapshot}"


def _won(found: Answer, table: pd.DataFrame) -> Iterator[Picture]:
    step = found.question.funnel.step_name
    shown = table[table["scenario"].isin(found.outcomes)]
    name = list(found.outcomes)[-1]
    if len(found.outcomes) > several.TOGETHER:
        yield from several.fans(found, shown, _measures(found))
        return
    for measure in _measures(found):
        yield pictures.fan(shown, measure, step)
        yield pictures.waterfall(table, name, measure)


def _measures(found: Answer) -> list[str]:
    """Return what is worth showing: value only where it is known."""
    has_value = any(outcome.cents.any() for outcome in found.outcomes.values())
    return list(answers.MEASURES if has_value else answers.MEASURES[:1])


def _shares(found: Answer) -> Iterator[dict[str, Any]]:
    """Give a table of each dimension that tells units apart."""
    labels, outcome = found.names.labels, _main(found)
    measure = _measures(found)[-1]
    every = answers.shares(outcome, labels, measure)
    last = every[every["step"] == every["step"].max()]
    won = answers.shares(outcome, labels, "won")
    counts = won[won["step"] == won["step"].max()].set_index(["dimension", "value"])["mean"]
    scale = 100_000 if measure == "value_cents" else 1
    for dimension in labels.columns:
        rows = last[last["dimension"] == dimension].sort_values("mean", ascending=False)
        if len(rows) > 1:
            both = [last[last["dimension"] == answers.ALL], rows.head(MOST_ROWS)]
            yield {
                "title": dimension,
                "rows": [
                    _share(row, float(counts[row["dimension"], row["value"]]), scale)
                    for part in both
                    for row in part.to_dict("records")
                ],
            }


def _share(row: dict[str, Any], won: float, scale: int) -> dict[str, str]:
    mark = "k" if scale > 1 else ""
    numbers = {name: f"{row[name] / scale:,.0f}{mark}" for name in ("mean", *answers.SHARED)}
    return {"name": row["value"] or "unknown", "won": f"{won:,.1f}", **numbers}


def _open(found: Answer, deals: pd.DataFrame) -> Iterator[Picture]:
    step = found.question.funnel.step_name
    outcome, names = _main(found), found.names
    rows = answers.occupancy(outcome, names.labels, names.stages)
    yield pictures.stages(rows, names.stages, step)
    yield from several.heats(found)
    if len(deals) and deals["share"].any():
        yield pictures.risks(deals, _keys(found))


def _deals(found: Answer, deals: pd.DataFrame) -> Iterator[dict[str, str]]:
    start = found.asked.start
    if not deals["share"].any():
        return
    keys = _keys(found)
    for row in deals.head(MOST_DEALS).itertuples():
        yield {
            "name": keys[row.unit],
            "stage": found.names.stages[start.stage[row.unit]],
            "amount": f"{row.cents / 100:,.0f}" if row.cents >= 0 else "not known",
            "chance": f"{row.chance:.0%}",
            "expected": f"{row.expected_cents / 100:,.0f}",
            "share": f"{row.share:.1%}",
        }


def _keys(found: Answer) -> dict[int, str]:
    """Return the key of the deal, or lead, of each unit of the start."""
    return dict(enumerate(found.keys))

"""The card as one HTML file that needs nothing else: no script, no request, any width.

What a bundle says is foreign text: all of it is escaped, and the page may load nothing.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from serving import bundle
from serving.card import facts, pictures
from serving.card.pictures import NAMES, PROBABILITY, RANKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.bundle import Manifest
    from serving.card.drawing import Picture
    from serving.card.facts import Evaluation, Facts, Interval

FEW = 100  # positives among held-out rows; with fewer, intervals are wide
_STYLE = """
:root { --ink: #1d232b; --soft: #5c6672; --line: #e3e6ea; --ours: #1f5fa8; --lever: #d1622b; }
* { box-sizing: border-box; }
body { margin: 0; background: #f5f6f8; color: var(--ink);
 font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1060px; margin: 0 auto; padding: 28px 24px 60px; background: #fff; }
h1 { margin: 0; font-size: 26px; overflow-wrap: anywhere; }
h2 { margin: 32px 0 8px; padding-top: 16px; border-top: 1px solid var(--line); font-size: 19px; }
h3 { margin: 0 0 6px; font-size: 15px; }
p, li { max-width: 95ch; } p { margin: 4px 0 10px; } ul { margin: 4px 0; padding-left: 20px; }
.soft, figcaption { color: var(--soft); font-size: 13px; }
.pictures { display: grid; gap: 26px 34px; align-items: start;
 grid-template-columns: repeat(auto-fill, minmax(min(100%, 400px), 1fr)); }
figure { margin: 0; } svg { display: block; width: 100%; height: auto; }
svg text { font: 12px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: #3d4652; }
svg text[font-weight] { font-weight: 600; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 13.5px; width: 100%; }
th, td { padding: 5px 14px 5px 0; border-bottom: 1px solid var(--line); text-align: left;
 vertical-align: top; } th { color: var(--soft); font-weight: 600; }
.wide { margin-top: 8px; } .wide td:first-child { min-width: 140px; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
code { font-size: 12.5px; overflow-wrap: anywhere; }
.verdict { padding: 9px 13px; border-left: 4px solid var(--ours); background: #f3f7fc; }
.verdict.none { border-color: var(--lever); background: #fdf4ef; font-weight: 600; }
@media (max-width: 600px) { main { padding: 18px 14px 40px; } h1 { font-size: 21px; }
 table.facts tr { display: block; padding: 4px 0; border-bottom: 1px solid var(--line); }
 table.facts th, table.facts td { display: block; border: 0; padding: 0; } }
@media print { body { background: #fff; } figure, tr { break-inside: avoid; } }
"""
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Model card: {title}</title><style>{style}</style></head><body><main>
<h1>{title}</h1>
<p class="soft">Model card of <code>{id}</code></p>
{parts}
</main></body></html>
"""


def html(manifest: bytes, booster: bytes) -> str:
    """Return the card of a bundle; BundleBroken unless it is admitted.

    The same bundle gives the same bytes.
    """
    said = bundle.admit(manifest, booster)
    found = facts.gather(said, booster)
    target = said.provenance.target
    parts = [
        *_verdicts(found.evaluation),
        _use(target),
        _limits(found.evaluation),
        _drawn("How good it is", _quality(found)),
        _numbers(found.evaluation),
        _drawn("For whom, and when", _by_group(found)),
        _drawn("What it goes by", _insides(found)),
        _made_from(said),
    ]
    title = escape(str(target.get("name", "model")).replace("_", " ").capitalize())
    id = bundle.Bundle(manifest=manifest, booster=booster).id
    return _PAGE.format(style=_STYLE, title=title, id=id, parts="\n".join(filter(None, parts)))


def _verdicts(evaluation: Evaluation | None) -> list[str]:
    if evaluation is None:
        return [
            _verdict("Not judged: this bundle holds no evaluation that can be read.", good=False)
        ]
    signal = evaluation.signal
    lines = [_verdict(signal.sentence, good=signal.verdict == "signal")]
    against = evaluation.differences.get("rules", {}).get("auc")
    if against is not None and against.low is not None and against.high is not None:
        lines.append(_verdict(*_against(against.low, against.high)))
    return lines


def _against(low: float, high: float) -> tuple[str, bool]:
    gap = f"AUC {low:+.3f} to {high:+.3f}, 95 % interval of the difference"
    if low > 0:
        return f"Better than the rules on later rows ({gap}).", True
    if high < 0:
        return f"Worse than the rules on later rows: use the rules ({gap}).", False
    return f"Not to be told from the rules on later rows ({gap}).", False


def _verdict(words: str, good: bool) -> str:
    return f'<p class="verdict{"" if good else " none"}">{escape(words)}</p>'


def _use(target: dict[str, Any]) -> str:
    lines = [str(target.get("description", ""))]
    entity, days = target.get("entity"), target.get("horizon_days")
    if entity is not None and isinstance(days, int | float):
        lines.append(
            f"Answers for one {entity}: the probability of the label within {days:g} days of the "
            "moment asked about. Not meant for other entities, moments or horizons."
        )
    return _section("What it is for", "".join(f"<p>{escape(line)}</p>" for line in lines if line))


def _limits(evaluation: Evaluation | None) -> str:
    lines = list(_weak(evaluation)) if evaluation is not None else []
    lines += [
        "It was judged on rows later than those it learnt from; how long that holds, only watching "
        "its scores tells.",
        "Contributions say what moved a score, not what would change the outcome.",
        "A probability is about entities like this one; the interval says how well that is known.",
    ]
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return _section("Limits", f"<ul>{items}</ul>")


def _weak(evaluation: Evaluation) -> list[str]:
    """Return what of this evaluation calls for care."""
    lines = []
    if evaluation.signal.verdict != "signal":
        lines.append("Do not decide by this model: nothing shows that it knows more than a coin.")
    if evaluation.positives < FEW:
        lines.append(
            f"Only {evaluation.positives:,} held-out rows came true: its intervals are wide."
        )
    slope = evaluation.scorers.get("model", {}).get("calibration_slope")
    if slope is not None and slope.low is not None and slope.high is not None:
        if slope.high < 1:
            lines.append(
                "High scores are too high and low ones too low (calibration slope below 1)."
            )
        elif slope.low > 1:
            lines.append("Scores lie too close together (calibration slope above 1).")
    return lines


def _quality(found: Facts) -> list[Picture]:
    evaluation = found.evaluation
    if evaluation is None:
        return []
    drawn = [pictures.calibration(evaluation.calibration_curve)]
    if "share" in evaluation.lift_curve and "model" in evaluation.lift_curve:
        drawn.append(pictures.gain(evaluation.lift_curve))
    return [
        *drawn,
        pictures.metrics("How it ranks", evaluation, RANKING),
        pictures.metrics("What its probabilities are worth", evaluation, PROBABILITY),
    ]


def _by_group(found: Facts) -> list[Picture]:
    return [pictures.groups(by, parts) for by, parts in found.groups.items()]


def _insides(found: Facts) -> list[Picture]:
    drawn = []
    if found.importance:
        drawn.append(pictures.importance(found.importance, found.importance_is))
    return [*drawn, pictures.front(found.front)] if found.front else drawn


def _numbers(evaluation: Evaluation | None) -> str:
    if evaluation is None:
        return ""
    names = [name for name in NAMES if name in evaluation.scorers]
    head = "".join(f'<th class="n">{NAMES[name]}</th>' for name in names)
    rows = "".join(
        f"<tr><td>{escape(words)}</td>"
        + "".join(f'<td class="n">{_spelt(evaluation.scorers[n].get(key))}</td>' for n in names)
        + "</tr>"
        for key, words in {**RANKING, **PROBABILITY}.items()
    )
    table = f"<table><tr><th>measure, with its 95 % interval</th>{head}</tr>{rows}</table>"
    said = f"{evaluation.rows:,} held-out rows of {evaluation.clusters:,} accounts, "
    said += f"{evaluation.positives:,} came true."
    return f'<p class="soft" style="margin-top: 26px">{said}</p><div class="wide">{table}</div>'


def _spelt(interval: Interval | None) -> str:
    if interval is None or interval.value is None:
        return "-"
    if interval.low is None or interval.high is None:
        return f"{interval.value:.3f}"
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _made_from(said: Manifest) -> str:
    made, counts = said.provenance, said.provenance.metrics
    rows = [
        f"{name} {counts[name]:,}"
        for name in ("rows", "positives", "immature", "purged")
        if isinstance(counts.get(name), int)
    ]
    lines = {
        "training data": f"{made.training_table}, snapshot {made.training_snapshot}",
        "rows": ", ".join(rows),
        "views": _pairs(made.views),
        "target": f"version {made.target_version}",
        "made at": made.created_at.isoformat(timespec="seconds"),
        "trees": f"{said.booster.rounds:,}, {said.booster.size:,} bytes, SHA-256 "
        f"{said.booster.sha256}",
        "inputs": f"{len(said.features):,} features",
        "code": made.code_version,
        "libraries": _pairs(said.libraries),
    }
    table = "".join(
        f"<tr><th>{key}</th><td><code>{escape(value)}</code></td></tr>"
        for key, value in lines.items()
        if value
    )
    return _section("What it was made from", f'<table class="facts">{table}</table>')


def _pairs(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))


def _drawn(title: str, drawn: Sequence[Picture]) -> str:
    if not drawn:
        return ""
    shown = "".join(
        f"<figure><h3>{escape(p.title)}</h3>{p.svg}<figcaption>{escape(p.caption)}</figcaption></figure>"
        for p in drawn
    )
    return _section(title, f'<div class="pictures">{shown}</div>')


def _section(title: str, body: str) -> str:
    return f"<h2>{escape(title)}</h2>{body}"

"""What a team's MLflow is told of a training: a run, a version of a model and its files. Pure.

One run and one version per bundle, found again by its id. Everything is plain text, numbers and the
files of the bundle itself; there is no pickle among them.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from serving.card import page

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from serving.bundle import Bundle, Manifest

PREFIX = "funnelcast"  # of experiments, models and tags: those of others are left alone
BUNDLE = f"{PREFIX}.bundle"  # the tag by which a run and a version are found again
FOLDER = "bundle"  # among the files of a run: what a version of a model names as its source
NOTE = "mlflow.note.content"  # the text that MLflow shows beside a run
MOST_TEXT, MOST_PARAM = 4_000, 500  # letters that every MLflow takes, of a tag and of a parameter
_NAME = re.compile(r"[A-Za-z0-9_./ -]{1,200}")  # of a metric or a parameter, as MLflow has it
_RESERVED = re.compile(r"latest|v\d+")  # aliases that MLflow keeps for itself


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training as MLflow keeps it."""

    bundle: str  # id
    target: str
    at: datetime  # when the bundle was made
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    files: dict[str, bytes]  # by their path below those of the run

    @property
    def at_ms(self) -> int:
        """The moment in milliseconds since 1970."""
        return round(self.at.timestamp() * 1_000)


def training(id: str, packed: Bundle, said: Manifest) -> Training:
    """Return what is told of a bundle whose manifest says `said`."""
    made = said.provenance
    return Training(
        bundle=id,
        target=str(made.target["name"]),
        at=made.created_at,
        params=_params(said),
        metrics=dict(_metrics(made.metrics)),
        tags=_tags(id, said),
        files={
            f"{FOLDER}/manifest.json": packed.manifest,
            f"{FOLDER}/booster.ubj": packed.booster,
            "card.html": page.html(packed.manifest, packed.booster).encode(),
        },
    )


def name_of(target: str) -> str:
    """Return the name of a target's experiment, and of its registered model.

    >>> name_of("lead_qualification")
    'funnelcast.lead_qualification'
    """
    return f"{PREFIX}.{target}"


def alias_of(name: str) -> str:
    """Return the alias in MLflow for the last part of one of ours.

    >>> alias_of("stable"), alias_of("v2")
    ('stable', 'alias-v2')
    """
    return f"alias-{name}" if _RESERVED.fullmatch(name) else name


def _params(said: Manifest) -> dict[str, str]:
    made = said.provenance
    chosen = _mapping(_mapping(made.metrics.get("search")).get("params"))
    own = {
        "rounds": said.booster.rounds,
        "features": len(said.features),
        "training_table": made.training_table,
        "horizon_days": made.target.get("horizon_days"),
        "metric": made.target.get("metric"),
    }
    return {
        name: str(value)[:MOST_PARAM]
        for name, value in {**own, **chosen}.items()
        if _NAME.fullmatch(name) and value is not None
    }


def _tags(id: str, said: Manifest) -> dict[str, str]:
    made = said.provenance
    views = ",".join(f"{name}@{version}" for name, version in sorted(made.views.items()))
    own = {
        "bundle": id,
        "target": made.target["name"],
        "target_version": made.target_version,
        "snapshot": made.training_snapshot,
        "views": views,
        "code_version": made.code_version,
        "learnt_until": made.metrics.get("learnt_until"),
        **{f"library.{name}": version for name, version in said.libraries.items()},
    }
    told = {f"{PREFIX}.{name}": value for name, value in own.items() if value is not None}
    texts = told | {NOTE: made.card}
    return {name: str(value)[:MOST_TEXT] for name, value in texts.items()}


def _metrics(found: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield every number of an evaluation: of each scorer, of the model against each other one, of
    the search, and the counts. A value with its interval is three: `model/auc`, `model/auc_low`,
    `model/auc_high`.
    """
    judged = _mapping(found.get("evaluation"))
    for form, key in (("{}/{}", "scorers"), ("against_{}/{}", "differences")):
        for scorer, metrics in _mapping(judged.get(key)).items():
            for metric, interval in _mapping(metrics).items():
                yield from _numbers(form.format(scorer, metric), _mapping(interval))
    searched = _mapping(found.get("search"))
    counts = {**found, **judged} | {f"search/{name}": value for name, value in searched.items()}
    for name, value in counts.items():
        if _is_number(value) and _NAME.fullmatch(name):
            yield name, float(value)


def _numbers(name: str, interval: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for end, key in {"": "value", "_low": "low", "_high": "high"}.items():
        if _NAME.fullmatch(name + end) and _is_number(interval.get(key)):
            yield name + end, float(interval[key])


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

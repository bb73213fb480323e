"""What a manifest says, checked as words: names that name, golden rows that can be scored."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from serving.admission.broken import refuse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from serving.bundle import Golden, Manifest
    from serving.model import Feature

GOLDEN_ROWS = 10
RARE = "(other)"  # stands in a golden row for any category that has no code of its own
MAX_FEATURES = 2000
MAX_CODES = 1000  # categories of one feature
MAX_NAME = 200  # letters
MAX_LABEL = 500
MAX_ROUNDS = 5000
_HEXADECIMAL = re.compile(r"-?0x[01]\.[0-9a-f]{1,13}p[-+][0-9]{1,4}")  # as float.hex writes it


def check(said: Manifest) -> None:
    """Refuse a manifest whose words could mislead those who use them."""
    if not 1 <= len(said.features) <= MAX_FEATURES:
        refuse(f"a manifest must have 1 to {MAX_FEATURES} features", len(said.features))
    if not 1 <= said.booster.rounds <= MAX_ROUNDS:
        refuse(f"a booster must have 1 to {MAX_ROUNDS} rounds", said.booster.rounds)
    for feature in said.features:
        _feature(feature)
    _once([feature.name for feature in said.features], "the features")
    made = said.provenance
    for name in (made.training_table, made.target_version, made.code_version, *made.views):
        must_be_name(name, "what a model was made from")
    _golden(said)


def must_be_name(name: object, what: str) -> None:
    """Refuse what is no name, or would lead elsewhere where it becomes part of a path."""
    plain = isinstance(name, str) and 0 < len(name) <= MAX_NAME and name.isprintable()
    if not plain or ".." in name or name[0] in "/~" or {"\\", ":"} & set(name[:3]):  # type: ignore[operator,index]
        refuse(f"the name of {what} must be short, printable and lead nowhere", name)


def _feature(feature: Feature) -> None:
    must_be_name(feature.name, "a feature")
    if len(feature.label) > MAX_LABEL or not feature.label.isprintable():
        refuse(f"the label of '{feature.name}' must be one short line", feature.label)
    if feature.kind == "number" and feature.vocabulary:
        refuse(f"the number '{feature.name}' must have no vocabulary", len(feature.vocabulary))
    if len(feature.vocabulary) > MAX_CODES:
        rule = f"'{feature.name}' must have {MAX_CODES} categories at most"
        refuse(rule, len(feature.vocabulary))
    _once(feature.vocabulary, f"the categories of '{feature.name}'")
    if RARE in feature.vocabulary:
        refuse(f"no category of '{feature.name}' may be called as all others are", RARE)


def _golden(said: Manifest) -> None:
    if len(said.golden) != GOLDEN_ROWS:
        refuse(f"a manifest must have {GOLDEN_ROWS} golden rows", len(said.golden))
    for number, golden in enumerate(said.golden, start=1):
        _row(golden, said.features, f"golden row {number}")


def _row(golden: Golden, features: tuple[Feature, ...], what: str) -> None:
    if golden.row.keys() != {feature.name for feature in features}:
        refuse(f"{what} must have the features of its manifest", f"{len(golden.row)} others")
    for text in (golden.margin, golden.probability):
        _number(text, f"the score of {what}")
    for feature in features:
        value = golden.row[feature.name]
        if value is None:
            continue
        if feature.kind == "number":
            _number(value, f"'{feature.name}' of {what}")
        elif value != RARE and value not in feature.codes:
            refuse(f"'{feature.name}' of {what} must be of its vocabulary", value)


def _number(text: str, what: str) -> None:
    if not _HEXADECIMAL.fullmatch(text) or not _small(text):
        refuse(f"{what} must be a hexadecimal float32", text)


def _small(text: str) -> bool:
    try:
        return math.isfinite(float.fromhex(text)) and abs(float.fromhex(text)) < 2.0**128
    except OverflowError:
        return False


def _once(names: Iterable[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            refuse(f"{what} must be named once each", name)
        seen.add(name)

"""What a manifest says, checked as words: names that name, golden rows that can be scored."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from cluster.errors import WrongUse
from serving import rules
from serving.admission.broken import refuse
from serving.golden import RARE, ROWS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from serving.bundle import Manifest
    from serving.golden import Golden
    from serving.model import Feature
    from serving.rules import Rule

MAX_FEATURES = 2000
MAX_CODES = 1000  # categories of one feature
MAX_NAME = 200  # letters
MAX_LABEL = 500
MAX_ROUNDS = 5000
MAX_RULES = 500
MAX_POINTS = 10**6  # of one rule
MAX_WORTH = 100  # log-odds per point
MAX_VALUE = 2**53  # that a rule compares with
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
    _rules(rules_of(said), said)
    _golden(said)


def rules_of(said: Manifest) -> tuple[Rule, ...]:
    """Return the rules of the target that are about features of the model."""
    declared = said.provenance.target.get("rules", ())
    if not isinstance(declared, list | tuple) or len(declared) > MAX_RULES:
        refuse(f"a target must have a list of {MAX_RULES} rules at most", type(declared).__name__)
    try:
        found = rules.parse(declared)
    except (WrongUse, AttributeError, TypeError) as error:
        refuse("a target must have rules that can be read", str(error))
    return rules.among(found, {feature.name for feature in said.features})


def must_be_name(name: object, what: str) -> None:
    """Refuse what is no name, or would lead elsewhere where it becomes part of a path."""
    plain = isinstance(name, str) and 0 < len(name) <= MAX_NAME and name.isprintable()
    if not plain or ".." in name or name[0] in "/~" or {"\\", ":"} & set(name[:3]):  # type: ignore[operator,index]
        refuse(f"the name of {what} must be short, printable and lead nowhere", name)


def _feature(feature: Feature) -> None:
    must_be_name(feature.name, "a feature")
    _must_be_line(feature.label, f"the label of '{feature.name}'")
    if feature.kind == "number" and feature.vocabulary:
        refuse(f"the number '{feature.name}' must have no vocabulary", len(feature.vocabulary))
    if len(feature.vocabulary) > MAX_CODES:
        rule = f"'{feature.name}' must have {MAX_CODES} categories at most"
        refuse(rule, len(feature.vocabulary))
    _once(feature.vocabulary, f"the categories of '{feature.name}'")
    if RARE in feature.vocabulary:
        refuse(f"no category of '{feature.name}' may be called as all others are", RARE)


def _rules(found: tuple[Rule, ...], said: Manifest) -> None:
    if not 0 <= said.calibrator.per_point <= MAX_WORTH:
        refuse(f"a point must be worth 0 to {MAX_WORTH}", said.calibrator.per_point)
    if said.calibrator.per_point and not found:
        refuse("a calibrator that weighs rules must have rules about its features", "none")
    for rule in found:
        _must_be_line(rule.name, "the name of a rule")
        _must_be_like(rule, said.features)
        numbers = [value for value in rule.when.values if not isinstance(value, str)]
        if abs(rule.points) > MAX_POINTS:
            refuse(f"a rule must give {MAX_POINTS:,} points at most", rule.points)
        if any(abs(value) > MAX_VALUE for value in numbers):
            refuse(f"a rule must compare with {MAX_VALUE:,} at most", numbers)
    has = {golden.points is not None for golden in said.golden}
    if has - {bool(said.calibrator.per_point)}:
        refuse("golden rows must have points where the calibrator weighs rules", "otherwise")


def _must_be_line(text: str, what: str) -> None:
    if not 0 < len(text) <= MAX_LABEL or not text.isprintable():
        refuse(f"{what} must be one short line", text)


def _must_be_like(rule: Rule, features: tuple[Feature, ...]) -> None:
    """Refuse a rule that compares a text with a number, on some row if not on a golden one."""
    kinds = {feature.name: feature.kind for feature in features}
    is_text = kinds.get(rule.when.feature) == "category"
    if any(isinstance(value, str) != is_text for value in rule.when.values):
        refuse(f"the rule '{rule.name}' must compare like with like", rule.when.value)
    if len(rule.when.values) > MAX_CODES:
        refuse(f"a rule must list {MAX_CODES} values at most", len(rule.when.values))


def _golden(said: Manifest) -> None:
    if len(said.golden) != ROWS:
        refuse(f"a manifest must have {ROWS} golden rows", len(said.golden))
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

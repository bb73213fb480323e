"""Bundles whose rules, or what the calibrator makes of them, are not as they must be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

from cluster import canonical
from serving import bundle
from serving import rules as declared
from tests.serving import hostile
from tests.serving.hostile import Case, Change, Json

VISITS = {"feature": "visits", "op": "at_least", "value": 3}
RULES = [
    {"name": "visits often", "when": VISITS, "points": 20},
    {
        "name": "abroad",
        "when": {"feature": "region", "op": "one_of", "value": ["us"]},
        "points": -15,
    },
]


@cache
def ruled() -> bundle.Bundle:
    """Return a bundle that is whole, whose calibrator weighs two rules."""
    plain = bundle.unpack(hostile.whole().manifest, hostile.whole().booster)
    weighs = replace(plain.calibrator, per_point=0.03)
    made = replace(plain, calibrator=weighs, rules=declared.parse(RULES))
    rows = [
        {"visits": n % 7, "region": ("apac", "eu", "us")[n % 3], "share": n / 40} for n in range(40)
    ]
    return bundle.pack(made, rows, hostile.provenance(target={"name": "win", "rules": RULES}))


def rules() -> Iterator[Case]:
    """Yield bundles that weigh rules they do not have, or that are no rules."""
    yield _told("none", lambda d: d["provenance"]["target"].pop("rules"), "must have rules about")
    for odd in ([], [_rule(feature="margin")]):
        yield _told("none", _declaring(odd), "must have rules about its features")
    for odd in ("rules", {"a": 1}, 7, [1], ["a"], [None], [[]], RULES * 300):
        yield _told("no rules", _declaring(odd), "must have a list of 500|that can be read")
    for more in ({"op": "eval"}, {"value": {}}, {"value": [1, "a"]}, {"more": 1}):
        yield _told("condition", _declaring([_rule(**more)]), "that can be read")
    for change in ({"points": 1.5}, {"points": "9"}, {"name": ""}, {"more": 1}):
        yield _told("rule", _declaring([{**RULES[0], **change}]), "that can be read")
    yield _told("twice", _declaring([RULES[0], RULES[0]]), "that can be read")
    for name in ("a\0b", "a\nb", "n" * 5_000):
        yield _told("name", _declaring([{**RULES[0], "name": name}]), "must be one short line")
    for points in (10**7, -(10**19), 10**40):
        yield _told("points", _declaring([{**RULES[0], "points": points}]), "1,000,000 points")
    for value in (2**60, 10**400, -1e300):
        yield _told("value", _declaring([_rule(value=value)]), "must compare with")
    yield _told("text", _declaring([_rule(value="eu", op="equals")]), "compare like with like")
    for unlike in ({"value": 3}, {"op": "equals", "value": 3}, {"op": "one_of", "value": [1, 2]}):
        found = _declaring([_rule(**{"feature": "region", **unlike})])
        yield _told("unlike", found, "compare like with like")
    for count in (2_000, 60_000):
        many = {"feature": "region", "op": "one_of", "value": [f"r{n}" for n in range(count)]}
        yield _told("many", _declaring([_rule(**many)]), "must list .* values at most")
    yield _told("fewer points", _declaring([{**RULES[0], "points": 19}]), "golden row . must score")
    yield _told("other rule", _declaring([_rule(value=4)]), "golden row . must score")
    yield from _weighed()


def _weighed() -> Iterator[Case]:
    for worth in (-0.03, -1e-9, 1e308):
        more = {"per_point": worth}
        yield _told("worth", lambda d, m=more: d["calibrator"].update(m), "must be worth 0 to 100")
    says = "golden row . must score"
    yield _told("more", lambda d: d["calibrator"].update(per_point=0.0300001), says)
    says = "must have points where the calibrator weighs rules"
    yield _told("unweighed", lambda d: d["calibrator"].update(per_point=0.0), says)
    yield _told("pointless", lambda d: d["golden"][2].update(points=None), says)
    for points in (1, 10**30):
        lie = lambda d, p=points: d["golden"][2].update(points=p)  # noqa: E731
        yield _told("lie", lie, "golden row 3 must score .* points, got")
    for points in ("20", 0.5):
        yield _told("kind", lambda d, p=points: d["golden"][2].update(points=p), "format 1")


def _rule(**changes: Any) -> Json:
    return {**RULES[0], "when": {**VISITS, **changes}}


def _declaring(found: Any) -> Change:
    return lambda d: d["provenance"]["target"].update(rules=found)


def _told(name: str, change: Change, says: str) -> Case:
    said = json.loads(ruled().manifest)
    change(said)
    return Case(name=name, manifest=canonical.dumps(said), booster=ruled().booster, says=says)

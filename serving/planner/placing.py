"""Where on the form a refusal of the service belongs. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from serving.planner import plain
from serving.planner.form import FORM
from serving.planner.sheet import one

if TYPE_CHECKING:
    from cluster.errors import Refusal
    from serving.planner.form import Problems
    from serving.planner.sheet import Sheet

_AT = re.compile(r"scenario '([^']+)': (?:lever (\d+): )?(.+)", re.DOTALL)
_FIELDS = {"stage": "stages", "segment": "segments", "team": "teams", "band": "bands"}
_DRAWS = "draws at most"


def placed(sheet: Sheet, why: Refusal) -> Problems:
    """Return what is wrong beside the field that says it; of the form where none does."""
    said = str(why)
    if _DRAWS in said:
        return {"draws": said}
    found = _AT.match(said)
    names = [plain.name_of(one(each.own, "name")) for each in sheet.scenarios]
    if found is None or found.group(1) not in names:
        return {FORM: said}
    scenario, lever, rest = f"s{names.index(found.group(1))}.", found.group(2), found.group(3)
    if lever is None:
        return {f"{scenario}name": rest}
    words = re.findall(r"\w+", rest)[:3]
    field = next((_FIELDS[word] for word in words if word in _FIELDS), "name")
    return {f"{scenario}l{int(lever) - 1}.{field}": rest}

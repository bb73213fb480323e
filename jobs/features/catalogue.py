"""The catalogue as plain values: every view in a row, and one of them feature by feature."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cluster.errors import WrongUse, nearest
from features.views import VIEWS, register
from jobs.features.sentences import sentence
from jobs.features.snapshots import Snapshots
from jobs.features.users import Users

if TYPE_CHECKING:
    import pyarrow as pa

    from cluster.workspace import Workspace
    from features.views import Feature, View
    from jobs.features.snapshots import Held
    from jobs.features.users import UsingModel

FINE, UNMEASURED, NO_ROWS = "fine", "not measured", "no rows"
OTHER = "of another version"
FIGURES = ("rows", "nulls", "null_share", "distinct", "min", "max", "mean", "psi", "finding")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The view that somebody asks about."""

    view: View
    version: str
    is_declared: bool  # is this what is computed now?


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """All that is known of the views of a workspace."""

    workspace: Workspace

    @cached_property
    def snapshots(self) -> Snapshots:
        """The newest snapshots of feature rows."""
        return Snapshots(self.workspace.tables)

    @cached_property
    def users(self) -> Users:
        """Who uses what."""
        return Users(self.workspace)

    def asked(self, given: str) -> Asked:
        """Return the view of a name, as it is declared, or `<name>@<version>` as it is on record;
        WrongUse names the nearest one.
        """
        name, at, version = given.partition("@")
        declared = {view.name: view for view in VIEWS}
        known = {*declared, *register.names(self.workspace)}
        if name not in known:
            raise WrongUse(f"a view must be declared or on record, got '{name}': "
                           f"{nearest(name, known)}")  # fmt: skip
        if name in declared and declared[name].version.startswith(version):
            view = declared[name]
            return Asked(view=view, version=view.version, is_declared=True)
        found = (
            register.find(self.workspace, name, version)
            if at
            else register.history(self.workspace, name)[-1]
        )
        return Asked(view=found.view, version=found.version, is_declared=False)

    def rows(self) -> list[dict[str, object]]:
        """Return one row per declared view."""
        return [self._row(view) for view in VIEWS]

    def described(self, asked: Asked, table: str | None) -> dict[str, Any]:
        """Return a view as plain JSON values: its words, its rows and users, its features."""
        view, held = asked.view, self._held(asked, table)
        found = self.snapshots.health(held) if held else None
        by_name = {row["feature"]: row for row in found.to_pylist()} if found else {}
        return {
            "name": view.name,
            "version": asked.version,
            "declared": asked.is_declared,
            **{word: getattr(view, word) for word in ("entity", "owner", "description", "privacy")},
            "rows": self._told(held, asked, found),
            "targets": [target.name for target in self.users.targets(view.name)],
            "models": [_model(m, view, asked.version) for m in self.users.models(view.name)],
            "features": [self._feature(view, f, by_name.get(f.name)) for f in view.features],
        }

    def _held(self, asked: Asked, table: str | None) -> Held | None:
        """Return the newest rows of a version or, where a table is asked for, whatever it holds."""
        found = self.snapshots.of_view(asked.view.name, table)
        same = [each for each in found if each.views[asked.view.name] == asked.version]
        others = found if asked.is_declared else []
        return next(iter(same or others), None)

    def _row(self, view: View) -> dict[str, object]:
        asked = Asked(view=view, version=view.version, is_declared=True)
        held = self._held(asked, None)
        found = self.snapshots.health(held) if held else None
        told = self._told(held, asked, found)
        return {
            "view": view.name,
            "entity": view.entity,
            "owner": view.owner,
            "privacy": view.privacy,
            "version": view.version,
            "features": len(view.features),
            "as_of": told["as_of"][:10] if told else "",
            "age_d": f"{told['age_days']:g}" if told else "",
            "health": told["health"] if told else NO_ROWS,
        }

    def _told(self, held: Held | None, asked: Asked, found: pa.Table | None) -> dict[str, Any]:
        """Return where the rows are, how old and how well; nothing without rows."""
        if held is None:
            return {}
        age = self.workspace.clock() - held.as_of
        known = found["known_to"][0].as_py() if found else None
        return {
            "table": held.table,
            "snapshot": held.snapshot,
            "as_of": held.as_of.isoformat(),
            "known_to": known.isoformat() if known else None,
            "age_days": round(age.total_seconds() / 86_400, 1),
            "health": _verdict(found, is_other=held.views[asked.view.name] != asked.version),
        }

    def _feature(self, view: View, feature: Feature, row: dict[str, Any] | None) -> dict[str, Any]:
        using = self.users.models(view.name, feature.name)
        return {
            "name": feature.name,
            "label": feature.label,
            "means": sentence(feature, view.entity),
            "aggregate": type(feature).__name__,
            "type": str(feature.type),
            "window_days": feature.window_days,
            "privacy": view.privacy,
            "rules": self.users.rules(view.name, feature.name),
            "models": [model.id for model in using],
            "health": _health(row),
        }


def _verdict(found: pa.Table | None, *, is_other: bool) -> str:
    other = [OTHER] if is_other else []
    if found is None:
        return ", ".join([UNMEASURED, *other])
    counts = Counter(each for each in found["finding"].to_pylist() if each is not None)
    said = [f"{count} {word}" for word, count in sorted(counts.items())]
    return ", ".join([*(said or [FINE]), *other])


def _health(row: dict[str, Any] | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {name: row[name] for name in FIGURES} | {"sketch": json.loads(row["sketch"])}


def _model(model: UsingModel, view: View, version: str) -> dict[str, Any]:
    own = model.views[view.name]
    return {
        "id": model.id,
        "target": model.target,
        "live": model.is_live,
        "version": own,
        "same_version": own == version,
    }

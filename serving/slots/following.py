"""What is followed for a kind of entity, and where its refs point: in one statement for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import sqlalchemy as sa

from cluster import schema
from cluster.errors import WrongUse
from cluster.refs import Ref
from features.online import entity
from features.targets import load_target
from features.views import register
from serving.policy import load_policy
from serving.registry import alias
from serving.slots import policies, releases

if TYPE_CHECKING:
    from collections.abc import Collection

    from cluster.database import Database
    from features.compute.program import Program
    from features.targets import Target
    from serving.slots.slot import Answer


@dataclass(frozen=True, kw_only=True)
class Followed:
    """A kind of entity, what answers for it as the code at hand has it, and the refs to follow."""

    kind: str
    target: Target
    program: Program
    policy: str  # name

    @classmethod
    def of(cls, kind: str, answer: Answer) -> Self:
        """Read what is declared; WrongUse when it is not there, or of another kind."""
        target = load_target(answer.target)
        if target.entity != kind:
            raise WrongUse(
                f"a target that answers for '{kind}' must be about it, got '{target.name}' about"
                f" '{target.entity}': take another target"
            )
        name = load_policy(answer.policy).name if policies.is_file(answer.policy) else answer.policy
        return cls(target=target, kind=kind, program=entity.program(target), policy=name)

    @property
    def model_ref(self) -> str:
        """The ref of the live model."""
        return alias(self.target.name)

    @property
    def policy_ref(self) -> str:
        """The ref of the active policy."""
        return policies.ref_of(self.policy)

    @property
    def release_ref(self) -> str:
        """The ref of the releases of the target."""
        return releases.ref_of(self.target.name)

    @property
    def view_refs(self) -> tuple[str, ...]:
        """The refs of the definitions on record, of each view."""
        return tuple(register.PREFIX + name for name in self.target.views)

    @property
    def refs(self) -> tuple[str, ...]:
        """All of them."""
        return (self.model_ref, self.policy_ref, self.release_ref, *self.view_refs)


def look(database: Database, names: Collection[str]) -> dict[str, Ref]:
    """Return where refs point at one moment, by name; those that are not there are left out."""
    query = sa.select(schema.refs).where(schema.refs.c.name.in_(sorted(names)))
    with database.connect() as connection:
        rows = connection.execute(query).mappings().all()
    return {row["name"]: Ref(**{**row, "moved_at": schema.moment(row["moved_at"])}) for row in rows}

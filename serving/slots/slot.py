"""The slot: a model and a policy with everything that makes their answers. A small frozen value."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Self

from cluster import canonical, runs
from cluster.errors import FunnelcastError, Refusal
from cluster.settings import Frozen
from features import compute, spine
from features.online import entity, warm
from features.targets import load_target
from serving.decide import SCORE, Basis, Case, Decision, decide
from serving.registry import Registry, alias
from serving.slots import elsewhere, fit, policies

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import pyarrow as pa

    from cluster.workspace import Workspace
    from features.compute.program import Program
    from features.online.history import History
    from features.targets import Target
    from serving.calibrator import Calibrator
    from serving.decide import Lap
    from serving.model import Model
    from serving.policy import Policy
    from serving.shapley import Explainer
    from serving.slots.elsewhere import Elsewhere


def _unheard(stage: str) -> None:
    pass


class Answer(Frozen):
    """Which target and policy answer for a kind of entity."""

    target: str
    policy: str


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A loaded model with everything that makes its answers. Safe to share between threads."""

    target: Target
    program: Program  # of its features; its view is the one that is computed
    model: Model
    policy: Policy
    basis: Basis
    elsewhere: Elsewhere | None = field(default=None, compare=False)  # None: it decides here

    @classmethod
    def load(cls, workspace: Workspace, answer: Answer) -> Self | Refusal:
        """Load what answers now: the stable model of the target, and the active policy."""
        target = load_target(answer.target)
        ref = workspace.refs.get(alias(target.name))
        if ref is None:
            return no_model(target)
        model = admitted(workspace, target, ref.target)
        if isinstance(model, Refusal):
            return model
        policy = policies.chosen(workspace, answer.policy)
        if isinstance(policy, Refusal):
            return policy
        misfit = fit.of_policy(policy, target.features)
        if misfit is not None:
            return misfit
        return cls.of(target, entity.program(target), (ref.target, model), policy)

    @classmethod
    def of(cls, target: Target, program: Program, model: tuple[str, Model], policy: Policy) -> Self:
        """Return the slot of a target, (id, model) and a policy under the code at hand."""
        basis = Basis(
            target=f"{target.name}@{target.version}",
            model=model[0],
            calibrator=digest(model[1].calibrator),
            policy=policy.id,
            view=target.made_by,
            code=code(),
        )
        return cls(target=target, program=program, model=model[1], policy=policy, basis=basis)

    @property
    def explainer(self) -> Explainer:
        """The tables that reasons are made from; there since the model was admitted."""
        return self.model.explainer

    @property
    def here(self) -> Self:
        """The same, deciding in this process."""
        return self if self.elsewhere is None else replace(self, elsewhere=None)

    def decide(
        self, cases: Sequence[Case], now: datetime, *, reasons: bool = True, lap: Lap = _unheard
    ) -> list[Decision]:
        """Decide on cases, wherever that is to be."""
        if self.elsewhere is None:
            asked = self.model, self.policy, cases, now
            return decide(*asked, basis=self.basis, reasons=reasons, lap=lap)
        made = self.elsewhere.decide(cases, now, reasons=reasons)
        lap(SCORE)
        return elsewhere.checked(made, cases, self.basis)

    def warm(self) -> None:
        """Answer about nobody, so that no kernel is left to be compiled by a request."""
        _ = self.explainer, self.model.walker
        for history in warm.histories(self.target):
            for asked in (self._one(history), self._open_leads(history)):
                decide(self.model, self.policy, asked, warm.AT, basis=self.basis)

    def _one(self, history: History) -> list[Case]:
        row = entity.row(self.program, history, warm.KEY, warm.AT)
        if row is None:
            return []
        return [Case(entity=warm.KEY, account=None, time=warm.AT, features=row.features)]

    def _open_leads(self, history: History) -> pa.Table:
        """Return the rows of a question about an account."""
        events = history.table()
        rows = spine.scoring(self.target, events, warm.AT)
        return compute.compute(self.program.view, events.select(compute.COLUMNS), rows)


def admitted(workspace: Workspace, target: Target, id: str) -> Model | Refusal:
    """Load a model that fits the target at hand; what is hostile never reaches XGBoost here."""
    models = Registry(workspace.blobs, workspace.refs, workspace.journal)
    try:
        misfit = fit.of_model(models.manifest(id)[1], target)
        return models.get(id)[1] if misfit is None else misfit
    except FunnelcastError as error:
        return Refusal(
            rule=f"the model {id[:12]} of '{target.name}' must be admitted",
            value=str(error),
            remedy=f"let {alias(target.name)} name another: python -m jobs.models alias",
        )


def no_model(target: Target) -> Refusal:
    """Return why nothing answers yet."""
    return Refusal(
        rule=f"a model of '{target.name}' must be published",
        value="none",
        remedy=f"train it: python -m jobs.train --target {target.name}",
    )


def digest(calibrator: Calibrator) -> str:
    """Return the id of a calibrator: the hash of its document, as the manifest has it."""
    return canonical.digest(asdict(calibrator))


@cache
def code() -> str:
    """Return the version of the code that this process began with."""
    return runs.code_version()

"""An order about the release of a target: begin it, go on, stand, go back. Of the job and the API.

Who gives an order may say which move it has seen (`expect_epoch`): then it is carried out only if
nobody moved the release meanwhile, and given again it is not carried out twice.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from cluster.access.acting import is_laptop
from cluster.access.permissions import Permission
from cluster.access.principal import Forbidden
from cluster.errors import Refusal, WrongUse, nearest
from serving.leading.begun import Asked, begun
from serving.releases.plan import Guards
from serving.slots import releases

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cluster.workspace import Workspace
    from serving.releases.release import Release
    from serving.slots.releases import Kept

START, APPROVE = "start", "approve"
ACTIONS = (START, "advance", APPROVE, "pause", "resume", "abort", "rollback")
NEEDS = dict.fromkeys(ACTIONS, Permission.RELEASES_CHANGE)
NEEDS |= {APPROVE: Permission.RELEASES_APPROVE}


class Moved(Refusal):
    """Another moved the release meanwhile."""


class NotBegun(Refusal):
    """There is no release to lead."""


class NotAnswered(Refusal):
    """No target of this name is answered with, or had a release."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be done with the release of a target, by whom and why."""

    action: str
    target: str
    actor: str
    reason: str
    expect_epoch: int | None = None  # None: whatever the newest move is
    plan: str | None = None  # of start, as the four below
    model: str | None = None
    policy: str | None = None
    version: int | None = None
    waive: tuple[str, ...] = ()  # of resume

    def __post_init__(self) -> None:
        """WrongUse for an action that is none, and for a guard that is none."""
        if self.action not in ACTIONS:
            hint = nearest(self.action, ACTIONS)
            raise WrongUse(f"the action must be known, got '{self.action}': {hint}")
        for name in self.waive:
            if name not in Guards.model_fields:
                hint = nearest(name, Guards.model_fields)
                raise WrongUse(f"what is waived must be guards, got '{name}': {hint}")

    @property
    def said(self) -> dict[str, Any]:
        """What the journal keeps of it, beside actor and reason."""
        plain = asdict(self) | {"waive": list(self.waive)}
        return {k: v for k, v in plain.items() if k not in ("actor", "reason", "expect_epoch")}


def led(workspace: Workspace, order: Order) -> Kept | Refusal:
    """Carry out an order, and return the release after it: at once if this very order was carried
    out before.

    FunnelcastError when it asks for what is not there, NotAllowed for a ref that may not be moved.
    """
    before = releases.current(workspace, order.target)
    if not _is_expected(before, order):
        return _again(workspace, order) or _moved(before, order)
    after = _after(workspace, before, order)
    if isinstance(after, Refusal):
        return after
    kept = _put(workspace, after, before, order)
    if isinstance(kept, Refusal):
        return _again(workspace, order) or Moved(**vars(kept))
    return kept


def not_begun(target: str) -> NotBegun:
    """Return why nothing can be done with a release that is not there."""
    return NotBegun(
        rule=f"a release of '{target}' must have begun",
        value="none",
        remedy=f"begin one with python -m jobs.release start {target} --plan canary",
    )


def _is_expected(before: Kept | None, order: Order) -> bool:
    epoch = before.epoch if before else 0
    return order.expect_epoch is None or order.expect_epoch == epoch


def _put(workspace: Workspace, after: Release, before: Kept | None, order: Order) -> Kept | Refusal:
    return releases.put(
        workspace,
        after,
        before,
        actor=order.actor,
        reason=order.reason,
        now=workspace.clock(),
        more={"order": order.said},
    )


def _again(workspace: Workspace, order: Order) -> Kept | None:
    """Return the release if its newest move is what this order asked for from where it saw it."""
    kept = releases.current(workspace, order.target)
    if kept is None or order.expect_epoch is None or kept.epoch != order.expect_epoch + 1:
        return None
    body = releases.entry_of(workspace, order.target, kept.epoch)
    said = (body.get("order"), body.get("actor"), body.get("reason"))
    return kept if said == (order.said, order.actor, order.reason) else None


def _moved(before: Kept | None, order: Order) -> Moved:
    found = f"{before.epoch}, by {before.actor}" if before else "0: none has begun"
    return Moved(
        rule=f"the release of '{order.target}' must still be at epoch {order.expect_epoch}",
        value=found,
        remedy="look at it again, and decide again",
    )


def _after(workspace: Workspace, before: Kept | None, order: Order) -> Release | Refusal:
    if order.action == START:
        return begun(workspace, _asked(order), before)
    if before is None:
        return not_begun(order.target)
    return _taken(workspace, before.release, order)


def _asked(order: Order) -> Asked:
    return Asked(
        target=order.target,
        plan=order.plan or "",
        model=order.model,
        policy=order.policy,
        version=order.version,
        reason=order.reason,
    )


def _taken(workspace: Workspace, at: Release, order: Order) -> Release | Refusal:
    """Return the release after a step."""
    why, now = order.reason, workspace.clock()
    steps: dict[str, Callable[[], Release | Refusal]] = {
        "advance": lambda: at.advanced(why, now),
        APPROVE: lambda: _approved(workspace, at, order),
        "pause": lambda: at.paused(why),
        "resume": lambda: at.resumed(why, now, waived=order.waive),
        "abort": lambda: at.aborted(why),
        "rollback": lambda: at.rolled_back(why),
    }
    return steps[order.action]()


def _approved(workspace: Workspace, at: Release, order: Order) -> Release | Refusal:
    """Return it at the step that waited; where several people work, by another than who began."""
    began = _first(releases.history(workspace, at.target), at)
    strict = workspace.settings.access.jobs_require_key
    if began.actor == order.actor and not is_laptop(workspace, strict=strict):
        return Forbidden(
            rule="a release must be approved by another person than who began it",
            value=began.actor,
            remedy="ask a colleague",
        )
    return at.approved(order.reason, workspace.clock())


def _first(every: Sequence[Kept], at: Release) -> Kept:
    return next(kept for kept in every if kept.release.id == at.id)

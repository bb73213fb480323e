"""The register: which contract of each kind is in force, since when, and who said why.

A contract in force is a ref `contracts/<kind>` to the blob of its document. The ref moves only
to a version that its changes allow, so its history is the change log of the schema.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster import canonical
from cluster.errors import FunnelcastError, Refusal, WrongUse
from features.contracts import compatible
from features.contracts.contract import Contract

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cluster.refs import Ref
    from cluster.workspace import Workspace
    from features.contracts.compatible import Change

PREFIX = "contracts/"
ENTRY = "contract"  # kind of the journal's entries
TRIES = 5  # against others who put contracts in force at the same moment


@dataclass(frozen=True, kw_only=True)
class InForce:
    """A contract and the move that put it in force."""

    contract: Contract
    digest: str  # name of the blob
    ref: Ref


@dataclass(frozen=True, kw_only=True)
class Step:
    """What putting a contract in force would do."""

    contract: Contract
    document: bytes
    digest: str
    epoch: int  # of the ref as found; 0 for a new kind
    before: str  # version in force, "" for a new kind
    changes: list[Change]
    refusal: Refusal | None
    is_new: bool  # whether the ref has to move


def put_in_force(
    workspace: Workspace, terms: Mapping[str, Contract], actor: str, reason: str
) -> dict[str, str]:
    """Make contracts the ones in force; returns the digest of each by kind.

    Nothing is written for a contract that is in force already. WrongUse names every change that
    the versions do not allow, and then no contract is moved.
    """
    for _ in range(TRIES):
        planned = steps(workspace, terms)
        refused = [str(step.refusal) for step in planned if step.refusal is not None]
        if refused:
            raise WrongUse("; ".join(refused))
        moves = [_move(workspace, step, actor, reason) for step in planned if step.is_new]
        if all(moves):
            return {step.contract.event_kind: step.digest for step in planned}
    raise FunnelcastError(
        f"contracts must come to rest, got {TRIES} moves by others meanwhile: try again"
    )


def steps(workspace: Workspace, terms: Mapping[str, Contract]) -> list[Step]:
    """Return what putting contracts in force would do; moves nothing."""
    return [_step(workspace, contract) for contract in terms.values()]


def in_force(workspace: Workspace, kinds: Iterable[str]) -> dict[str, InForce]:
    """Return the contracts in force among some kinds."""
    refs = {kind: workspace.refs.get(PREFIX + kind) for kind in kinds}
    return {
        kind: InForce(contract=_read(workspace, ref.target), digest=ref.target, ref=ref)
        for kind, ref in refs.items()
        if ref is not None
    }


def history(workspace: Workspace, kinds: Iterable[str]) -> list[tuple[str, InForce]]:
    """Return every contract that ever was in force, with its kind, oldest first."""
    moves = [
        (kind, InForce(contract=_read(workspace, ref.target), digest=ref.target, ref=ref))
        for kind in kinds
        for ref in workspace.refs.history(PREFIX + kind)
    ]
    return sorted(moves, key=lambda move: (move[1].ref.moved_at, move[0], move[1].ref.epoch))


def document(contract: Contract) -> bytes:
    """Return the canonical JSON of a contract: its blob."""
    return canonical.dumps(contract.model_dump(mode="json", by_alias=True))


def _step(workspace: Workspace, contract: Contract) -> Step:
    data = document(contract)
    digest, ref = canonical.sha256_hex(data), workspace.refs.get(PREFIX + contract.event_kind)
    is_new = ref is None or ref.target != digest
    old = _read(workspace, ref.target) if ref is not None and is_new else None
    return Step(
        contract=contract,
        document=data,
        digest=digest,
        epoch=ref.epoch if ref else 0,
        before=old.version if old else "" if is_new else contract.version,
        changes=compatible.changes(old, contract) if old else [],
        refusal=compatible.verdict(old, contract) if old else None,
        is_new=is_new,
    )


def _move(workspace: Workspace, step: Step, actor: str, reason: str) -> bool:
    kind, now = step.contract.event_kind, workspace.clock()
    workspace.blobs.put(step.document)
    moved = workspace.refs.move(
        PREFIX + kind,
        to=step.digest,
        expect_epoch=step.epoch,
        actor=actor,
        reason=reason,
        now=now,
    )
    if isinstance(moved, Refusal):
        return False
    body = {
        "contract": kind,
        "version": step.contract.version,
        "digest": step.digest,
        "actor": actor,
        "reason": reason,
        "changes": [change.words for change in step.changes],
    }
    workspace.journal.record(ENTRY, body, id=f"{ENTRY}:{kind}:{moved.epoch}", now=now)
    return True


def _read(workspace: Workspace, digest: str) -> Contract:
    return Contract.model_validate_json(workspace.blobs.get(digest))

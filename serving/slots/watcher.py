"""The watcher: keeps what answers at what its refs name, off the path of requests.

One statement looks where all refs point. What moved is loaded, admitted in a process of its own and
warmed while the old slots answer; then one reference is replaced. Waiting goes by the monotonic
clock: a clock that is set, or that stands, neither hastens nor stops it.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from dataclasses import replace
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

from cluster import database
from cluster.journal import JournalBroken
from serving.policy import load_policy
from serving.slots import crashes, following, policies, replicas
from serving.slots.active import Refused, Slots
from serving.slots.renewal import Renewal, Renewed
from serving.slots.replicas import Replica
from serving.slots.trial import AWAY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from cluster.refs import Ref
    from cluster.workspace import Workspace
    from serving.policy import Policy
    from serving.slots.elsewhere import Apart
    from serving.slots.inflight import Marks
    from serving.slots.slot import Answer

EVERY_S = 0.5  # between two looks: what is undone answers nobody a second later
CLOSE_S = 2.0  # that closing waits for a look under way
SWAPPED, REFUSED = "slots.swapped", "slots.refused"  # kinds of journal entries


class Watcher:
    """The slots of one replica. `current` is read without a lock, by any thread."""

    def __init__(
        self,
        workspace: Workspace,
        answers: Mapping[str, Answer],
        *,
        every_s: float = EVERY_S,
        marks: Marks | None = None,
        apart: Apart | None = None,
    ) -> None:
        self._workspace = workspace
        self._marks = marks
        self.apart = apart  # finds where candidates of their own replicas decide
        self._followed = {k: following.Followed.of(k, answer) for k, answer in answers.items()}
        self._names = {name for each in self._followed.values() for name in each.refs}
        self._declared = _declared(answers)
        self._every_s = every_s
        self.replica = uuid.uuid4().hex  # a name for this process
        self._untold: list[tuple[str, dict[str, Any], str, datetime]] = []
        self._count = 0  # of journal entries
        self._working = Lock()  # one look at a time; never taken to read
        self._stop = Event()
        self.current = Slots(missing=("nothing was loaded yet",))
        self.refused: tuple[Refused, ...] = ()  # and not tried again until its ref moves
        self.away = ""  # why the last look came to nothing; empty if it did not
        self.errors = 0  # looks that came to nothing, so far
        self.loaded_at: dict[str, datetime] = {}  # since when what answers for a kind does
        self.lag_s: float | None = None  # from the last move of a ref to the swap that followed
        self._reported: Replica | None = None
        self.refresh()
        self._thread = Thread(target=self._follow, name="slots", daemon=True)
        self._thread.start()

    def refresh(self) -> Slots:
        """Look once, take what moved, and return what answers now."""
        with self._working:
            try:
                self._look()
                self.away = ""
            except (*AWAY, JournalBroken) as error:
                self.away = database.cause(error)
                self.errors += 1
        return self.current

    @property
    def answered(self) -> dict[str, str]:
        """The name of the policy of each target that is followed."""
        return {each.target.name: each.policy for each in self._followed.values()}

    @property
    def under_way(self) -> tuple[str, ...]:
        """The targets whose releases are."""
        return tuple(self._followed[kind].target.name for kind in self.current.arms)

    def close(self) -> None:
        """Stop following; what is being loaded is not taken any more."""
        self._stop.set()
        self._thread.join(CLOSE_S)
        with suppress(*AWAY):  # it is forgotten later then
            replicas.leave(self._workspace.database, self.replica)

    def _follow(self) -> None:
        while not self._pause():
            self.refresh()

    def _pause(self) -> bool:
        """Wait until the next look; is there to be none?"""
        return self._stop.wait(self._every_s)

    def _look(self) -> None:
        crashes.tell(self._workspace)  # first: what killed another process is not taken here
        refs = self._refs()
        epochs = {name: refs[name].epoch if name in refs else 0 for name in self._names}
        is_due = epochs != self.current.epochs or self.current.is_waiting
        away = self._renew(refs, epochs) if is_due else None
        self._report()
        self._tell()
        if away is not None:
            raise away

    def _report(self) -> None:
        """Say what this replica answers by, when that changed or another sign of life is due."""
        said = Replica(
            replica=self.replica,
            epochs=dict(self.current.epochs),
            refused={each.what: each.why for each in self.refused},
            at=self._workspace.clock(),
        )
        if not _is_said(self._reported, said):
            replicas.report(self._workspace.database, said)
            self._reported = said

    def _refs(self) -> dict[str, Ref]:
        """Return where all refs point; a policy that was never published is, as it is declared."""
        refs = following.look(self._workspace.database, self._names)
        if all(each.policy_ref in refs for each in self._followed.values()):
            return refs
        policies.begin(self._workspace, self._declared.values())
        return following.look(self._workspace.database, self._names)

    def _renew(self, refs: Mapping[str, Ref], epochs: Mapping[str, int]) -> Exception | None:
        """Take what moved; what is away keeps its kind alone as it is. Returns why, if so."""
        renewed, away = {}, None
        for kind, followed in self._followed.items():
            try:
                renewed[kind] = self._renewed(kind, refs)
            except AWAY as error:
                renewed[kind], away = self._unmoved(kind), error
                before = {name: self.current.epochs.get(name, 0) for name in followed.refs}
                epochs = {**epochs, **before}  # it is looked at again
        self._take(renewed, refs, epochs)
        return away

    def _unmoved(self, kind: str) -> Renewed:
        """Return what there is of a kind as what became of it."""
        followed, now = self._followed[kind], self.current
        return Renewed(
            slot=now.by_kind.get(kind),
            missing="" if kind in now.by_kind else f"what answers for '{kind}' cannot be read now",
            refused=tuple(each for each in self.refused if each.what in followed.refs),
            arms=now.arms.get(kind),
            warm=tuple(slot for slot in now.warm if slot.target == followed.target),
            is_waiting=now.is_waiting,
        )

    def _take(
        self,
        renewed: Mapping[str, Renewed],
        refs: Mapping[str, Ref],
        epochs: Mapping[str, int],
    ) -> None:
        made = Slots(
            by_kind={kind: each.slot for kind, each in renewed.items() if each.slot},
            arms={kind: each.arms for kind, each in renewed.items() if each.arms},
            warm=tuple(slot for each in renewed.values() for slot in each.warm),
            missing=tuple(each.missing for each in renewed.values() if each.missing),
            is_waiting=any(each.is_waiting for each in renewed.values()),
            epochs=epochs,
        )
        if not self._stop.is_set():
            self._swap(made, _once(renewed), refs)

    def _renewed(self, kind: str, refs: Mapping[str, Ref]) -> Renewed:
        renewal = Renewal(
            workspace=self._workspace,
            followed=self._followed[kind],
            refs=refs,
            old=self.current.of(kind),
            loaded=self.current.loaded,
            epochs=self.current.epochs,
            refused={each.what: each for each in self.refused},
            apart=self.apart,
            now=self._workspace.clock(),
            marks=self._marks,
        )
        return renewal.run()

    def _swap(self, made: Slots, refused: tuple[Refused, ...], refs: Mapping[str, Ref]) -> None:
        before, new = self.current, [each for each in refused if each not in self.refused]
        self.current, self.refused = made, refused
        now = self._workspace.clock()
        self.loaded_at = {
            kind: self.loaded_at[kind] if slot == before.by_kind.get(kind) else now
            for kind, slot in made.by_kind.items()
        }
        if dict(before.by_kind) != dict(made.by_kind):
            if before.by_kind:
                moved = [r.moved_at for n, r in refs.items() if before.epochs.get(n) != r.epoch]
                self.lag_s = (now - max(moved)).total_seconds()
            self._note(SWAPPED, {"from": _said(before), "to": _said(made)}, refused, now)
        elif new:
            self._note(REFUSED, {}, tuple(new), now)

    def _note(
        self, kind: str, body: dict[str, Any], refused: tuple[Refused, ...], now: datetime
    ) -> None:
        """Keep what is to be journalled, under an id of its own, until it is."""
        told = [{"ref": r.what, "target": r.target, "why": r.why} for r in refused]
        body |= {"replica": self.replica, "refused": told, "epochs": dict(self.current.epochs)}
        self._count += 1
        self._untold.append((kind, body, f"{kind}:{self.replica}:{self._count}", now))

    def _tell(self) -> None:
        while self._untold:
            kind, body, id, now = self._untold[0]
            self._workspace.journal.record(kind, body, id=id, now=now)
            self._untold.pop(0)


def _declared(answers: Mapping[str, Answer]) -> dict[str, Policy]:
    """Return the policies of configs/policies, and of the files that answers name."""
    files = [load_policy(a.policy) for a in answers.values() if policies.is_file(a.policy)]
    return policies.declared() | {policy.name: policy for policy in files}


def _is_said(before: Replica | None, now: Replica) -> bool:
    """Was all of it said, and not too long ago?"""
    is_same = before is not None and replace(before, at=now.at) == now
    return is_same and before is not None and now.at - before.at < replicas.BEAT


def _once(renewed: Mapping[str, Renewed]) -> tuple[Refused, ...]:
    """Return what is refused, each ref once: several slots may follow it."""
    every = {each.what: each for slot in renewed.values() for each in slot.refused}
    return tuple(every.values())


def _said(slots: Slots) -> dict[str, dict[str, str]]:
    """Return slots as plain JSON values."""
    return {kind: vars(slot.basis) for kind, slot in slots.by_kind.items()}

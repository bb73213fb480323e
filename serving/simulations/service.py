"""The service that planners ask: over HTTP (serving/api) and from their page (serving/planner)."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cluster.access.permissions import Permission
from cluster.errors import FunnelcastError, Refusal
from serving.simulations import checking, known, levers, metered, questions, retained, routed
from serving.simulations.jobs import RayJobs
from serving.simulations.metered import Asks
from serving.simulations.once import Once
from serving.simulations.records import DONE, QUEUED, Asked, Kept
from serving.simulations.starting import TO_SUBMIT, Starting
from serving.simulations.store import Store
from serving.simulations.told import told
from serving.simulations.words import NoResult, NoSimulation, NotStopped, Wrong
from serving.wire.simulations import SimulationRequest, SimulationResultOut

if TYPE_CHECKING:
    from cluster.access.principal import Principal
    from cluster.workspace import Workspace
    from serving.observe.tallies import Fact
    from serving.simulations.known import Known
    from serving.simulations.questions import Question
    from serving.simulations.starting import Jobs
    from serving.simulations.words import NoJobs, TooManySimulations
    from serving.wire.simulations import SimulationOut

MOST_KNOWN = 4  # snapshots and funnels whose names are remembered
MOST_FITTED = 256  # levers of which what the log says of them is
QUIET = timedelta(seconds=3)  # without a word of a job: the cluster is asked about it


class Simulations:
    """The simulations of one workspace. Safe to share between threads; every method may wait for
    the database or the cluster, so call it beside the event loop.

    Each is for the eyes of who asked for it, of who may `forecasts:manage`, and, once it is shared,
    of everybody who knows its id. What is not seen is answered as what does not exist.
    """

    def __init__(self, workspace: Workspace, jobs: Jobs | None = None) -> None:
        self._workspace = workspace
        self._allowed = workspace.settings.simulations
        self._store = Store(workspace.database)
        self._jobs = jobs or Starting(RayJobs(workspace.settings), workspace)
        self._once = Once(MOST_KNOWN)
        self._fits = Once(MOST_FITTED)
        self._asks = Asks()

    def submit(
        self, asked: SimulationRequest, who: Principal, now: datetime
    ) -> SimulationOut | Wrong | TooManySimulations | NoJobs:
        """Start a simulation, or return the one that was asked before: done (`unchanged`), or under
        way, which is joined. One that failed or was cancelled is started again.
        """
        found = self._submitted(asked, who, now)
        self._asks.count(found)
        return found

    def facts(self) -> list[Fact]:
        """Return what is told of simulations to who watches the service."""
        now = self._workspace.clock()
        return [*self._asks.facts(), *metered.facts(self._workspace.database, now)]

    def _submitted(
        self, asked: SimulationRequest, who: Principal, now: datetime
    ) -> SimulationOut | Wrong | TooManySimulations | NoJobs:
        question = self._question(asked)
        if isinstance(question, Wrong):
            return question
        pinned = questions.pins(self._workspace, question)
        key = questions.key(question.comparison, pinned)
        before = self._before(key, now)
        if before is None and (found := self._wrong(question)) is not None:
            return found
        new = Asked(
            id=uuid.uuid4().hex,
            key=key,
            request=asked.model_dump(mode="json"),
            pinned=pinned,
            owner=who.subject,
            now=now,
        )
        begun = self._begun(new)
        if isinstance(begun, Refusal):
            return begun
        kept, is_due = begun
        if is_due and (refused := self._jobs.start(kept.run)) is not None:
            self._store.not_started(kept.run, str(refused), now)
            return refused
        return told(kept, unchanged=kept.status == DONE)

    def checked(self, asked: SimulationRequest) -> Wrong | None:
        """Return what is wrong with a question, in one line; None if it could be submitted."""
        question = self._question(asked)
        return question if isinstance(question, Wrong) else self._wrong(question)

    def get(self, id: str, who: Principal) -> SimulationOut | NoSimulation:
        """Return how far a simulation is; one whose job died without a word has failed."""
        kept = self._seen(id, who)
        if isinstance(kept, NoSimulation):
            return kept
        found = self._alive(kept, self._workspace.clock())
        if not found.is_under_way:
            self._jobs.expect()  # who looks at one may ask for another
        return told(found)

    def asked(self, id: str, who: Principal) -> SimulationRequest | NoSimulation:
        """Return the question of a simulation."""
        kept = self._seen(id, who)
        return kept if isinstance(kept, NoSimulation) else _request(kept)

    def listed(self, who: Principal, most: int = 50) -> list[SimulationOut]:
        """Return those that `who` asked for (of everybody, for who may manage them), newest
        first."""
        self._jobs.expect()
        owner = None if _manages(who) else who.subject
        now = self._workspace.clock()
        return [told(self._alive(each, now)) for each in self._store.listed(owner, most)]

    def result(self, id: str, who: Principal) -> SimulationResultOut | NoSimulation | NoResult:
        """Return what came out."""
        found = self.result_bytes(id, who)
        if isinstance(found, Refusal):
            return found
        return SimulationResultOut.model_validate_json(found)

    def result_bytes(self, id: str, who: Principal) -> bytes | NoSimulation | NoResult:
        """Return the same as JSON, as it was kept."""
        kept = self._seen(id, who)
        if isinstance(kept, NoSimulation):
            return kept
        kept = self._alive(kept, self._workspace.clock())
        if kept.result is None:
            remedy = "wait until it is done" if kept.is_under_way else "submit it again"
            rule = "a simulation must be done to have a result"
            return NoResult(rule=rule, value=f"'{kept.status}'", remedy=remedy)
        try:
            return self._workspace.blobs.get(kept.result)
        except FunnelcastError:  # a damaged one is there, and would be taken for the answer
            self._store.lost(kept.run, self._workspace.clock())
            rule, value = "a result must be kept", "one that is lost"
            return NoResult(rule=rule, value=value, remedy="submit the same again")

    def cancel(self, id: str, who: Principal) -> SimulationOut | NoSimulation | NotStopped:
        """Stop a simulation that is under way, and its job."""
        kept = self._seen(id, who)
        if isinstance(kept, NoSimulation):
            return kept
        if (refused := self._kept_on(kept, who)) is not None:
            return refused
        if not self._store.cancelled(kept.run, self._workspace.clock()):
            rule = "a simulation must be under way to be cancelled"
            return NotStopped(rule=rule, value="one that is over", remedy="leave it")
        self._stop(kept)
        return self.get(id, who)

    def share(self, id: str, who: Principal) -> SimulationOut | NoSimulation:
        """Let everybody who may run forecasts and knows the id see it; none but its own may stop
        it."""
        kept = self._seen(id, who)
        if isinstance(kept, NoSimulation):
            return kept
        self._store.share(id, self._workspace.clock())
        return told(kept)

    def _question(self, asked: SimulationRequest) -> Question | Wrong:
        comparison = questions.read(asked)
        if isinstance(comparison, Wrong):
            return comparison
        return questions.put(self._workspace, comparison, asked.as_of)

    def _wrong(self, question: Question) -> Wrong | None:
        found = checking.wrong(question.comparison, self._names(question), self._allowed)
        if found is not None:
            return found
        sent = routed.wrong(self._workspace, question.funnel, question.comparison)
        return levers.wrong(self._workspace, question, self._fits) if sent is None else sent

    def _names(self, question: Question) -> Known:
        """Return what a question may name; read once per snapshot, by whoever comes first."""
        which = (question.funnel.name, question.snapshot)
        return self._once.get(
            which, lambda: known.read(self._workspace, question.funnel, question.snapshot)
        )

    def _before(self, key: str, now: datetime) -> Kept | None:
        """Return the simulation that answers a question already, or will."""
        kept = self._store.find(key)
        if kept is None:
            return None
        if kept.status == DONE and not self._workspace.blobs.has(str(kept.result)):
            self._store.lost(kept.run, now)
            return None
        kept = self._alive(kept, now)
        return kept if kept.is_under_way or kept.status == DONE else None

    def _begun(self, new: Asked) -> tuple[Kept, bool] | TooManySimulations:
        """Put a question on record. The dead whom nobody has looked at keep no place from it, and
        those that run for too long no cores.
        """
        for each in self._store.under_way():
            if self._is_overdue(each, new.now) or new.now - each.heard_at >= TO_SUBMIT:
                self._alive(each, new.now)
        begun = self._store.begin(new, self._allowed)
        if not isinstance(begun, Refusal):
            return begun
        looked = [self._alive(each, new.now) for each in self._store.under_way()]
        is_freed = not all(each.is_under_way for each in looked)
        return self._store.begin(new, self._allowed) if is_freed else begun

    def _alive(self, kept: Kept, now: datetime) -> Kept:
        """Return a simulation; failed if its job is over and did not say so."""
        if not kept.is_under_way:
            return kept
        if self._is_overdue(kept, now):
            return self._given_up(kept, now)
        if now - kept.heard_at < QUIET:
            return kept
        state = self._jobs.state(kept.run)
        may_be_on_its_way = kept.status == QUEUED and now - kept.heard_at < TO_SUBMIT
        if state.over is None or (not state.is_known and may_be_on_its_way):
            return kept
        self._store.failed(kept.run, state.over, now)  # unless it has said something since
        retained.sweep(self._workspace)
        return self._store.get(kept.id) or kept

    def _is_overdue(self, kept: Kept, now: datetime) -> bool:
        most = timedelta(minutes=self._allowed.most_minutes)
        return kept.began_at is not None and now - kept.began_at > most

    def _given_up(self, kept: Kept, now: datetime) -> Kept:
        """Stop a job that has run for too long, and say so."""
        why = (
            f"a simulation must be done within {self._allowed.most_minutes:g} minutes"
            " (simulations.most_minutes), got a longer one: ask for fewer draws, steps or scenarios"
        )
        self._store.failed(kept.run, why, now)
        self._stop(kept)
        return self._store.get(kept.id) or kept

    def _stop(self, kept: Kept) -> None:
        """Stop the job of what counts no more, and delete what it was asked."""
        self._jobs.stop(kept.run)
        retained.sweep(self._workspace)

    def _seen(self, id: str, who: Principal) -> Kept | NoSimulation:
        kept = self._store.get(id)
        if kept is not None and (kept.is_shared or self._is_own(kept, who)):
            return kept
        shown = "".join(c if c.isprintable() else "?" for c in id[:60])
        rule = "a simulation must be one that you asked for, or was shared"
        return NoSimulation(rule=rule, value=f"'{shown}'", remedy="list yours, or submit it")

    def _is_own(self, kept: Kept, who: Principal) -> bool:
        return _manages(who) or who.subject in self._store.owners(kept.id)

    def _kept_on(self, kept: Kept, who: Principal) -> NotStopped | None:
        """Return why a simulation is not stopped for `who`."""
        if _manages(who):
            return None
        rule = "a simulation is stopped by who alone asked for it"
        owners = self._store.owners(kept.id)
        if who.subject not in owners:
            return NotStopped(rule=rule, value="one of another", remedy="ask its planner")
        if len(owners) > 1:
            remedy = "leave it, or ask an administrator"
            return NotStopped(rule=rule, value="one that others wait for too", remedy=remedy)
        return None


def _manages(who: Principal) -> bool:
    return Permission.FORECASTS_MANAGE in who.permissions


def _request(kept: Kept) -> SimulationRequest:
    return SimulationRequest.model_validate(kept.asked)

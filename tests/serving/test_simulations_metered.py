"""What is told of simulations to who watches the service: by hand, from what is on record."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cluster.errors import Refusal
from cluster.settings import SimulationSettings
from serving.observe import meters
from serving.simulations import metered
from serving.simulations.records import Asked
from serving.simulations.service import Simulations
from serving.simulations.store import Store
from tests.serving.asking import Cluster, planner, request, scenario

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from serving.observe.meters import Meter
    from serving.simulations.records import Run

THEN, SECOND = datetime(2026, 3, 2, tzinfo=UTC), timedelta(seconds=1)
ALLOWED = SimulationSettings(at_once=99, queue=99)


def begun(store: Store, id: str, now: datetime) -> Run:
    """Start one."""
    new = Asked(id=id, key=id, request={}, pinned={}, owner="ada", now=now)
    found = store.begin(new, ALLOWED)
    assert not isinstance(found, Refusal)
    return found[0].run


def told(workspace: Workspace, now: datetime, meter: Meter) -> dict[tuple[str, ...], float]:
    """Return the samples of a meter."""
    found = metered.facts(workspace.database, now)
    return {labels: value for each, labels, value in found if each is meter}


def test_the_queue_and_the_time_of_the_last_are_told(workspace: Workspace) -> None:
    """Of a question that is asked again the last start counts."""
    store = Store(workspace.database)
    assert told(workspace, THEN, meters.SIMULATION_OLDEST) == {(): 0.0}
    assert told(workspace, THEN, meters.SIMULATION_LAST) == {}
    store.failed(begun(store, "a", THEN), "why", THEN)
    run = begun(store, "a", THEN + 60 * SECOND)
    store.running(run, None, THEN + 63 * SECOND)
    store.running(run, None, THEN + 65 * SECOND)
    begun(store, "b", THEN + 64 * SECOND)
    late = THEN + 70 * SECOND
    assert told(workspace, late, meters.SIMULATION_OLDEST) == {(): 10.0}
    store.done(run, "x" * 64, late)
    assert told(workspace, late, meters.SIMULATION_OLDEST) == {(): 6.0}
    times = told(workspace, late, meters.SIMULATION_LAST)
    assert times == {("waiting",): 3.0, ("running",): 7.0}
    counts = told(workspace, late, meters.SIMULATIONS)
    assert counts == {
        ("queued",): 1, ("running",): 0, ("done",): 1, ("failed",): 0, ("cancelled",): 0,
    }  # fmt: skip


def test_what_is_asked_is_counted_by_what_came_of_it(workspace: Workspace) -> None:
    planning, ada = Simulations(workspace, Cluster()), planner()
    for _ in range(2):
        planning.submit(request(scenario(draws=0)), ada, THEN)
    found = [fact for fact in planning.facts() if fact[0] is meters.SIMULATIONS_ASKED]
    assert found == [(meters.SIMULATIONS_ASKED, ("wrong",), 2)]

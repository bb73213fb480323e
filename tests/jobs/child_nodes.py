"""A search on a cluster of two nodes, one of which is killed on the way: `python child_nodes.py F`.

It prints what was found, and on how many nodes, as JSON. A cluster of its own, so that no other
test loses a node.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster import session
from cluster.settings import Settings
from jobs.train import pool, search, study

if TYPE_CHECKING:
    from jobs.train.pool import Done, Work

BUDGET = search.Budget(trials=8, folds=3, seed=3)
KILL_AFTER = 6  # folds


def slow() -> type[Any]:
    """Return an evaluator by formula; made here, so that it travels to a worker by value."""

    class Slow:
        def __init__(self, data: None) -> None:
            """Hold nothing."""

        def evaluate(self, work: Work) -> Done:
            time.sleep(0.2)
            loss = abs(work.params["learning_rate"] - 0.1) + 0.01 * work.fold
            return pool.Done(trial=work.trial, fold=work.fold, loss=loss, rounds=9)

    return Slow


class Killer:
    """A pool that loses a node after so many folds."""

    def __init__(self, inner: pool.RayPool[None], kill: Any) -> None:
        self._inner = inner
        self._kill = kill
        self._left = KILL_AFTER

    def submit(self, work: Work) -> None:
        """Pass on."""
        self._inner.submit(work)

    def next(self) -> Done:
        """Pass on, after the murder."""
        self._left -= 1
        if self._left == 0:
            self._kill()
        return self._inner.next()

    @property
    def nodes(self) -> int:
        """Pass on."""
        return self._inner.nodes


def main(folder: Path) -> None:
    """Search, lose a node, go on."""
    settings = Settings(home=folder)
    session.guard(settings, os.environ)
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
    head = {**node, "node_ip_address": session.LOOPBACK, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    lost = cluster.add_node(**node, node_ip_address="127.0.0.2")  # we are at the other one
    os.environ["RAY_ADDRESS"] = cluster.address
    session.connect(settings)
    with (
        study.opened(folder / "study.log", "study") as opened,
        pool.ray_pool(slow(), None, 2) as evaluators,
    ):
        for actor in evaluators.actors:
            import ray

            ray.get(actor.__ray_call__.remote(lambda _: None))  # both are up before the search
        killer = Killer(evaluators, lambda: cluster.remove_node(lost, allow_graceful=False))
        best = search.search(opened, killer, BUDGET)
        nodes = evaluators.nodes
    is_lost = not lost.any_processes_alive()
    said = {"best": asdict(best), "nodes": nodes, "is_lost": is_lost}
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()
    session.disconnect()
    cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

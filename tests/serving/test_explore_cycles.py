"""Five retrainings on leads as a policy routed them: with exploration chances stay true of leads
that nobody works, without they do not.

After the fifth cycle, over eight seeds of 30,000 leads a cycle: of the 30 % that the policy would
work, models say 10.3 points too little without exploration (7.7 to 11.8), and with 5 % explored and
weighed 0.1 points too much (1.9 too little to 3.1 too much); explored and not weighed 2.1 too
little. With 2 % it is 1.0 too little, and 5.2 if not weighed.
"""

from __future__ import annotations

import numpy as np
import pytest

from serving.releases.exploring import Explore
from tests.serving import simulated_cycles

FIVE = Explore(share=0.05, routes=simulated_cycles.ROUTES)
BOUND = 0.05  # by which a model may be off at the top
SEEDS = range(5)


def test_chances_hold_with_exploration_and_decay_without() -> None:
    """At the top, where the policy leaves nobody alone; and over all leads."""
    with_it = simulated_cycles.run(0, 16_000, FIVE)
    without = simulated_cycles.run(0, 16_000, None)
    assert abs(with_it[0].at_the_top) < BOUND
    assert abs(without[0].at_the_top) < BOUND  # what was learnt before there was a policy
    assert abs(with_it[-1].at_the_top) < BOUND
    assert without[-1].at_the_top < -BOUND
    assert with_it[-1].everywhere < without[-1].everywhere


@pytest.mark.drill
def test_chances_hold_for_every_seed_and_best_if_weighed() -> None:
    """Five worlds; without weights the few that were explored are outvoted."""
    ends = np.array(
        [
            [
                simulated_cycles.run(seed, 30_000, FIVE)[-1].at_the_top,
                simulated_cycles.run(seed, 30_000, FIVE, is_weighed=False)[-1].at_the_top,
                simulated_cycles.run(seed, 30_000, None)[-1].at_the_top,
            ]
            for seed in SEEDS
        ]
    )
    weighed, plain, without = ends.T
    assert np.abs(weighed).max() < BOUND
    assert without.max() < -BOUND
    assert abs(weighed.mean()) < abs(plain.mean())

"""`python -m jobs.simulate`."""

from __future__ import annotations

import gc
import sys


def main(arguments: list[str]) -> None:
    """Run it for a planner who waits, or from the command line."""
    gc.disable()  # what is imported stays: looking through it for what does not takes 0.3 s
    from jobs.simulate import followed, spare
    from serving.simulations.starting import RUN, SPARE

    gc.freeze()
    gc.enable()
    for option, begin in ((RUN, followed.main), (SPARE, spare.main)):
        if any(argument.startswith(option) for argument in arguments):
            sys.exit(begin(arguments))
    from jobs import console
    from jobs.simulate.run import JOB

    console.main(JOB)


main(sys.argv[1:])

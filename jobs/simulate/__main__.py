"""`python -m jobs.simulate`."""

from __future__ import annotations

import sys

from jobs.simulate import followed

if any(argument.startswith(followed.OPTION) for argument in sys.argv[1:]):
    sys.exit(followed.main(sys.argv[1:]))

from jobs import console
from jobs.simulate.run import JOB

console.main(JOB)

"""`python -m jobs.score`, and `show` or `why` after it."""

from __future__ import annotations

import sys

from jobs import console
from jobs.score import look, run

if sys.argv[1:] and not sys.argv[1].startswith("-"):
    console.main(look.JOB)
else:
    console.main(run.JOB)

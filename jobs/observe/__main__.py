"""`python -m jobs.observe`."""

from __future__ import annotations

import typer

from jobs.observe.run import main

typer.run(main)

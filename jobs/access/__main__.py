"""`python -m jobs.access`."""

from __future__ import annotations

import typer

from jobs.access.run import main

typer.run(main)

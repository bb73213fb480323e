"""`python -m jobs.audit`."""

from __future__ import annotations

import typer

from jobs.audit.run import main

typer.run(main)

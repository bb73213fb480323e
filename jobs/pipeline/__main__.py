"""`python -m jobs.pipeline`."""

from __future__ import annotations

import typer

from jobs.pipeline.run import main

typer.run(main)

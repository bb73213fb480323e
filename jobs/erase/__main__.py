"""`python -m jobs.erase`."""

from __future__ import annotations

import typer

from jobs.erase.run import main

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(main)
app()

"""`python -m jobs`: list the jobs."""

from __future__ import annotations

import importlib

from jobs import console, show

for verb in console.verbs():
    summary = (importlib.import_module(f"jobs.{verb}").__doc__ or "").splitlines()[0]
    show.line(f"python -m jobs.{verb:12} {summary}", as_json=False)

"""Ready views, and the language they are written in."""

from __future__ import annotations

from features.views.aggregates import Feature
from features.views.catalog import VIEWS, view
from features.views.language import View

__all__ = ["VIEWS", "Feature", "View", "view"]

"""Report: one self-contained page with pictures of models, scores and forecasts."""

"""How good the forecasts would have been: made again as of past moments, and judged."""

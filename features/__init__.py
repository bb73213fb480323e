"""The facts: contracts, sources, the event log, views, and the engine that computes them."""

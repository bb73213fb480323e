"""Compact the event log: arrivals in, small files merged, orphans away."""

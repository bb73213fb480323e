"""What the service tells of itself: meters, traces and log lines. See docs/observability.md."""

"""What a snapshot of scores says of how it was made: the names of its properties."""

from __future__ import annotations

ROWS, MODEL, POLICY = "funnelcast.rows", "funnelcast.model", "funnelcast.policy"
TARGET, VIEW, AS_OF = "funnelcast.target", "funnelcast.view", "funnelcast.as_of"
ROUTING = "funnelcast.routing"  # the content of the policy: its file may change
PREVIOUS = "funnelcast.previous"  # snapshot of the scores before

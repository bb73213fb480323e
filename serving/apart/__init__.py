"""A candidate in replicas of its own: a deployment of Ray Serve that holds one slot and decides."""

"""Simulations: what planners ask, put to the forecast as jobs of the cluster, once each."""

"""Leading a release by hand: what a job and the API may do with it, and where it stands."""

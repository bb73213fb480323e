"""Run several jobs in order, in one process and one Ray session, as a pipeline file says."""

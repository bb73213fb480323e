"""The work: one package per job, each a verb run as `python -m jobs.<verb>`."""

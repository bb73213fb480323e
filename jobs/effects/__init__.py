"""`python -m jobs.effects`: learn what an action does, from the log, with its evidence."""

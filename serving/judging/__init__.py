"""The judge at work: what the journal tells of a release, and what follows."""

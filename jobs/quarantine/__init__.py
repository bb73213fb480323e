"""Quarantine: what was refused and why; open rows written out to be corrected."""

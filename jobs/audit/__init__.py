"""Verify the journal against its hashes and signed checkpoints; seal it, list the checkpoints."""

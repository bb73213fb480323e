"""Publish, show and compare policies; activate another version."""

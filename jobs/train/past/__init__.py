"""Scores of past moments, each by a model that was taught only what was known before it."""

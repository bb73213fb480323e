"""Simulate a scenario: won deals and value per step, with and without its levers, as
distributions."""

"""Simulate a scenario: won deals and value per week, with and without its levers, as
distributions."""

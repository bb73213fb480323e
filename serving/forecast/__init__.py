"""The forecast: from the log as known at T to distributions of what is won, and its value.

funnels (what is declared) and units (the log as courses) -> learning (moves, rates, amounts,
shocks) -> kernel (levers, desks, draws) -> answers and risk -> record; experiment runs the arms of
a scenario on the same luck. tested, covered and recalibration say how often such intervals held.
"""

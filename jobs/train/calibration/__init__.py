"""The parts of calibration: regression, blend with the rules, curves, band of intervals. Pure."""

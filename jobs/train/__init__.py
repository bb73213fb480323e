"""The training job: a labelled table in, a calibrated and published model out."""

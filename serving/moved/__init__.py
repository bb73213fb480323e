"""Why a score moved since last time: its change, split into causes that add up to it exactly."""

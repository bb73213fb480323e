"""Begin a release, look at it, approve its next step, stand, go on, go back."""

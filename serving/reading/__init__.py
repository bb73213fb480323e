"""Reading: questions about what was decided, scored and published. No HTTP in here."""

"""The planner's page: what-if questions set by form, run, watched, compared, saved and shared."""

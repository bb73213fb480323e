"""Make alert rules and dashboards from the objectives and the declared meters."""

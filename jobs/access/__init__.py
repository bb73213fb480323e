"""Issue, list, rotate and revoke the API keys of a workspace."""

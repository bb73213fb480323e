"""Who may do what over HTTP: routes declare what they need, the guard asks before anything runs."""

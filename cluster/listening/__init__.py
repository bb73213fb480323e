"""What listens: every socket of the processes of a workspace, what it is, and what guards it."""

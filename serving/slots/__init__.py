"""What answers: the live model and policy of each kind of entity, followed as their refs move."""

"""The ground: where work runs, where data is kept, what was recorded. No sales word in here."""

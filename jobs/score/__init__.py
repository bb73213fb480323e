"""Score every open entity of a target with its stable model, as one committed snapshot."""

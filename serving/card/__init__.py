"""The model card: one page for people about one bundle, made of its bytes alone."""

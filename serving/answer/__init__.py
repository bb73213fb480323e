"""The engine: a question in, a durable decision out, within its deadline."""

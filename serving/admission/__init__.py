"""How a bundle gets in: every file is hostile until it has passed every stage, cheapest first.

Size, plain JSON, what it says, hash, UBJSON, trees, and a score in a throw-away process.
"""

"""Look at flags: who was told what, whether that is as the weights say, and what became of them."""

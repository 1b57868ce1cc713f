"""How a method is trained; `loop` is the one training loop."""

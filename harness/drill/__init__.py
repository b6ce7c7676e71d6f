"""Messages 2.1, 2.9 and 2.10: one drill, its environment, the strike."""

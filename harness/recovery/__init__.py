"""Recovery, messages 2.2 to 2.8, and `blackstart recover`."""

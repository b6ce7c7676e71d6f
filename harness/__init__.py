"""The code that is drilled with, and the code that judges."""

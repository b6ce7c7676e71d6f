"""The code that is drilled with, and the code that judges."""

__version__ = "0.1.0"

"""Existing sites: connected to, never created and never destroyed."""

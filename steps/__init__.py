"""Thin steps: one sentence, one call."""

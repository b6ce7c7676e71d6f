"""Assertions of the Then steps. Each raises Finding with one line."""

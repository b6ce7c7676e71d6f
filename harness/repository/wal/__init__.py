"""Shipped WAL in the repository: its writer, its catalogue, and what is lacking in it."""

"""Drill, its environment and the strike: messages 2.1, 2.9 and 2.10."""

"""Incremental backups: what they build on, and how a chain of them becomes one data folder again."""

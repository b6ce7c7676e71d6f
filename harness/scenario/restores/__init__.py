"""Drills of restores: the databases alone are restored into an empty folder, beside the running site."""

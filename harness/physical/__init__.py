"""Physical backups: base backups, continuous WAL, and restores to a point in time.

More than ten files because each step, from the stream of the server to the promoted copy, has a file of its own.
"""

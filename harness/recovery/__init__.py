"""Recovery, messages 2.2 to 2.8, and `blackstart recover`.

More than ten files because each phase, and each kind of data that a restore brings, has a file of its own.
"""

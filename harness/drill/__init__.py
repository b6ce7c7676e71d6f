"""Drill, its environment and the strike: messages 2.1, 2.9 and 2.10.

More than ten files because each thing that is done to a site, and each that is observed of one, has its own.
"""

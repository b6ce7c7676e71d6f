"""Nightly restore test: restores and tests the newest backup on a DR site, then cleans up.

More than ten files because each guard before the test, and each kind of cleanup after it, has a file of its own.
"""

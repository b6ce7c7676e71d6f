"""Nightly restore test: restores and tests the newest backup on a DR site, then cleans up."""

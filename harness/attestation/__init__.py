"""Signed statements about records, their verification by anybody, and the sign-off by a person."""

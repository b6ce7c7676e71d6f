"""Upkeep of a repository: removal of what was never committed and of what expired, and change of recipients."""

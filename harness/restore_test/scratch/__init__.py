"""Verification of backups by restoring them into a scratch server, which is made for it and removed."""

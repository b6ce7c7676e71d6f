"""Restore of databases: pg_restore, what is held until a release, materialised views."""

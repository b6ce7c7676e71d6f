"""Physical backups: base backups, continuous WAL, and restores to a point in time."""

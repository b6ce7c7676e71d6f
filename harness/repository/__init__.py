"""The offsite store of backups: format, pipeline, catalogue."""

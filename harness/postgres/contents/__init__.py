"""What a database contains, read in the same way at the backup and after the restore: rows, schema, properties."""

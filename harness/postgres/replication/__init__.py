"""PostgreSQL's streaming replication protocol: base backups and WAL, without a program and without a temporary file."""

"""Physical backups, restores and WAL beside pgBackRest, Barman and a pipe: `make bench-repository`."""

"""PostgreSQL: server, dump, restore, checks."""

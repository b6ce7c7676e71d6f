"""Object stores that hold a repository: the port, S3, a read-only view, and reads by several connections."""

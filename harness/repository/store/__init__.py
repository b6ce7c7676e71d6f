"""Object stores that hold a repository: the port, S3, and a read-only view."""

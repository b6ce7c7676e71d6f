"""Object stores: server, buckets, replication."""

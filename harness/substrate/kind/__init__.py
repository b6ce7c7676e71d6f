"""The kind substrate: primary and DR are Kubernetes clusters, each made by kind."""

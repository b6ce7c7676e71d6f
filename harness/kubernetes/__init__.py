"""Kubernetes clusters: created with kind, controlled through their API and through their node's container."""

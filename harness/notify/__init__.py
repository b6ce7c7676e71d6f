"""Telling people and machines about the outcome of a drill: messages, heartbeat, Prometheus textfile."""

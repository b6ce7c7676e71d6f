"""The Notification Service: nodes, sources, key functions."""

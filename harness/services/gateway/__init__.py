"""The API gateway: nodes and key function."""

"""API gateway (Traefik): node and key function."""

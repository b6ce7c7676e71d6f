"""Clusters: made with kind, spoken to through their API, hurt."""

"""Alerts to operators, and a sink that receives them in drills."""

"""Faults and checks of drills. Only steps and fixtures import this package; images do not contain it."""

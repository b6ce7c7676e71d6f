"""Catalogue of the faults that features can inject."""

"""Catalogue of the faults that features can inject.

More than ten files because each part of an estate that suffers faults has a file of its own.
"""

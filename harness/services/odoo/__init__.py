"""Odoo: node, backup sources, containment, key functions, example data."""

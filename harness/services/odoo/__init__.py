"""Odoo: nodes, sources, containment, key functions."""
